#!/bin/bash
# Kernels, initrds, firmware and sizes that are wrong: one message that names the file, status 125.
. "$(dirname "$0")/../lib.sh"
boot=$build/tests/machine-boot

# refused NAME TEXT OPTION...
refused() {
    local name=$1 text=$2 said status
    shift 2
    said=$(timeout 20 "$boot" --memory 64M "$@" </dev/null 2>&1)
    status=$?
    if [ $status -ne 125 ]; then
        not_ok "$name" "exit status $status, wanted 125: $(tail -n 2 <<<"$said")"
    elif [ "$(wc -l <<<"$said")" -ne 1 ]; then
        not_ok "$name" "more than one line: $said"
    else
        contains "$name" "$text" "$said"
    fi
}

# image SIZE TEXT_OFFSET IMAGE_SIZE FLAGS: a flat kernel's header, and zeros
image() {
    python3 - "$@" <<'P'
import struct, sys
size, offset, image_size, flags = (int(a, 0) for a in sys.argv[1:5])
header = struct.pack("<2I3Q2IQQ2I", 0x0000006f, 0, offset, image_size, flags, 2, 0, 0,
                     0x5643534952, 0x05435352, 0)
sys.stdout.buffer.write(header.ljust(size, b"\0")[:size])
P
}

refused "no kernel" "kernel"
refused "a kernel that is missing" "$scratch/none" --kernel "$scratch/none"
refused "a folder as kernel" "$scratch" --kernel "$scratch"
: >"$scratch/empty"
refused "an empty kernel" "empty" --kernel "$scratch/empty"
head -c 100000 /dev/urandom >"$scratch/noise"
refused "noise as kernel" "neither a flat riscv64 kernel" --kernel "$scratch/noise"
refused "a native program as kernel" "RISC-V" --kernel /bin/true
gzip -c "$scratch/noise" >"$scratch/noise.gz"
refused "a compressed kernel" "gzip" --kernel "$scratch/noise.gz"
image 40 0x200000 0x1000 0 >"$scratch/short"
refused "a truncated header" "neither a flat riscv64 kernel" --kernel "$scratch/short"
image 4096 0x200000 0xffffffffffffffff 0 >"$scratch/huge"
refused "an image size beyond RAM" "more memory" --kernel "$scratch/huge"
image 4096 0xfffffffffffff000 0x1000 0 >"$scratch/far"
refused "a text offset beyond RAM" "more memory" --kernel "$scratch/far"
image 4096 0x200000 0x1000 1 >"$scratch/big-endian"
refused "a big-endian kernel" "big-endian" --kernel "$scratch/big-endian"
image 4096 0x200000 0x1000 0 >"$scratch/good"
refused "an initrd that is missing" "$scratch/none" --kernel "$scratch/good" --initrd "$scratch/none"
truncate -s 100M "$scratch/large"
refused "an initrd that does not fit" "more memory" --kernel "$scratch/good" --initrd "$scratch/large"
refused "a firmware that does not fit" "more memory" --firmware "$scratch/large"
refused "a disk that is missing" "$scratch/none" --kernel "$scratch/good" --disk "$scratch/none"
refused "an agent's socket that is none" "must be a stream socket" --kernel "$scratch/good" --agent 0
refused "an agent's socket that is not open" "descriptor 77" --kernel "$scratch/good" --agent 77
refused "no harts" "cpus" --kernel "$scratch/good" --harts 0
refused "too many harts" "cpus" --kernel "$scratch/good" --harts 1000
refused "a memory of odd size" "multiple of 2 MiB" --kernel "$scratch/good" --memory 3M
refused "a memory of no size" "multiple of 2 MiB" --kernel "$scratch/good" --memory 0

# ELF files with every header field wrong in turn: refused, or run; never a crash.
if command -v riscv64-linux-gnu-gcc >/dev/null; then
    printf '.globl _start\n_start: li a7, 8\n ecall\n j _start\n' >"$scratch/off.S"
    riscv64-linux-gnu-gcc -nostdlib -static -Wl,-Ttext=0x80200000 -Wl,--build-id=none \
        -o "$scratch/off" "$scratch/off.S"
    timeout 10 "$boot" --memory 64M --kernel "$scratch/off" </dev/null
    equal "an ELF kernel that shuts down" 0 $?
    bad=0
    for offset in $(seq 0 2 118); do
        for value in '\xff\xff' '\x00\x00' '\xff\x7f'; do
            cp "$scratch/off" "$scratch/mutant"
            printf "$value" | dd of="$scratch/mutant" bs=1 seek="$offset" conv=notrunc status=none
            timeout 1 "$boot" --memory 64M --kernel "$scratch/mutant" \
                </dev/null >/dev/null 2>&1
            status=$?
            case $status in
            0 | 125 | 124) ;; # shut down, refused, or ran on into nothing until it was stopped
            *) bad=$((bad + 1)) ;;
            esac
        done
    done
    equal "180 damaged ELF headers" 0 $bad
else
    skip "damaged ELF headers" "riscv64-linux-gnu-gcc is not installed"
fi
finish
