#!/bin/bash
# Compiles the programs of tests/programs, what is older than its source:
#   BUILD/programs/native/NAME   kernels, for this machine
#   BUILD/programs/riscv64/NAME  kernels, programs that are riscv64's alone, and a machine's guest's
#   BUILD/programs/clang/NAME-native, NAME-O1, -O2, -O3   the same kernels by LLVM: it allocates registers and
#     orders code as gcc does not
#   BUILD/programs/container/NAME  programs for native containers
#   BUILD/programs/machine/NAME  programs without an operating system, from machine mode on
# usage: programs.sh     prints nothing when all is there; BUILD is $WIRT_BUILD or build
# gcc contracts a * b + c to a fused multiply-add for riscv64: native code gets -mfma, so that
# results are equal bit by bit.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${WIRT_BUILD:-build}/programs
mkdir -p "$out/native" "$out/riscv64" "$out/clang" "$out/machine" "$out/container"

exec 9>"$out/lock"
flock 9
compile() { # COMPILER OUTPUT SOURCE FLAG...
    local cc=$1 to=$2 from=$3
    shift 3
    # -std: the sources are C17 with GNU's extensions, like wirt's own
    set -- -std=gnu17 -Wall -Wextra -Werror -static "$@"
    [ "$to" -nt "$from" ] && [ "$to" -nt scripts/programs.sh ] &&
        [ -z "$(find "$(dirname "$from")" -name '*.h' -newer "$to")" ] && return 0
    "$cc" "$@" -o "$to.new" "$from" "${libraries[@]}"
    mv "$to.new" "$to"
}
libraries=(-lm -lpthread -lrt)
for source in tests/programs/kernels/*.c; do
    name=$(basename "$source" .c)
    compile gcc "$out/native/$name" "$source" -O2 -mfma -mavx2
    compile riscv64-linux-gnu-gcc "$out/riscv64/$name" "$source" -O2
    # clang contracts for riscv64 and not for this machine: for neither, here.
    compile clang "$out/clang/$name-native" "$source" -O2 -ffp-contract=off
    for level in 1 2 3; do
        compile clang "$out/clang/$name-O$level" "$source" --target=riscv64-linux-gnu "-O$level" -ffp-contract=off
    done
done
for source in tests/programs/riscv/*.c tests/programs/guest/*.c; do
    [ -e "$source" ] || continue
    # A source's first line may ask for instructions: "/* flags: -march=..."
    # shellcheck disable=SC2046 # a list of words
    compile riscv64-linux-gnu-gcc "$out/riscv64/$(basename "$source" .c)" "$source" -O2 \
        $(sed -n '1s,^/\* flags: ,,p' "$source")
done
for source in tests/programs/container/*.c; do
    compile gcc "$out/container/$(basename "$source" .c)" "$source" -O2
done
libraries=()
for source in tests/programs/machine/*.c; do
    compile riscv64-linux-gnu-gcc "$out/machine/$(basename "$source" .c)" "$source" -O1 -march=rv64gc \
        -mabi=lp64 -mcmodel=medany -ffreestanding -nostdlib -no-pie -fno-pic -Wl,--build-id=none,--no-warn-rwx-segments \
        -T tests/programs/machine/link.ld
done
