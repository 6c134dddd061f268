#!/bin/bash
# Namespaces: UTS, PID (nested), IPC, mount, user, network, cgroup: the same names in two containers
# mean different things, and none of the host's.
# timeout: 120
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1
root=$guest/rootfs-native
cp -a "$root" "$scratch/root"
cp "$build/programs/container/ipc" "$scratch/root/usr/bin/ipc"
run() { timeout 60 "$wirt_binary" --root "$scratch/state" run --rm --as container "$@" 2>&1; }

# Each kind is another one than the host's.
inside=$(run "$root" sh -c 'for n in uts pid ipc mnt net cgroup; do echo $n $(readlink /proc/self/ns/$n); done')
for kind in uts pid ipc mnt net cgroup; do
    there=$(sed -n "s/^$kind //p" <<<"$inside")
    if [[ $there == $kind:* && $there != "$(readlink /proc/self/ns/$kind)" ]]; then
        ok "its own $kind namespace"
    else
        not_ok "its own $kind namespace" "'$there' inside, '$(readlink /proc/self/ns/$kind)' outside"
    fi
done
equal "it is process 1" "1" "$(run "$root" sh -c 'echo $$')"
within "it sees its own processes only, the highest number" \
    "$(run "$root" sh -c 'ls -d /proc/[0-9]* | sed s,/proc/,, | sort -n | tail -n 1')" 1 12

# Two at once: equal host names, equal IPC keys, no clash.
for k in one two; do
    (run --hostname same "$scratch/root" sh -c "echo \$(hostname) \$(ipc $k)" >"$scratch/$k") &
done
wait
equal "container one: name and keys of its own" "same memory one, queue one" "$(cat "$scratch/one")"
equal "container two: the same ones, of its own" "same memory two, queue two" "$(cat "$scratch/two")"
if [ "$(hostname)" != same ]; then ok "the host keeps its name"; else not_ok "the host keeps its name" same; fi

# Three PID namespaces in each other: the innermost process has a number in each.
mkdir "$scratch/bundle"
rootless=()
is_root || rootless=(--rootless)
(cd "$scratch/bundle" && "$oci" spec "${rootless[@]}")
jq --arg root "$root" '.process.args = ["unshare", "-p", "-f", "-m", "--mount-proc", "sh", "-c",
      "echo second $$; unshare -p -f -m --mount-proc sh -c \"echo third \\$\\$; sleep 20; true\"; true"]
    | .process.terminal = false | .root.path = $root | .process.rlimits = []
    | .process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])' \
    "$scratch/bundle/config.json" >"$scratch/config" && mv "$scratch/config" "$scratch/bundle/config.json"
"$oci" --root "$scratch/oci" run --bundle "$scratch/bundle" "nested-$$" >"$scratch/nested" 2>&1 &
runner=$!
wait_for 20 grep -q third "$scratch/nested"
equal "each of three is process 1 in its own" "second 1 third 1" "$(head -n 2 "$scratch/nested" | xargs)"
deepest=$(cat /proc/[0-9]*/status 2>/dev/null | awk '/^Name:/ { name = $2 } /^NSpid:/ && name == "sh" { if (NF - 1 > deep) { deep = NF - 1; last = $NF } } END { print deep, last }')
levels=$(awk '/^NSpid:/ { print NF - 1 }' /proc/self/status)
equal "the host sees it through all levels" "$((levels + 3)) 1" "$deepest"
"$oci" --root "$scratch/oci" kill "nested-$$" KILL 2>/dev/null
wait $runner 2>/dev/null
"$oci" --root "$scratch/oci" delete -f "nested-$$" 2>/dev/null

# Mounts inside stay inside; the root is the image's.
equal "a mount inside is not outside" "0" "$(run "$root" sh -c 'mount -t tmpfs x /mnt 2>/dev/null; true'; grep -c "$scratch.*mnt" /proc/self/mounts)"
equal "the root is the image's" "busybox" "$(run "$root" readlink /bin/sh | xargs basename)"
equal "only the loopback device in a network of its own" "lo" "$(run --network none "$root" ls /sys/class/net | xargs)"
finish
