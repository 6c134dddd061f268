#!/bin/bash
# Makes a root file system of riscv64 packages for tests: what scripts/lists/riscv64-NAME asks for, and what that
# depends on.
# usage: guest-root.sh NAME [OUTPUT-FOLDER]     (default: build/guest-NAME)
# Where the packages come from, and what can be said about it: scripts/guest-packages.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?usage: guest-root.sh NAME [OUTPUT-FOLDER]}
mkdir -p "${2:-$here/../build/guest-$name}"
out=$(cd "${2:-$here/../build/guest-$name}" && pwd)

die() { echo "guest-$name: $*" >&2; exit 1; }
say() { echo "guest $name: $*"; }

. "$here/guest-packages.sh"
packages_open "riscv64-$name"
if [ "${WIRT_REFRESH:-0}" = 1 ] || ! packages_cached; then
    packages_ask
    say "fetching packages"
    packages_fetch
fi

stamp=$(cat "$lock" "$0" "$here/guest-packages.sh" | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/.stamp" 2>/dev/null || true)" != "$stamp" ] || exit 0
root=$out/rootfs
rm -rf "$root" "$out/.stamp"
mkdir "$root"
skeleton "$root"
unpack_all "$root"
# What the packages' maintainer scripts would have done.
[ -e "$root/usr/bin/cc" ] || [ ! -e "$root/usr/bin/gcc" ] || ln -s gcc "$root/usr/bin/cc"
if [ -e "$root/usr/bin/ping" ]; then
    setcap cap_net_raw+ep "$root/usr/bin/ping" 2>/dev/null || chmod u+s "$root/usr/bin/ping"
fi
rm -rf "$root"/usr/share/{doc,man,info,locale,lintian,bug}
echo "$stamp" >"$out/.stamp"
say "$(du -sh --apparent-size "$root" | cut -f1) in $root"
