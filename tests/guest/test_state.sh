#!/bin/bash
# A state folder that is damaged, hostile or left behind by a killed monitor.
. "$(dirname "$0")/../lib.sh"
root=$guest/rootfs
state=$scratch/state
run() { wirt run --as process "$@"; }
survives() { # NAME: ps, inspect and rm must neither crash nor hang
    local verb status
    for verb in "ps -a" "ps -a --json" "inspect g" "logs g" "stop -t 0 g"; do
        # shellcheck disable=SC2086 # words
        timeout 20 "$wirt_binary" --root "$state" $verb >/dev/null 2>&1
        status=$?
        [ $status -lt 124 ] || [ $status = 125 ] || { not_ok "$1: $verb" "exit status $status"; return; }
    done
    timeout 20 "$wirt_binary" --root "$state" rm -f g >/dev/null 2>&1
    equal "$1: rm -f removes it" "" "$(wirt ps -aq)"
}
fresh() {
    rm -rf "$state"
    run --name g "$root" true
    dir=$(echo "$state"/guests/*)
}

for file in state.json config.json; do
    fresh; : >"$dir/$file"; survives "empty $file"
    fresh; head -c 300 /dev/urandom >"$dir/$file"; survives "noise in $file"
    fresh; echo '[1,2,3]' >"$dir/$file"; survives "an array in $file"
    fresh; rm "$dir/$file"; survives "no $file"
    fresh; rm "$dir/$file"; mkdir "$dir/$file"; survives "a folder for $file"
    fresh; rm "$dir/$file"; ln -s /etc/passwd "$dir/$file"; survives "a link for $file"
    fresh; head -c 3000000 /dev/zero | tr '\0' '[' >"$dir/$file"; survives "three megabytes of $file"
    fresh; sed -i 's/"[a-zA-Z]*":/&-99999999999999999999,"x":/g' "$dir/$file"; survives "wild numbers in $file"
done
fresh; jq '.status="running" | .workload.pid=1 | .workload.start=1' "$dir/state.json" >"$scratch/s" && cp "$scratch/s" "$dir/state.json"
survives "a state that means pid 1"
fresh; jq ".status=\"running\" | .workload.pid=$$ | .workload.start=1 | .monitor.pid=$$ | .monitor.start=1" "$dir/state.json" >"$scratch/s" && cp "$scratch/s" "$dir/state.json"
survives "a state that means this test with another start time"
ok "and this test still runs"
fresh; printf '{"log":1}\nnoise\n{"log":"line\\n","stream":"stdout","time":"x"}\n' >"$dir/log"
contains "a damaged log: what can be read" "line" "$(wirt logs g 2>/dev/null)"
fresh; rm -f "$state"/names/g; ln -s ../../../../etc "$state/names/g"
check "a name that leads elsewhere is free" run --rm --name g "$root" true
fresh; mkdir "$state/guests/zzz"; touch "$state/guests/deadbeefdeadbeef"
check "strange things in the folder" wirt ps -a

# A monitor that was killed: its guest dies with it, is told apart, and can be removed.
rm -rf "$state"
run -d --name orphan "$root" sh -c 'while :; do sleep 0.1; done' >/dev/null
monitor=$(wirt inspect orphan | jq '.[0].monitorPid')
workload=$(wirt inspect orphan | jq '.[0].pid')
kill -KILL "$monitor"
dead() { [ "$(inspected "$1" .status)" = dead ]; }
# Whoever adopted it may not have taken its last word yet.
gone() { [ "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1 | tr -d Z)" = "" ]; }
check "a guest without its monitor is dead" wait_for 10 dead orphan
check "and its process is gone" wait_for 10 gone "$workload"
contains "kill says so" "monitor is gone" "$(wirt kill orphan 2>&1)"
check "rm of a dead guest" wirt rm orphan
equal "nothing is left" "" "$(find "$state/guests" "$state/names" -mindepth 1)"

# A monitor that hangs is killed with its guest.
run -d --name hung "$root" sh -c 'while :; do sleep 0.1; done' >/dev/null
kill -STOP "$(wirt inspect hung | jq '.[0].monitorPid')"
check "stop of a guest whose monitor hangs" timeout 60 "$wirt_binary" --root "$state" stop -t 0 hung
check "and rm" wirt rm -f hung

# Two at once with one name: one gets it.
for i in 1 2 3 4; do
    (run -d --name same "$root" sleep 5 >/dev/null 2>&1 && echo "got it") &
done >"$scratch/race"
wait
equal "one of four gets the name" 1 "$(grep -c 'got it' "$scratch/race")"
wirt rm -f same >/dev/null

# A container whose state is damaged while it runs.
id=$(wirt run -d --name boxed "$guest/rootfs-native" sleep 1000)
workload=$(wirt inspect boxed | jq '.[0].pid')
kill -KILL "$(wirt inspect boxed | jq '.[0].monitorPid')"
echo noise >"$state/guests/$id/state.json"
check "rm -f of a damaged container" wirt rm -f "$id"
check "ends it" wait_for 10 gone "$workload"
equal "and leaves nothing" "" "$(find "$state/guests" "$state/oci" -mindepth 1 -not -path '*/@cache*')"

# The control socket takes anything.
id=$(run -d --name sock "$root" sh -c 'while :; do sleep 0.1; done')
python3 - "$state/guests/$id/control" <<'END'
import os, socket, sys
requests = [b"\n", b"{}\n", b"[]\n", b"noise\n", b'{"op":"frob"}\n', b'{"op":1}\n', b'{"op":"kill","signal":-5}\n',
            b'{"op":"stop","timeout":-1}\n', b'{"op":"update","memory":-1}\n', b'{"op":"machine"}\n',
            os.urandom(5000).replace(b"\n", b" ") + b"\n", b"x" * 200000,
            b'{"op":"attach","stdin":true}\n' + os.urandom(3000), b'{"op":"attach"}\nz\xff\xff\xff\xff']
for r in requests:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(3)
    s.connect(sys.argv[1])
    try:
        s.sendall(r)
        s.recv(4096)
    except OSError:
        pass
    s.close()
END
equal "the monitor survives wild requests" "running" "$(wirt inspect sock | jq -r '.[0].status')"
check "and answers" wirt stop -t 0 sock
finish
