#!/bin/bash
# A guest with a terminal, and input that is none of a terminal's: a file's end is typed, as one types ^D; a file
# that cannot be read is an error, not an end. And a command's status is its own, however it leaves its terminal.
# timeout: 300
. "$(dirname "$0")/../lib.sh"

seq 4000 >"$scratch/long" # more than a terminal takes at once: the output has to be taken in between
echo line >"$scratch/line"
printf 'no line' >"$scratch/part"
: >"$scratch/empty"
unreadable=/proc/$$/mem # its first page is nobody's: EIO

# given FILE VERB...: with this as its input; its status, and how many lines it said
given() {
    local file=$1 said status
    shift
    said=$(timeout -k 5 60 "$wirt_binary" --root "$scratch/state" "$@" <"$file" 2>"$scratch/error")
    status=$?
    echo "$status $(tr -d '\r' <<<"$said" | grep -c .)"
}

# ends NAME VERB...: of a command with a terminal
ends() {
    local name=$1
    shift
    equal "$name: a line, its echo and status" "0 2" "$(given "$scratch/line" "$@" cat)"
    equal "$name: the end within a line" "0 1" "$(given "$scratch/part" "$@" cat)"
    equal "$name: no input at all" "0 0" "$(given "$scratch/empty" "$@" cat)"
    equal "$name: more than a terminal takes" 4000 \
        "$(timeout -k 5 60 "$wirt_binary" --root "$scratch/state" "$@" sh -c 'tee /dev/tty | wc -l' <"$scratch/long" | tr -d '\r' | tail -n 1)"
    equal "$name: input that cannot be read" "125 0" "$(given "$unreadable" "$@" cat)"
    contains "$name: and why" "Input/output error" "$(cat "$scratch/error")"
}

# leaves NAME VERB...: of a shell with a terminal
leaves() {
    local name=$1 i statuses=
    shift
    for i in 1 2 3 4 5 6; do
        statuses+=$(given /dev/null "$@" sh -c 'exec <&- >&- 2>&-; exit 7' | cut -d ' ' -f 1)
    done
    equal "$name: the status of one that closes its terminal first" 777777 "$statuses"
    [[ $name != machine* ]] || return 0 # whose agent reads no more from what is opened again
    equal "$name: one that closes it and opens it again" "7 1" \
        "$(given /dev/null "$@" sh -c 'exec <&- >&- 2>&-; sleep 0.3; echo again >/dev/tty; exit 7')"
}

# attaches NAME KIND FILE WANTED OPTION... ROOT: to `cat`
attaches() {
    local name=$1 kind=$2 file=$3 wanted=$4
    shift 4
    wirt run "$kind" --name waits "$@" cat >/dev/null
    equal "$name" "$wanted" "$(given "$file" attach waits)"
    wirt rm -f waits >/dev/null
}

# behind WALL ROOT OPTION...
behind() {
    local wall=$1 root=$2
    shift 2
    wirt run -d "$@" --name runs "$root" sh -c 'while :; do sleep 1; done' >/dev/null
    ends "$wall: exec -it" exec -it runs
    leaves "$wall: exec -t" exec -t runs
    wirt rm -f runs >/dev/null
    attaches "$wall: attach to a terminal: a line and its echo" -dit "$scratch/line" "0 2" "$@" "$root"
    attaches "$wall: attach to a terminal: input that cannot be read" -dit "$unreadable" "125 0" "$@" "$root"
    [ "$wall" != machine ] || return 0 # each boots
    attaches "$wall: attach: a line" -di "$scratch/line" "0 1" "$@" "$root"
    attaches "$wall: attach: input that cannot be read" -di "$unreadable" "125 0" "$@" "$root"
    ends "$wall: run -it" run --rm -it "$@" "$root"
    leaves "$wall: run -t" run --rm -t "$@" "$root"
}

behind container "$guest/rootfs-native" --as container
behind process "$guest/rootfs" --as process
if [ -r "$guest/vmlinux" ]; then
    behind machine "$guest/rootfs" --as machine --memory 128m
else
    skip "machine" "no guest files (make guest)"
fi
equal "no guest is left" "" "$(wirt ps -aq)"
finish
