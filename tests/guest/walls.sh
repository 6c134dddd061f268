# The verbs over one wall, for test_container.sh and test_process.sh. Sets nothing but functions.
# shellcheck shell=bash
# The caller sets: wall, root (a root file system with sh), as=(options for run).

run() { wirt run "${as[@]}" "$@"; }
running() { wirt inspect "$1" | jq -e '.[0].status == "running"'; }
ended() { wirt inspect "$1" | jq -e '.[0].status == "exited"'; }
more_lines() { [ "$(wirt logs "$1" | wc -l)" -gt "$2" ]; } # GUEST COUNT
status_of() { wirt inspect "$1" | jq -r '.[0].exitStatus'; }
left_over() { find "$scratch/state/guests" "$scratch/state/names" "$scratch/state/oci" -mindepth 1 -not -path '*/@cache*' 2>/dev/null | head -n 3; }

test_exit_status() {
    local n status
    for n in 0 1 7 126 200 255; do
        run --rm "$root" sh -c "echo out $n; echo err $n >&2; exit $n" >"$scratch/out" 2>"$scratch/err"
        equal "$wall: exit status $n" $n $?
        equal "$wall: standard output and error apart" "out $n|err $n" "$(cat "$scratch/out")|$(cat "$scratch/err")"
    done
    run --rm "$root" sh -c 'kill -KILL $$; sleep 5'
    status=$?
    # The first process of a pid namespace cannot kill itself: it goes on and ends as usual.
    if [ "$wall" = container ]; then equal "$wall: KILL to oneself" 0 $status
    else equal "$wall: KILL to oneself" 137 $status; fi
    equal "$wall: nothing is left after --rm" "" "$(left_over)"
}

test_streams() {
    equal "$wall: standard input with -i" "hello" "$(echo hello | run --rm -i "$root" cat)"
    equal "$wall: no standard input without -i" "0" "$(echo hello | run --rm "$root" cat; echo $?)"
    equal "$wall: a megabyte through" "1048576" \
        "$(head -c 1048576 /dev/zero | run --rm -i "$root" cat | wc -c)"
    equal "$wall: a megabyte through the log" "1048576" \
        "$(run --name big "$root" head -c 1048576 /dev/zero | wc -c)"
    equal "$wall: the log has every byte" "1048576" "$(wirt logs big | wc -c)"
    wirt rm big >/dev/null
}

test_options() {
    equal "$wall: -e, -e that passes on, and the caller's other environment stays out" "a b|there|" \
        "$(PASSED=there SECRET=1 run --rm -e X='a b' -e PASSED "$root" sh -c 'echo "$X|$PASSED|$SECRET"')"
    equal "$wall: -w" "/tmp" "$(run --rm -w /tmp "$root" sh -c 'pwd -P' | sed 's,.*/tmp,/tmp,')"
    if [ "$wall" = process ] && ! is_root; then
        test_refused
        return
    fi
    # The other users of an ordinary user's container are made of its subordinate ids.
    if [ "$wall" = container ] && ! is_root && ! unshare --user --map-root-user --map-auto true 2>/dev/null; then
        skip "$wall: -u" "an ordinary user needs newuidmap and ids in /etc/subuid and /etc/subgid"
    # A process shares the host's paths: the user must be able to reach the root file system.
    elif [ "$wall" = process ] && ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$root"; then
        skip "$wall: -u" "user 65534 cannot reach $root"
    else
        equal "$wall: -u" "65534:65534" "$(run --rm -u 65534:65534 "$root" sh -c 'echo $(id -u):$(id -g)')"
    fi
    equal "$wall: --hostname" "guesthouse" "$(run --rm --hostname guesthouse "$root" uname -n)"
    mkdir -p "$scratch/volume"
    echo shared >"$scratch/volume/file"
    equal "$wall: -v" "shared" "$(run --rm -v "$scratch/volume:/mnt" "$root" cat /mnt/file)"
    run --rm -v "$scratch/volume:/mnt:ro" "$root" sh -c 'echo x >/mnt/new' 2>/dev/null
    equal "$wall: -v :ro" "no" "$([ -e "$scratch/volume/new" ] && echo yes || echo no)"
}

# Behind the process wall an ordinary user has no user but its own, and no namespaces.
test_refused() {
    local option said
    for option in "-u 65534:65534" "--hostname guesthouse" "-v /tmp:/mnt"; do
        # shellcheck disable=SC2086 # words
        said=$(run --rm $option "$root" true 2>&1)
        equal "$wall: ${option%% *} of an ordinary user: exit status" 125 $?
        contains "$wall: ${option%% *} of an ordinary user" "only root may use this" "$said"
    done
}

