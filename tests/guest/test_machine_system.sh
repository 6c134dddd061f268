#!/bin/bash
# What a machine has and no other wall: harts and memory, devices, a kernel, a disk, a network, a console of its own.
# timeout: 600
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1
[ -r "$guest/vmlinux" ] || { skip "machines" "no guest files (make guest)"; exit 0; }
. "$(dirname "$0")/walls.sh"
. "$(dirname "$0")/machines.sh"
busybox_root

equal "--cpus is harts" "2" "$(run --rm --cpus 2 "$root" sh -c 'cat /proc/cpuinfo | busybox grep -c ^processor' | head -n 1)"
said=$(run --rm -m 256m "$root" sh -c 'busybox grep MemTotal /proc/meminfo' </dev/null | tr -dc 0-9)
within "-m is its memory, in KiB" "${said:-0}" 150000 262144
equal "a kernel that has no port for the agent: exit status" 125 \
    "$(run --rm --append initcall_blacklist=virtio_console_init "$root" true 2>"$scratch/said"; echo $?)"
contains "and what is missing" CONFIG_VIRTIO_CONSOLE "$(cat "$scratch/said")"

contains "a shell on the console gets piped input from its first byte" "sum 42" \
    "$(printf 'echo sum $((40+2))\npoweroff -f\n' | run --rm -i --kernel "$guest/vmlinux" \
        --initrd "$guest/initramfs.cpio.gz" --append "console=ttyS0 quiet" 2>&1)"

# The host's own services are out of reach, unless asked for.
mkdir "$scratch/served"
echo "a service of the host" >"$scratch/served/page"
python3 -u -m http.server --bind 127.0.0.1 --directory "$scratch/served" 0 >"$scratch/server" 2>&1 &
server=$!
wait_for 20 grep -q port "$scratch/server"
port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$scratch/server")
ask='busybox wget -T 5 -q -O - http://10.0.2.2:'$port/page
equal "nat:host-loopback reaches a service on the host" "a service of the host" \
    "$(run --rm --network nat:host-loopback "$root" sh -c "$ask" </dev/null 2>/dev/null | tr -d '\r')"
equal "by default it is out of reach" "refused" \
    "$(run --rm "$root" sh -c "$ask 2>/dev/null || echo refused" </dev/null 2>/dev/null | tr -d '\r')"
kill "$server"

# In the background.
wirt run -d --as machine --name m "$root" sh -c 'i=0; while :; do echo beat $i; i=$((i+1)); sleep 0.2; done' >/dev/null
check "-d and logs" wait_for 60 logged m "beat 1"
check "stats: traps, second-level faults, translations" jq -e '.[0].machine |
    .memory.second_level_faults > 0 and .engine.blocks > 0 and .hart_counters.tlb_fills > 0
    and ([.hart_counters.traps[]] | add) > 0' <(wirt stats --json m)
contains "top" second_level_faults "$(wirt top -n 1)"
wirt update --memory 2g m 2>"$scratch/said"
contains "update says what instead" balloon "$(cat "$scratch/said")"
check "pause" wirt pause m
sleep 0.5 # what it had said is on its way to the log
before=$(wirt logs m | wc -l)
sleep 1
equal "a paused machine stands still" "$before" "$(wirt logs m | wc -l)"
check "stats of a paused machine" wirt stats --json m
check "resume" wirt resume m
check "a resumed machine goes on" wait_for 20 more_lines m "$before"

# The balloon: what the guest gives up, the host gets back.
rss() { tree_rss "$(wirt inspect m | jq '.[0].pid')"; }
inflated() { [ "$(wirt balloon --json m | jq '.actual')" -ge $((400 << 20)) ]; }
deflated() { [ "$(wirt balloon --json m | jq '.actual')" -le $((8 << 20)) ]; }
check "balloon" wirt balloon m 512m
check "the guest inflates" wait_for 30 inflated
check "the guest lives" logged m beat
within "resident memory in MiB with 512 MiB left" "$(rss)" 50 600
check "balloon back" wirt balloon m 1g
check "the guest deflates" wait_for 30 deflated
wirt balloon m 9g 2>"$scratch/said"
contains "more than the machine has" "only" "$(cat "$scratch/said")"
check "stop" wirt stop -t 5 m
equal "stopped" exited "$(wirt inspect m | jq -r '.[0].status')"
wirt rm m >/dev/null

