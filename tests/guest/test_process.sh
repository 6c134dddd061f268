#!/bin/bash
# Every verb over the process wall: a riscv64 root file system on the host's kernel.
. "$(dirname "$0")/../lib.sh"
within_reach
"$source_dir/scripts/programs.sh" || exit 1
. "$(dirname "$0")/walls.sh"
wall=process
root=$guest/rootfs
as=(--as process)
test_wall

equal "a riscv64 program is run as a process by itself" "process" \
    "$(wirt run --name p "$build/programs/riscv64/hello" >/dev/null; wirt inspect p | jq -r '.[0].config.wall')"
wirt rm p >/dev/null
contains "--stats says what was translated" "block" \
    "$(wirt run --rm --stats "$build/programs/riscv64/hello" 2>&1)"
wirt run --rm --trace "$scratch/trace" "$build/programs/riscv64/hello" >/dev/null
check "--trace writes a file" test -s "$scratch/trace"
finish
