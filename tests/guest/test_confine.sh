#!/bin/bash
# wirt run --as process --confine: a riscv64 program that sees its root file system and nothing else of the
# host. Each thing is tried from inside, and beside it, without --confine, shown to be there.
# timeout: 300
. "$(dirname "$0")/../lib.sh"
within_reach
[ -x "$guest/rootfs/bin/sh" ] || { skip "a confined process" "needs the guests (make guest)"; finish; }
root=$guest/rootfs
"$source_dir/scripts/programs.sh" >/dev/null || exit 1
cat >"$scratch/try.c" <<'C'
/* try PID PATH PORT [all]: what can be done to the host, one word each. What leaves something behind
 * where it succeeds is only tried with all. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
static void say(const char *what, int done) { printf("%s:%s\n", what, done ? "yes" : "no"); }
int main(int argc, char **argv)
{
    pid_t pid = atoi(argv[1]);
    char b[8] = "", up[64] = "";
    for (int i = 0; i < 20; i++)
        strcat(up, "../");
    say("open", open(argv[2], O_RDONLY) >= 0);
    say("signal", kill(pid, 0) == 0);
    struct iovec l = {b, 8}, r = {(void *)0x400000, 8};
    say("memory", process_vm_readv(pid, &l, 1, &r, 1, 0) > 0 || errno == EFAULT);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    say("connect", connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof a) == 0);
    if (argc < 5)
        return 0;
    mkdir("/tmp/wirt-away", 0700);
    say("mount", mount("none", "/tmp/wirt-away", "tmpfs", 0, NULL) == 0);
    umount2("/tmp/wirt-away", MNT_DETACH);
    say("namespace", unshare(CLONE_NEWUSER) == 0);
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    say("clone", child > 0);
    say("join", setns(open("/proc/1/ns/mnt", O_RDONLY), 0) == 0);
    say("device", mknod("/tmp/wirt-null", S_IFCHR | 0600, 1 << 8 | 3) == 0);
    int escaped = 0;
    int here = open("/", O_RDONLY);
    if (chroot("/tmp/wirt-away") == 0 && fchdir(here) == 0 && chdir(up) == 0 && chroot(".") == 0)
        escaped = open(argv[2], O_RDONLY) >= 0;
    say("chroot", escaped);
    for (int fd = 3; fd < 1100; fd++)
        if (fd != here && openat(fd, up + 3, O_PATH) >= 0)
            say("descriptor", 1);
    unlink("/tmp/wirt-null");
    rmdir("/tmp/wirt-away");
    return 0;
}
C
riscv64-linux-gnu-gcc -O1 -static "$scratch/try.c" -o "$scratch/try" || exit 1
echo secret >"$scratch/secret"
chmod 711 "$scratch"
python3 -c 'import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16); print(s.getsockname()[1], flush=True); time.sleep(300)' >"$scratch/port" &
server=$!
sleep 300 &
victim=$!
trap 'kill $server $victim 2>/dev/null; end_test' EXIT
wait_for 10 test -s "$scratch/port"
try() { wirt run --rm --as process "$@" "$scratch/try" "$victim" "$scratch/secret" "$(cat "$scratch/port")" "${how[@]}" 2>&1; }
how=()

free=$(try)
for what in open signal memory connect; do
    contains "without --confine: $what" "$what:yes" "$free"
done
how=(all)
jailed=$(try --confine)
for what in open signal memory connect mount namespace clone join device chroot; do
    contains "confined: no $what" "$what:no" "$jailed"
done
equal "confined: no descriptor of the host's" "" "$(grep descriptor <<<"$jailed")"
contains "--network host opens the network alone" "connect:yes" "$(how=() && try --confine --network host | grep -v open:yes)"

# Everything else that could lead out (attack.c), by a riscv64 program and by a native one: who takes over the
# translator is that. Files as streams, for what they could be opened again.
mkdir -p "$scratch/bin"
riscv64-linux-gnu-gcc -O1 -static "$source_dir/tests/guest/attack.c" -o "$scratch/bin/riscv64" || exit 1
gcc -O1 -static "$source_dir/tests/guest/attack.c" -o "$scratch/bin/native" || exit 1
chmod -R go+rX "$scratch/bin"
abstract=wirt-test-$$
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind("\0" + sys.argv[1]); s.listen(16); print("open", flush=True); time.sleep(300)' $abstract >"$scratch/listens" &
listener=$!
trap 'kill $server $victim $listener 2>/dev/null; end_test' EXIT
wait_for 10 test -s "$scratch/listens"
attack() { # NAME OPTION...
    local name=$1
    shift
    echo untouched >"$scratch/in"
    "${user[@]}" "$wirt_binary" --root "$state" run --rm -i --as process --confine -v "$scratch/bin:/mnt:ro" "$@" \
        <"$scratch/in" >"$scratch/out" 2>"$scratch/err"
    equal "attacks, $name" "tried" "$(sort -u "$scratch/out" "$scratch/err" | head -n 20)"
    equal "attacks, $name: a file that was given as input" untouched "$(cat "$scratch/in")"
}
user=() state=$scratch/state
for program in riscv64 native; do
    attack "$program" "$root" /bin/sh -c "/mnt/$program $victim $abstract $scratch/secret"
done
attack "riscv64, as another user" --user 65534 "$root" /bin/sh -c "/mnt/riscv64 $victim $abstract $scratch/secret"
if is_root && setpriv --reuid=31337 --regid=31337 --clear-groups unshare --user true 2>/dev/null; then
    user=(setpriv --reuid=31337 --regid=31337 --clear-groups env HOME=/) state=$scratch/own/state
    mkdir -m 700 "$scratch/own" && chown 31337:31337 "$scratch/own"
    for network in none host; do
        attack "native, by an ordinary user, --network $network" --network $network "$root" /bin/sh -c \
            "/mnt/native $victim none-$abstract $scratch/secret | grep -v '^netlink: .* interfaces'"
    done
fi

user_run() { "${user[@]}" "$wirt_binary" --root "$state" run --rm --as process --confine --network host "$@" 2>&1; }
run() { wirt run --rm --as process --confine "$@" 2>&1; }
equal "a root file system's programs run" "Linux riscv64" "$(run "$root" uname -sm)"
equal "and the programs that they run" "3" "$(run "$root" sh -c 'ls / >/dev/null; expr $(echo 1) + 2')"
equal "the first is number 1" 1 "$(run "$root" sh -c 'echo $$')"
# shellcheck disable=SC2016 # for awk
equal "what is mounted of /sys is read-only, all of it" "" \
    "$(user_run "$root" awk '$5 ~ "^/sys" && $6 !~ "^ro(,|$)" { print $5 }' /proc/self/mountinfo)"
status=$(run "$root" cat /proc/self/status)
for line in "NoNewPrivs:	1" "Seccomp:	2" "CapEff:	0000000000000000" "CapBnd:	0000000000000000" "CapPrm:	0000000000000000"; do
    contains "$line" "$line" "$status"
done
contains "no file of the host's" "No such file" "$(run "$root" ls "$scratch/secret")"
equal "no interface but lo" "lo" "$(run "$root" sh -c 'sed -n "s/^ *\([a-z0-9]*\):.*/\1/p" /proc/net/dev' | xargs)"
run "$root" sh -c 'exit 9' >/dev/null
equal "exit status" 9 $?