# A guest that spins with interrupts off still stops.
wirt run -d --as machine --name spin --firmware "$build/programs/machine/spin" >/dev/null
check "a spinning guest runs" wait_for 20 logged spin spinning
start=$SECONDS
check "a spinning guest is stopped" timeout 60 "$wirt_binary" --root "$scratch/state" stop -t 1 spin
within "in time" $((SECONDS - start)) 0 10
wirt rm spin >/dev/null

# A system of its own, from a disk: exec by the agent that its init starts, and a power-off in good order.
cp --sparse=always "$guest/disk.img" "$scratch/disk.img"
wirt run -d -it --as machine --name disk --disk "$scratch/disk.img" >/dev/null
equal "exec waits for the boot" "riscv64 /root" "$(timeout 60 "$wirt_binary" --root "$scratch/state" exec disk sh -c 'echo $(uname -m) $HOME')"
equal "exec: a user of the system's own" "www-data" "$(wirt exec -u www-data disk id -un)"
wirt exec -u nobody-here disk true 2>"$scratch/said"
equal "exec: a user that there is not" 125 $?
equal "exec: its working folder" "/var/tmp" "$(wirt exec -w /var/tmp disk pwd)"
for i in 1 2 3 4; do wirt exec disk sh -c "sleep 0.3; echo $i" >"$scratch/exec.$i" & jobs[i]=$!; done
wait "${jobs[@]}"
equal "four commands at once" "1 2 3 4" "$(cat "$scratch"/exec.[1-4] | xargs)"
equal "exec: ten megabytes out" "10485760" "$(wirt exec disk head -c 10485760 /dev/zero | wc -c)"
equal "exec: two megabytes in" "$(seq 300000 | md5sum)" "$(seq 300000 | wirt exec -i disk md5sum)"
big=$(head -c 60000 /dev/zero | tr '\0' x)
equal "exec: a long environment" "60000" "$(wirt exec -e BIG="$big" disk sh -c 'echo ${#BIG}')"
wirt exec -e BIG="$big" -e MORE="$big" disk true 2>"$scratch/said"
equal "exec: one that is too long" 125 $?
contains "and why" "at most 65536" "$(cat "$scratch/said")"
wirt exec disk sh -c 'echo kept >/var/lib/kept'
check "stop powers it off" wirt stop -t 30 disk
equal "with status 0" 0 "$(status_of disk)"
check "its file system is clean" e2fsck -fn "$scratch/disk.img"
contains "and has what was written" kept "$(debugfs -R 'cat /var/lib/kept' "$scratch/disk.img" 2>/dev/null)"
wirt rm disk >/dev/null
rm "$scratch/disk.img"

# A console's terminal: its size, and the keys that detach.
expect -f - >"$scratch/expect" 2>&1 <<END
set timeout 60
spawn $wirt_binary --root $scratch/state run --as machine -it --name console
expect "# "
exec stty rows 33 columns 101 <\$spawn_out(slave,name)
send "sleep 1; stty size\r"
expect "33 101"
send "\x10\x11"
expect eof
lassign [wait] a b c status
puts "detached \$status"
spawn $wirt_binary --root $scratch/state attach console
send "echo three\\\$((2+2))four; exit\r"
expect "three4four"
expect eof
lassign [wait] a b c status
puts "left \$status"
END
contains "the console's size" "33 101" "$(cat "$scratch/expect")"
contains "ctrl-p ctrl-q detaches from the console" "detached 0" "$(cat "$scratch/expect")"
contains "attached to it again" three4four "$(cat "$scratch/expect")"
contains "and left" "left 0" "$(cat "$scratch/expect")"
wirt rm console >/dev/null

# Kernels and disks that are none.
head -c 100 /dev/urandom >"$scratch/noise"
: >"$scratch/empty"
head -c 1000000 "$guest/vmlinux" >"$scratch/short"
for kernel in noise empty short; do
    said=$(run --rm --kernel "$scratch/$kernel" </dev/null 2>&1)
    equal "kernel: $kernel: exit status" 125 $?
    contains "kernel: $kernel: named" "$scratch/$kernel" "$said"
done
equal "no guest is left" "" "$(wirt ps -aq)"
finish
