#!/bin/bash
# Who reads a guest's output, and stops: streams behind the container and the process wall. (A machine's
# are held by test_machine.sh.)
# timeout: 240
. "$(dirname "$0")/../lib.sh"
command -v jq >/dev/null || { skip streams "no jq"; exit 0; }

# SIGPIPE ends a program unless it is pid 1.
talk=(sh -c 'yes "$0"; exit 3' "a guest that talks without end, and waits for who listens to it: xxxxxxxxxxxxxxxxxxxxxxxxxxxxx")

# as_peers NAME ROOT OPTION...
as_peers() {
    local wall=$1 root=$2 start status fast slow last
    shift 2
    run() { "$wirt_binary" --root "$scratch/state" run "$@"; }

    # As in a pipeline of the shell's: the guest finds no reader, and ends.
    for rm in --rm ""; do
        start=$SECONDS
        timeout -k 1 60 "$wirt_binary" --root "$scratch/state" run "$@" $rm --name head "$root" "${talk[@]}" 2>/dev/null | head -n 2 >"$scratch/two"
        status=${PIPESTATUS[0]}
        equal "$wall${rm:+, $rm}: the head of an endless guest" "2" "$(wc -l <"$scratch/two")"
        equal "$wall${rm:+, $rm}: it ends of it, exit status" 3 "$status"
        within "$wall${rm:+, $rm}: at once, in s" $((SECONDS - start)) 0 20
        wirt rm -f head >/dev/null 2>&1
    done
    # Only one of the two: the other one is still read.
    equal "$wall: standard error of one whose output has no reader" "still here" \
        "$({ timeout 60 "$wirt_binary" --root "$scratch/state" run "$@" --name one "$root" \
            sh -c 'trap "" PIPE; echo a; sleep 1; echo b; echo c; echo still here >&2' 2>&3 | true; } 3>&1 | grep still)"
    wirt rm -f one >/dev/null

    # What cannot be written, or read, is no success.
    "$wirt_binary" --root "$scratch/state" run "$@" --name full "$root" echo lost >/dev/full 2>"$scratch/said"
    equal "$wall: output that cannot be written, exit status" 125 $?
    contains "$wall: and why" "standard output: No space left on device" "$(cat "$scratch/said")"
    wirt rm -f full >/dev/null
    "$wirt_binary" --root "$scratch/state" run "$@" -i --name folder "$root" cat <"$scratch" 2>"$scratch/said"
    check "$wall: input that cannot be read" [ $? -ne 0 ] # a process has the folder itself, and says so itself
    contains "$wall: and why" "Is a directory" "$(cat "$scratch/said")"
    wirt rm -f folder >/dev/null

    # One that is attached and stops holds nobody up for long.
    run -d "$@" --name talks "$root" "${talk[@]}" >/dev/null
    timeout 30 "$wirt_binary" --root "$scratch/state" attach --no-stdin talks | head -n 1 >/dev/null
    equal "$wall: attach without a reader ends" 141 "${PIPESTATUS[0]}"
    equal "$wall: and the guest goes on" running "$(inspected talks .status)"
    rm -f "$scratch/fast" "$scratch/slow" "$scratch/missed" # the other wall's: what is waited for is this one's
    "$wirt_binary" --root "$scratch/state" attach talks >"$scratch/fast" 2>/dev/null &
    fast=$!
    "$wirt_binary" --root "$scratch/state" attach talks >"$scratch/slow" 2>"$scratch/missed" &
    slow=$!
    wait_for 20 test -s "$scratch/fast"
    wait_for 20 test -s "$scratch/slow"
    kill -STOP $slow
    last=$(stat -c %s "$scratch/fast")
    grows() { [ "$(stat -c %s "$scratch/fast")" -gt $((last + 4000000)) ]; } # more than is kept for who stopped
    wait_for 40 grows && goes_on=yes || goes_on=no
    kill -CONT $slow
    equal "$wall: a guest goes on though one who is attached has stopped" yes "$goes_on"
    check "$wall: who stopped is told what it missed" wait_for 20 grep -q "bytes of output were left out" "$scratch/missed"
    last=$(stat -c %s "$scratch/slow")
    grows() { [ "$(stat -c %s "$scratch/slow")" -gt $((last + 100000)) ]; }
    check "$wall: and goes on reading" wait_for 20 grows
    kill -STOP $slow
    check "$wall: rm -f, with one that is attached and has stopped" timeout 30 "$wirt_binary" --root "$scratch/state" rm -f talks
    kill -CONT $slow
    wait $fast $slow

    # Both streams in one place: in their order.
    run -d "$@" --name order "$root" sh -c 'for i in 1 2 3; do echo out$i; sleep 0.3; echo err$i >&2; sleep 0.3; done' >/dev/null
    ended() { [ "$(inspected order .status)" = exited ]; }
    wait_for 30 ended
    equal "$wall: logs keeps the order of lines" "out1 err1 out2 err2 out3 err3" "$(wirt logs order 2>&1 | xargs)"
    wirt rm order >/dev/null
}

as_peers container "$guest/rootfs-native"
as_peers process "$guest/rootfs" --as process
said=$(wirt run --rm --trace "$scratch/trace" "$guest/rootfs-native" true 2>&1)
equal "--trace of a container: exit status" 125 $?
contains "and why" "not translated" "$said"
equal "no guest is left" "" "$(wirt ps -aq)"
finish
