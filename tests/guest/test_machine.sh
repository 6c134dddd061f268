#!/bin/bash
# Every verb over the machine wall: Debian's kernel, unmodified, as a guest.
# timeout: 600
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1
[ -r "$guest/vmlinux" ] || { skip "machine wall" "no guest files (make guest)"; exit 0; }
. "$(dirname "$0")/walls.sh"
. "$(dirname "$0")/machines.sh"
hello=$build/programs/riscv64/hello

said=$(run --rm "$hello" </dev/null)
equal "a program as a machine: exit status" 0 $?
contains "a program as a machine: its output" hello "$said"
equal "a program as a machine: and nothing else" "$("$riscv64" "$hello")" "$(tr -d '\r' <<<"$said")"

check "--stats: the hypervisor's numbers at the end" jq -e '.engine.blocks > 0 and .memory.second_level_faults > 0' \
    <(run --rm --stats "$hello" </dev/null 2>&1 >/dev/null)

busybox_root
test_wall
equal "the head of an endless command" "y y 141" \
    "$({ run --name head "$root" busybox yes; echo $? >"$scratch/status"; } | head -n 2 | xargs) $(cat "$scratch/status")"
wirt rm -f head >/dev/null
equal "a command that is no program" 126 "$(run --rm "$root" /etc/passwd >/dev/null 2>&1; echo $?)"
equal "options together" "it's 'quoted' \$HOME|/tmp|1000:1000|lodge|riscv64" \
    "$(run --rm -e X="it's 'quoted' \$HOME" -w /tmp -u 1000:1000 --hostname lodge "$root" \
        sh -c 'echo "$X|$(pwd)|$(id -u):$(id -g)|$(hostname)|$(uname -m)"')"
equal "every byte comes through as it is" "$(seq 20000 | md5sum)" "$(seq 20000 | run --rm -i "$root" cat | md5sum)"
equal "standard output can be opened again" "again" "$(run --rm "$root" sh -c 'echo again >/dev/stdout')"
equal "nothing is left after --rm" "" "$(left_over)"

equal "no guest is left" "" "$(wirt ps -aq)"
finish
