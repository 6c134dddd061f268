#!/bin/bash
# Makes a root file system with LLVM's compilers for riscv64 (clang, llc, rustc), for tests.
# usage: guest-llvm.sh [OUTPUT-FOLDER]     (default: build/guest-llvm)
# Where the packages come from, and what can be said about it: scripts/guest-packages.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-$here/../build/guest-llvm}"
out=$(cd "${1:-$here/../build/guest-llvm}" && pwd)

die() { echo "guest-llvm: $*" >&2; exit 1; }
say() { echo "guest llvm: $*"; }

. "$here/guest-packages.sh"
packages_open riscv64-llvm
if [ "${WIRT_REFRESH:-0}" = 1 ] || ! packages_cached; then
    packages_ask
    say "fetching LLVM's packages"
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
[ -e "$root/usr/bin/cc" ] || ln -s gcc "$root/usr/bin/cc"
rm -rf "$root"/usr/share/{doc,man,info,locale,lintian,bug}
echo "$stamp" >"$out/.stamp"
say "$(du -sh --apparent-size "$root" | cut -f1) in $root"
