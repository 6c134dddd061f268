#!/bin/bash
# Translations that are kept for the next process: programs are the same with them, whatever they do, in whatever number,
# and whatever happens to the file meanwhile.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/cached.sh"
cd "$scratch" || exit 1
static hello || exit 1
need_rootfs() { [ -x "$rootfs/usr/bin/python3" ] || { skip "$1" "no root file system: make guest"; exit 0; }; }
need_rootfs "translations that are kept"

# --- The second time ---
PY='import json, subprocess, sys
print(json.dumps({str(i): i / 7 for i in range(50)}), subprocess.run(["/usr/bin/env", "echo", "x"], capture_output=True).stdout)
print([l.split("-")[0] for l in open("/proc/self/maps") if "libc.so" in l][0], file=sys.stderr)'
without "$rootfs/usr/bin/python3" -c "$PY" >wanted 2>/dev/null
for time in first second; do
    kept "$PWD/c" "$rootfs/usr/bin/python3" -c "$PY" >"$time" 2>"$time.stats"
    equal "python, the $time time" "$(cat wanted)" "$(cat "$time")"
done
within "what the first finds of its own" "$(reused first.stats)" 0 89
within "python, the second time: percent reused" "$(reused second.stats)" 91 100
if [ "$(cat /proc/sys/kernel/randomize_va_space)" = 0 ]; then
    skip "at another address" "this host does not randomize addresses"
else
    check "at another address" test "$(sed -n 1p first.stats)" != "$(sed -n 1p second.stats)"
fi
equal "one file" 1 "$(find c -type f | wc -l)"

# --- Programs that start others ---
SH='for i in 1 2 3; do echo $i | sed s/2/two/; done; (exit 3); echo $?; ls -d /usr /bin | sort -r | tr a-z A-Z; bash -c "echo \$((6*7))"'
cat >Makefile <<'M'
all: one.made two.made
	cat one.made two.made
%.made:
	for i in 1 2 3; do echo $@ $$i; done >$@
M
without "$rootfs/usr/bin/bash" -c "$SH" >wanted 2>&1
without "$rootfs/usr/bin/make" -B -s -j2 >>wanted 2>&1
for time in first second; do
    kept "$PWD/sh" "$rootfs/usr/bin/bash" -c "$SH" >"$time" 2>"$time.stats"
    kept "$PWD/sh" "$rootfs/usr/bin/make" -B -s -j2 >>"$time" 2>>"$time.stats"
    equal "a shell and make, the $time time" "$(cat wanted)" "$(cat "$time")"
done
check "each of their programs has statistics" test "$(grep -c '^blocks' second.stats)" -ge 10
within "a shell and make, the second time: percent reused" "$(reused second.stats)" 91 100

# --- Code that is made, threads that make it while others fork, children that do so in their parent's memory ---
cat >generate.c <<'C'
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
/* Adds k to its argument, n times over, at a place of its own: lui, addiw, add ..., ret */
static long run(uint32_t *page, int at, int k, int n, long x)
{
    uint32_t *code = page + at, *p = code;
    *p++ = 0x000005b7u | ((uint32_t)(k + 0x800) & 0xfffff000u);
    *p++ = 0x0005859bu | (uint32_t)k << 20;
    while (n--)
        *p++ = 0x00b50533u;
    *p++ = 0x00008067u;
    __builtin___clear_cache((char *)code, (char *)p);
    return ((long (*)(long))code)(x);
}
static int work(int seed, int rounds)
{
    uint32_t *page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int bad = page == MAP_FAILED;
    for (int i = 0; i < rounds && !bad; i++) {
        int k = (seed * 1009 + i * 31) % 5000, n = 1 + i % 7;
        bad = run(page, i % 5 * 1000 + i % 3, k, n, i) != i + (long)k * n;
    }
    munmap(page, 1 << 16);
    return bad;
}
static void *thread(void *seed) { return (void *)(intptr_t)work((int)(intptr_t)seed, 150); }
int main(int argc, char **argv)
{
    pthread_t t[2];
    int bad = 0, status;
    if (argc > 1)
        return work(atoi(argv[1]), 60);
    for (intptr_t i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, thread, (void *)i);
    for (int i = 0; i < 12; i++) {
        char seed[9], *args[] = {argv[0], seed, NULL};
        snprintf(seed, sizeof seed, "%d", i);
        pid_t child = i % 3 ? fork() : vfork();
        if (child == 0) {
            if (i % 3 == 1)
                _exit(work(i, 60));
            execve(argv[0], args, environ);
            _exit(9);
        }
        bad |= waitpid(child, &status, 0) != child || status;
    }
    for (int i = 0; i < 2; i++) {
        void *result;
        pthread_join(t[i], &result);
        bad |= result != NULL;
    }
    puts(bad ? "wrong" : "all the same");
    return bad;
}
C
riscv64-linux-gnu-gcc -O1 -static -pthread generate.c -o generate || exit 1
for time in first second third; do
    equal "threads, forks and made code, the $time time" "all the same" "$(kept "$PWD/g" ./generate 2>"$time.stats")"
