#!/bin/bash
# Wrong options: one message that names the option and what would be right, exit status 125.
. "$(dirname "$0")/../lib.sh"

root=$guest/rootfs-native
riscv=$guest/rootfs

# wrong NAME STATUS TEXT ARGUMENT...
wrong() {
    local name=$1 want=$2 text=$3 said status
    shift 3
    said=$(wirt "$@" 2>&1 </dev/null)
    status=$?
    if [ $status -ne "$want" ]; then
        not_ok "$name" "exit status $status, wanted $want: $said"
    elif [ "$(wc -l <<<"$said")" -ne 1 ]; then
        not_ok "$name" "more than one line: $said"
    elif ! grep -qF -- "$text" <<<"$said"; then
        not_ok "$name" "'$text' is not in: $said"
    else
        ok "$name"
    fi
}

wrong "unknown verb" 125 "unknown verb frobnicate" frobnicate
wrong "unknown option in front of the verb" 125 "--frobnicate" --frobnicate ps
wrong "unknown long option" 125 "--frobnicate" run --frobnicate "$root"
wrong "unknown short option" 125 "-Z" run -Z "$root"
wrong "long option without its value" 125 "--name needs a value" run --name
wrong "short option without its value" 125 "--memory needs a value" run -m
wrong "value for an option that takes none" 125 "--rm takes no value" run --rm=yes "$root"
wrong "no target" 125 "what is to run" run
wrong "missing target" 125 "no such folder or file" run "$scratch/none" true
wrong "unknown wall" 125 "container, process or machine" run --as jail "$root" true
wrong "cpus not a number" 125 "--cpus" run --cpus many "$root" true
wrong "cpus 0" 125 "--cpus" run --cpus 0 "$root" true
wrong "negative cpus" 125 "--cpus" run --cpus -1 "$root" true
wrong "memory not a size" 125 "--memory" run -m lots "$root" true
wrong "memory 0" 125 "--memory" run -m 0 "$root" true
wrong "memory too large" 125 "--memory" run -m 99999999999999999999g "$root" true
wrong "pids not a number" 125 "--pids-limit" run --pids-limit x "$root" true
wrong "volume without target" 125 "SOURCE:TARGET" run -v /tmp "$root" true
wrong "volume with relative target" 125 "absolute" run -v /tmp:tmp "$root" true
wrong "volume with unknown mode" 125 "ro or rw" run -v /tmp:/tmp:rx "$root" true
wrong "volume with missing source" 125 "--volume" run -v "$scratch/none:/mnt" "$root" true
wrong "empty variable" 125 "NAME=VALUE" run -e =x "$root" true
wrong "relative working folder" 125 "absolute" run -w tmp "$root" true
wrong "host name with a slash" 125 "--hostname" run --hostname a/b "$root" true
wrong "unknown network" 125 "none, host, nat, nat:host-loopback or nat:link-local" run --network bridge "$root" true
wrong "an opening of nat that is none" 125 "host-loopback and link-local, not 'x'" run --network nat:link-local,x "$root" true
wrong "port without guest port" 125 "HOST-PORT:GUEST-PORT" run -p 80 "$root" true
wrong "port out of range" 125 "1 to 65535" run -p 80:70000 "$root" true
wrong "unknown protocol" 125 "tcp or udp" run -p 80:80/sctp "$root" true
wrong "no IPv4 address" 125 "IPv4" run -p x:80:80 "$root" true
wrong "unknown platform" 125 "linux/amd64 or linux/riscv64" run --platform linux/arm64 "$root" true
wrong "another platform" 125 "linux/amd64" run --platform linux/riscv64 "$root" true
wrong "name with a slash" 125 "--name" run --name a/b "$root" true
wrong "name too long" 125 "--name" run --name "$(printf 'a%.0s' {1..80})" "$root" true
wrong "kernel for a container" 125 "--as machine" run --as container --kernel /etc/hostname "$root" true
wrong "disk for a process" 125 "--as machine" run --as process --disk /etc/hostname "$riscv" true
wrong "native root as a process" 126 "riscv64" run --as process "$root" true
wrong "native root as a machine" 126 "riscv64" run --as machine "$root" true
wrong "missing kernel" 125 "--kernel $scratch/none" run --as machine --kernel "$scratch/none"
wrong "folder as a kernel" 125 "must be a file" run --as machine --kernel "$scratch"
wrong "missing disk" 125 "--disk $scratch/none" run --as machine --disk "$scratch/none"
wrong "half a hart" 125 "whole number" run --as machine --cpus 1.5
wrong "odd memory" 125 "multiple of 2m" run --as machine -m 33m
wrong "volume for a machine with its own init" 125 "root file system or a program" run --as machine -v /tmp:/tmp
wrong "missing command" 127 "no-such-command" run --rm "$root" no-such-command
wrong "missing command by path" 127 "/no/such/command" run --rm "$root" /no/such/command
wrong "command that is no program" 126 "/etc/passwd" run --rm "$root" /etc/passwd
wrong "command that is a folder" 126 "/etc" run --rm "$root" /etc
wrong "riscv64: missing command" 127 "no-such-command" run --rm --as process "$riscv" no-such-command
wrong "riscv64: command that is no program" 126 "/etc/passwd" run --rm --as process "$riscv" /etc/passwd
echo "just text" >"$scratch/text"
wrong "a text as a program" 126 "is no program" run "$scratch/text"
head -c 1000 /dev/urandom >"$scratch/noise"
wrong "noise as a program" 126 "is no program" run --as process "$scratch/noise"
head -c 40 "$riscv/usr/bin/true" >"$scratch/stub"
chmod +x "$scratch/stub"
wrong "a truncated program" 126 "stub" run --rm --as process "$scratch/stub"
wrong "unknown signal" 125 "TERM" kill -s NOSUCH x
wrong "signal out of range" 125 "1 to" kill -s 900 x
wrong "stop without a guest" 125 "which guest" stop
wrong "stop with a wrong time" 125 "--time" stop -t soon x
wrong "stop of nobody" 1 "no guest has" stop nobody
wrong "kill of nobody" 1 "no guest has" kill nobody
wrong "rm of nobody" 1 "no guest has" rm nobody
wrong "logs of nobody" 1 "no guest has" logs nobody
wrong "unknown filter" 125 "name=, id=" ps --filter colour=red
wrong "exec without a command" 125 "a guest and a command" exec x
wrong "exec in nobody" 125 "no guest has" exec nobody true
wrong "attach to nobody" 125 "no guest has" attach nobody
wrong "update of nothing" 125 "which limit" update x
wrong "tail that is no number" 125 "--tail" logs -n few x
wrong "balloon of nobody" 125 "no guest has" balloon nobody 1g
wrong "binfmt without a word" 125 "register, unregister or status" binfmt
touch "$scratch/file"
wrong "state folder that is a file" 125 "file" --root "$scratch/file" ps
mkdir -m 777 "$scratch/open"
chmod 777 "$scratch/open"
wrong "state folder that others may write to" 125 "nobody else" --root "$scratch/open" ps

equal "no guest was left behind" "" "$(wirt ps -aq)"
equal "no state was left behind" "" "$(ls -A "$scratch/state/guests" "$scratch/state/names" 2>/dev/null | grep -v :)"

for verb in run ps stop kill rm exec attach logs inspect pause resume update stats top balloon binfmt; do
    contains "$verb --help" "usage: wirt $verb" "$(wirt $verb --help 2>&1)"
done
contains "--help names the verbs" "balloon" "$(wirt --help)"
contains "--version" "wirt 0" "$(wirt --version)"
finish
