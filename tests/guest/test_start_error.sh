#!/bin/bash
# What cannot start says so at once, also in the background: one message, its exit status, and no id.
. "$(dirname "$0")/../lib.sh"
"$source_dir/scripts/programs.sh" || exit 1
spin=$build/programs/machine/spin

# fails NAME STATUS TEXT OPTION...: attached and in the background
fails() {
    local name=$1 want=$2 text=$3 detach said status
    shift 3
    for detach in "" -d; do
        said=$(timeout 60 "$wirt_binary" --root "$scratch/state" run $detach --name start "$@" 2>&1 </dev/null)
        status=$?
        if [ $status -ne "$want" ]; then not_ok "$name${detach:+, in the background}" "exit status $status, wanted $want: $said"
        elif [ "$(wc -l <<<"$said")" -ne 1 ]; then not_ok "$name${detach:+, in the background}" "more than one line: $said"
        else contains "$name${detach:+, in the background}" "$text" "$said"; fi
        if wirt inspect start >/dev/null 2>&1; then
            equal "$name: what is kept of it" "exited $want" "$(inspected start .status) $(inspected start .exitStatus)"
            wirt rm -f start >/dev/null
        fi
    done
}

inspected_is() { [ "$(inspected "$1" .status)" = "$2" ]; }
fails "a kernel that is none" 125 "neither a flat riscv64 kernel" --as machine --kernel /etc/passwd
fails "a kernel that does not fit" 125 "memory" --as machine -m 32m --firmware "$(truncate -s 40M "$scratch/large" && echo "$scratch/large")"
truncate -s 1M "$scratch/disk"
wirt run -d --as machine --firmware "$spin" --disk "$scratch/disk" -p "127.0.0.1:$((20000 + RANDOM % 9000)):80" --name holder >/dev/null
equal "a machine runs" running "$(inspected holder .status)"
fails "a disk that another machine writes to" 125 "in use by another machine" --as machine --firmware "$spin" --disk "$scratch/disk"
fails "a port that is taken" 125 "Address already in use" --as machine --firmware "$spin" \
    -p "127.0.0.1:$(inspected holder '.config.ports[0].hostPort'):80"
wirt rm -f holder >/dev/null
equal "nothing of wirt-machine is left" "" "$(pgrep -f "wirt-machine.*$scratch" | xargs)"

# A riscv64 program that cannot be loaded, behind the walls that translate it.
mkdir -p "$scratch/no-interp/bin"
cp "$build/programs/riscv64/hello" "$scratch/no-interp/bin/static"
printf 'int main(void) { return 0; }\n' >"$scratch/dynamic.c"
riscv64-linux-gnu-gcc "$scratch/dynamic.c" -o "$scratch/no-interp/bin/dynamic" || exit 1
head -c 3000 "$scratch/no-interp/bin/static" >"$scratch/no-interp/bin/cut" && chmod 755 "$scratch/no-interp/bin/cut"
for as in process container; do
    fails "$as: an interpreter that is not there" 127 "interpreter /lib/ld-linux-riscv64-lp64d.so.1" --as $as "$scratch/no-interp" /bin/dynamic
    fails "$as: a file that is cut" 126 "truncated" --as $as "$scratch/no-interp" /bin/cut
    equal "$as: what is whole runs" 0 "$(wirt run --rm --as $as "$scratch/no-interp" /bin/static >/dev/null 2>&1; echo $?)"
    check "$as: in the background too" wirt run -d --name whole --as $as "$scratch/no-interp" /bin/static
    wait_for 20 inspected_is whole exited
    equal "$as: and ends well" 0 "$(inspected whole .exitStatus)"
    wirt rm -f whole >/dev/null
done
fails "a dynamic program alone" 127 "interpreter /lib/ld-linux-riscv64-lp64d.so.1" --as process "$scratch/no-interp/bin/dynamic"

# A disk that is an image of another format is not taken for raw: neither read nor written.
image() { # FILE OFFSET MAGIC, of 64 KiB
    truncate -s 0 "$1" && truncate -s 64K "$1"
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
while read -r format offset magic; do
    image "$scratch/image" "$offset" "$magic"
    before=$(md5sum <"$scratch/image")
    fails "$format as a disk" 125 "this is a $format image" --as machine --firmware "$spin" --disk "$scratch/image"
    fails "$format as a read-only disk" 125 "format=raw" --as machine --firmware "$spin" --disk "$scratch/image,ro"
    equal "$format: unchanged" "$before" "$(md5sum <"$scratch/image")"
done <<'END'
qcow2 0 QFI\xfb\0\0\0\x03
QED 0 QED\0
VMDK 0 KDMV\x01\0\0\0
VDI 64 \x7f\x10\xda\xbe
VHDX 0 vhdxfile
VHD 0 conectix
VHD 65024 conectix
Parallels 0 WithoutFreeSpace
gzip 0 \x1f\x8b\x08\0
xz 0 \xfd7zXZ\0
Zstandard 0 \x28\xb5\x2f\xfd
END
image "$scratch/image" 0 'QFI\xfb\0\0\0\x03'
fails "a target that is such an image" 125 "this is a qcow2 image" --as machine --firmware "$spin" "$scratch/image"
fails "a disk format that is not raw" 125 "must be raw" --as machine --firmware "$spin" --disk "$scratch/image,format=qcow2"
check "format=raw says that the bytes are the disk" wirt run -d --name raw --as machine --firmware "$spin" --disk "$scratch/image,ro,format=raw"
equal "and it runs" running "$(inspected raw .status)"
wirt rm -f raw >/dev/null
image "$scratch/luks" 0 'LUKS\xba\xbe\0\x02'
check "an encrypted volume is raw" wirt run -d --name luks --as machine --firmware "$spin" --disk "$scratch/luks"
wirt rm -f luks >/dev/null
finish
