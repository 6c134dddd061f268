#!/bin/sh
# Installs what the named lists (scripts/lists/*) ask for and the machine has not.
# usage: deps.sh LIST...     e.g. deps.sh build guest
# Uses sudo when not root. Asks no network when everything is there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || { echo "usage: deps.sh build|guest|test|bench ..." >&2; exit 2; }

missing=
for list in "$@"; do
    file=$here/lists/$list
    [ -r "$file" ] || { echo "deps.sh: no list '$list' (there are: $(ls "$here/lists" | tr '\n' ' '))" >&2; exit 2; }
    for package in $(sed 's/#.*//' "$file"); do
        case " $missing " in *" $package "*) continue ;; esac
        # db:Status-Status answers "installed" for each architecture that has it.
        status=$(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null || true)
        case $status in *installed*) case $status in *not-installed*) ;; *) continue ;; esac ;; esac
        missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps.sh: these packages are missing, and this user has no sudo to install them. As root:" >&2
        echo "    apt-get install --no-install-recommends$missing" >&2
        exit 1
    }
    sudo=sudo
fi
echo "installing:$missing"
install() {
    # shellcheck disable=SC2086 # a list of words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
# The package lists may be missing or older than the mirror: then fetch them and try once more.
install || { $sudo apt-get update -q && install; }
