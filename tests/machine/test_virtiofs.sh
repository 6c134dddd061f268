#!/bin/bash
# Folders of the host's in a machine: as its root file system, and by -v. timeout: 300
. "$(dirname "$0")/../lib.sh"
is_root && who=root || who=user
# owned UID GID: as stat tells it on the host; all that an ordinary user's guest makes is that user's
owned() { is_root && echo "$1 $2" || echo "$(id -u) $(id -g)"; }
root=$guest/rootfs
for file in "$guest/vmlinux" "$guest/initramfs.cpio.gz" "$root/usr/bin/python3"; do
    [ -e "$file" ] || { skip "shared folders" "no $file (make guest)"; exit 0; }
done
export WIRT_GUEST_DIR=$guest
run() { timeout 120 "$wirt_binary" --root "$scratch/state" run --rm --as machine "$@" </dev/null 2>&1 | tr -d '\r'; }
sum() { sha256sum "$1" | cut -d' ' -f1; }

share=$scratch/share
mkdir "$share"
cp "$(dirname "$0")/guest/share.py" "$share/"
ln -s /etc/wirt-test "$share/out"
echo "the host's" >"$scratch/hosts"
echo kept >"$share/kept"
head -c $((64 << 20)) /dev/urandom >"$share/large"

# The host answers the guest when it has written.
(wait_for 100 test -e "$share/ready" && echo host >"$share/answer") &
run -m 512m --read-only -v "$share:/mnt" "$root" sh -c "\
    cp -r /etc /run/etc; mount --bind /run/etc /etc; echo inside >/etc/wirt-test; \
    exec python3 /mnt/share.py /mnt $(sum "$share/large") $who" >"$scratch/said"
wait
cat "$scratch/said"
failures=$((failures + $(grep -c '^not ok' "$scratch/said")))
equal "the guest's checks came to their end" 1 "$(grep -c 'what the host writes' "$scratch/said")"
equal "no check failed with an exception" "" "$(grep -A3 Traceback "$scratch/said")"

equal "owner and mode on the host" "$(owned 12 34) 6750" "$(stat -c '%u %g %a' "$share/kept")"
equal "a user's new file on the host" "$(owned 55 56)" "$(stat -c '%u %g' "$share/theirs")"
equal "the copy on the host" "$(sum "$share/large")" "$(sum "$share/copy")"
equal "what was mapped and written, on the host" mmap "$(dd if="$share/written" bs=1 skip=100 count=4 2>/dev/null)"
equal "the link leads nowhere on the host" "" "$(cat "$share/out" 2>/dev/null)"

# The root file system itself, by a copy that may be written.
small=$scratch/root
mkdir -p "$small"/{bin,etc,proc,sys,dev,run,tmp}
(cd "$scratch" && gzip -dc "$guest/initramfs.cpio.gz" | cpio -idm --quiet ./usr/bin/busybox usr/bin/busybox)
cp "$scratch/usr/bin/busybox" "$small/bin/busybox"
ln -s busybox "$small/bin/sh"
chmod 1777 "$small/tmp"
before=$(cd "$small" && find . | sort)
run -u 1234:99 -w /tmp "$small" sh -c 'busybox id -u; echo kept >mine' >"$scratch/said"
equal "-u with a shared root" 1234 "$(cat "$scratch/said")"
equal "what the guest writes to its root stays" "kept $(owned 1234 99)" \
    "$(cat "$small/tmp/mine") $(stat -c '%u %g' "$small/tmp/mine")"
rm -f "$small/tmp/mine" "$small"/etc/{passwd,group,resolv.conf}
equal "and nothing else is left there" "$before" "$(cd "$small" && find . | sort)"

contains "a read-only root without the folder to mount at" "nothing can be mounted at /mnt" \
    "$(run --read-only -v "$share:/mnt" "$small" sh)"
mkdir "$small/mnt"
said=$(run --read-only -v "$share:/mnt:ro" "$small" sh -c 'echo x >/x; busybox mount -o remount,rw /; echo x >/x; echo x >/mnt/x; busybox rm -f /mnt/large; echo end')
contains "a read-only root and folder are run from" end "$said"
equal "a read-only root stays as it was" no "$([ -e "$small/x" ] && echo yes || echo no)"
equal "a read-only folder too" "no yes" \
    "$([ -e "$share/x" ] && echo yes || echo no) $([ -e "$share/large" ] && echo yes || echo no)"

contains "a kernel without virtiofs" "must have CONFIG_VIRTIO_FS" \
    "$(run --append initcall_blacklist=virtio_fs_init "$small" sh)"

# Far fewer descriptors than files: sums of all of them, twice, by two harts at once.
wanted=$(cd "$root/usr/lib/python3.13" && find . -name '*.py' -type f -exec cat {} + | sha256sum | cut -d' ' -f1)
said=$(ulimit -n 800 && run --cpus 2 --read-only -w /usr/lib/python3.13 "$root" sh -c '
    sums() { find . -name "*.py" -type f -exec cat {} + | sha256sum | cut -d" " -f1; }
    sums >/run/one & sums >/run/two; wait; cat /run/one /run/two')
equal "more files than descriptors" "$wanted $wanted" "$(echo $said)"

# Single files.
echo "next to it" >"$scratch/secret"
mkdir -p "$small/opt"
echo "the guest's" >"$small/opt/there"
said=$(run -v "$scratch/hosts:/opt/deep/er/new" -v "$scratch/hosts:/opt/there:ro" "$small" sh -c '
    busybox cat /opt/there; echo more >>/opt/deep/er/new; busybox sleep 1.5; busybox cat /opt/there; echo x >/opt/there
    for d in /run/wirt/share0 /run/wirt/share1; do
        busybox ls $d; busybox cat $d/secret; echo x >$d/y; busybox rm -f $d/file; busybox chmod 777 $d
    done')
equal "-v with a file" "the host's the host's more" "$(grep "^the host's\|^more" <<<"$said" | xargs -d '\n')"
equal "and a new one" "the host's more" "$(xargs -d '\n' <"$scratch/hosts")"
equal "the folder that it is in stays closed" "" "$(grep 'next to it' <<<"$said")"
equal "and unchanged" "next to it no 700" \
    "$(cat "$scratch/secret") $([ -e "$scratch/y" ] && echo yes || echo no) $(stat -c %a "$scratch")"
equal "under the root's own file" "the guest's" "$(cat "$small/opt/there")"
equal "-v with a file, in a read-only root" "the host's" \
    "$(run --read-only -v "$scratch/hosts:/opt/there" "$small" busybox head -n 1 /opt/there)"
contains "-v with a device is refused" "must be a folder or a regular file" "$(run -v "/dev/null:/x" "$small" sh)"
contains "-v without a folder is refused" "No such file" "$(run -v "$scratch/nothing:/x" "$small" sh)"
finish
