#!/bin/bash
# An ordinary user behind each wall.
. "$(dirname "$0")/../lib.sh"
within_reach
"$source_dir/scripts/programs.sh" || exit 1
if [ "$(id -u)" -eq 0 ]; then
    user=(setpriv --reuid=31337 --regid=31337 --clear-groups env HOME=/)
    # What the test needs must be within that user's reach.
    "${user[@]}" test -x "$wirt_binary" || { skip "ordinary user" "cannot reach $wirt_binary"; exit 0; }
    uid=31337
else
    user=(env)
    uid=$(id -u)
fi
mkdir -m 700 "$scratch/own"
chmod 755 "$scratch"
[ "$(id -u)" -ne 0 ] || chown 31337:31337 "$scratch/own"
wirt() { timeout 60 "${user[@]}" "$wirt_binary" --root "$scratch/own/state" "$@"; }
cd / || exit 1

equal "process" "$uid" "$(wirt run --rm --as process "$guest/rootfs" id -u)"
if "${user[@]}" unshare --user true 2>/dev/null; then
    equal "container: root in a user namespace" "0 1" "$(wirt run --rm "$guest/rootfs-native" sh -c 'echo $(id -u) $$')"
    if is_static "$riscv64"; then
        equal "container of riscv64 programs" "riscv64" "$(wirt run --rm "$guest/rootfs" uname -m)"
    else
        skip "container of riscv64 programs" "wirt-riscv64 is linked dynamically here"
    fi
    wirt run -d --name b "$guest/rootfs-native" sh -c 'while :; do echo tick; sleep 0.1; done' >/dev/null
    check "it runs" wait_for 20 logged b tick
    contains "ps" b "$(wirt ps)"
    equal "exec" "in it" "$(wirt exec b echo in it)"
    check "stats" jq -e '.[0].pids >= 1 and .[0].memory > 0' <(wirt stats --json b)
    wirt pause b >/dev/null
    sleep 0.3 # what it had said is on its way to the log
    before=$(wirt logs b | wc -l)
    sleep 0.4
    equal "pause" "$before" "$(wirt logs b | wc -l)"
    wirt resume b >/dev/null
    more_lines() { [ "$(wirt logs b | wc -l)" -gt "$before" ]; }
    check "resume" wait_for 20 more_lines
    check "stop" wirt stop -t 1 b
    check "rm" wirt rm b
else
    skip "container" "this host gives ordinary users no user namespace"
fi
if ! wirt run --rm --user 65000 "$guest/rootfs-native" true 2>"$scratch/said"; then # where it may not give ids out
    contains "a user that this one's container does not have" "Debian's package uidmap" "$(cat "$scratch/said")"
fi

# Root of a user namespace in which there is nobody else, as in another runtime's container.
alone() { timeout 60 "${user[@]}" unshare --user --map-root-user --mount "$wirt_binary" --root "$scratch/own/alone" run --rm "$@" 2>&1 </dev/null; }
if "${user[@]}" unshare --user --map-root-user --mount true 2>/dev/null; then
    equal "root of one id: container" "0 1" "$(alone "$guest/rootfs-native" sh -c 'echo $(id -u) $$')"
    equal "root of one id: process" "0" "$(alone --as process "$guest/rootfs" id -u)"
    if [ -r "$guest/vmlinux" ]; then
        contains "root of one id: machine" "hello" "$(alone --as machine "$build/programs/riscv64/hello")"
    fi
fi
said=$(wirt run --rm --as process -m 64m "$guest/rootfs" true 2>&1)
equal "a limit that this user cannot have: exit status" 125 $?
contains "and says so" "control group" "$said"
contains "-v that this user cannot have" "only root" \
    "$(wirt run --rm --as process -v /tmp:/mnt "$guest/rootfs" true 2>&1)"
if [ -r "$guest/vmlinux" ]; then
    contains "machine" "hello" "$(wirt run --rm --as machine "$build/programs/riscv64/hello" </dev/null)"
fi
equal "nothing is left" "" "$(find "$scratch/own/state/guests" "$scratch/own/state/names" -mindepth 1)"
finish
