#!/bin/bash
# Code that is rewritten while others run it, between threads of a process and between harts of a machine: after a
# fence.i nobody runs the old one. WIRT_MODIFY thousand rounds.
# timeout: 400
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/both_walls.sh"
rounds=$((${WIRT_MODIFY:-30} * 1000))
both_built modify "$rounds" || exit 1
run_threads $((rounds / 10)) # a process compares all that is translated, at each fence.i
run_harts
finish
