#!/bin/bash
# Builds with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer into build-asan and runs the
# tests there.
# usage: asan.sh [--all | FILTER ...]
# Without --all, tests are left out that take minutes and show what translated code computes or what
# another program does, since that code is not instrumented: what is checked is our own C code.
# Leaks are looked for in the C tests of devices, links and engine, which free all that they made. A
# jailed machine has nobody who could look (LeakSanitizer stops another process to do it), and what ends
# by _exit or exec hands its memory back whole: those are bounded by the tests of their life.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$PWD/build-asan
# gcc warns of what the sanitizers put in; the plain build is the one that must be free of warnings.
[ -e "$build/build.ninja" ] ||
    meson setup "$build" -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Dwerror=false
ninja --quiet -C "$build"
[ -e "$build/guest" ] || ln -s ../build/guest "$build/guest"
# use_sigaltstack: threads of the engine have stacks for signals of their own.
export ASAN_OPTIONS=use_sigaltstack=0:detect_leaks=0:quarantine_size_mb=16:abort_on_error=1:handle_segv=0:allow_user_segv_handler=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export WIRT_BUILD=$build WIRT_SANITIZED=1
export WIRT_HOSTILE_SECONDS=${WIRT_HOSTILE_SECONDS:-30}
if [ "${1:-}" = --all ]; then
    set -- isa/ engine/ container/ net/ process/ machine/ agent/ guest/
elif [ $# -eq 0 ]; then
    set -- isa/lift isa/blocks engine/ \
        container/test_hostile container/test_lifecycle container/test_process \
        process/test_command_line process/test_guest_programs process/test_hostile_elf \
        machine/blk machine/bus machine/console machine/fs machine/net machine/pci machine/slat \
        machine/uart machine/virtio machine/virtqueue machine/test_boot_input machine/test_control \
        machine/test_guest machine/test_hostile_guest machine/test_port \
        agent/test_agent guest/agent guest/balance guest/test_lying_agent guest/subids guest/test_container \
        guest/test_options guest/test_process guest/test_state
fi
for test in blk bus console fs net pci slat uart virtio virtqueue; do
    ASAN_OPTIONS=${ASAN_OPTIONS/detect_leaks=0/detect_leaks=1} "$build/tests/machine/test_$test" \
        >"$build/leaks.log" 2>&1 || { tail -n 40 "$build/leaks.log"; echo "0 passed, 1 failed"; exit 1; }
done
# kernel: its stack grows, when the limit is raised, into what AddressSanitizer takes for its own.
[ -n "${WIRT_GUEST_PROGRAMS:-}" ] ||
    WIRT_GUEST_PROGRAMS=$(cd tests/process/guest && ls -- *.c | sed 's/\.c$//' | grep -vx kernel | xargs)
export WIRT_GUEST_PROGRAMS
scripts/programs.sh
exec tests/run "$@"
