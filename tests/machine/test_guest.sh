#!/bin/bash
# The privileged architecture, by bare-metal programs that check it from inside: translated and
# interpreted. timeout: 300
. "$(dirname "$0")/../lib.sh"
here=$(dirname "$(realpath "$0")")/guest
boot=$build/tests/machine-boot
cc=riscv64-linux-gnu-gcc
if ! command -v "$cc" >/dev/null; then
    echo "skip - bare-metal programs: $cc is not installed"
    exit 0
fi
for name in traps paging code timer harts counters spin; do
    "$cc" -march=rv64gc -mabi=lp64d -mcmodel=medany -O2 -g -Wall -Wno-array-bounds -ffreestanding \
        -fno-builtin -fno-pie -no-pie -fno-stack-protector -nostdlib -static \
        -Wl,-Ttext=0x80200000 -Wl,--build-id=none,--no-warn-rwx-segments -o "$scratch/$name" \
        "$here/start.S" "$here/guest.c" "$here/$name.c" || exit 1
done

# run NAME HARTS [OPTION ...]: its lines, marked with how it ran; its status has to agree.
run() {
    local name=$1 harts=$2 status
    shift 2
    timeout 60 "$boot" --kernel "$scratch/$name" --memory 64M --harts "$harts" "$@" \
        </dev/null >"$scratch/out" 2>&1
    status=$?
    sed "s/^\(ok\|not ok\) - /\1 - $name $harts harts $*: /" "$scratch/out"
    equal "$name, $harts harts $*: ends well" 0 "$status"
}
for how in "" --interpret; do
    run traps 1 $how
    run paging 1 $how
    run code 1 $how
    run code 2 $how
    run timer 1 $how
    run counters 1 $how
    run harts 4 $how
done

"$source_dir/scripts/programs.sh" || exit 1
for how in "" --interpret; do
    timeout 60 "$boot" --firmware "$build/programs/machine/registers" --memory 64M $how </dev/null >"$scratch/out" 2>&1
    status=$?
    tr -d '\r' <"$scratch/out" | sed -n "s/^\(ok\|not ok\) - /\1 - machine mode $how: /p"
    equal "machine mode $how: ends well" "0 end" "$status $(tr -d '\r' <"$scratch/out" | tail -n 1)"
done

for how in "" --interpret; do
    timeout -k 1 20 "$boot" --kernel "$scratch/spin" --memory 64M --harts 2 $how \
        </dev/null >"$scratch/out" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        grep -q spinning "$scratch/out" && break
        sleep 0.1
    done
    kill -TERM "$(pgrep -P $pid)"
    wait $pid
    equal "a guest that spins with interrupts off is stopped $how" 143 $?
done
finish
