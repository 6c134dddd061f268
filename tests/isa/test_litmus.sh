#!/bin/bash
# The memory model: litmus shapes between threads of a process and between harts of a machine. An outcome that RVWMO
# forbids never comes, in 300,000 rounds of each (WIRT_LITMUS thousand); that the harness would see one, store buffering without fences shows.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/both_walls.sh"
rounds=$((${WIRT_LITMUS:-300} * 1000 / 256))
both_built litmus "$rounds" || exit 1
[ "$(nproc)" -gt 1 ] || { skip "litmus" "one processor: nothing runs at the same time"; exit 0; }
run_threads "$rounds"
run_harts
finish
