#!/bin/bash
# make run: one program behind each of the three walls, then a riscv64 machine to sit at.
# With standard input not a terminal, the machine says what it is and powers off instead.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath --relative-to=. "${WIRT_BUILD:-build}")
wirt=$build/wirt
guest=$build/guest

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
show() { # TITLE COMMAND...: says what is run, and runs it
    local word line=
    for word in "${@:2}"; do
        case $word in *[!A-Za-z0-9_./=,:-]*) word="'$word'" ;; esac # ours hold no single quote
        line="$line $word"
    done
    printf '\n%s%s%s\n$%s\n' "$bold" "$1" "$plain" "$line"
    "${@:2}"
}

# What each wall runs: sh, telling what it sees of the computer.
# shellcheck disable=SC2016 # for the guest's shell
tell='echo "I am process $$ on $(uname -sm), kernel $(uname -r), host name $(hostname)"'

show "1. A container of native programs: the host's kernel, cut up" \
    "$wirt" run --rm --as container "$guest/rootfs-native" sh -c "$tell"
show "2. A riscv64 program as a process: translated to x86-64 as it runs, on the host's kernel" \
    "$wirt" run --rm --as process "$guest/rootfs/usr/bin/busybox" sh -c "$tell"
show "3. The same program in a container: its own names on the host's kernel, translated" \
    "$wirt" run --rm --as container "$guest/rootfs" busybox sh -c "$tell"
show "4. The same program in a machine: on Debian's unmodified riscv64 kernel, translated too" \
    "$wirt" run --rm --as machine "$guest/rootfs/usr/bin/busybox" sh -c "$tell"

if [ -t 0 ]; then
    printf '\n%sA root shell in such a machine. Leave it with: exit%s\n' "$bold" "$plain"
    exec "$wirt" run --rm -it --as machine --memory 1g --kernel "$guest/vmlinux" \
        --initrd "$guest/initramfs.cpio.gz" --append "console=ttyS0 quiet"
fi
show "And what that machine is:" \
    "$wirt" run --rm --as machine --memory 1g --kernel "$guest/vmlinux" \
    --initrd "$guest/initramfs.cpio.gz" --append 'console=ttyS0 quiet wirt.run="uname -a; cat /proc/cpuinfo"'
