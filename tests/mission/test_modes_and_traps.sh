#!/bin/bash
# User mode, kernel mode, traps: a guest's sensitive instructions land in the hypervisor, which counts
# and emulates them, and no guest can keep the processor.
# timeout: 200
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1

wirt run -d --name traps --as machine --memory 256m --kernel "$guest/vmlinux" --initrd "$guest/initramfs.cpio.gz" \
    --append 'console=ttyS0 quiet wirt.run="i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; echo first; sleep 300"' \
    >/dev/null
logs traps first 60 "the guest comes up" || finish
ecalls=$(machine_stat traps .hart_counters.traps.ecall_u)
csrs=$(machine_stat traps .hart_counters.system_instructions.csr)
sbi=$(machine_stat traps .hart_counters.system_instructions.sbi)
within "system calls trapped from user to kernel mode" "$ecalls" 3000 20000
within "CSR instructions were emulated" "$csrs" 200000 3000000
within "calls of the kernel to the hypervisor (SBI)" "$sbi" 10 1000
within "page faults were taken by the guest's kernel" "$(machine_stat traps .hart_counters.traps.store_page)" 2000 20000
sleep 1
within "a guest that does nothing hardly traps" "$(($(machine_stat traps .hart_counters.traps.ecall_u) - ecalls))" 0 2000

# Interrupts off in machine mode, an endless loop: nothing in the guest will ever answer.
wirt run -d --name spin --as machine --memory 64m --firmware "$build/programs/machine/spin" >/dev/null
logs spin spinning 20 "a guest spins with interrupts off"
start=$SECONDS
check "a guest that spins with interrupts off is stopped" timeout 30 "$wirt_binary" --root "$scratch/state" stop -t 2 spin
within "in seconds" "$((SECONDS - start))" 0 12
equal "and is gone" "" "$(wirt ps -q --filter name=spin 2>/dev/null)"
finish
