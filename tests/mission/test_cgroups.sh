#!/bin/bash
# Control groups: processor time, memory and the number of processes are held to what the user said.
# timeout: 120
. "$(dirname "$0")/../lib.sh"
need_root "control groups" "make them"
root=$guest/rootfs-native

# A memory hog: ended by the kernel at its limit, and nobody else is.
wirt run --name hog --as container --memory 48m "$root" sh -c 'x=a; while :; do x=$x$x; done' >/dev/null 2>&1
equal "a memory hog is killed" 137 $?
wirt run --rm --as container --memory 48m "$root" sh -c 'head -c 8000000 /dev/zero | tail -c 8000000 | wc -c' >"$scratch/small" 2>&1
equal "what stays below the limit is not" 8000000 "$(cat "$scratch/small")"

# A busy loop: a fifth of a processor.
busy=$(wirt run -d --name busy --as container --cpus 0.2 "$root" sh -c 'while :; do :; done')
cpu_share "a busy loop gets a fifth of a processor" busy 20
check "the limit changes while it runs" wirt update --cpus 0.6 busy
cpu_share "then three fifths" busy 60
check "paused" wirt pause busy
used=$(stat_of busy .cpu_us)
sleep 1
within "a paused one uses none, microseconds" "$(($(stat_of busy .cpu_us) - used))" 0 2000
check "resumed" wirt resume busy

# Too many processes.
equal "no more processes than allowed" "refused" "$(wirt run --rm --as container --pids-limit 6 "$root" sh -c \
    'for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait' 2>&1 | grep -qiE "fork|resource" && echo refused)"
hog=$(inspected hog .id)
wirt rm -f busy hog >/dev/null 2>&1
left=$(find /sys/fs/cgroup -type d \( -name "$busy" -o -name "$hog" \) 2>/dev/null | head -n 3)
equal "no control group is left behind" "" "$left"
finish
