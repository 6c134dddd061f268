#!/bin/bash
# Behind the process wall: no process of a guest outlives it, however it left its parent, and however the
# guest ends; signals and exit statuses pass through.
. "$(dirname "$0")/../lib.sh"
[ -x "$guest/rootfs/bin/sh" ] || { skip "the guest's end" "needs the guests (make guest)"; finish; }
root=$guest/rootfs

cat >"$scratch/leave.c" <<'C'
/* leave MARK: processes that leave their session, their parent and their signals behind. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int how)
{
    if (fork())
        return;
    for (int i = 1; i < 65; i++)
        signal(i, SIG_IGN);
    if (how & 1)
        setsid();
    if (how & 2 && fork())
        _exit(0);
    if (how & 4)
        setpgid(0, 0);
    for (;;)
        pause();
}
int main(int argc, char **argv)
{
    for (int how = 0; how < 8; how++)
        leave(how);
    puts("ready");
    fflush(stdout);
    if (argc > 2)
        return 7;
    for (;;)
        pause();
}
C
riscv64-linux-gnu-gcc -O1 -static "$scratch/leave.c" -o "$scratch/leave" || exit 1
mark=wirt-leave-$$
left() { grep -lazE "^$1\$" /proc/[0-9]*/cmdline 2>/dev/null | wc -l; } # MARK: processes with that argument
none_left() { [ "$(left "$1")" = 0 ]; }
all_there() { [ "$(left "$1")" -ge 9 ]; }
start() { wirt run -d --as process --name "$1" "$scratch/leave" "$mark-$1" >/dev/null && wait_for 20 all_there "$mark-$1"; }

check "processes that leave (monitor killed)" start killed
kill -KILL "$(inspected killed .monitorPid)"
check "all end with the monitor" wait_for 20 none_left "$mark-killed"
check "rm of what is left" wirt rm killed

check "processes that leave (rm -f)" start removed
wirt rm -f removed >/dev/null
equal "none lives after rm -f" 0 "$(left "$mark-removed")"

check "processes that leave (monitor killed, rm -f at once)" start both
kill -KILL "$(inspected both .monitorPid)"
wirt rm -f both >/dev/null
equal "none lives after that rm -f" 0 "$(left "$mark-both")"

check "processes that leave (monitor hangs)" start hung
kill -STOP "$(inspected hung .monitorPid)"
timeout 100 "$wirt_binary" --root "$scratch/state" rm -f hung >/dev/null
equal "none lives after rm -f either" 0 "$(left "$mark-hung")"

check "processes that leave (paused)" start paused
wirt pause paused >/dev/null
kill -KILL "$(inspected paused .monitorPid)"
check "stopped ones end too" wait_for 20 none_left "$mark-paused"
wirt rm -f paused >/dev/null

check "processes that leave (the keeper killed)" start kept
kill -KILL "$(inspected kept .pid)"
check "the monitor ends them" wait_for 20 none_left "$mark-kept"
wirt rm -f kept >/dev/null

# In the foreground there is no monitor but wirt run itself.
wirt run --as process --name fg "$scratch/leave" "$mark-fg" >/dev/null 2>&1 &
check "processes that leave (in the foreground)" wait_for 20 all_there "$mark-fg"
kill -KILL "$(inspected fg .monitorPid)"
check "all end with wirt run" wait_for 20 none_left "$mark-fg"
wait 2>/dev/null
wirt rm -f fg >/dev/null

wirt run --rm --as process "$scratch/leave" "$mark-end" x >/dev/null
equal "the first one's exit status" 7 $?
equal "and its end is everybody's" 0 "$(left "$mark-end")"

# A command that is executed in a guest ends with it, and with whoever executed it.
check "a guest" start g
wirt exec g "$scratch/leave" "$mark-exec" >/dev/null 2>&1 &
check "a command executed in it" wait_for 20 all_there "$mark-exec"
wirt rm -f g >/dev/null
check "ends with it" wait_for 20 none_left "$mark-exec"
check "a guest" start g
"$wirt_binary" --root "$scratch/state" exec g "$scratch/leave" "$mark-exec" >/dev/null 2>&1 &
executor=$!
check "a command executed in it" wait_for 20 all_there "$mark-exec"
kill -KILL $executor
check "ends with whoever executed it" wait_for 20 none_left "$mark-exec"
wirt rm -f g >/dev/null

for sig in TERM USR1 KILL; do
    wirt run -d --as process --name s "$root" sh -c 'while :; do sleep 0.1; done' >/dev/null
    wirt kill -s "$sig" s >/dev/null
    check "a guest ended by SIG$sig" wait_for 10 test "$(inspected s .status)" = exited -o "$(sleep 1; inspected s .status)" = exited
    equal "says so" $((128 + $(kill -l "$sig"))) "$(inspected s .exitStatus)"
    wirt rm -f s >/dev/null
done
finish
