# Helpers of the shell tests: . "$(dirname "$0")/../lib.sh"
# Each test has a folder of its own ($scratch), a state folder of its own, and leaves no guest behind.
# shellcheck shell=bash

PATH=$PATH:/usr/sbin:/sbin # an ordinary user has them, but does not look there
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(realpath "${WIRT_BUILD:-$source_dir/build}")
guest=$build/guest
wirt_binary=$build/wirt
riscv64=$build/wirt-riscv64
oci=$build/wirt-oci
scratch=$(mktemp -d "${TMPDIR:-/tmp}/wirt-test.XXXXXX")
failures=0

wirt() { "$wirt_binary" --root "$scratch/state" "$@"; }

end_test() {
    local ids
    if [ -d "$scratch/state" ]; then
        mapfile -t ids < <(wirt ps -aq 2>/dev/null)
        [ ${#ids[@]} -eq 0 ] || wirt rm -f "${ids[@]}" >/dev/null 2>&1
    fi
    rm -rf "$scratch"
}
trap end_test EXIT
trap 'exit 143' TERM INT

ok() { echo "ok - $1"; }
not_ok() { # NAME WHY
    echo "not ok - $1: $2"
    failures=$((failures + 1))
}
skip() { echo "skip - $1: $2"; }

# check NAME COMMAND...: ok when the command succeeds, and what it said when not
check() {
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "$* answered $?: $(tail -n 3 <<<"$said" | xargs -0)"; fi
}

# equal NAME WANTED GOT
equal() {
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted '$2', got '$3'"; fi
}

# contains NAME TEXT WHOLE
contains() {
    if grep -qF -- "$2" <<<"$3"; then ok "$1"; else not_ok "$1" "'$2' is not in '$(tail -n 5 <<<"$3")'"; fi
}

# within NAME VALUE LOW HIGH: whole numbers
within() {
    if [[ $2 =~ ^-?[0-9]+$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then
        ok "$1 ($2)"
    else
        not_ok "$1" "'$2' is not from $3 to $4"
    fi
}

# tree_rss PID: resident memory of a process and its children, in MiB
tree_rss() {
    local p kb=0
    for p in "$1" $(cat "/proc/$1/task/$1/children"); do
        kb=$((kb + $(awk '/^VmRSS:/ { print $2 }' "/proc/$p/status")))
    done
    echo $((kb / 1024))
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

# logs GUEST TEXT SECONDS NAME: ok when the guest writes the text in time; ends early with the guest
logs() {
    local end=$((SECONDS + $3))
    until logged "$1" "$2"; do
        if [ $SECONDS -ge $end ] || ! wirt ps -q --no-trunc 2>/dev/null | grep -q "$(inspected "$1" .id)"; then
            logged "$1" "$2" && break
            not_ok "$4" "the guest $(inspected "$1" .status), last it said: $(wirt logs "$1" 2>&1 | tail -n 3 | tr '\n' ';')"
            return 1
        fi
        sleep 0.2
    done
    ok "$4"
}

logged() { wirt logs "$1" 2>/dev/null | grep -qF -- "$2"; } # GUEST TEXT

# machine_stat GUEST PATH: a number of the hypervisor's statistics, e.g. .memory.second_level_faults
stat_of() { wirt stats --no-stream --json "$1" | jq -e ".[0]$2"; } # GUEST PATH, e.g. .cpu_us
inspected() { wirt inspect "$1" | jq -r ".[0]$2"; }              # GUEST PATH, e.g. .status
machine_stat() { wirt stats --no-stream --json "$1" | jq -e ".[0].machine$2"; }

# host_time: two numbers of the host since its start, in ticks of all processors: idle, and all
host_time() { awk '$1 == "cpu" { print $5, $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9 }' /proc/stat; }
# cpu_share NAME GUEST PERCENT: a guest that is a busy loop gets as much of a processor as its limit says, to a tenth
# (and one percent: a period that is cut). More is never right; less is, while others are at work on this host: then it
# is tried again, and in the end skipped.
cpu_share() {
    local name=$1 guest=$2 percent=$3 try used wall idle all idle_then all_then share
    for try in 1 2 3; do
        used=$(stat_of "$guest" .cpu_us) wall=$(date +%s%N)
        read -r idle_then all_then < <(host_time)
        sleep 4
        used=$(($(stat_of "$guest" .cpu_us) - used)) wall=$((($(date +%s%N) - wall) / 1000))
        read -r idle all < <(host_time)
        share=$((used * 100 / wall))
        if [ $share -gt $((percent + percent / 10 + 1)) ]; then
            not_ok "$name" "$share % of a processor, and $percent % is the limit"
            return
        fi
        if [ $share -ge $((percent - percent / 10 - 1)) ]; then
            ok "$name ($share %)"
            return
        fi
        if [ $(((idle - idle_then) * 100)) -gt $(((all - all_then) * 30)) ]; then
            not_ok "$name" "$share % of a processor, with a limit of $percent % and a host that has nothing else to do"
            return
        fi
    done
    skip "$name" "the host is busy: $share % of a processor is what was left, $percent % is the limit"
}

is_root() { [ "$(id -u)" -eq 0 ]; }
is_static() { ldd "$1" 2>&1 | grep -qE "not a dynamic|statically linked"; } # FILE
# within_reach: an ordinary user may have no way to the build folder, as below /root. Then root runs the
# test again where that folder is at /mnt too, in a mount namespace of its own.
within_reach() {
    local user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    is_root && ! { "${user[@]}" test -x "$wirt_binary" && "${user[@]}" test -x "$guest/rootfs"; } || return 0
    [ -z "${WIRT_AT_MNT:-}" ] && unshare -m mount --bind "$build" /mnt 2>/dev/null || return 0
    rm -rf "$scratch"
    # shellcheck disable=SC2016 # for the shell inside
    WIRT_AT_MNT=1 exec unshare -m bash -c 'mount --bind "$1" /mnt && WIRT_BUILD=/mnt exec "$2"' - "$build" "$(realpath "$0")"
}
# need_ids NAME: an ordinary user runs the test again as root of a user namespace that has all of the user's ids
# (subuid(5)).
need_ids() {
    local enter=(unshare --user --map-root-user --map-auto --mount)
    is_root && return
    "${enter[@]}" true 2>/dev/null ||
        { skip "$1" "an ordinary user needs user namespaces, newuidmap (package uidmap) and ids in /etc/subuid and /etc/subgid"; exit 0; }
    rm -rf "$scratch"
    exec "${enter[@]}" "$(realpath "$0")"
}
need_root() { is_root || { skip "$1" "only the host's root may $2"; exit 0; }; } # NAME WHAT

finish() { exit $((failures > 0)); }
