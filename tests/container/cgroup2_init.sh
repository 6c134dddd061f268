#!/bin/busybox sh
# Process 1 of the machine that test_cgroup2.sh boots: a host of nothing but cgroup v2. Prints the
# tests' lines on the console and powers off. Bundles /b/NAME were made on the way in.
# shellcheck shell=dash
/bin/busybox --install -s /bin
export PATH=/bin
ok() { echo "ok - v2: $1"; }
not_ok() { echo "not ok - v2: $1: $2"; }
equal() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted '$2', got '$3'"; fi; }
contains() { case "$3" in *"$2"*) ok "$1" ;; *) not_ok "$1" "'$2' is not in '$3'" ;; esac; }
group() { cat "/sys/fs/cgroup/wirt-$1/$2" 2>&1; }
run() { wirt-oci run --bundle "/b/$1" "$1" 2>/tmp/err; }
make() { wirt-oci create --bundle "/b/$1" "$1" >"/tmp/$1.log" 2>&1 </dev/null || cat "/tmp/$1.log"; }
begin() { make "$1" && wirt-oci start "$1"; }
usage() { sed -n 's/^usage_usec //p' "/sys/fs/cgroup/wirt-$1/cpu.stat"; }
uptime_ms() { sed 's/ .*//; s/\.//; s/$/0/' /proc/uptime; }

if [ ! -e /on_tmpfs ]; then
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs dev /dev
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir -p /run /tmp
    # A root that cannot be pivoted from.
    wirt-oci run --bundle /b/hello hello 2>/tmp/err >/dev/null
    contains "in an initramfs the way out is named" "--no-pivot" "$(cat /tmp/err)"
    equal "run --no-pivot in an initramfs" "hello" "$(wirt-oci run --no-pivot --bundle /b/hello hello)"
    umount /sys/fs/cgroup /sys /proc
    mount -t tmpfs root /new
    cp -a /bin /b /rootfs /init /new
    mkdir -p /new/proc /new/sys /new/dev /new/run /new/tmp
    : >/new/on_tmpfs
    umount -l /dev
    exec switch_root /new /init
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec >/dev/console 2>&1
equal "the host has cgroup v2 alone" "cgroup2 /sys/fs/cgroup cgroup2" \
    "$(grep cgroup /proc/mounts | cut -d' ' -f1-3)"

equal "the group is the root of what the container sees" "0::/" "$(run cgroup)"
contains "mounted cgroup2 shows the container's own group" "memory.max" "$(run mounted)"

run hog >/dev/null; equal "a memory hog is killed at its limit" 137 $?
run modest >/dev/null; equal "a modest program under the same limit is not" 0 $?

make limits
equal "memory.max" 67108864 "$(group limits memory.max)"
equal "memory.low" 33554432 "$(group limits memory.low)"
equal "memory.swap.max is swap without memory" 33554432 "$(group limits memory.swap.max)"
equal "cpu.max" "20000 100000" "$(group limits cpu.max)"
equal "cpu.weight out of 512 shares" 20 "$(group limits cpu.weight)"
equal "cpuset.cpus" 1 "$(group limits cpuset.cpus)"
equal "pids.max" 55 "$(group limits pids.max)"
equal "unified: memory.high" 50331648 "$(group limits memory.high)"
equal "update" "0" "$(wirt-oci update --memory 48m --cpu-quota 50000 --pids-limit -1 limits; echo $?)"
equal "update: memory.max" 50331648 "$(group limits memory.max)"
equal "update: cpu.max" "50000 100000" "$(group limits cpu.max)"
equal "update: pids.max" max "$(group limits pids.max)"
contains "events --stats" '"limit":50331648' "$(wirt-oci events --stats limits)"
wirt-oci delete --force limits
equal "delete removes the group" "" "$(ls -d /sys/fs/cgroup/wirt-* 2>/dev/null)"

begin spin
sleep 1
u=$(usage spin) t=$(uptime_ms)
sleep 5
share=$((($(usage spin) - u) / 10 / ($(uptime_ms) - t)))
if [ $share -ge 17 ] && [ $share -le 23 ]; then
    ok "a busy loop held to 20 % of a CPU (got $share %)"
else
    not_ok "a busy loop held to 20 % of a CPU" "got $share %"
fi
wirt-oci pause spin
contains "pause" '"paused"' "$(wirt-oci state spin)"
u=$(usage spin); sleep 1
equal "nothing runs while paused" 0 $((($(usage spin) - u) / 10000))
wirt-oci resume spin
sleep 1
if [ "$(usage spin)" -gt "$u" ]; then ok "resume"; else not_ok "resume" "no CPU time used"; fi
equal "exec lands in the group" "0::/" "$(wirt-oci exec spin cat /proc/self/cgroup)"
wirt-oci kill --all spin KILL
sleep 1
contains "kill --all" '"stopped"' "$(wirt-oci state spin)"
wirt-oci delete spin

run forks >/dev/null; contains "no more processes than pids.max" "fork" "$(cat /tmp/err)"
equal "cpuset" 1 "$(run cpuset | tr -dc 0-9)"
equal "devices: the default ones can be opened, others not" "1 no" "$(run devices | xargs)"
equal "devices: an allowed one can" "1 yes" "$(run devices_allowed | xargs)"
equal "devices: to write is not to read" "1 no" "$(run devices_write | xargs)"
equal "devices: one of linux.devices that may be read may not be written" "read" "$(run devices_given | xargs)"

wirt-oci run --bundle /b/oom oom >/dev/null 2>&1 &
sleep 1
contains "events tells of a kill for lack of memory" '"oom"' "$(timeout 20 wirt-oci events --interval 1 oom)"
wait

equal "groups made inside are removed with the container" "made" "$(run inside)"
equal "a user namespace may divide its group" "0 made" "$(run delegated | xargs)"
run bad_unified >/dev/null
contains "unified: an unknown file is named" "unified.none.such" "$(cat /tmp/err)"
run bad_swappiness >/dev/null
contains "what v2 lacks is refused" "memory.swappiness: has no counterpart" "$(cat /tmp/err)"
equal "no group is left" "" "$(ls -d /sys/fs/cgroup/wirt-* 2>/dev/null)"
echo "cgroup2: end"
poweroff -f
