#!/bin/bash
# Control groups: processor time, memory and the number of processes are held to what the user said.
# timeout: 120
. "$(dirname "$0")/../lib.sh"
need_root "control groups"
root=$guest/rootfs-native

# A memory hog: ended by the kernel at its limit, and nobody else is.
wirt run --name hog --as container --memory 48m "$root" sh -c 'x=a; while :; do x=$x$x; done' >/dev/null 2>&1
equal "a memory hog is killed" 137 $?
wirt run --rm --as container --memory 48m "$root" sh -c 'head -c 8000000 /dev/zero | tail -c 8000000 | wc -c' >"$scratch/small" 2>&1
equal "what stays below the limit is not" 8000000 "$(cat "$scratch/small")"

# A busy loop: a fifth of a processor.
wirt run -d --name busy --as container --cpus 0.2 "$root" sh -c 'while :; do :; done' >/dev/null
sleep 1
used=$(stat_of busy .cpu_us)
start=$(date +%s%N)
sleep 4
used=$((($(stat_of busy .cpu_us) - used)))
wall=$((($(date +%s%N) - start) / 1000))
within "a busy loop gets a fifth of a processor, percent" "$((used * 100 / wall))" 10 26
check "the limit changes while it runs" wirt update --cpus 0.6 busy
sleep 1
used=$(stat_of busy .cpu_us)
start=$(date +%s%N)
sleep 4
used=$((($(stat_of busy .cpu_us) - used)))
wall=$((($(date +%s%N) - start) / 1000))
within "then three fifths, percent" "$((used * 100 / wall))" 27 68
check "paused" wirt pause busy
used=$(stat_of busy .cpu_us)
sleep 1
within "a paused one uses none, microseconds" "$(($(stat_of busy .cpu_us) - used))" 0 2000
check "resumed" wirt resume busy

# Too many processes.
equal "no more processes than allowed" "refused" "$(wirt run --rm --as container --pids-limit 6 "$root" sh -c \
    'for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait' 2>&1 | grep -qiE "fork|resource" && echo refused)"
wirt rm -f busy hog >/dev/null 2>&1
left=$(find /sys/fs/cgroup -maxdepth 4 -type d -path '*wirt*' -newer "$scratch" 2>/dev/null | head -n 3)
equal "no control group is left behind" "" "$left"
finish
