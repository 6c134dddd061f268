#!/bin/bash
# Splitting physical memory, SLAT: guest virtual -> guest physical by the guest's own tables, guest
# physical -> host memory page by page, on the guest's first touch.
# timeout: 200
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1

# First level: an entry of the guest's page table changes, and the guest sees the other page.
timeout 60 "$wirt_binary" --root "$scratch/state" run --rm --as machine --memory 64m \
    --firmware "$build/programs/machine/privileged" </dev/null >"$scratch/out" 2>&1
contains "a guest's page table leads to a page" "S load 0xaaaa: no trap" "$(cat "$scratch/out")"
contains "a changed entry leads to another one" "S load after the entry changed 0xbbbb: no trap" "$(cat "$scratch/out")"
contains "an entry without permission traps into the guest" "S store to a read-only page: cause 0xf" "$(cat "$scratch/out")"

# Second level: host memory comes only when the guest touches its own.
wirt run -d --name slat --as machine --memory 1g --kernel "$guest/vmlinux" --initrd "$guest/initramfs.cpio.gz" \
    --append 'console=ttyS0 quiet wirt.run="echo first; sleep 6; dd if=/dev/zero of=/run/fill bs=1M count=200 2>/dev/null; echo second; sleep 300"' >/dev/null
logs slat first 60 "the guest comes up" || finish
faults=$(machine_stat slat .memory.second_level_faults)
resident=$(machine_stat slat .memory.resident_bytes)
within "a fresh guest of 1 GiB holds a part of that, MiB" "$((resident >> 20))" 20 600
within "each page came by a second-level fault, in percent" "$((faults * 4096 * 100 / resident))" 95 110
logs slat second 60 "the guest fills its memory" || finish
more=$(($(machine_stat slat .memory.resident_bytes) - resident))
within "200 MiB touched by the guest are resident, MiB more" "$((more >> 20))" 190 320
within "by second-level faults, in percent" "$((($(machine_stat slat .memory.second_level_faults) - faults) * 4096 * 100 / more))" 95 110
within "page tables of the guest were walked" "$(machine_stat slat .hart_counters.page_walks)" 100000 3000000
finish
