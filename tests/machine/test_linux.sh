#!/bin/bash
# Debian's kernel on one and on four harts, under load, through a reboot, and under OpenSBI.
# timeout: 600
. "$(dirname "$0")/../lib.sh"
boot=$build/tests/machine-boot
if [ ! -f "$guest/vmlinux" ]; then
    echo "skip - Linux in a machine: no guest files: make guest"
    exit 0
fi
linux() { # COMMAND OPTION...
    local command=$1
    shift
    timeout "${time_limit:-100}" "$boot" --kernel "$guest/vmlinux" --initrd "$guest/initramfs.cpio.gz" \
        --memory 512M --append "console=ttyS0 quiet panic=-1 wirt.run=\"$command\"" "$@" \
        </dev/null 2>&1 | tr -d '\r'
    return "${PIPESTATUS[0]}"
}
sum='seq 1 20000 | sort -r | sort -n | md5sum'
want=$(eval "$sum" | cut -c1-32)

said=$(linux "uname -m; nproc; $sum; exit 7")
equal "exit status through the test device" 7 $?
contains "one hart" "riscv64
1
$want" "$said"
said=$(linux "for i in 1 2 3 4; do ($sum) & done; wait; nproc" --harts 4)
equal "four harts end well" 0 $?
equal "four sums at once" 4 "$(grep -c "$want" <<<"$said")"
contains "four harts" "
4" "$said"
said=$(linux "i=0; while [ \$i -lt 100 ]; do /bin/busybox true & i=\$((i+1)); done; wait; echo forked \$i" --harts 3)
contains "100 processes on three harts" "forked 100" "$said"

timeout 200 "$boot" --kernel "$guest/vmlinux" --initrd "$guest/initramfs.cpio.gz" --memory 256M \
    --append "console=ttyS0 quiet wirt.run=\"echo up; sleep 1; reboot -f\"" \
    </dev/null >"$scratch/out" 2>&1 &
pid=$!
twice() { [ "$(grep -c '^up' "$scratch/out")" -ge 2 ]; }
check "reboot" wait_for 180 twice # two boots, each as long as one may take above
kill $pid
wait $pid 2>/dev/null

firmware=/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin
if [ -f $firmware ]; then
    # OpenSBI before 1.3 marks a hart as to be started before it says where: on a busy host the hart
    # sometimes sees that too early and starts at the kernel's first instruction, a second time. Both
    # harts are lost then, on any machine.
    for _ in 1 2 3; do
        said=$(time_limit=60 linux "dmesg | grep -i 'SBI specification'; $sum" --firmware $firmware --harts 2)
        status=$?
        [ $status -eq 124 ] && grep -q '^OpenSBI v1\.[0-2]' <<<"$said" || break
    done
    equal "under OpenSBI: ends well" 0 $status
    contains "under OpenSBI" "$want" "$said"
else
    skip "under OpenSBI" "the package opensbi is not installed"
fi
finish
