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
# Something well-formed to start from.
seeds() { # NAME FOLDER
    case $1 in
    fuzz_agent_link) # output, room for input, exit
        printf '\3\0\0\0\0\0\7\247out' >"$2/output"
        printf '\10\0\0\0\0\0\11\247\12\0\0\0\3\0\0\0' >"$2/room"
        printf '\1\0\0\0\0\0\12\247\5' >"$2/exit" ;;
    fuzz_elf)
        echo 'int _start(void) { return 0; }' | riscv64-linux-gnu-gcc -nostdlib -static -s -Wl,--build-id=none -x c -o "$2/static" -
        echo 'int main(void) { return 0; }' | riscv64-linux-gnu-gcc -nostartfiles -e main -s -x c -o "$2/dynamic" - ;;
    fuzz_lift)
        echo 'double f(double *a, int n) { double s = 0; for (int i = 0; i < n; i++) s += a[i] * i; return s; }' |
            riscv64-linux-gnu-gcc -O2 -c -x c -o "$2/object" - ;;
    fuzz_net_filter) # a flag byte, and datagrams to 8.8.8.8 and 2001:db8::1
        printf '\0RRRRRRRRRRRR\10\0E\0\0\34\0\0\0\0@\21\0\0\12\0\2\17\10\10\10\10\20\222\0\65\0\10\0\0' >"$2/v4"
        printf '\0RRRRRRRRRRRR\206\335`\0\0\0\0\10\21@\376\300\0\0\0\0\0\0\0\0\0\0\0\0\0\17 \1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\20\222\0\65\0\10\0\0' >"$2/v6" ;;
    fuzz_virtio) # the console's port opened, a buffer each for input, output and messages, and a host that writes and reads
        printf '\2\3\1\4\10\0\0\300\0\20\2\0\5\2\0\4\11\0\0\320\0\40\0\0\5\5\0\4\12\0\0\340\0\20\2\0\5\10\0\5\10\0\5\10\0\7\20\7\1\7\2\7\3' >"$2/port" ;;
    fuzz_oci_config)
        [ ! -x build/wirt-oci ] || (cd "$2" && rm -f config.json && "$OLDPWD/build/wirt-oci" spec) ;;
    esac
}
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1
passed=0 failed=0
for name in "$@"; do
    mkdir -p "$build/corpus/$name" "$build/crashes"
    seeds "$name" "$build/corpus/$name"
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