test_background() {
    local id
    id=$(run -d --name back "$root" sh -c 'echo started; echo oops >&2; while :; do sleep 0.1; done')
    check "$wall: -d prints an id" grep -qE '^[0-9a-f]{16}$' <<<"$id"
    wait_for 60 logged back started && ok "$wall: logs" || not_ok "$wall: logs" "$(wirt logs back)"
    equal "$wall: logs: standard error apart" "oops" "$(wirt logs back 2>&1 >/dev/null)"
    contains "$wall: ps" back "$(wirt ps)"
    # The root's path is longer than its column.
    equal "$wall: ps: names below their head" "back" "$(wirt ps | awk 'NR == 1 { at = index($0, "NAME") } NR == 2 { print substr($0, at) }')"
    equal "$wall: ps --filter" "${id:0:12}" "$(wirt ps -q --filter name=back --filter status=running)"
    equal "$wall: ps --filter of another" "" "$(wirt ps -q --filter name=other)"
    check "$wall: ps --json" jq -e '.[0].name == "back" and .[0].status == "running"' <(wirt ps --json)
    check "$wall: inspect" jq -e ".[0].config.wall == \"$wall\"" <(wirt inspect back)
    check "$wall: by the beginning of its id" wirt inspect "${id:0:6}"
    check "$wall: stats --json" jq -e '.[0].memory > 0 and .[0].pids >= 1' <(wirt stats --json back)
    contains "$wall: top" back "$(wirt top -n 1)"
    run --name back "$root" true 2>"$scratch/said"
    equal "$wall: a second guest of that name" 125 $?
    contains "$wall: and says so" 'the name "back" is taken' "$(cat "$scratch/said")"
    wirt rm back 2>/dev/null
    equal "$wall: rm of a running guest" 1 $?
    test_exec
    test_pause
    check "$wall: stop" wirt stop -t 2 back
    check "$wall: stopped" ended back
    contains "$wall: ps -a" "Exited" "$(wirt ps -a)"
    equal "$wall: ps without -a" "" "$(wirt ps -q)"
    wirt exec back true 2>/dev/null
    equal "$wall: exec in an ended guest" 125 $?
    wirt kill back 2>/dev/null
    equal "$wall: kill of an ended guest" 1 $?
    check "$wall: rm" wirt rm back
    equal "$wall: nothing is left after rm" "" "$(left_over)"
}

test_exec() {
    local said
    equal "$wall: exec" "inside" "$(wirt exec back echo inside)"
    wirt exec back sh -c 'exit 9'
    equal "$wall: exec's exit status" 9 $?
    wirt exec back no-such-command 2>/dev/null
    equal "$wall: exec of a missing command" 127 $?
    equal "$wall: exec -i" "typed" "$(echo typed | wirt exec -i back cat)"
    said=$(script -qec "$wirt_binary --root $scratch/state exec -it back sh -c 'test -t 0 && test -t 1 && echo terminal'" /dev/null </dev/null)
    contains "$wall: exec -t gives a terminal" terminal "$said"
    equal "$wall: exec -w" "/tmp" "$(wirt exec -w /tmp back sh -c 'pwd -P' | sed 's,.*/tmp,/tmp,')"
    equal "$wall: exec -e" "v" "$(wirt exec -e K=v back sh -c 'echo $K')"
}

test_pause() {
    local before after
    run -d --name ticks "$root" sh -c 'while :; do echo tick; sleep 0.05; done' >/dev/null
    wait_for 60 logged ticks tick
    check "$wall: pause" wirt pause ticks
    wirt pause ticks 2>/dev/null
    equal "$wall: pause twice" 1 $?
    sleep 0.2
    before=$(wirt logs ticks | wc -l)
    sleep 0.5
    after=$(wirt logs ticks | wc -l)
    equal "$wall: a paused guest stands still" "$before" "$after"
    contains "$wall: ps says so" Paused "$(wirt ps)"
    check "$wall: resume" wirt resume ticks
    check "$wall: a resumed guest goes on" wait_for 20 more_lines ticks "$before"
    wirt pause ticks >/dev/null
    check "$wall: rm -f of a paused guest" wirt rm -f ticks
    # What is frozen dies of nothing; nobody is there any more to thaw it.
    local limit=()
    ! is_root || [ "$wall" = machine ] || limit=(--pids-limit 100)
    run -d "${limit[@]}" --name ice "$root" sh -c 'while :; do sleep 0.1; done' >/dev/null
    wirt pause ice >/dev/null
    kill -KILL "$(inspected ice .monitorPid)"
    local start=$SECONDS
    check "$wall: rm -f of a paused guest whose monitor was killed" timeout 40 "$wirt_binary" --root "$scratch/state" rm -f ice
    within "$wall: in time" $((SECONDS - start)) 0 8
}

