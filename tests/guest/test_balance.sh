#!/bin/bash
# Host memory runs short: the balloons of all machines are balanced, by themselves.
# timeout: 240
. "$(dirname "$0")/../lib.sh"
[ -r "$guest/vmlinux" ] || { skip "balance" "no guest files (make guest)"; exit 0; }
export WIRT_GUEST_DIR=$guest
ballooned() { wirt balloon --json "$1" | jq ".actual / 1048576 | floor"; }
at_least() { [ "$(ballooned "$1")" -ge "$2" ]; }
at_most() { [ "$(ballooned "$1")" -le "$2" ]; }
beat='i=0; while :; do i=$((i+1)); echo beat $i; sleep 1; done'
available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)

for m in large small; do
    memory=1g
    [ $m = small ] && memory=512m
    wirt run -d --as machine -m $memory --name $m --append "wirt.run=\"$beat\"" >/dev/null
done
for m in large small; do check "$m boots" wait_for 60 logged $m "beat 2"; done
equal "with memory enough nothing is taken" "0 0" "$(ballooned large) $(ballooned small)"

# The threshold goes up above the host's memory, instead of the memory down below the threshold:
# more is missing than two guests have, so that they give all but their reserve.
check "thresholds above what the host has" wirt balloon --auto on --low $((available + 3000))m --high $((available + 4000))m
check "the large one gives" wait_for 40 at_least large 400
check "the small one gives" wait_for 40 at_least small 150
sleep 5
within "in proportion to what is free, in percent" \
    "$(($(ballooned large) * 100 / ($(ballooned small) + 1)))" 150 300
within "a reserve stays with the large one" "$(ballooned large)" 400 900
within "a reserve stays with the small one" "$(ballooned small)" 150 448
contains "the decision is logged with its reading" "it gives" "$(cat "$scratch"/state/guests/*/balance.log)"
lives() { [ "$(wirt logs "$1" | wc -l)" -gt "$2" ]; } # GUEST LINES
for m in large small; do check "$m lives on" wait_for 20 lives $m "$(wirt logs $m | wc -l)"; done

check "memory is enough again" wirt balloon --auto on --low 1m --high 2m
check "the large one gets it back" wait_for 40 at_most large 8
check "the small one gets it back" wait_for 40 at_most small 8

check "switched off" wirt balloon --auto off --low $((available + 3000))m --high $((available + 4000))m
sleep 4
equal "then nothing is taken" "0 0" "$(ballooned large) $(ballooned small)"

# A machine that hangs holds up itself alone: no other's balloon, none of its monitor's own work.
launcher=$(inspected small .pid)
read -ra machine <"/proc/$launcher/task/$launcher/children"
kill -STOP "${machine[@]}"
check "one hangs" wirt balloon --auto on --low $((available + 3000))m --high $((available + 4000))m
check "the other one gives all the same" wait_for 30 at_least large 400
start=$(date +%s%N)
check "statistics of one that hangs" jq -e '.[0].pids >= 1 and .[0].machine == null' <(wirt stats --no-stream --json small)
check "its log" logged small beat
said=$(wirt pause small 2>&1)
equal "pause of one that hangs" 1 $?
contains "and why" "the machine does not answer" "$said"
within "both in time, in ms" $((($(date +%s%N) - start) / 1000000)) 3000 9000
kill -CONT "${machine[@]}"
check "it gives when it goes on" wait_for 30 at_least small 150
check "and lives" wait_for 20 lives small "$(wirt logs small | wc -l)"
kill -STOP "${machine[@]}"
start=$SECONDS
check "one that hangs is stopped" wirt stop -t 3 small
within "in time, in s" $((SECONDS - start)) 2 9

wirt balloon --auto maybe 2>"$scratch/said"
contains "on or off" "must be on or off" "$(cat "$scratch/said")"
wirt rm -f large small >/dev/null
equal "no guest is left" "" "$(wirt ps -aq)"
finish
