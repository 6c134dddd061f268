#!/bin/bash
# Builds the fuzzers (tests/fuzz/fuzz_*.c) with clang's libFuzzer, AddressSanitizer (leaks too) and
# UndefinedBehaviorSanitizer into build-fuzz. Each first reads what is kept of it
# (tests/fuzz/corpus/NAME), then goes on for some seconds from there and from what it found before.
# Then random blocks, and random programs on several harts (tests/engine/random), from another seed each
# time; last, the hostile guest does its worst to the same build, three times as long.
# usage: fuzz.sh [SECONDS [NAME ...]]     20 seconds, all of them, when not said
#        fuzz.sh --keep NAME ...          makes what is kept anew, as small as it covers the same
set -euo pipefail
cd "$(dirname "$0")/.."
keep=
if [ "${1:-}" = --keep ]; then
    keep=1
    shift
else
    seconds=${1:-20}
    shift || true
fi
build=$PWD/build-fuzz
kept=$PWD/tests/fuzz/corpus
command -v clang >/dev/null || { echo "fuzz.sh: clang is not installed (scripts/deps.sh test)" >&2; exit 1; }
[ -e "$build/build.ninja" ] ||
    CC=clang meson setup "$build" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
guests=(machine/test_hostile_guest) # of tests
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//') random_blocks random_threads "${guests[@]}"
targets=()
for name in "$@"; do
    case $name in fuzz_*) targets+=("tests/fuzz/$name") ;; random_*) targets+=("tests/engine/$name") ;; *) targets+=(tests/machine-boot) ;; esac
done
ninja --quiet -C "$build" "${targets[@]}"
export ASAN_OPTIONS=detect_leaks=1:use_sigaltstack=0:quarantine_size_mb=16:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
limits=(-timeout=20 -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1)

if [ -n "$keep" ]; then
    for name in "$@"; do
        mkdir -p "$kept/$name" "$build/corpus/$name" "$build/merged/$name"
        rm -f "$build/merged/$name"/*
        "$build/tests/fuzz/$name" -merge=1 "${limits[@]}" "$build/merged/$name" "$kept/$name" \
            "$build/corpus/$name" >"$build/$name.log" 2>&1
        rm -f "$kept/$name"/*
        cp "$build/merged/$name"/* "$kept/$name/"
        echo "$name: $(ls "$kept/$name" | wc -l) inputs, $(cat "$kept/$name"/* | wc -c) bytes"
    done
    exit
fi

passed=0 failed=0
result() { # STATUS NAME LOG WHAT
    local status=$1
    shift
    if [ "$status" -eq 0 ]; then
        echo "ok - $1: $3"
        passed=$((passed + 1))
    else
        echo "not ok - $1: see $2"
        tail -n 40 "$2"
        failed=$((failed + 1))
    fi
}
fuzz() { # NAME LOG
    local folders=("$build/corpus/$1")
    mkdir -p "$build/corpus/$1" "$build/crashes"
    if [ -d "$kept/$1" ]; then
        folders+=("$kept/$1")
        "$build/tests/fuzz/$1" -runs=0 "${limits[@]}" "$kept/$1" >"$2" 2>&1 || return 1
    fi
    "$build/tests/fuzz/$1" -max_total_time="$seconds" "${limits[@]}" \
        -artifact_prefix="$build/crashes/$1-" "${folders[@]}" >>"$2" 2>&1
}
for name in "$@"; do
    log=$build/${name//\//-}.log
    case $name in
    fuzz_*)
        fuzz "$name" "$log" && true
        result $? "$name" "$log" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1) inputs" ;;
    random_*)
        "$build/tests/engine/$name" --seed "$(date +%s)0000" --seconds "$seconds" >"$log" 2>&1 && true
        result $? "$name" "$log" "$(sed -n 's/^# seeds //p' "$log")" ;;
    *)
        # A jailed machine has nobody who could look for its leaks.
        ASAN_OPTIONS=${ASAN_OPTIONS/detect_leaks=1/detect_leaks=0} WIRT_BUILD=$build WIRT_SANITIZED=1 WIRT_HOSTILE_SECONDS=$((3 * seconds)) \
            "tests/$name.py" >"$log" 2>&1 && true
        result $? "$name" "$log" "$(grep -c '^ok' "$log") seeds" ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