wirt run -d --as process --confine --name c "$root" sh -c 'setsid sleep 1000 & while :; do sleep 1; done' >/dev/null
equal "it is a process" process "$(wirt inspect c | jq -r '.[0].config.wall')"
equal "wirt exec is confined too" "NoNewPrivs:	1" "$(wirt exec c grep NoNewPrivs /proc/self/status)"
check "and in the same jail" test "$(wirt exec c sh -c 'ls /proc' | grep -cE '^[0-9]+$')" -ge 3
check "stats" jq -e '.[0].pids >= 1 and .[0].memory > 0' <(wirt stats --json c)
wirt rm -f c >/dev/null
equal "nothing is left" "" "$(wirt ps -aq)"
# Translations that are kept (wirt-riscv64(1)) would become a part of the image, and be believed.
mkdir -p "$scratch"/image/{bin,proc,dev,sys,tmp,root,var/cache}
cp "$build/programs/riscv64/hello" "$scratch/image/bin" || exit 1
for wall in "process --confine" container; do
    # shellcheck disable=SC2086 # words
    equal "a $wall runs" hello "$(wirt run --rm --network none -e HOME=/root --as $wall "$scratch/image" /bin/hello 2>&1)"
    equal "a $wall keeps no translations" "" "$(find "$scratch"/image/{root,var/cache} -mindepth 1)"
done
contains "--confine is for processes" "--confine: a container is confined as it is" "$(wirt run --as container --confine "$root" true 2>&1)"
finish
