#!/bin/bash
# Ballooning: a running guest gives memory back to the host, still compiles, and gets it again.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
cp --sparse=always "$guest/disk.img" "$scratch/disk.img"
# shellcheck disable=SC2016 # for the guest's shell
script='mib() { sed -n "s/MemAvailable: *\([0-9]*\) kB/\1/p" /proc/meminfo | awk "{ print int(\$1 / 1024) }"; }
    mount -t tmpfs -o size=800m fill /mnt && dd if=/dev/zero of=/mnt/fill bs=1M count=700 2>/dev/null && rm /mnt/fill && echo filled
    until [ $(mib) -lt 500 ]; do sleep 0.5; done; echo shrunk
    echo "int main(void) { return 42; }" >/tmp/t.c; gcc -O2 /tmp/t.c -o /tmp/t && /tmp/t; echo compiled $?
    until [ $(mib) -gt 700 ]; do sleep 0.5; done; echo grown; sleep 300'
mkdir "$scratch/more"
printf '%s\n' "$script" >"$scratch/more/script"
(cd "$scratch/more" && tar -cf "$scratch/more.tar" --owner=0 --group=0 script)
truncate -s 1M "$scratch/more.tar"
wirt run -d --name balloon --as machine --memory 1g --kernel "$guest/vmlinux" --initrd "$guest/initramfs.cpio.gz" \
    --disk "$scratch/disk.img" --disk "$scratch/more.tar,ro" \
    --append 'quiet root=/dev/vda wirt.run="tar -xf /dev/vdb -C /tmp && sh /tmp/script"' >/dev/null
host_rss() { # of the machine's process, MiB
    tree_rss "$(inspected balloon .pid)"
}
logs balloon filled 100 "the guest fills its memory" || finish
before=$(host_rss)
within "host memory of the guest before, MiB: the 700 that it filled and what it needs itself" "$before" 700 1200
check "balloon to 512 MiB" wirt balloon balloon 512m
logs balloon shrunk 60 "the guest sees less memory" || finish
settled() { [ "$(($(machine_stat balloon .memory.balloon_bytes) >> 20))" -ge 500 ]; }
wait_for 60 settled || true
within "the balloon holds the other half, MiB" "$(($(machine_stat balloon .memory.balloon_bytes) >> 20))" 500 520
sleep 1
within "the host's resident memory follows, MiB" "$(host_rss)" 50 620
logs balloon "compiled 42" 100 "ballooned, it still compiles" || finish
check "balloon back to 1 GiB" wirt balloon balloon 1g
logs balloon grown 60 "the guest has its memory again"
finish
