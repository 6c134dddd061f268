#!/bin/bash
# wirt-riscv64's options, exit statuses, -strace, and the sysroot.
. "$(dirname "$0")/../lib.sh"
cat >"$scratch/show.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
int main(int argc, char **argv)
{
    struct utsname u;
    char line[99] = "";
    uname(&u);
    FILE *f = fopen("/etc/wirt-test", "r");
    if (f && !fgets(line, sizeof line, f))
        return 1;
    line[strcspn(line, "\n")] = 0;
    printf("%s %s|A=%s|B=%s|%s %s|%s\n", argv[0], argc > 1 ? argv[1] : "", getenv("A") ? getenv("A") : "-",
           getenv("B") ? getenv("B") : "-", u.machine, u.release, line);
    return argc > 2 ? atoi(argv[2]) : 0;
}
C
riscv64-linux-gnu-gcc -O1 -static "$scratch/show.c" -o "$scratch/show" || exit 1
release=$(uname -r)
run() { timeout 30 "$riscv64" "$@" 2>&1 </dev/null; }
cd "$scratch" || exit 1

equal "argv, environment, uname" "./show x|A=1|B=-|riscv64 $release|" "$(A=1 run ./show x)"
equal "-E and -U" "./show x|A=-|B=2|riscv64 $release|" "$(A=1 run -E B=2 -U A ./show x)"
equal "-0" "other x|A=-|B=-|riscv64 $release|" "$(run -0 other ./show x)"
equal "-r" "./show |A=-|B=-|riscv64 9.8.7|" "$(run -r 9.8.7 ./show)"
equal "options end at the program" "./show -E|A=-|B=-|riscv64 $release|" "$(run ./show -E)"
equal "--interpret" "./show x|A=-|B=-|riscv64 $release|" "$(run --interpret ./show x)"
run ./show x 37 >/dev/null
equal "the program's exit status" 37 $?
run ./nothing >/dev/null
equal "127 when it is not there" 127 $?
run ./show.c >/dev/null
equal "126 when it cannot be run" 126 $?
run >/dev/null
equal "125 for wrong use" 125 $?
run --wrong ./show >/dev/null
equal "125 for an unknown option" 125 $?
run -E noequals ./show >/dev/null
equal "125 for a wrong -E" 125 $?
contains "--help" "usage: wirt-riscv64" "$(run --help)"
contains "--version" "wirt-riscv64" "$(run --version)"
contains "--stats" "guest instructions" "$(run --stats ./show)"
contains "-strace shows calls" 'openat(AT_FDCWD, "/etc/wirt-test", O_RDONLY' "$(run -strace ./show)"
contains "-strace shows results" "ENOENT (No such file or directory)" "$(run -strace ./show)"
run --trace "$scratch/trace" ./show >/dev/null
check "--trace" grep -q . "$scratch/trace"

# What the emulator says goes where standard error was, whatever the program has made of it.
cat >mute.c <<'C'
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int fd = open("said", O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (argc > 1 && argv[1][0] == 'c')
        close(2);
    else
        dup2(fd, 2);
    if (argc > 2)
        execv(argv[2], argv + 2);
    return 0;
}
C
riscv64-linux-gnu-gcc -O1 -static mute.c -o mute || exit 1
contains "--stats of a program that closes standard error" "guest instructions" "$(run --stats ./mute close)"
contains "--stats of one that leads it elsewhere" "guest instructions" "$(run --stats ./mute lead)"
contains "-strace of what such a program executes" 'openat(AT_FDCWD, "/etc/wirt-test", O_RDONLY' "$(run -strace ./mute lead ./show)"
equal "its standard error has none of it" "" "$(cat said)"

# The sysroot: absolute paths and absolute links lead below it, what is not there is the host's.
mkdir -p root/etc root/links
echo "from the sysroot" >root/etc/real
ln -s /etc/real root/etc/wirt-test
contains "-L: an absolute link stays below the sysroot" "|from the sysroot" "$(run -L root ./show)"
contains "WIRT_RISCV64_L is its default" "|from the sysroot" "$(WIRT_RISCV64_L=root run ./show)"
ln -sfn ../../../../../../etc/real root/etc/wirt-test
contains "-L: .. does not lead out of it" "|from the sysroot" "$(run -L root ./show)"
rm root/etc/wirt-test
contains "-L: what is not below it is the host's" "|" "$(run -L root ./show)"

for wrong in as as= as=x as=2:1 as=1: stack=5; do
    contains "--limit $wrong is refused" "--limit $wrong: not of the form" "$("$riscv64" --limit "$wrong" ./show 2>&1)"
done
contains "--limit" "|" "$(run --limit as=1000000000:2000000000 --limit data=1000000000 ./show)"

# Others see the program, not the emulator.
printf '#include <unistd.h>\nint main(void) { return pause(); }\n' >wait.c
riscv64-linux-gnu-gcc -static wait.c -o waiting-program || exit 1
B=5 "$riscv64" ./waiting-program "one word" 2 &
pid=$!
if wait_for 10 grep -q waiting /proc/$pid/comm && wait_for 10 grep -q word /proc/$pid/cmdline; then
    equal "/proc/PID/cmdline" "./waiting-program|one word|2|" "$(tr '\0' '|' </proc/$pid/cmdline)"
    contains "/proc/PID/environ" "B=5" "$(tr '\0' '\n' </proc/$pid/environ)"
    equal "/proc/PID/comm" "waiting-program" "$(cat /proc/$pid/comm)"
else
    not_ok "/proc/PID" "comm is $(cat /proc/$pid/comm)"
fi
kill -KILL $pid
wait $pid 2>/dev/null

# The file itself: no interpreter, no library.
if [ -n "${WIRT_SANITIZED:-}" ]; then
    skip "wirt-riscv64 is static" "not with sanitizers"
else
    equal "wirt-riscv64 is static" "" "$(readelf -lW "$riscv64" | grep INTERP)$(readelf -dW "$riscv64" | grep NEEDED)"
fi
equal "no page of it is writable and executable" "" "$(readelf -lW "$riscv64" | grep -E 'RWE|STACK.* RWE')"
finish
