#!/bin/bash
# Translations that are kept for the next process: in which file, who is believed, and that a program runs as without
# them where there can be none.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/cached.sh"
cd "$scratch" || exit 1
chmod 755 .
static hello && cp "$riscv64" ./wirt-riscv64 || exit 1
[ -d "$rootfs" ] || rootfs=/
wanted=$(without ./hello)
# Root's programs pass over what permissions forbid.
as_root=(env) as_user=(env)
if is_root; then as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups); else as_root=(unshare --user --map-root-user); fi

# same NAME COMMAND...: it says what the program says without, and nothing else
same() {
    local name=$1 said status
    shift
    said=$(timeout 60 "$@" 2>&1 </dev/null)
    status=$?
    equal "$name" "$wanted: 0" "$said: $status"
}
# found DIR [OPTION ...]: how many percent of its blocks it finds there
found() {
    local dir=$1
    shift
    "$riscv64" --stats --cache "$dir" "$@" ./hello 2>&1 >/dev/null </dev/null | reused /dev/stdin
}

# --- Which folder ---
mkdir home cache
chmod 777 home cache
same "XDG_CACHE_HOME" env XDG_CACHE_HOME="$PWD/x" "$riscv64" ./hello
equal "XDG_CACHE_HOME: a folder in it, made with it" 1 "$(files_in x/wirt)"
equal "both are for the user alone" "700 700 600" "$(stat -c %a x x/wirt "$(file_in x/wirt)" | xargs)"
equal "what is there is found" 100 "$(($(found "$PWD/x/wirt") / 90 * 100))"
same "HOME" "${as_user[@]}" env -u XDG_CACHE_HOME HOME="$PWD/home" ./wirt-riscv64 ./hello
equal "HOME: .cache/wirt" 1 "$("${as_user[@]}" find home/.cache/wirt -type f | wc -l)"
same "XDG_CACHE_HOME that is relative is none" "${as_user[@]}" env XDG_CACHE_HOME=cache HOME="$PWD/home" ./wirt-riscv64 ./hello
equal "XDG_CACHE_HOME that is relative: nothing is there" 0 "$(files_in cache)"
same "without HOME" "${as_user[@]}" env -u XDG_CACHE_HOME -u HOME ./wirt-riscv64 ./hello
# shellcheck disable=SC2016 # for the shell inside
VAR='mount -t tmpfs none /var/cache && "$@" && find /var/cache -type f | wc -l >found'
same "root's" "${as_root[@]}" env -u XDG_CACHE_HOME HOME="$PWD/home" unshare -m sh -c "$VAR" - "$riscv64" ./hello
equal "root's is /var/cache/wirt" 1 "$(cat found)"
for option in "--cache off" --interpret "--trace /dev/null"; do
    # shellcheck disable=SC2086 # words
    same "$option" env XDG_CACHE_HOME="$PWD/none" "$riscv64" $option ./hello
done
timeout 60 "$riscv64" --stats --cache off -L "$rootfs" "$rootfs/usr/bin/bash" -c './hello; exit 0' >said 2>stats </dev/null
equal "--cache off holds for what is executed" "$wanted 2" "$(cat said) $(grep -c 'reused 0$' stats)"
check "--cache off, --interpret, --trace: nothing is written" test ! -e none
mkdir there
(cd there && timeout 60 "$riscv64" --cache rel -L "$rootfs" "$rootfs/usr/bin/bash" -c 'cd /; "$0"; exit 0' "$scratch/hello" >../said </dev/null)
equal "a relative folder is the same for what is executed elsewhere" "$wanted 1" "$(cat said) $(files_in there/rel)"
# shellcheck disable=SC2016
same "a relative folder in one that is gone" bash -c 'mkdir gone; cd gone; rmdir ../gone; exec "$0" --cache rel "$1"' "$riscv64" "$PWD/hello"
check "then none is made at the root" test ! -e /rel
"$riscv64" --cache "" ./hello >/dev/null 2>&1
equal "--cache with an empty name is wrong use" 125 $?

# --- Who is believed: nobody else who could have written it ---
"$riscv64" --cache "$PWD/good" ./hello >/dev/null
good=$(file_in good)
name=$(basename "$good")
# refused WHAT COMMAND...: the commands get the folder and the file, as the program made them; then they are not used
refused() {
    local what=$1
    shift
    chmod -R u+w d 2>/dev/null
    rm -rf d
    cp -a --sparse=always good d
    (cd d && eval "$*") || { not_ok "$what" "could not be set up"; return; }
    same "$what" "$riscv64" --cache "$PWD/d" ./hello
    equal "$what: is not believed" 0 "$(found "$PWD/d")"
}
cp -a --sparse=always good d
equal "a copy of a good one is believed" 100 "$(($(found "$PWD/d") / 90 * 100))"
refused "a folder that its group may write to" 'chmod g+w .'
refused "a folder that others may write to" 'chmod o+w .'
refused "a file that its group may write to" 'chmod g+w "$name"'
refused "a file that others may write to" 'chmod o+w "$name"'
refused "a link in the file's place" 'mv "$name" other; ln -s other "$name"'
refused "a file that has another name" 'ln "$name" other'
refused "a FIFO in the file's place" 'rm "$name"; mkfifo "$name"'
refused "a folder in the file's place" 'rm "$name"; mkdir "$name"'
refused "a file in the folder's place" 'cd ..; rm -r d; : >d'
if is_root; then
    refused "somebody else's folder" 'chown 65534 .'
    refused "somebody else's file" 'chown 65534 "$name"'
