#!/bin/bash
# Builds with ThreadSanitizer into build-tsan and runs there the tests in which several threads meet: the engine,
# the machine's harts, its loop and its devices' threads, and the process wall's threads.
# usage: tsan.sh [FILTER ...]
# Translated code is not instrumented: it is the C code around it that is checked. What a guest's own
# accesses do to each other is the guest's matter (src/engine/guest_access.h); nothing else is left out,
# so there is no list of suppressions.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build-tsan
# gcc warns of what the sanitizers put in; the plain build is the one that must be free of warnings.
[ -e "$build/build.ninja" ] ||
    meson setup "$build" -Db_sanitize=thread -Db_lundef=false -Doptimization=1 -Dwerror=false
ninja --quiet -C "$build"
[ -e "$build/guest" ] || ln -s ../build/guest "$build/guest"
# A program that forks may make threads afterwards: ThreadSanitizer dislikes it, Linux does not.
export TSAN_OPTIONS=exitcode=66:second_deadlock_stack=1:die_after_fork=0
export WIRT_BUILD=$build WIRT_SANITIZED=1
export WIRT_GUEST_PROGRAMS="threads"
export WIRT_HOSTILE_SECONDS=${WIRT_HOSTILE_SECONDS:-30}
[ $# -gt 0 ] || set -- engine/random_threads machine/blk machine/bus machine/console machine/fs machine/net machine/pci \
    machine/uart machine/virtio machine/virtqueue machine/slat "guest/agent link" \
    machine/test_control machine/test_hostile_guest machine/test_guest \
    process/test_guest_programs
scripts/programs.sh
exec tests/run "$@"
