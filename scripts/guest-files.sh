#!/bin/bash
# Makes the guest's files from Debian's riscv64 packages: kernel, initramfs, disk, root file systems.
# usage: guest-files.sh [OUTPUT-FOLDER]     (default: build/guest)
#
# Where the packages come from, and what can be said about it: scripts/guest-packages.sh.
# The agent is compiled by their own gcc, translated: $WIRT_BUILD/wirt-riscv64 (default build/) is there.
set -euo pipefail
# Owners in the images are root's, whoever makes them.
if [ "$(id -u)" -ne 0 ] && [ -z "${FAKEROOTKEY:-}" ]; then
    exec fakeroot -- "$0" "$@"
fi
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-$here/../build/guest}"
out=$(cd "${1:-$here/../build/guest}" && pwd)
translator=$(realpath "${WIRT_BUILD:-$here/../build}/wirt-riscv64")

die() { echo "guest-files: $*" >&2; exit 1; }
say() { echo "guest files: $*"; }

# ---- the packages ------------------------------------------------------------------------------

. "$here/guest-packages.sh"
packages_open riscv64-rootfs
if [ "${WIRT_REFRESH:-0}" = 1 ] || ! packages_cached; then
    packages_ask
    # The kernel alone: what its package depends on is for installing it, not for running it.
    kernel=$(apt_cache depends --important linux-image-riscv64 |
        sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
    [ -n "$kernel" ] || die "$suite has no linux-image-riscv64"
    say "fetching $kernel and the packages of the root file system"
    packages_fetch "$kernel" busybox-static:amd64
fi

deb() { # the cached package NAME_VERSION_ARCH.deb
    local f
    f=$(sed -n "s|.*  \(debs/$1_[^/]*_$2\.deb\)$|\1|p" "$lock" | head -n 1)
    [ -n "$f" ] || die "$1 ($2) is not among the cached packages"
    echo "$cache/$f"
}
kernel_deb=$(deb 'linux-image-[0-9][^_]*' riscv64)
busybox_native=$(deb busybox-static amd64)
busybox_riscv64=$(deb busybox-static riscv64)

# ---- the products ------------------------------------------------------------------------------

agent_sources=("$here"/../src/{agent/{main,port,session,command,power},base/{error,io,str},image/{rootfs,user}}.c)
agent_headers=("$here"/../src/{agent/*,base/{cleanup,error,io,str},image/rootfs}.h)

# Everything that the products are made from; when it is what it was, they stand.
stamp=$(cat "$lock" "$0" "$here/guest-packages.sh" "$here"/guest/* "${agent_sources[@]}" "${agent_headers[@]}" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/.stamp" 2>/dev/null || true)" = "$stamp" ]; then
    exit 0
fi

work=$out/.work
rm -rf "$work" "$out/.stamp"
mkdir "$work"
trap 'rm -rf "$work"' EXIT

replace() { # NAME: moves it from the work folder to its place
    rm -rf "$work/old"
    [ ! -e "$out/$1" ] || mv "$out/$1" "$work/old"
    mv "$work/$1" "$out/$1"
    rm -rf "$work/old"
}
applets() { # FOLDER: a link to busybox for each of its applets that is not there yet
    local a
    "$work/busybox-host" --list-full | while read -r a; do
        case $a in linuxrc) continue ;; bin/* | sbin/*) a=usr/$a ;; esac
        mkdir -p "$1/$(dirname "$a")"
        [ -e "$1/$a" ] || [ -L "$1/$a" ] || ln -s /usr/bin/busybox "$1/$a"
    done
}

# The native busybox is of the same source version: it tells the applets of the riscv64 one as well.
skeleton "$work/rootfs-native"
unpack "$busybox_native" "$work/rootfs-native"
cp "$work/rootfs-native/usr/bin/busybox" "$work/busybox-host"
rm -rf "$work/rootfs-native/usr/share"
applets "$work/rootfs-native"
replace rootfs-native

say "kernel and its modules"
mkdir "$work/kernel"
unpack "$kernel_deb" "$work/kernel"
image=$(echo "$work"/kernel/boot/vmlinu*)
[ -f "$image" ] || die "$kernel_deb holds no /boot/vmlinux"
cp "$image" "$work/vmlinux"
modules=$(echo "$work"/kernel/usr/lib/modules/*)
release=$(basename "$modules")
replace vmlinux

say "rootfs"
root=$work/rootfs
skeleton "$root"
rm "$root/etc/passwd" "$root/etc/group"
unpack_all "$root"
# What the packages' maintainer scripts would have done and programs notice.
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
sed -i 's|^root:[^:]*:|root::|' "$root/etc/passwd"
link() { [ -e "$root/$2" ] || [ -L "$root/$2" ] || ln -s "$1" "$root/$2"; }
link dash usr/bin/sh
link mawk usr/bin/awk
link gcc usr/bin/cc
link python3 usr/bin/python
link busybox usr/bin/vi
rm -rf "$root"/usr/share/{doc,man,info,locale,lintian,bug} "$root"/boot
mkdir -p "$root/lib/modules/$release"
echo wirt >"$root/etc/hostname"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
cp "$here/guest/rootfs-init" "$root/usr/sbin/init"
cp "$here/guest/udhcpc.script" "$root/etc/udhcpc.script"

say "agent"
[ -x "$translator" ] || die "$translator is missing: run make first"
mkdir -p "$root/usr/lib/wirt"
env -u LD_PRELOAD TMPDIR="$work" "$translator" -L "$root" "$root/usr/bin/gcc" -std=gnu17 -O2 -static -s \
    -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$here/../src" -o "$work/agent" "${agent_sources[@]}" ||
    die "the agent could not be compiled"
cp "$work/agent" "$root/usr/lib/wirt/agent"

say "initramfs.cpio.gz"
ram=$work/initramfs
skeleton "$ram"
unpack "$busybox_riscv64" "$ram" ./usr/bin/busybox
applets "$ram"
# GROUP MODULE...: the modules and, before each, what it depends on, as plain files; the group's file
# lists them in loading order.
add_modules() {
    local group=$1 name path
    shift
    for name in "$@"; do
        path=$(find "$modules" -name "${name//[_-]/[_-]}.ko*" | head -n 1)
        if [ -z "$path" ]; then
            grep -q "/${name//[_-]/[_-]}\.ko" "$modules/modules.builtin" && continue
            die "the kernel $release has no module $name"
        fi
        # shellcheck disable=SC2046 # a list of words
        add_modules "$group" $(modinfo -F depends "$path" | tr ',' ' ')
        name=$(basename "$path")
        name=${name%%.ko*}.ko
        case $path in
        *.xz) xz -dc "$path" ;;
        *.zst) zstd -dc "$path" ;;
        *.gz) gzip -dc "$path" ;;
        *) cat "$path" ;;
        esac >"$ram/lib/modules/$release/$name"
        grep -qsx "$name" "$ram/lib/modules/$group" || echo "$name" >>"$ram/lib/modules/$group"
    done
}
mkdir -p "$ram/lib/modules/$release"
add_modules devices virtio_mmio virtio_blk virtio_net virtio_balloon virtio_rng
add_modules root crc32c_generic ext4
mkdir -p "$ram/usr/lib/wirt"
cp "$work/agent" "$ram/usr/lib/wirt/agent"
cp "$here/guest/init" "$ram/init"
cp "$here/guest/udhcpc.script" "$ram/etc/udhcpc.script"
(cd "$ram" && find . -print0 | LC_ALL=C sort -z |
    cpio --null --quiet --create --format=newc --reproducible --owner=0:0) |
    gzip -n >"$work/initramfs.cpio.gz"
replace initramfs.cpio.gz

say "disk.img"
truncate -s 1G "$work/disk.img"
mkfs.ext4 -q -F -L wirt -E root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0 -d "$root" "$work/disk.img"
replace rootfs
replace disk.img

echo "$stamp" >"$work/stamp"
mv "$work/stamp" "$out/.stamp"
say "$(cd "$out" && du -sh --apparent-size vmlinux initramfs.cpio.gz rootfs disk.img | xargs) in $out"