# What the caller has open reaches neither the guest nor its monitor: or who waits for its end would
# wait for ever.
test_descriptors() {
    equal "$wall: the caller's descriptors stay out" "" \
        "$(run --rm "$root" sh -c 'echo x >&7' 7>"$scratch/seven" 2>/dev/null; cat "$scratch/seven")"
    exec 8> >(cat >"$scratch/eight"; echo end >>"$scratch/eight")
    run -d --name open "$root" sh -c 'while :; do sleep 0.1; done' >/dev/null
    exec 8>&-
    check "$wall: a guest in the background holds nothing open" wait_for 20 grep -q end "$scratch/eight"
    wirt rm -f open >/dev/null
}

test_stubborn() {
    local start=$SECONDS
    run -d --name mule "$root" sh -c 'trap "" TERM INT HUP; echo deaf; while :; do :; done' >/dev/null
    wait_for 60 logged mule deaf
    wirt kill -s TERM mule >/dev/null
    sleep 0.3
    check "$wall: a guest that ignores TERM lives on" running mule
    check "$wall: and is stopped" wirt stop -t 1 mule
    equal "$wall: by KILL" 137 "$(status_of mule)"
    within "$wall: in time" $((SECONDS - start)) 1 15
    wirt rm mule >/dev/null
    run -d --name handler "$root" sh -c 'trap "exit 33" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
    wait_for 60 logged handler ready
    wirt stop handler >/dev/null
    equal "$wall: a TERM handler's exit status" 33 "$(status_of handler)"
    wirt rm handler >/dev/null
}

test_signals() {
    # Not through the function: $! has to be wirt itself.
    "$wirt_binary" --root "$scratch/state" run "${as[@]}" --name fore "$root" sh -c 'trap "echo got; exit 44" USR1; echo ready; while :; do sleep 0.1; done' \
        >"$scratch/fore" &
    local pid=$!
    wait_for 60 grep -q ready "$scratch/fore"
    kill -USR1 $pid
    wait $pid
    equal "$wall: signals are passed on" 44 $?
    wirt rm fore >/dev/null
}

test_attach() {
    run -d -i --name pipe "$root" cat >/dev/null
    equal "$wall: attach with input" "through" "$(echo through | timeout 60 "$wirt_binary" --root "$scratch/state" attach pipe)"
    check "$wall: and its end ended the guest" wait_for 20 ended pipe
    wirt rm pipe >/dev/null
}

# A terminal, by script(1): the guest sees one, keys arrive, ctrl-p ctrl-q leaves it running.
test_terminal() {
    local said
    export -f wirt
    said=$(script -qec "$wirt_binary --root $scratch/state run ${as[*]} --rm -it $root sh -c 'test -t 0 && test -t 1 && echo terminal'" /dev/null </dev/null)
    contains "$wall: -t gives a terminal" terminal "$said"
    expect -f - >"$scratch/expect" 2>&1 <<END
set timeout 20
spawn $wirt_binary --root $scratch/state run ${as[*]} -it --name tty $root sh
exec stty rows 33 columns 101 <\$spawn_out(slave,name)
send "sleep 0.3; stty size; echo size-\\\$?\r"
expect "33 101"
expect "size-0"
send "echo one\\\$((1+1))two\r"
expect "one2two"
send "\x10\x11"
expect eof
lassign [wait] a b c status
puts "detached \$status"
spawn $wirt_binary --root $scratch/state attach tty
send "echo three\\\$((2+2))four\r"
expect "three4four"
send "exit 5\r"
expect eof
lassign [wait] a b c status
puts "left \$status"
END
    contains "$wall: the terminal's size" "33 101" "$(cat "$scratch/expect")"
    contains "$wall: keys and answers" one2two "$(cat "$scratch/expect")"
    contains "$wall: ctrl-p ctrl-q detaches" "detached 0" "$(cat "$scratch/expect")"
    contains "$wall: attached again" three4four "$(cat "$scratch/expect")"
    contains "$wall: exit status through the terminal" "left 5" "$(cat "$scratch/expect")"
    wirt rm tty >/dev/null
}

test_wall() {
    test_exit_status
    test_streams
    test_options
    test_background
    test_descriptors
    test_stubborn
    test_signals
    test_attach
    test_terminal
    equal "$wall: no guest is left" "" "$(wirt ps -aq)"
}
