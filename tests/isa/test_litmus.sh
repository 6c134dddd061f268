#!/bin/bash
# The memory model: litmus shapes between threads of a process and between harts of a machine. An outcome that RVWMO
# forbids never comes, in 300,000 rounds of each (WIRT_LITMUS thousand); that the harness would see one, store buffering without fences shows.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
here=$source_dir/tests
rounds=$((${WIRT_LITMUS:-300} * 1000 / 256))
riscv64-linux-gnu-gcc -std=gnu17 -O2 -static -pthread -o "$scratch/threads" "$here/isa/litmus_threads.c" || exit 1
riscv64-linux-gnu-gcc -march=rv64gc -mabi=lp64d -mcmodel=medany -O2 -ffreestanding -fno-builtin -fno-pie -no-pie \
    -fno-stack-protector -nostdlib -static -Wl,-Ttext=0x80200000 -Wl,--build-id=none,--no-warn-rwx-segments "-DROUNDS=$rounds" \
    -o "$scratch/harts" "$here/machine/guest/start.S" "$here/machine/guest/guest.c" "$here/machine/guest/litmus.c" || exit 1
[ "$(nproc)" -gt 1 ] || { skip "litmus" "one processor: nothing runs at the same time"; exit 0; }

run() { # NAME COMMAND...
    local name=$1 status
    shift
    timeout -k 1 180 "$@" >"$scratch/out" 2>&1 </dev/null
    status=$?
    tr -d '\r' <"$scratch/out" | sed -n "s/^\(ok\|not ok\|skip\) - /\1 - $name: /p"
    equal "$name: ends well" 0 "$status"
}
run threads "$riscv64" "$scratch/threads" "$rounds"
run harts "$build/tests/machine-boot" --kernel "$scratch/harts" --memory 64M --harts 4
finish
