#!/bin/bash
# ISA, user and system: what the instructions do is what they do on qemu.
# timeout: 300
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1

# User part: each instruction on the values where the rules are special.
for program in integer_edges float_edges; do
    qemu-riscv64 "$build/programs/riscv64/$program" >"$scratch/qemu"
    "$riscv64" "$build/programs/riscv64/$program" >"$scratch/wirt" 2>&1
    wrong=$(diff "$scratch/qemu" "$scratch/wirt" | sed -n 's/^> \([^ ]*\).*/\1/p' | xargs)
    total=$(wc -l <"$scratch/qemu")
    if [ "$total" -gt 50 ] && cmp -s "$scratch/qemu" "$scratch/wirt"; then
        ok "user instructions, $program ($total kinds)"
    else
        not_ok "user instructions, $program" "differs from qemu: ${wrong:-$(tail -n 1 "$scratch/wirt")}"
    fi
done

# Against no oracle: qemu's counter says time.
for how in "" --interpret; do
    # shellcheck disable=SC2086 # an option or none
    equal "instret counts instructions $how" "end" "$("$riscv64" $how "$build/programs/riscv64/instret" 2>&1)"
done

# System part: modes, traps, delegation, page tables, protection, interrupts from machine mode on.
program=$build/programs/machine/privileged
# On a busy host qemu may lose a timer for good, and waits for ever: that says nothing of wirt.
for _ in 1 2 3; do
    timeout 20 qemu-system-riscv64 -M virt -m 128M -nographic -bios "$program" </dev/null >"$scratch/qemu" 2>&1 && break
done
timeout 60 "$wirt_binary" --root "$scratch/state" run --rm --as machine --memory 128m --firmware "$program" \
    </dev/null >"$scratch/wirt" 2>&1
contains "the oracle came to its end" "end" "$(tail -n 1 "$scratch/qemu")"
if wrong=$(diff <(tr -d '\r' <"$scratch/qemu") <(tr -d '\r' <"$scratch/wirt")); then
    ok "system instructions ($(grep -c ':' "$scratch/qemu") cases)"
else
    not_ok "system instructions" "$(grep '^[<>]' <<<"$wrong" | head -n 12 | tr '\n' ';')"
fi
finish
