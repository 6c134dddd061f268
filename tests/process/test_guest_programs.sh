#!/bin/bash
# The programs of tests/process/guest check themselves. Each is run natively, which shows that what it
# wants is what Linux does, then translated and interpreted; static and dynamic.
# WIRT_GUEST_PROGRAMS: only these, by name. timeout: 600
. "$(dirname "$0")/../lib.sh"
here=$source_dir/tests/process/guest
sysroot=/usr/riscv64-linux-gnu
flags=(-std=gnu17 -O1 -w -pthread) # faults and leaks are what these are for: warnings say only that

# one HOW NAME COMMAND...: passes its result lines on, with HOW in front of the names
one() {
    local how=$1 name=$2 status
    shift 2
    timeout 120 "$@" >"$scratch/out" 2>&1 </dev/null
    status=$?
    if [ "$status" -eq 0 ] && grep -q '^ok' "$scratch/out" && ! grep -q '^not ok' "$scratch/out"; then
        ok "$name, $how ($(grep -c '^ok' "$scratch/out") checks)"
    else
        not_ok "$name, $how" "exit status $status; $(grep -v '^ok' "$scratch/out" | head -n 5)$(tail -n 1 "$scratch/out")"
    fi
}

for source in "$here"/*.c; do
    name=$(basename "$source" .c)
    [[ " ${WIRT_GUEST_PROGRAMS:-$name} " = *" $name "* ]] || continue
    gcc "${flags[@]}" "$source" -o "$scratch/$name-native" -lrt -lm 2>"$scratch/cc" || { not_ok "$name" "does not compile"; continue; }
    riscv64-linux-gnu-gcc "${flags[@]}" -static "$source" -o "$scratch/$name-static" -lrt -lm 2>"$scratch/cc" || continue
    riscv64-linux-gnu-gcc "${flags[@]}" "$source" -o "$scratch/$name-dynamic" -lrt -lm 2>"$scratch/cc" || continue
    arguments=()
    [ "$name" = exec ] && arguments=(/bin/echo)
    cd "$scratch" || exit 1
    one "natively" "$name" "./$name-native" "${arguments[@]}"
    one "static" "$name" "$riscv64" "./$name-static" "${arguments[@]}"
    one "dynamic" "$name" "$riscv64" -L "$sysroot" "./$name-dynamic" "${arguments[@]}"
    one "interpreted" "$name" "$riscv64" --interpret "./$name-static" "${arguments[@]}"
done
finish
