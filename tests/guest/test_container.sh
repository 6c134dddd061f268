#!/bin/bash
# Every verb over the container wall, with native programs and with riscv64 ones.
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1
. "$(dirname "$0")/walls.sh"
wall=container
root=$guest/rootfs-native
as=(--as container)
test_wall

equal "--read-only" "no" \
    "$(run --rm --read-only "$root" sh -c 'echo x 2>/dev/null >/new && echo yes || echo no' 2>/dev/null)"

# Commands that are there and cannot be executed, which only the kernel knows.
mkdir -p "$scratch/small/bin"
printf '#!/no/such/interpreter\n' >"$scratch/small/bin/script"
printf 'neither\n' >"$scratch/small/bin/text"
chmod +x "$scratch"/small/bin/*
wirt run --rm "$scratch/small" script 2>"$scratch/said"
equal "a script without its interpreter" 127 $?
wirt run --rm "$scratch/small" text 2>>"$scratch/said"
equal "a text as a command" 126 $?
contains "and why" "Exec format error" "$(cat "$scratch/said")"

# A script whose interpreter leads out through a descriptor of the runtime's, by run and by exec.
mkdir -p "$scratch/outside" "$scratch/trap/bin" "$scratch/trap/proc"
cp "$root/bin/busybox" "$scratch/outside/echo" 2>/dev/null || cp /bin/busybox "$scratch/outside/echo"
cp "$scratch/outside/echo" "$scratch/trap/bin/sleep"
for n in {3..15}; do
    printf '#!/proc/self/fd/%d/../../../../../../../../..%s OUTSIDE\n' "$n" "$scratch/outside/echo" \
        >"$scratch/trap/bin/$n"
    chmod +x "$scratch/trap/bin/$n"
done
wirt run -d --as container --name trapped "$scratch/trap" sleep 1000 >/dev/null
said=$(for n in {3..15}; do
    wirt run --rm --as container "$scratch/trap" "$n" && echo "run $n"
    wirt exec trapped "$n" && echo "exec $n"
done 2>&1)
check "no script runs a program of the host" test -z "$(grep -E 'OUTSIDE|^(run|exec)' <<<"$said")"
contains "they were tried" "No such file" "$said"
wirt rm -f trapped >/dev/null

# Files as streams: whole, and no more than what was given. The container could open its own again.
cd "$scratch" || exit 1
head -c 3000000 /dev/urandom >sent
wirt run -d --as container --name streams "$root" sh -c 'while :; do sleep 1; done' >/dev/null
wirt_in() { # what hangs ends
    wirt rm -f kept >/dev/null 2>&1
    timeout -k 1 60 "$wirt_binary" --root "$scratch/state" "$@"
}
for how in "run --rm -i --as container $root" "run -i --as container --name kept $root" "exec -i streams"; do
    echo untouched >given
    # shellcheck disable=SC2086 # words
    wirt_in $how sh -c 'echo changed >/proc/self/fd/0; [ -f /proc/self/fd/1 ] && cat /proc/self/fd/1; cat; exit 3' <given >got 2>/dev/null
    equal "${how%% *}: exit status with files as streams" 3 $?
    equal "${how%% *}: a file to be read is not written" untouched "$(cat given)"
    equal "${how%% *}: what is written is not read" untouched "$(grep -v changed got)"
    # shellcheck disable=SC2086 # words
    wirt_in $how sh -c 'cat; echo end >&2' <sent >got 2>err
    check "${how%% *}: input and output are whole" cmp sent got
    equal "${how%% *}: and the errors" end "$(cat err)"
    # shellcheck disable=SC2086 # words
    wirt_in $how sh -c 'ls /proc/self/fd/0/../ 2>/dev/null' <"$scratch" >got 2>/dev/null
    equal "${how%% *}: a folder is no way out" "" "$(cat got)"
done
# shellcheck disable=SC2016 # for the shell inside
equal "what the command leaves running holds nobody up" "now" \
    "$(wirt_in exec streams sh -c 'echo now; sleep 100 & exit 0' >got; cat got)"
wirt rm -f streams kept >/dev/null
cd / || exit 1

# A single program needs no root file system.
equal "a program alone in a container" "$("$build/programs/native/fib" | tail -n 1)" \
    "$(wirt run --rm --as container "$build/programs/native/fib" | tail -n 1)"

# A folder of riscv64 programs: a container whose programs go through the process wall.
if ! is_static "$riscv64"; then
    skip "riscv64 in a container" "wirt-riscv64 is linked dynamically here: it cannot run in a container"
    finish
fi
root=$guest/rootfs
equal "riscv64 in a container: uname" "riscv64" "$(wirt run --rm "$root" uname -m)"
equal "riscv64 in a container: its wall" "container" \
    "$(wirt run --name r "$root" true; wirt inspect r | jq -r '.[0].config.wall')"
wirt rm r >/dev/null
equal "riscv64 in a container: children of children" "riscv64 2" \
    "$(wirt run --rm "$root" sh -c 'sh -c "uname -m" | while read -r m; do echo $m $((1+1)); done')"
equal "riscv64 in a container: pid 1" "1" "$(wirt run --rm "$root" sh -c 'echo $$')"
wirt run -d --name rexec "$root" sh -c 'while :; do sleep 0.2; done' >/dev/null
equal "riscv64 in a container: exec" "riscv64" "$(wirt exec rexec uname -m)"
wirt rm -f rexec >/dev/null
check "the root file system is left as it was" test ! -e "$root/.wirt-riscv64"
equal "a riscv64 program alone in a container" "0" \
    "$(wirt run --rm --as container "$build/programs/riscv64/hello" >/dev/null; echo $?)"
finish
