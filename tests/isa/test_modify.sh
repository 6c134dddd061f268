#!/bin/bash
# Code that is rewritten while others run it, between threads of a process and between harts of a machine: after a
# fence.i nobody runs the old one. WIRT_MODIFY thousand rounds.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
here=$source_dir/tests
rounds=$((${WIRT_MODIFY:-30} * 1000))
riscv64-linux-gnu-gcc -std=gnu17 -O2 -static -pthread -o "$scratch/threads" "$here/isa/modify_threads.c" || exit 1
riscv64-linux-gnu-gcc -march=rv64gc -mabi=lp64d -mcmodel=medany -O2 -ffreestanding -fno-builtin -fno-pie -no-pie \
    -fno-stack-protector -nostdlib -static -Wl,-Ttext=0x80200000 -Wl,--build-id=none,--no-warn-rwx-segments "-DROUNDS=$rounds" \
    -o "$scratch/harts" "$here/machine/guest/start.S" "$here/machine/guest/guest.c" "$here/machine/guest/modify.c" || exit 1

run() { # NAME COMMAND...
    local name=$1 status
    shift
    timeout -k 1 180 "$@" >"$scratch/out" 2>&1 </dev/null
    status=$?
    tr -d '\r' <"$scratch/out" | sed -n "s/^\(ok\|not ok\) - /\1 - $name: /p"
    equal "$name: ends well" 0 "$status"
}
# A process compares all that is translated, at each fence.i.
run threads "$riscv64" "$scratch/threads" $((rounds / 10))
run harts "$build/tests/machine-boot" --kernel "$scratch/harts" --memory 64M --harts 4
finish
