#!/bin/bash
# Builds the fuzzers (tests/fuzz/fuzz_*.c) with clang's libFuzzer into build-fuzz and runs each for some
# seconds on what it has found so far.
# usage: fuzz.sh [SECONDS [NAME ...]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
shift || true
build=$PWD/build-fuzz
[ -e "$build/build.ninja" ] ||
    CC=clang meson setup "$build" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')
ninja -C "$build" "${@/#/tests/fuzz/}"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1
passed=0 failed=0
for name in "$@"; do
    mkdir -p "$build/corpus/$name" "$build/crashes"
    log=$build/$name.log
    if "$build/tests/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
        -artifact_prefix="$build/crashes/$name-" "$build/corpus/$name" >"$log" 2>&1; then
        echo "ok - $name: $(grep -o 'Done [0-9]* runs' "$log" || true)"
        passed=$((passed + 1))
    else
        echo "not ok - $name: see $log"
        tail -n 30 "$log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
