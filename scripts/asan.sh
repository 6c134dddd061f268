#!/bin/bash
# Builds with AddressSanitizer and UndefinedBehaviorSanitizer into build-asan and runs the tests there.
# usage: asan.sh [FILTER ...]      without a filter: everything but the tests of speed and of the house
# Translated code is not instrumented: what is checked is our own C code around it.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build-asan
# gcc warns of what the sanitizers put in; the plain build is the one that must be free of warnings.
[ -e "$build/build.ninja" ] ||
    meson setup "$build" -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Dwerror=false
ninja --quiet -C "$build"
[ -e "$build/guest" ] || ln -s ../build/guest "$build/guest"
# Leaks at exit are the operating system's to take back: walls end by exec or _exit.
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16:abort_on_error=1:handle_segv=0:allow_user_segv_handler=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export WIRT_BUILD=$build WIRT_SANITIZED=1
[ $# -gt 0 ] || set -- base/ isa/ engine/ image/ container/ process/ machine/ agent/ guest/
scripts/programs.sh
exec tests/run "$@"
