#!/bin/bash
# sudo, su and ping, Debian's for riscv64: an ordinary user's, in a container whose translator is registered with the
# kernel, have the rights of their files, and use them as their configuration says; where it is not registered, they
# have their caller's, work for root, and tell an ordinary user what they lack (wirt(1), binfmt).
# So it is behind the process wall, registered or not, as its root file system is a sysroot.
# The first time the packages are fetched (scripts/guest-root.sh).
# timeout: 600
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/registered.sh"
need_ids "sudo, su, ping"
if ! fetched=$("$source_dir/scripts/guest-root.sh" rights "$build/guest-rights" 2>&1); then
    skip "sudo, su, ping" "the packages cannot be had: $(tail -n 1 <<<"$fetched")"
    exit 0
fi
cd "$scratch" || exit 1
chmod 755 .
cp -a "$build/guest-rights/rootfs" root || exit 1
cp "$riscv64" "$wirt_binary" .
printf '%s\n' root:x:0:0:root:/root:/bin/sh member:x:1000:1000::/tmp:/bin/sh stranger:x:1001:1001::/tmp:/bin/sh \
    nobody:x:65534:65534::/nonexistent:/bin/sh >root/etc/passwd
printf '%s\n' root:x:0: member:x:1000: stranger:x:1001: nogroup:x:65534: >root/etc/group
printf '%s\n' "root ALL=(ALL:ALL) ALL" "member ALL=(ALL:ALL) NOPASSWD: ALL" >root/etc/sudoers
for service in sudo su other; do
    printf '%s pam_permit.so\n' "auth required" "account required" "session required" >root/etc/pam.d/$service
done
echo "127.0.0.1 localhost here" >root/etc/hosts # sudo looks its host up
cp root/usr/bin/ping root/usr/bin/plain-ping # which leaves the capability behind

# In one container for each user: what each of the programs says, of lines "NAME: ...".
cat >root/try <<'S'
last() { printf '%s: ' "$1"; shift; "$@" 2>&1 | tail -n 1; }
all() { printf '%s: ' "$1"; shift; "$@" 2>&1 | tr '\n' ' '; echo; }
last who id -un
last sudo sudo -n id -un
last sudo-nobody sudo -n -u nobody id -un
last su su nobody -c 'id -un'
all ping ping -n -c 1 -W 5 127.0.0.1
all plain-ping plain-ping -n -c 1 -W 5 127.0.0.1
S
cat >inside <<'S'
for user in 0 1000 1001; do
    ./wirt --root "$PWD/$1" run --rm --as container --network none --user $user ./root /bin/sh -c '. /try; exit 0' >$1.$user 2>&1
done
S
said() { sed -n "s/^$3: //p" "$1.$2"; } # CONTAINERS USER PROGRAM

# both NAME CONTAINERS: what holds with registration and without: root's
both() {
    equal "$1: root is root" root "$(said "$2" 0 who)"
    equal "$1: sudo as root" root "$(said "$2" 0 sudo)"
    equal "$1: sudo as root, for another user" nobody "$(said "$2" 0 sudo-nobody)"
    equal "$1: su as root" nobody "$(said "$2" 0 su)"
    contains "$1: ping as root" "1 received" "$(said "$2" 0 ping)"
    equal "$1: an ordinary user is one" member "$(said "$2" 1000 who)"
    contains "$1: ping without its capability has none" "not permitted" "$(said "$2" 1000 plain-ping)"
}

sh ./inside without
both "not registered" without
contains "not registered: sudo says what it lacks" "effective uid is not 0" "$(said without 1000 sudo)"
contains "not registered: su, too" "not permitted" "$(said without 1000 su)"
contains "not registered: ping, too" "not permitted" "$(said without 1000 ping)"

# In a network of its own: ping as root asks for a socket that only the network's root may have.
networked() { unshare --net sh -c 'ip link set lo up && exec "$@"' - "$@"; }
for user in 0 1000; do
    networked ./wirt --root "$scratch/state" run --rm --as process --user $user ./root /bin/sh -c '. /try; exit 0' >process.$user 2>&1
done
equal "behind the process wall: sudo as root" nobody "$(said process 0 sudo-nobody)"
equal "behind the process wall: su as root" nobody "$(said process 0 su)"
contains "behind the process wall: ping as root" "1 received" "$(said process 0 ping)"
contains "behind the process wall: sudo says what it lacks" "effective uid is not 0" "$(said process 1000 sudo)"

if ! registered inside with >why; then
    skip "registered" "no binfmt_misc in a user namespace here (Linux 6.7): $(tail -n 1 why)"
    finish
fi
both registered with
equal "registered: sudo as a user who may" root "$(said with 1000 sudo)"
equal "registered: sudo as a user who may, for another user" nobody "$(said with 1000 sudo-nobody)"
contains "registered: sudo as a user who may not" "a password is required" "$(said with 1001 sudo)"
equal "registered: su as an ordinary user" nobody "$(said with 1000 su)"
contains "registered: ping as an ordinary user, by its file's capability" "1 received" "$(said with 1000 ping)"
finish
