#!/bin/bash
# Control groups v2 on a real v2 system: a machine in qemu with Debian's own kernel, whose host is
# wirt-oci and busybox. The kernel comes from this machine's apt, and is kept below the build folder.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
stop() { skip "control groups v2 in a machine" "$1"; exit 0; }
for tool in qemu-system-x86_64 cpio jq dpkg-deb apt-get; do
    command -v $tool >/dev/null || stop "$tool is not installed"
done
busybox=$(command -v busybox) && is_static "$busybox" ||
    stop "a static busybox is required (package busybox-static)"
is_static "$oci" || stop "wirt-oci is linked dynamically here: it cannot run in an initramfs"

# The kernel.
cache=$build/guest/cloud-amd64
kernel() { find "$cache" -name 'vmlinuz-*' 2>/dev/null | sort | tail -n 1; }
if [ -z "$(kernel)" ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" {print $2; exit}')
    [ -n "$package" ] || stop "apt knows no linux-image-cloud-amd64 (apt-get update?)"
    mkdir -p "$cache"
    (cd "$scratch" && apt-get -q download "$package" >"$scratch/apt" 2>&1) ||
        stop "apt-get download $package: $(tail -n 1 "$scratch/apt")"
    dpkg-deb --fsys-tarfile "$scratch"/linux-image-*.deb | tar -x -C "$cache" --wildcards './boot/vmlinuz-*'
fi

# The initramfs: busybox, wirt-oci, bundles.
top=$scratch/top
mkdir -p "$top"/{bin,b,new,proc,sys,dev,run,tmp} "$top"/rootfs/{bin,proc,sys,dev,tmp}
cp "$busybox" "$top/bin/busybox"
cp "$oci" "$top/bin/wirt-oci"
strip "$top/bin/wirt-oci" 2>/dev/null
cp "$busybox" "$top/rootfs/bin/busybox"
chmod 1777 "$top/rootfs/tmp"
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "$top/rootfs/bin/$name"; done
cp "$here/cgroup2_init.sh" "$top/init"
chmod 755 "$top/init"
"$oci" spec --bundle "$scratch"
bundle() { # NAME SCRIPT [JQ-FILTER]
    mkdir "$top/b/$1"
    jq --arg script "$2" ".process.terminal = false | .process.args = [\"/bin/sh\", \"-c\", \$script]
        | .root = {path: \"/rootfs\"} | ${3:-.}" "$scratch/config.json" >"$top/b/$1/config.json"
}
caps() { echo ".process.capabilities |= with_entries(.value += [\"$1\"])"; }
mounts_rw='(.mounts[] | select(.type == "cgroup")).options -= ["ro"]'
hog='dd if=/dev/zero of=/dev/null bs=64M count=2 2>/dev/null'
bundle hello 'echo hello'
bundle cgroup 'cat /proc/self/cgroup'
bundle mounted 'ls /sys/fs/cgroup'
bundle hog "$hog" '.linux.resources.memory = {limit: 16777216}'
bundle modest 'x=$(dd if=/dev/zero bs=1M count=1 2>/dev/null | wc -c)' '.linux.resources.memory = {limit: 16777216}'
bundle limits 'sleep 1000' '.linux.resources += {
    memory: {limit: 67108864, reservation: 33554432, swap: 100663296}, pids: {limit: 55},
    cpu: {shares: 512, quota: 20000, period: 100000, cpus: "1"}, unified: {"memory.high": "50331648"}}'
bundle spin 'while :; do :; done' '.linux.resources.cpu = {quota: 20000, period: 100000}'
bundle forks 'for i in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; wait' '.linux.resources.pids = {limit: 5}'
bundle cpuset 'grep Cpus_allowed_list /proc/self/status' '.linux.resources.cpu = {cpus: "1"}'
open='head -c1 /dev/zero | wc -c; mknod /dev/m c 1 1; head -c1 /dev/m >/dev/null 2>&1 && echo yes || echo no'
mem='{allow: true, type: "c", major: 1, minor: 1'
bundle devices "$open" "$(caps CAP_MKNOD) | $(caps CAP_SYS_RAWIO)"
bundle devices_allowed "$open" "$(caps CAP_MKNOD) | $(caps CAP_SYS_RAWIO) | .linux.resources.devices += [$mem, access: \"rw\"}]"
bundle devices_write "$open" "$(caps CAP_MKNOD) | $(caps CAP_SYS_RAWIO) | .linux.resources.devices += [$mem, access: \"w\"}]"
node='.linux.devices = [{path: "/dev/m", type: "c", major: 1, minor: 1, fileMode: 438, uid: 0, gid: 0}]'
bundle devices_given '(exec 3</dev/m) && echo read; (exec 3>/dev/m) && echo write; true' \
    "$(caps CAP_SYS_RAWIO) | $node | .linux.resources.devices += [$mem, access: \"r\"}]"
bundle oom "sleep 3; $hog; sleep 3" '.linux.resources.memory = {limit: 16777216}'
bundle inside 'mkdir -p /sys/fs/cgroup/one/two && echo made' "$mounts_rw"
bundle delegated 'id -u; mkdir /sys/fs/cgroup/one && echo $$ > /sys/fs/cgroup/one/cgroup.procs && echo made' \
    "$mounts_rw"' | .linux.namespaces += [{type: "user"}]
    | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
bundle bad_unified true '.linux.resources.unified = {"none.such": "1"}'
bundle bad_swappiness true '.linux.resources.memory = {swappiness: 5}'
(cd "$top" && find . | cpio -o -H newc --quiet) | gzip -1 >"$scratch/initrd"

# On a busy host the machine's kernel may wait for ever for a timer that qemu lost; it says so itself
# ("rcu: Possible timer handling issue"), and such a run tells nothing about wirt.
stalled() {
    ! grep -aq '^cgroup2: end' "$scratch/console" &&
        grep -aq 'rcu:.*Possible timer handling issue' "$scratch/console"
}
for _ in 1 2; do
    timeout 180 qemu-system-x86_64 -M q35 -m 768 -smp 2 -display none -no-reboot -nic none \
        -serial file:"$scratch/console" -kernel "$(kernel)" -initrd "$scratch/initrd" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off cgroup_no_v1=all" </dev/null
    stalled || break
done
tr -d '\r' <"$scratch/console" | grep -aoE '(ok|not ok) - v2: .*' | tee "$scratch/lines"
grep -aq '^cgroup2: end' <(tr -d '\r' <"$scratch/console") ||
    not_ok "the machine comes to its end" "$(tail -n 5 "$scratch/console" | tr -d '\r' | xargs -0)"
! grep -q '^not ok' "$scratch/lines" && [ $failures = 0 ]
