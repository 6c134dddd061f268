#!/bin/bash
# Hypervisor: several unmodified kernels at once, each with its own command line, disk and memory.
# timeout: 400
. "$(dirname "$0")/../lib.sh"

names=(one two)
secret_one=$(head -c 24 /dev/urandom | base64 | tr -d '+/=\n')
secret_two=$(head -c 24 /dev/urandom | base64 | tr -d '+/=\n')
# The secret comes in by the kernel's command line, goes to memory and to the disk, and the guest stays.
# shellcheck disable=SC2016 # for the guest's shell
script='for word in $(cat /proc/cmdline); do case $word in secret=*) s=${word#secret=} ;; esac; done
    mkdir -p /tmp; echo $s >/tmp/s; echo $s | dd of=/dev/vda conv=fsync 2>/dev/null
    echo ready $(uname -m); sleep 600'
for name in "${names[@]}"; do
    secret=secret_$name
    truncate -s 8M "$scratch/$name.img"
    wirt run -d --name "$name" --as machine --memory 256m --disk "$scratch/$name.img" \
        --append "secret=${!secret}" "$guest/rootfs/usr/bin/busybox" sh -c "$script" >/dev/null ||
        not_ok "machine $name starts" "wirt run answered $?"
done
for name in "${names[@]}"; do
    logs "$name" "ready riscv64" 60 "machine $name runs Debian's kernel"
done
equal "both run at once" 2 "$(wirt ps -q | wc -l)"
equal "disk one has its own secret only" "1 0" \
    "$(grep -c "$secret_one" "$scratch/one.img") $(grep -c "$secret_two" "$scratch/one.img")"
equal "disk two has its own secret only" "0 1" \
    "$(grep -c "$secret_one" "$scratch/two.img") $(grep -c "$secret_two" "$scratch/two.img")"

# The whole memory of the host processes of a guest: its own secret is there, the other's is not.
found() { # GUEST SECRET
    python3 - "$2" $(processes "$(inspected "$1" .monitorPid) $(inspected "$1" .pid)") <<'P'
import re, sys
secret, pids = sys.argv[1].encode(), sys.argv[2:]
hits = 0
for pid in pids:
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not m or "[v" in line:
                continue
            at, end = (int(x, 16) for x in m.groups())
            while at < end:
                size = min(1 << 24, end - at)
                try:
                    mem.seek(at)
                    hits += mem.read(size).count(secret)
                except (OSError, ValueError):
                    pass
                at += size
print(hits)
P
}
processes() { # PID...: them and all below
    local p
    for p in $1; do
        echo "$p"
        processes "$(cat /proc/"$p"/task/*/children 2>/dev/null)"
    done | sort -u
}
if is_root; then
    within "guest one's memory holds its secret" "$(found one "$secret_one")" 1 1000
    equal "guest one's memory holds not the other's" 0 "$(found one "$secret_two")"
    within "guest two's memory holds its secret" "$(found two "$secret_two")" 1 1000
    equal "guest two's memory holds not the other's" 0 "$(found two "$secret_one")"
else
    skip "the guests' memory" "a machine is jailed: only the host's root may read its memory"
fi

check "one stops" timeout 60 "$wirt_binary" --root "$scratch/state" stop -t 5 one
equal "the other runs on" "running" "$(inspected two .status)"
finish