else
    skip "somebody else's folder and file" "needs root"
fi
same "a folder that would have to be made in one that has to be" "$riscv64" --cache "$PWD/a/b/c" ./hello
check "it is not made" test ! -e a
mkdir -m 755 closed
same "a folder that cannot be written to" "${as_user[@]}" ./wirt-riscv64 --cache "$PWD/closed/new" ./hello
is_root || chmod 555 closed
same "a file that cannot be made" "${as_user[@]}" ./wirt-riscv64 --cache "$PWD/closed" ./hello
equal "it is not" 0 "$(find closed -mindepth 1 | wc -l)"

# --- Rights, and other roots ---
if is_root; then
    mkdir secure
    chown 65534 secure
    cp wirt-riscv64 rights && chown 65534 rights && chmod u+s rights
    same "with more rights than its caller's" ./rights --cache "$PWD/secure" ./hello
    equal "with more rights than its caller's: nothing is kept" 0 "$(files_in secure)"
    same "with its caller's rights" "${as_user[@]}" ./wirt-riscv64 --cache "$PWD/secure" ./hello
    equal "with its caller's rights: it is" 1 "$(files_in secure)"
else
    skip "with more rights than its caller's" "needs root"
fi
mkdir -p new/root/var/cache
cp hello new/root
for folder in "--cache /var/cache/kept" ""; do
    # shellcheck disable=SC2086 # words
    same "in another root, ${folder:-by default}" "${as_root[@]}" env -u XDG_CACHE_HOME unshare -m sh -c "$VAR" - \
        "$riscv64" $folder ./hello in "$PWD/new/root" /hello
    equal "in another root, ${folder:-by default}: nothing is made" "" "$(ls new/root/var/cache)"
    equal "in another root, ${folder:-by default}: what ran before has a file" 1 "$(cat found)"
done
# shellcheck disable=SC2016
same "without /proc" "${as_root[@]}" unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' - "$riscv64" --cache "$PWD/p" ./hello

# --- Limits ---
for n in 4 5 6 7 8 10 12; do
    few=$( (ulimit -n $n; "$riscv64" --cache off ./hello; echo $?) 2>&1)
    equal "with $n descriptors" "$few" "$( (ulimit -n $n; "$riscv64" --cache "$PWD/n" ./hello; echo $?) 2>&1)"
done
# The code cache is a file, too, and has room.
same "a limit of files' sizes, and no file yet" bash -c 'ulimit -f 100000; exec "$@"' - "$riscv64" --cache "$PWD/f" ./hello
same "a limit of files' sizes, and a file" bash -c 'ulimit -f 100000; exec "$@"' - "$riscv64" --cache "$PWD/good" ./hello
same "a limit of address space" bash -c 'ulimit -v 1000000; exec "$@"' - "$riscv64" --cache "$PWD/v" ./hello
# shellcheck disable=SC2016
FULL='mount -t tmpfs -o size=$1 none full && shift && "$@" >/dev/null && "$@" >/dev/null && exec "$@"'
mkdir full
for size in 4k 400k; do
    same "a file system that is full, of $size" "${as_root[@]}" unshare -m bash -c "$FULL" - $size "$riscv64" --cache "$PWD/full/c" ./hello
done
for size in 1 8192 20000 7g 18446744073709551615; do
    rm -rf z
    same "--cache-size $size" "$riscv64" --cache "$PWD/z" --cache-size $size ./hello
    same "--cache-size $size, again" "$riscv64" --cache "$PWD/z" --cache-size $size ./hello
done
equal "in a file of 7 GB what is there is found" 100 "$(rm -rf z; found "$PWD/z" --cache-size 7g >/dev/null; echo $(($(found "$PWD/z" --cache-size 7g) / 90 * 100)))"

# --- What other builds have left ---
mkdir old
for i in 1 2 3 4 5 6; do
    touch -d "2020-01-0$i" "old/riscv64-000000000000000$i.translations"
done
touch -a -d 2021-01-01 old/riscv64-0000000000000001.translations # was used last
touch -d 2019-01-01 old/{mine.translations,riscv64-1.translations,riscv64-my-own-first-books.translations,notes}
ln -s notes old/riscv64-0000000000000009.translations
same "beside other builds' files" "$riscv64" --cache "$PWD/old" ./hello
equal "those of them that were not used for longest go" \
    "riscv64-0000000000000001.translations riscv64-0000000000000005.translations riscv64-0000000000000006.translations $name" \
    "$(find old -type f -name 'riscv64-????????????????.translations' -printf '%f\n' | sort | xargs)"
equal "what has another name stays" 5 "$(find old | grep -c 'mine\|riscv64-1\.\|books\|notes\|0009')"
finish
