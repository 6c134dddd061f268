#!/bin/bash
# Binary translation, code cache: code is translated once, kept, and linked; what runs often costs no
# more translation than what runs once.
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1
program=$build/programs/riscv64/quicksort
stat() { # SCALE NAME: a number of the engine's statistics
    "$riscv64" --cache off --stats "$program" "$1" 2>&1 >/dev/null | sed -n "s/^.*\b$2[^0-9]*\([0-9][0-9]*\).*/\1/p" | head -n 1
}
few=$(stat 1 blocks)
many=$(stat 30 blocks)
within "blocks are translated" "$few" 400 650
stats=$("$riscv64" --cache "$scratch/kept" --stats "$program" 1 2>&1 >/dev/null; "$riscv64" --cache "$scratch/kept" --stats "$program" 1 2>&1 >/dev/null)
within "the next process uses them again, percent" "$(($(sed -n 's/.*blocks reused //p' <<<"$stats" | tail -n 1) * 100 / few))" 95 100
within "thirty times the work needs hardly more of them" "$((many - few))" -20 20
within "blocks are linked to each other" "$(stat 1 links)" "$few" $((few * 2))
equal "the code cache does not change results" "$("$build/programs/native/quicksort" 30)" "$("$riscv64" "$program" 30)"
equal "nor does the interpreter" "$("$build/programs/native/quicksort")" "$(timeout 100 "$riscv64" --interpret "$program")"
# Of a short program much is its start; eight times the work tells what the code itself costs.
cpu_ms() { # COMMAND...: its processor time
    local TIMEFORMAT='%U %S'
    { time timeout 100 "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print int(($1 + $2) * 1000) }'
}
translated=$(cpu_ms "$riscv64" "$program" 8)
interpreted=$(cpu_ms "$riscv64" --interpret "$program" 8)
within "translated code is eight to two hundred times as fast as interpreted" "$((interpreted / translated))" 8 200
equal "changed code is translated anew" "$(qemu-riscv64 "$build/programs/riscv64/code_patch")" \
    "$(timeout 60 "$riscv64" "$build/programs/riscv64/code_patch" 2>&1)"
finish
