# Debian's riscv64 packages, fetched from the mirror that this machine's apt is configured with, through an apt
# state of our own (the machine's is not touched); apt checks the archive's signatures. They are kept in $WIRT_CACHE
# (default ~/.cache/wirt), and once they are there no network is asked. To be read by a script that has `here`
# (this folder), die and say.
#   WIRT_MIRROR    another mirror of Debian, as an apt URI
#   WIRT_REFRESH=1 ask the mirror for newer packages
# shellcheck shell=bash disable=SC2154
suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${WIRT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wirt}
mkdir -p "$cache/debs"

# packages_open LIST: what scripts/lists/LIST asks for. Its answer is kept in a file that is named after the request.
packages_open() {
    exec 9>"$cache/lock"
    flock 9 # two runs at once would trip over the cache and each other's products
    wanted=$(sed 's/#.*//' "$here/lists/$1" | xargs)
    lock=$cache/packages-$(echo "$suite $wanted" | sha256sum | cut -c1-16) # lines: SHA256  debs/NAME
}

packages_cached() { [ -s "$lock" ] && (cd "$cache" && sha256sum --status -c "$lock"); }

# The first mirror of Debian itself in this machine's apt sources: apt reads its own formats.
host_mirror() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get update --print-uris -o Dir::State::lists="$1" 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/$codename/InRelease'.*|\1|p" | head -n 1
}

# Asks the mirror what there is: afterwards apt_cache knows.
packages_ask() {
    local mirror
    apt=$cache/apt
    rm -rf "$apt"
    mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/none.d}
    : >"$apt/state/status"
    mirror=${WIRT_MIRROR:-$(host_mirror "$apt/state/lists")}
    [ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources; name one: WIRT_MIRROR=URI"
    [ -r "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
    echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/etc/sources.list"
    apt_options=(-q -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/state/status"
        -o "Dir::State::lists=$apt/state/lists" -o "Dir::Cache=$apt/cache" -o "Dir::Log=$apt"
        -o "Dir::Etc::sourcelist=$apt/etc/sources.list" -o "Dir::Etc::sourceparts=$apt/etc/none.d"
        -o "Dir::Etc::preferences=$apt/etc/none" -o "Dir::Etc::preferencesparts=$apt/etc/none.d"
        -o APT::Architecture=riscv64 -o "APT::Architectures::=riscv64" -o "APT::Architectures::=amd64"
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o APT::Get::List-Cleanup=0
        -o Acquire::Languages=none -o Acquire::Retries=3
        -o "DPkg::Post-Invoke=" -o "APT::Update::Post-Invoke-Success=" -o "APT::Update::Post-Invoke=")
    say "asking the machine's Debian mirror for $suite"
    apt-get "${apt_options[@]}" --error-on=any update >"$apt/log" 2>&1 ||
        { cat "$apt/log" >&2; die "the package lists of $suite could not be fetched or verified"; }
}
apt_cache() { apt-cache "${apt_options[@]}" "$@"; }

# packages_fetch PACKAGE...: what the list asks for with all that it depends on, and these alone.
packages_fetch() {
    # shellcheck disable=SC2086 # $wanted is a list of words
    apt-get "${apt_options[@]}" -y --no-install-recommends --download-only install $wanted >>"$apt/log" 2>&1 ||
        { tail -n 20 "$apt/log" >&2; die "apt could not fetch the packages"; }
    if [ $# -gt 0 ]; then
        (cd "$apt/cache/archives" && apt-get "${apt_options[@]}" download "$@") >>"$apt/log" 2>&1 ||
            { tail -n 20 "$apt/log" >&2; die "apt could not fetch $*"; }
    fi
    (
        cd "$apt/cache/archives"
        rename_colons
        sha256sum ./*.deb | sed 's|\./|debs/|' >"$apt/packages"
        mv -f ./*.deb "$cache/debs/"
    )
    mv -f "$apt/packages" "$lock"
    rm -rf "$apt"
    packages_cached || die "the cache $cache does not verify after fetching"
}

# Epochs: apt writes the colon as %3a in one command and another; file names here have neither.
rename_colons() {
    local f
    for f in *%3a*.deb; do
        [ -e "$f" ] && mv "$f" "${f//%3a/_}"
    done
    return 0
}

unpack() { # DEB FOLDER [MEMBER...]: keeps symbolic links to folders (bin -> usr/bin) as they are
    local deb=$1 dir=$2
    shift 2
    dpkg-deb --fsys-tarfile "$deb" |
        tar -x -C "$dir" --keep-directory-symlink --no-same-owner --delay-directory-restore "$@"
}

# unpack_all FOLDER: all of the list but kernels
unpack_all() {
    sed -n 's,.*  \(debs/.*_\(riscv64\|all\)\.deb\)$,\1,p' "$lock" | while read -r f; do
        case $f in debs/linux-image-[0-9]*) ;; *) unpack "$cache/$f" "$1" ;; esac
    done
}

skeleton() { # FOLDER: a usr-merged root file system, empty
    local d
    mkdir -p "$1"/usr/{bin,sbin,lib,share} "$1"/{dev,proc,sys,run,tmp,etc,root,home,mnt,var/tmp,var/log,var/lib}
    for d in bin sbin lib; do ln -s "usr/$d" "$1/$d"; done
    chmod 1777 "$1/tmp" "$1/var/tmp"
    chmod 700 "$1/root"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
    echo 'root:x:0:' >"$1/etc/group"
    echo '127.0.0.1 localhost' >"$1/etc/hosts"
}
