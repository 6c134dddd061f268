# Helper of the tests of a registration with the kernel: to be read after lib.sh, in $scratch.
# shellcheck shell=bash disable=SC2154

# ids uid|gid: a map of a new user namespace that leaves ours as they are, which may be of several ranges.
ids() { awk '{ print $1, $1, $3 < 65536 ? $3 : 65536 }' "/proc/self/$1_map"; }
# registered SCRIPT ARGUMENT...: sh runs it as root of a user namespace that has all ids as themselves and in which
# ./wirt-riscv64 is registered with a binfmt_misc of its own (Linux 6.7). Nobody else sees that registration, and it
# is gone with its processes, however they end. Fails with what was said when there is none to be had.
registered() {
    local status
    cat >registered.inside <<'S'
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && ./wirt binfmt register || exit 1
touch registered.is
exec sh "$@"
S
    rm -f registered.pid registered.go registered.is
    unshare --user --mount bash -c 'echo $$ >registered.new && mv registered.new registered.pid
        for ((i = 0; i < 400; i++)); do [ ! -e registered.go ] || break; sleep 0.05; done
        exec setpriv --reuid=0 --regid=0 --clear-groups sh registered.inside "$@"' - "$@" >registered.said 2>&1 &
    wait_for 10 test -s registered.pid
    { ids uid >"/proc/$(cat registered.pid)/uid_map" && ids gid >"/proc/$(cat registered.pid)/gid_map"; } 2>/dev/null
    touch registered.go
    wait $!
    status=$?
    cat registered.said
    [ -e registered.is ] && return 0
    return $((status ? status : 1))
}
