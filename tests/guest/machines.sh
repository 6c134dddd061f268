# Machines for test_machine.sh and test_machine_system.sh, after walls.sh.
# shellcheck shell=bash disable=SC2034,SC2154
wall=machine
root=$scratch/root
export WIRT_GUEST_DIR=$guest
as=(--as machine)
run() { timeout 120 "$wirt_binary" --root "$scratch/state" run "${as[@]}" "$@"; }

# busybox_root: $root is a small root file system of busybox alone.
busybox_root() {
    mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev}
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    (cd "$scratch" && gzip -dc "$guest/initramfs.cpio.gz" | cpio -idm --quiet './usr/bin/busybox' 'usr/bin/busybox')
    cp "$scratch/usr/bin/busybox" "$root/bin/busybox"
    for a in sh echo cat id pwd uname sleep hostname test free true ls head wc stty cp md5sum; do ln -s busybox "$root/bin/$a"; done
}
