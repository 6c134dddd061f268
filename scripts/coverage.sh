#!/bin/bash
# Which lines of the engine the tests reach: builds with gcov's counters into build-coverage, runs the
# tests of the engine and of instructions, and prints each file's share.
# usage: coverage.sh [FILTER ...]     tests/run's filters; those of engine/ and isa/ that are no machine's when not said
# (a jailed machine may not write its counters).
# Fails when less than 95 % of the lines of src/engine are reached. Takes three minutes of a processor.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build-coverage
[ -e "$build/build.ninja" ] || meson setup "$build" -Db_coverage=true
ninja --quiet -C "$build" build.ninja
# What these tests run, and nothing else.
mapfile -t targets < <(ninja -C "$build" -t targets all | sed -n 's,^\(tests/\(engine\|isa\)/[a-z_]*\): .*,\1,p' | sort -u)
ninja --quiet -C "$build" "${targets[@]}" wirt-riscv64
[ $# -gt 0 ] || set -- engine/ isa/blocks isa/lift isa/test_cases isa/test_disassemble isa/test_float isa/test_random
# Tests that compile programs or boot want the guest's files, which are the same for every build.
[ -e "$build/guest" ] || [ ! -d build/guest ] || ln -s "$PWD/build/guest" "$build/guest"
find "$build" -name '*.gcda' -delete
WIRT_BUILD=$build tests/run "$@"
scripts/coverage.py "$build" src/engine 95 --missing
