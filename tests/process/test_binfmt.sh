#!/bin/bash
# Registered with the host's kernel (binfmt_misc), in a user namespace that has a registration of its own:
# programs have the rights that their files give them, and the argv[0] that their caller gave; no option
# gets in by a program's path or environment. And what works without: another root that has no /proc.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/registered.sh"
need_ids "binfmt_misc"
rootfs=$guest/rootfs
cat >"$scratch/show.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "root") && (chroot(argv[2]) || chdir("/"))) {
        perror(argv[2]);
        return 1;
    }
    if (argc > 2 && strcmp(argv[1], "as")) {
        execl(argv[argc - 1], "given name", "word", NULL);
        perror("exec");
        return 1;
    }
    printf("%d %d %lu|%s|%d|%s\n", getuid(), geteuid(), getauxval(AT_SECURE), argv[0], argc,
           (char *)getauxval(AT_EXECFN));
    return 0;
}
C
cat >"$scratch/run.c" <<'C'
#include <unistd.h>
int main(int argc, char **argv) { return execv(argv[1], argv + 2); }
C
cd "$scratch" || exit 1
riscv64-linux-gnu-gcc -O1 -static show.c -o show && gcc -O1 run.c -o as-path || exit 1
chmod 755 . && mkdir root other && chmod 755 root
cp show root/show
cp show suid && chmod 4755 suid
cp show closed && chmod 711 closed
cp suid ./--trace && chmod 4755 ./--trace
cp "$riscv64" "$wirt_binary" .
chmod 755 show wirt wirt-riscv64 as-path

equal "execve in a root without /proc" "0 0 0|given name|2|/show" "$(./wirt-riscv64 ./show root "$scratch/root" /show)"
equal "and again from there" "0 0 0|given name|2|/show" "$(./wirt-riscv64 ./show exec "$scratch/show" 2>&1 | sed 's:/tmp.*/show:/show:')"
equal "a set-user-ID program has no more rights" "65534 65534 0|./suid|1|./suid" \
    "$(setpriv --reuid=65534 --regid=65534 --clear-groups ./wirt-riscv64 ./suid)"

mkdir pam && printf '%s\n' "auth sufficient pam_permit.so" "account required pam_permit.so" "session required pam_permit.so" >pam/su
cat >inside <<'S'
user() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
say() { printf '%s: ' "$1"; shift; "$@" 2>&1 | tail -n 1; }
say flags grep flags /proc/sys/fs/binfmt_misc/wirt-riscv64
say plain ./show
say argv0 ./as-path ./show "given name" word
say suid user ./suid
say executed user ./show exec ./suid
say environment user env WIRT_RISCV64_L=/nonexistent ./suid
say closed user ./closed
say path user ./as-path --trace --trace as "$1/trace"
say chroot chroot root /show
say executed-there chroot root /show exec /show
if [ -n "$2" ]; then
    mount --bind pam "$2/etc/pam.d"
    chmod 755 "$1"
    say su chroot "$2" /bin/su -s /bin/sh nobody -c 'id -un'
    say su-root chroot --userspec=1000:1000 "$2" /bin/su -s /bin/sh root -c 'id -un'
    say container ./wirt --root "$1/st" run --rm --as container --user 1000 -v "$1/pam:/etc/pam.d" "$2" /bin/sh -c "exec su -s /bin/sh root -c 'id -un'"
fi
S

if ! registered inside "$scratch" "$([ -x "$rootfs/bin/su" ] && echo "$rootfs")" >said; then
    skip "registered" "no binfmt_misc in a user namespace here (Linux 6.7): $(tail -n 1 said)"
    finish
fi
said() { sed -n "s/^$1: //p" said; }
equal "registered with the flags that rights and names need" "flags: POCF" "$(said flags)"
equal "a program" "0 0 0|./show|1|./show" "$(said plain)"
equal "argv[0] is the caller's" "0 0 0|given name|2|./show" "$(said argv0)"
equal "a set-user-ID program" "1000 0 1|./suid|1|./suid" "$(said suid)"
equal "one that a riscv64 program executes" "1000 0 1|given name|2|./suid" "$(said executed)"
equal "the environment of whoever starts it is not asked for libraries" "1000 0 1|./suid|1|./suid" "$(said environment)"
equal "a program that may not be read" "1000 1000 0|./closed|1|./closed" "$(said closed)"
equal "a path that looks like an option is none" "1000 0 1|--trace|3|--trace" "$(said path)"
check "nor does it write a file" test ! -e trace
equal "another root without the translator in it" "0 0 0|/show|1|/show" "$(said chroot)"
equal "and without /proc" "0 0 0|given name|2|/show" "$(said executed-there)"
if [ -x "$rootfs/bin/su" ]; then
    equal "su as root" nobody "$(said su)"
    equal "su as an ordinary user" root "$(said su-root)"
    equal "su in a container, by its shell" root "$(said container)"
else
    skip "su" "needs the guests (make guest)"
fi
finish
