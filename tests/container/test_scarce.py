#!/usr/bin/env python3
"""Too few descriptors, too little memory, no room for the state: refused with a message, or done; nothing
is left, and nothing crashes."""
# timeout: 600
import os
import resource
import subprocess

from bundle import OCI, ROOT, Bundle, check, contains, equal, main, need_rights
from unfinished import groups, processes

need_rights("container/scarce")


def attempt(b, *args, limits=(), root=ROOT):
    """Status and output under these limits: (RLIMIT_*, value) each. What is left running holds the file."""
    def limit():
        for what, value in limits:
            resource.setrlimit(what, (value, value))
    log = os.path.join(b.dir, "log")
    with open(log, "wb") as f:
        p = subprocess.run([OCI, "--root", root, *args], stdin=subprocess.DEVNULL, stdout=f,
                           stderr=subprocess.STDOUT, preexec_fn=limit, timeout=60, check=False)
    with open(log, errors="replace") as f:
        said = f.read()
    check(p.returncode >= 0, f"{args[0]}: signal {-p.returncode} {limits}: {said}")
    # From 128 on it is the command's status, which the limit may have ended as well.
    check(p.returncode == 0 or said.strip() or p.returncode >= 128, f"{args[0]}: status {p.returncode} without a message")
    return p.returncode, said


def gone(b, root=ROOT):
    r = b.oci("--root", root, "delete", "--force", b.id)
    equal(r[0], 0)
    equal(b.left_behind() + processes(b.id) + groups(b.id), [])


def every_verb(limits_of, values):
    """create, start, exec, run and delete under each limit; how often one of them was refused."""
    b = Bundle()
    b.process["args"] = ["/bin/sh", "-c", f": {b.id}; sleep 1000; true"]
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    b.write()
    refused = done = 0
    for value in values:
        limits = limits_of(value)
        status, _ = attempt(b, "create", "--bundle", b.dir, b.id, limits=limits)
        if status == 0:
            equal(b.state()["status"], "created")
        gone(b)
        b.create()
        ends = [status]
        ends.append(attempt(b, "start", b.id, limits=limits)[0])
        if ends[-1] == 0:
            b.wait_status("running")
        else:
            b.oci("start", b.id)
        status, said = attempt(b, "exec", b.id, "echo", "hello", limits=limits)
        check(status != 0 or "hello" in said, f"exec: status 0, {said!r}")
        ends.append(status)
        ends.append(attempt(b, "delete", "--force", b.id, limits=limits)[0])
        if ends[-1] == 0:
            equal(b.left_behind(), [])
        gone(b)
        refused += sum(e != 0 for e in ends)
        done += sum(e == 0 for e in ends)
    check(refused and done, f"the limits are no limits: {refused} refused, {done} done")


def test_descriptors():
    """few descriptors: create, start, exec and delete end with a message or do their work"""
    every_verb(lambda n: [(resource.RLIMIT_NOFILE, n)], [*range(3, 16), 18, 20, 22, 24, 28, 32, 40, 64])


def test_memory():
    """little memory: the same"""
    every_verb(lambda n: [(resource.RLIMIT_AS, n << 10)],
               [2048, 3000, 3300, 3600, 4000, 4400, 4800, 5200, 6000, 7000, 9000, 12000, 20000, 100000])


def test_file_size():
    """files that may not grow: refused with a message, and not by a signal"""
    b = Bundle(["/bin/true"])
    b.write()
    for size in (0, 1, 100, 1000):
        status, _, err = b.oci("create", "--bundle", b.dir, b.id, preexec_fn=lambda size=size: (
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))))
        equal(status, 1)
        contains(err, "File too large")
        gone(b)


INSIDE = """
for options in size=4k,nr_inodes=1 size=4k,nr_inodes=2 size=4k,nr_inodes=3 size=4k,nr_inodes=4 \\
    size=4k,nr_inodes=5 size=4k,nr_inodes=6 size=4k,nr_inodes=8 size=4k size=8k size=12k size=16k size=24k size=40k size=1m
do
    mount -t tmpfs -o "$options" scarce "$1" || exit 99
    "$2" --root "$1" create --bundle "$3" "$4" </dev/null >"$5" 2>&1
    status=$?
    [ $status != 0 ] || "$2" --root "$1" state "$4" >/dev/null || echo "wrong: $options: status 0, and no state"
    [ $status = 0 ] || [ -s "$5" ] || echo "wrong: $options: status $status without a message"
    [ $status -lt 126 ] || echo "wrong: $options: status $status"
    echo "status $status"
    "$2" --root "$1" delete --force "$4" || echo "wrong: $options: delete: $?"
    [ ! -e "$1/$4" ] || echo "wrong: $options: left $(ls "$1")"
    umount "$1" || echo "wrong: umount"
done
"""


def test_no_room_for_state():
    """no room or no inodes for the state: the same"""
    b = Bundle()
    b.process["args"] = ["/bin/sh", "-c", f": {b.id}; sleep 1000; true"]
    b.write()
    place = os.path.join(b.dir, "scarce")
    os.mkdir(place)
    p = subprocess.run(["unshare", "--mount", "sh", "-c", INSIDE, "sh", place, OCI, b.dir, b.id,
                        os.path.join(b.dir, "log")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=120, check=False)
    out = p.stdout.decode(errors="replace")
    equal(p.returncode, 0)
    check("wrong" not in out, out)
    check("status 1" in out and "status 0" in out, out)
    equal(b.left_behind() + processes(b.id) + groups(b.id), [])


main(globals())
