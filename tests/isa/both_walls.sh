# Helper of the tests that are one program for threads of a process and one for harts of a machine: to be read after
# lib.sh.
# shellcheck shell=bash disable=SC2154

# both_built NAME ROUNDS: from isa/NAME_threads.c and machine/guest/NAME.c, $scratch/threads and $scratch/harts
both_built() {
    local tests=$source_dir/tests
    riscv64-linux-gnu-gcc -std=gnu17 -O2 -static -pthread -o "$scratch/threads" "$tests/isa/$1_threads.c" &&
        riscv64-linux-gnu-gcc -march=rv64gc -mabi=lp64d -mcmodel=medany -O2 -ffreestanding -fno-builtin -fno-pie -no-pie \
            -fno-stack-protector -nostdlib -static -Wl,-Ttext=0x80200000 -Wl,--build-id=none,--no-warn-rwx-segments \
            "-DROUNDS=$2" -o "$scratch/harts" "$tests/machine/guest/start.S" "$tests/machine/guest/guest.c" \
            "$tests/machine/guest/$1.c"
}

# run_threads ROUNDS, run_harts: what they say, under their names
run_threads() { run_wall threads "$riscv64" "$scratch/threads" "$1"; }
run_harts() { run_wall harts "$build/tests/machine-boot" --kernel "$scratch/harts" --memory 64M --harts 4; }
run_wall() { # NAME COMMAND...
    local name=$1 status
    shift
    timeout -k 1 180 "$@" >"$scratch/out" 2>&1 </dev/null
    status=$?
    tr -d '\r' <"$scratch/out" | sed -n "s/^\(ok\|not ok\|skip\) - /\1 - $name: /p"
    equal "$name: ends well" 0 "$status"
}
