#!/bin/bash
# Limits on a process of the process wall, from the start and while it runs.
. "$(dirname "$0")/../lib.sh"
need_root "limits" "make control groups"
root=$guest/rootfs
run() { wirt run --as process "$@"; }

busy=$(run -d --name busy --cpus 0.3 "$root" sh -c 'while :; do :; done')
check "a limited guest has a control group" test -n "$(find /sys/fs/cgroup -type d -name "$busy" 2>/dev/null)"
cpu_share "--cpus 0.3" busy 30
check "update --cpus" wirt update --cpus 0.1 busy
cpu_share "--cpus 0.1 from then on" busy 10
check "pause" wirt pause busy
used=$(stat_of busy .cpu_us)
sleep 2 # of which it might use some
within "a paused guest uses nothing, microseconds" "$(($(stat_of busy .cpu_us) - used))" 0 2000
check "stop of a paused guest" wirt stop -t 1 busy
wirt rm busy >/dev/null

run --rm --memory 48m "$root" sh -c 'x=a; while :; do x=$x$x; done' >/dev/null 2>&1
equal "--memory 48m: a hog is killed" 137 $?
run --rm --memory 256m "$root" sh -c 'exit 3'
equal "--memory 256m: a modest one is not" 3 $?
said=$(run --rm --pids-limit 8 "$root" sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 2 & done; wait' 2>&1)
contains "--pids-limit 8: the ninth is refused" "ork" "$said"
equal "a limit takes no device away" "it opens" \
    "$(run --rm --memory 256m "$root" sh -c 'cd /tmp && mknod kmsg c 1 11 && : >kmsg && echo it opens; rm -f kmsg' 2>&1)"

late=$(run -d --name late "$root" sh -c 'sleep 1000 & while :; do :; done')
check "update of a guest that had no limit" wirt update --cpus 0.2 --memory 512m late
cpu_share "update: --cpus 0.2" late 20
equal "update: memory" $((512 << 20)) "$(wirt stats --json late | jq '.[0].memory_max')"
wirt rm -f late >/dev/null
equal "no control group is left" "" "$(find /sys/fs/cgroup -type d \( -name "$busy" -o -name "$late" \) 2>/dev/null)"
finish