done
# Between forks, each process translates what no other one may have saved yet.
within "the third time: percent reused" "$(reused third.stats)" 60 100
"$source_dir/scripts/programs.sh" >/dev/null || exit 1
riscv64-linux-gnu-gcc -std=gnu17 -O2 -static -pthread -o modify "$source_dir/tests/isa/modify_threads.c" || exit 1
for program in "$PWD/modify 300" "$build"/programs/riscv64/{code_patch,signals,threads,longjmp}; do
    # shellcheck disable=SC2086 # words
    without $program >wanted 2>&1
    echo $? >>wanted
    for time in first second; do
        # shellcheck disable=SC2086
        timeout 60 "$riscv64" --cache "$PWD/p" $program >got 2>&1 </dev/null
        echo $? >>got
        equal "$(basename "${program% *}"), the $time time" "$(cat wanted)" "$(cat got)"
    done
done

# --- Real programs in a file that is too small for them: it starts over all the time ---
cat >small.list <<'L'
python3 -S -c "print(sorted(str(i ** 3) for i in range(300)))"
perl -e "print join(' ', map { sprintf '%.3f', sqrt } 1 .. 300), lc('ÄX')"
bash -c "for ((i = 0; i < 300; i++)); do a[i]=$((i * i)); done; echo ${a[*]:290:9} ${BASH_VERSION%%.*}"
mawk "BEGIN { for (i = 0; i < 3000; i++) s += sin(i); printf \"%.9f\n\", s }"
sqlite3 :memory: "create table t(a, b); insert into t select value, hex(value) from generate_series(1, 300); select sum(a), max(b) from t"
sort -rn /proc/self/limits
L
for time in off first second; do
    while read -r program arguments; do
        eval "arguments=($arguments)" 2>/dev/null
        case $time in
        off) without "$rootfs/usr/bin/$program" "${arguments[@]}" ;;
        *) timeout 60 "$riscv64" --cache "$PWD/s" --cache-size 1m -L "$rootfs" "$rootfs/usr/bin/$program" "${arguments[@]}" </dev/null ;;
        esac
        echo "$program $?"
    done <small.list >"small.$time" 2>&1
done
equal "programs in a file that starts over, the first time" "$(cat small.off)" "$(cat small.first)"
equal "programs in a file that starts over, the second time" "$(cat small.off)" "$(cat small.second)"
equal "that file is as long as was said" 1048576 "$(stat -c %s "$(file_in s)")"

# --- Several at once, from nothing; and killed at any time ---
without "$rootfs/usr/bin/perl" -e 'print join(" ", map { $_ ** 2 } 1 .. 99)' >wanted
for i in 1 2 3; do
    kept "$PWD/m" "$rootfs/usr/bin/perl" -e 'print join(" ", map { $_ ** 2 } 1 .. 99)' >"got.$i" 2>/dev/null &
done
wait
for i in 1 2 3; do
    equal "at once, number $i" "$(cat wanted)" "$(cat "got.$i")"
done
wanted=$(without ./hello)
"$riscv64" --cache "$PWD/k" ./hello >/dev/null
for ((i = 0; i < 10; i++)); do
    ((i % 5)) || : >"$(file_in k)" # all begin anew
    for n in 1 2 3; do
        "$riscv64" --cache "$PWD/k" ./hello >/dev/null 2>&1 </dev/null &
        killed[n]=$!
    done
    sleep "0.0$((RANDOM % 10))"
    kill -KILL "${killed[@]}" 2>/dev/null
    wait "${killed[@]}" 2>/dev/null
    [ "$("$riscv64" --cache "$PWD/k" ./hello 2>&1)" = "$wanted" ] || break
done
equal "after processes were killed while they wrote" 10 "$i"

# --- The file becomes something else under a program that reads it ---
PY='import importlib, sys
for name in "json csv ast string textwrap heapq bisect calendar fractions decimal".split():
    m = importlib.import_module(name)
    print(name, len(dir(m)))
print(m.Decimal(2).sqrt())'
without "$rootfs/usr/bin/python3" -c "$PY" >wanted 2>&1
cp -a --sparse=always c d
cp --sparse=always "$(file_in c)" good
cat >spoil.py <<'P'
import os, random, sys, time
path, good = sys.argv[1], open(sys.argv[2], "rb").read(12 << 20)
while os.path.exists("spoiling"):
    with open(path, "r+b") as f:
        what = random.randrange(5)
        if what == 0:
            f.truncate(random.choice([0, 4096, 1 << 20, 5 << 20]))
        elif what == 1:
            f.write(good)
            f.truncate(128 << 20)
        else:
            for _ in range(100):
                f.seek(random.randrange(len(good)))
                f.write(os.urandom(random.choice([1, 8, 500])))
    time.sleep(0.02)
P
touch spoiling
python3 spoil.py "$(file_in d)" good >spoil.said 2>&1 &
spoiler=$!
for i in 1 2; do
    kept "$PWD/d" "$rootfs/usr/bin/python3" -c "$PY" >got 2>stats.$i
    echo "exit $?" >>got
    equal "python while its file is spoiled, $i" "$(cat wanted && echo exit 0)" "$(cat got)"
done
rm spoiling
wait "$spoiler"
equal "who spoiled it was not stopped" 0 $?
within "something was found in what was spoiled" "$(awk '/ reused / { n += $NF } END { print n }' stats.*)" 1 1000000
finish
