#!/bin/bash
# podman with wirt-oci as its runtime, on a root file system of a static busybox.
# timeout: 300
. "$(dirname "$0")/../lib.sh"
command -v podman >/dev/null || { skip "podman" "podman is not installed"; exit 0; }
busybox=$(command -v busybox) && is_static "$busybox" ||
    { skip "podman" "a static busybox is required (package busybox-static)"; exit 0; }

# Without CAP_SYS_RESOURCE podman's default limits are too high for every runtime.
limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
pod() {
    timeout 60 podman --root "$scratch/store" --runroot "$scratch/run" --tmpdir "$scratch/tmp" \
        --runtime "$oci" --cgroup-manager cgroupfs --events-backend file \
        --storage-driver vfs "$@" 2>"$scratch/err"
}
run() { pod run --rm "${limits[@]}" --network none "$@"; }
end_podman() {
    pod rm -af >/dev/null
    pod image rm -af >/dev/null
    umount -l "$scratch"/store/vfs 2>/dev/null
    if ! is_root; then
        # Without root a process of podman's keeps its user namespace for the next command.
        pod system migrate >/dev/null
        unshare --user --map-root-user --map-auto rm -rf "$scratch/store" "$scratch/run"
    fi
    end_test
}
trap end_podman EXIT

cd "$scratch" || exit 1 # conmon leaves a file where it is started
mkdir -p "$scratch"/rootfs/{bin,etc,tmp}
cp "$busybox" "$scratch/rootfs/bin/busybox"
for name in sh echo ps id cat sleep touch ls tty env; do ln -s busybox "$scratch/rootfs/bin/$name"; done
if ! is_root && ! unshare --user --map-root-user --map-auto true 2>/dev/null; then
    skip "podman" "an ordinary user needs newuidmap and ids in /etc/subuid and /etc/subgid"
    exit 0
fi
tar -C "$scratch/rootfs" -c . | pod import - bb:1 >/dev/null || {
    not_ok "podman imports an image" "$(tail -n 2 "$scratch/err")"
    exit 1
}

equal "podman run" "hello" "$(run bb:1 /bin/echo hello)"
run bb:1 /bin/sh -c 'exit 5'
equal "podman run hands the status through" 5 $?
equal "podman run --memory --cpus --pids-limit --user --env" "1000 x=1" \
    "$(run --memory 64m --cpus 0.5 --pids-limit 50 --user 1000 --env x=1 bb:1 /bin/sh -c 'echo $(id -u) x=$x')"
# podman gives no limits and does not pause without control groups, as on v1 without root.
is_root && groups=yes || groups=
if [ "$groups" ]; then
    run --memory 16m --memory-swap 16m bb:1 /bin/sh -c 'x=aaaaaaaa; while :; do x=$x$x; done'
    equal "podman run kills a memory hog" 137 $?
else
    skip "podman run kills a memory hog" "podman without root has no control groups here"
fi
mkdir "$scratch/volume"
equal "podman run -v" "made" \
    "$(run -v "$scratch/volume:/v" bb:1 /bin/sh -c 'touch /v/made; ls /v')"
run --read-only bb:1 /bin/touch /file
equal "podman run --read-only" 1 $?
equal "podman run --privileged" "ok" "$(run --privileged bb:1 /bin/sh -c 'test -e /dev/full && echo ok')"
is_root && from=100000 || from=1 # without root: of podman's own user namespace
equal "podman run --uidmap" "0 $from" \
    "$(run --uidmap "0:$from:5000" bb:1 /bin/sh -c 'set -- $(cat /proc/self/uid_map); echo $1 $2')"

name=wirt-test-$$
pod run -d --name $name "${limits[@]}" --network none bb:1 /bin/sleep 100 >/dev/null
contains "podman exec" "/bin/sleep 100" "$(pod exec $name /bin/ps)"
contains "podman exec -t" "/dev/pts/" "$(pod exec -t $name /bin/tty)"
if [ "$groups" ]; then
    check "podman pause" pod pause $name
    check "podman unpause" pod unpause $name
else
    skip "podman pause" "podman without root has no control groups here"
fi
check "podman top" pod top $name
check "podman kill" pod kill $name
check "podman rm" pod rm -f $name
left=$(find /sys/fs/cgroup -path '*libpod*' -name "*$name*" 2>/dev/null)
equal "nothing is left in the control groups" "" "$left"
[ $failures = 0 ]
