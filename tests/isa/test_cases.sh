#!/bin/bash
# Small programs that were run wrong once (tests/isa/cases): each ends with status 0 by each engine.
# A line "# flags: ..." of theirs goes to the linker.
. "$(dirname "$0")/../lib.sh"

engines=(
    "interpreted|$build/wirt-riscv64 --interpret"
    "translated|$build/wirt-riscv64"
    "paged, interpreted|$build/tests/isa/paged --interpret"
    "paged|$build/tests/isa/paged"
    "paged, first x86-64|$build/tests/isa/paged --sse"
)
for source in "$(dirname "$0")"/cases/*.S; do
    name=$(basename "$source" .S)
    # shellcheck disable=SC2046 # a list of words
    riscv64-linux-gnu-gcc -nostdlib -static -Wl,--no-relax -march=rv64gc_zba_zbb_zbc_zbs \
        -o "$scratch/$name" "$source" $(sed -n 's,^# flags: ,,p' "$source")
    for engine in "${engines[@]}"; do
        # shellcheck disable=SC2086 # a list of words
        if timeout 30 ${engine#*|} "$scratch/$name"; then
            ok "$name, ${engine%%|*}"
        else
            not_ok "$name, ${engine%%|*}: status $?"
        fi
    done
done
finish
