#!/bin/bash
# A program that dies of a signal that dumps core leaves a riscv64 core beside the host's.
. "$(dirname "$0")/../lib.sh"
pattern=$(cat /proc/sys/kernel/core_pattern)
case $pattern in
[\|@/]*) skip "core files" "core_pattern is '$pattern': no file in the working folder"; finish ;;
esac
cat >"$scratch/die.c" <<'C'
#include <stdlib.h>
char marker[8192] = "find me";
int main(int argc, char **argv)
{
    if (argc > 1)
        abort();
    marker[5000] = 77;
    __asm__ volatile("li s5, 0x1234567\nfcvt.d.w fs3, s5" ::: "s5", "fs3");
    *(volatile int *)8 = 1;
    return 0;
}
C
cat >"$scratch/threads.c" <<'C'
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
static atomic_int ready;
static pthread_barrier_t together;
static void *busy(void *arg)
{
    __asm__ volatile("li s5, 0x7654321\nfcvt.d.w fs3, s5\namoadd.w x0, %1, (%0)\n1: j 1b" ::"r"(&ready), "r"(1) : "s5", "fs3");
    return arg;
}
static void *waits(void *arg)
{
    __asm__ volatile("li s5, 0x2345678\nfcvt.d.w fs3, s5\namoadd.w x0, %1, (%0)\n"
                     "li a0, 0\nli a1, 0\nli a2, 0\nli a3, 0\nli a7, 73\necall" /* ppoll, for ever */
                     ::"r"(&ready), "r"(1) : "s5", "fs3", "a0", "a1", "a2", "a3", "a7");
    return arg;
}
static void *dies(void *arg)
{
    pthread_barrier_wait(&together);
    *(volatile int *)8 = 1;
    return arg;
}
int main(int argc, char **argv)
{
    pthread_t t;
    if (argc > 1) { /* many at once */
        pthread_barrier_init(&together, NULL, 8);
        for (int i = 0; i < 7; i++)
            pthread_create(&t, NULL, dies, NULL);
        dies(NULL);
    }
    pthread_create(&t, NULL, busy, NULL);
    pthread_create(&t, NULL, waits, NULL);
    while (ready < 2)
        usleep(1000);
    __asm__ volatile("li s5, 0x1234567\nfcvt.d.w fs3, s5" ::: "s5", "fs3");
    *(volatile int *)8 = 1;
    return 0;
}
C
cat >"$scratch/read.py" <<'P'
import struct, sys
data = open(sys.argv[1], "rb").read()
marker = int(sys.argv[2], 16)
kind, machine = struct.unpack_from("<HH", data, 16)
phoff, = struct.unpack_from("<Q", data, 32)
count, = struct.unpack_from("<H", data, 56)
print("core", kind == 4 and machine == 243)
for i in range(count):
    t, flags, off, va, pa, filesz, memsz, align = struct.unpack_from("<IIQQQQQQ", data, phoff + 56 * i)
    if t == 1 and va <= marker < va + filesz:
        at = off + marker - va
        print("memory", data[at:at + 7].decode(), data[at + 5000])
    while t == 4 and filesz:
        namesz, size, number = struct.unpack_from("<III", data, off)
        body = off + 12 + (namesz + 3) // 4 * 4
        if number == 1:
            regs = struct.unpack_from("<32Q", data, body + 112)
            print("status", struct.unpack_from("<i", data, body)[0], hex(regs[21]), size)
        elif number == 2:
            print("double", struct.unpack_from("<d", data, body + 8 * 19)[0])
            print("thread", hex(regs[21]), struct.unpack_from("<d", data, body + 8 * 19)[0])
        elif number == 3:
            print("program", data[body + 40:body + 56].rstrip(b"\0").decode(), data[body + 56:body + 136].rstrip(b"\0").decode())
        step = body + (size + 3) // 4 * 4 - off
        off, filesz = off + step, filesz - step
P
cd "$scratch" || exit 1
riscv64-linux-gnu-gcc -O1 -static die.c -o die || exit 1
marker=$(riscv64-linux-gnu-nm die | awk '$3 == "marker" {print $1}')
dump() { # LIMIT ARGUMENTS...
    rm -f -- *core*
    (ulimit -S -c "$1" && shift && exec "$riscv64" ./die "$@") >/dev/null 2>&1
}
(ulimit -c unlimited) 2>/dev/null || { skip "core files" "RLIMIT_CORE may not be raised"; finish; }
dump unlimited
equal "the signal ends it" 139 $?
core=$(find . -name '*core*.riscv64')
said=$(python3 read.py "$core" "$marker" 2>&1)
for what in "core True" "memory find me 77" "status 11 0x1234567 376" "double 19088743.0" "program die ./die"; do
    contains "$what" "$what" "$said"
done
dump unlimited abort
contains "abort" "status 6" "$(python3 read.py "$(find . -name '*core*.riscv64')" "$marker")"
# Each thread's registers, wherever it was; the one that died first.
riscv64-linux-gnu-gcc -O1 -static -pthread threads.c -o threads || exit 1
mv die one && mv threads die
dump unlimited
equal "a program with threads" 139 $?
said=$(python3 read.py "$(find . -name '*core*.riscv64')" 0 2>&1)
equal "the one that died is the first" "thread 0x1234567 19088743.0" "$(grep thread <<<"$said" | head -n 1)"
equal "the others are there as they were" "thread 0x2345678 36984440.0,thread 0x7654321 124076833.0" \
    "$(grep thread <<<"$said" | sed 1d | sort | paste -sd ,)"
for try in 1 2 3; do
    dump unlimited all
    equal "threads that die at once: one core of all ($try)" "139 8" "$? $(python3 read.py "$(find . -name '*core*.riscv64')" 0 | grep -c status)"
done
mv one die
dump 16
within "no more than the limit" "$(stat -c %s "$(find . -name '*core*.riscv64')")" 1 16384
dump 0
equal "none without" "" "$(find . -name '*core*')"
ln -s "$scratch/elsewhere" "$core"
echo untouched >elsewhere
(ulimit -c unlimited && exec "$riscv64" ./die) >/dev/null 2>&1
equal "a link in its place is not followed" untouched "$(cat elsewhere)"
finish
