#!/usr/bin/env python3
"""Containers that were not made or unmade to the end: found by their name, and taken away wholly."""
# timeout: 300
import json
import os
import random
import signal
import subprocess
import time

from bundle import (OCI, PREFIX, ROOT, ROOTLESS, Bundle, check, contains, equal, main, need_rights,
                    root_only)
from unfinished import groups, processes

need_rights("container/unfinished")


def nothing_left(b, seconds=5):
    end = time.monotonic() + seconds
    while (left := b.left_behind() + processes(b.id) + groups(b.id)) and time.monotonic() < end:
        time.sleep(0.02)
    equal(left, [])


def marked(**kw):
    b = Bundle(**kw)
    b.process["args"] = ["/bin/sh", "-c", f": {b.id}; sleep 1000; true"]
    return b


def state_file(b):
    return os.path.join(ROOT, b.id, "state.json")


def test_unreadable_state():
    """delete --force of a container whose state.json is damaged ends its processes; or says that it cannot"""
    for damage in ("", "{", '{"id":', "{}", '{"pid": "x"}', "\0" * 100, None):
        for detached in (True, False):
            b = marked()
            b.create()
            if detached:
                b.start()
            if damage is None:
                os.unlink(state_file(b))
            else:
                with open(state_file(b), "w") as f:
                    f.write(damage)
            check(b.oci("state", b.id)[0] != 0, f"{damage!r}: state")
            check(b.oci("delete", b.id)[0] != 0, f"{damage!r}: delete without force")
            b.delete()
            nothing_left(b)


def test_unreadable_state_elsewhere():
    """the same with a control group that the config asks for, and in no pid namespace of its own"""
    root_only("make control groups")
    b = marked()
    b.without("pid")
    b.linux["cgroupsPath"] = f"/wirt-{PREFIX}parent/{b.id}"
    b.process["args"] = ["/bin/sh", "-c", f": {b.id}; sleep 1000 & sleep 1000; true"]
    b.create()
    b.start()
    with open(state_file(b), "w") as f:
        f.write("?")
    b.delete()
    nothing_left(b)
    for top, names, _ in os.walk("/sys/fs/cgroup", topdown=False):
        for n in names:
            if n == f"wirt-{PREFIX}parent":
                os.rmdir(os.path.join(top, n))


def test_damaged_is_listed():
    """list tells of a container that it cannot read"""
    b = marked()
    b.create()
    with open(state_file(b), "w") as f:
        f.write("{")
    status, _, err = b.oci("list")
    equal(status, 0)
    contains(err, f"container {b.id}: ")
    b.delete()


def test_dot_is_listed():
    """a container whose name begins with a dot is listed like any other"""
    b = Bundle(["/bin/sleep", "1000"])
    b.id = f".{b.id}"
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    b.create()
    listed = json.loads(b.oci("list", "--format", "json")[1])
    equal([c["id"] for c in listed if c["id"].startswith((".", "@"))], [b.id])
    b.delete()
    check(b.oci("create", "--bundle", b.dir, "@cache")[0] != 0, "an id as the cache's folder")


def test_groups_half_made():
    """of a path of control groups that was made half-way down, all goes"""
    root_only("make control groups")
    b = marked()
    name = f"wirt-{b.id}"
    b.linux["cgroupsPath"] = f"/{name}/a/b"
    b.create()
    b.oci("kill", b.id, "KILL")
    b.wait_status("stopped")
    tops = [g for g in groups(name) if os.path.basename(g) == name]
    check(tops, "no group")
    for i, top in enumerate(tops):  # b missing, or a and b, or nothing
        for below in ("a/b", "a")[:i % 3]:
            os.rmdir(os.path.join(top, below))
    b.delete()
    nothing_left(b)
    equal([t for t in tops if os.path.exists(t)], [])


def test_frozen_group():
    """a control group that is frozen, or one below it, is refused, and not waited in for ever"""
    root_only("make control groups")
    freezer = "/sys/fs/cgroup/freezer"
    b = marked()
    name = f"wirt-{PREFIX}ice"
    top = os.path.join(freezer if os.path.isdir(freezer) else "/sys/fs/cgroup", name)
    file, on, off = ("freezer.state", "FROZEN", "THAWED") if os.path.isdir(freezer) else (
        "cgroup.freeze", "1", "0")
    # There in every hierarchy, by way of a container that ends.
    first = marked()
    first.linux["cgroupsPath"] = f"/{name}/first"
    first.create()
    first_groups = groups(name)
    keep = [os.path.join(g, "keep") for g in first_groups]
    for k in keep:
        os.mkdir(k)
    first.delete()
    try:
        with open(os.path.join(top, file), "w") as f:
            f.write(on)
        for path in (f"/{name}/{b.id}", f"/{name}"):
            b.linux["cgroupsPath"] = path
            status, _, err = b.run(timeout=20)
            check(status != 0)
            contains(err, "is frozen")
            nothing_left(b)
            b.write()
            check(b.oci("create", "--bundle", b.dir, b.id, timeout=20)[0] != 0, "create")
        check(os.path.isdir(top), "a group that was there is gone")
    finally:
        with open(os.path.join(top, file), "w") as f:
            f.write(off)
        for k in keep:
            os.rmdir(k)
            os.rmdir(os.path.dirname(k))


def test_run_keeps_what_it_cannot_remove():
    """run says when it cannot take its container away, and delete --force still can"""
    root_only("mount")
    b = marked()
    b.process["args"] = ["/bin/true"]
    hold = os.path.join(ROOT, b.id)
    # A folder in the state folder, which is none that the runtime makes: it cannot be removed.
    b.config["hooks"] = {"poststart": [{"path": "/bin/mkdir", "args": ["mkdir", f"{hold}/x"]}]}
    status, _, err = b.run()
    check(status != 0, "status 0 with a state folder that is left")
    contains(err, "is not wholly removed")
    os.rmdir(f"{hold}/x")
    b.delete()
    nothing_left(b)


def test_silent_death():
    """a process that dies without a word before its command was not started: start, run and exec say so"""
    deadly = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["execve"], "action": "SCMP_ACT_KILL_PROCESS"}]}
    hook = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}]}
    # A hook's parent is the container's process, which no signal reaches in a pid namespace of its own.
    for what, change in (("filter", lambda b: b.linux.update(seccomp=deadly)),
                         ("hook", lambda b: (b.without("pid"), b.config.update(hooks=hook)))):
        b = marked()
        change(b)
        b.create()
        status, _, err = b.oci("start", b.id)
        check(status != 0, f"{what}: start")
        contains(err, "ended before the command")
        b.wait_status("stopped")
        equal(b.oci("delete", b.id)[0], 0)
        for options in ([], ["--detach"]):
            status, _, err = b.run(*options)
            check(status == 1, f"{what}: run {options}: {status}")
            contains(err, "before the command")
            nothing_left(b)
    b = Bundle(shell="sleep 1000; true")
    b.create()
    b.start()
    with open(os.path.join(ROOT, b.id, "config.json")) as f:
        config = json.load(f)
    config["linux"]["seccomp"] = deadly
    with open(os.path.join(ROOT, b.id, "config.json"), "w") as f:
        json.dump(config, f)
    for options in ([], ["--detach"]):
        status, _, err = b.oci("exec", *options, b.id, "true")
        check(status != 0, f"exec {options}")
        contains(err, "before the command")
    b.delete()


def test_pipe_in_root():
    """a named pipe, a device or a terminal in the place of /etc/passwd hangs nobody"""
    for make in (lambda p: os.mkfifo(p), lambda p: os.symlink("/dev/zero", p),
                 lambda p: os.symlink("/dev/tty", p), lambda p: os.symlink("/tmp", p)):
        b = Bundle(shell="echo $HOME")
        b.process["user"] = {"uid": 7, "gid": 7}
        b.process["env"] = ["PATH=/bin"]
        make(os.path.join(b.rootfs, "etc/passwd"))
        equal(b.output(timeout=10), "/\n")
    b = Bundle(shell="true")
    for name in ("etc/passwd", "etc/group"):
        os.mkfifo(os.path.join(b.rootfs, name))
    p = subprocess.run([os.path.join(os.path.dirname(OCI), "wirt"), "--root", os.path.join(b.dir, "wirt"),
                        "run", "--rm", "--user", "nobody:none", b.rootfs, "true"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=10, check=False)
    equal(p.returncode, 125)
    contains(p.stdout.decode(), "no such user")


def test_killed_at_any_time():
    """create, run, start, exec and delete killed at any time: delete --force leaves nothing"""
    rounds = 1000 if os.environ.get("WIRT_TEST_LONG") == "1" else 50
    seed = int(os.environ.get("WIRT_TEST_SEED", str(random.randrange(1 << 30))))
    print(f"# WIRT_TEST_SEED={seed}", flush=True)
    rnd = random.Random(seed)
    kinds = [marked(), marked(), marked()]
    if not ROOTLESS:
        kinds[1].user_namespace()
        kinds[1].linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
        kinds[2].linux["cgroupsPath"] = f"/wirt-{kinds[2].id}/a/b"
    kinds[2].config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    then = time.monotonic()
    for b in kinds:
        b.create()
        b.delete()
    span = (time.monotonic() - then) / len(kinds)

    def killed(b, *args):
        """The verb, killed after some time."""
        with open(os.path.join(b.dir, "log"), "wb") as log:
            p = subprocess.Popen([OCI, "--root", ROOT, *args], stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log)
            time.sleep(rnd.random() * span)
            p.send_signal(signal.SIGKILL)
            p.wait()

    for i in range(rounds):
        b = kinds[i % len(kinds)]
        verb = rnd.choice(["create", "create", "run", "start", "exec", "delete"])
        if verb in ("create", "run"):
            killed(b, verb, "--bundle", b.dir, b.id)
        else:
            b.create()
            if verb != "start":
                b.start()
            killed(b, verb, *{"start": [b.id], "exec": [b.id, "sleep", "1000"],
                              "delete": ["--force", b.id]}[verb])
        before = b.oci("state", b.id)
        r = b.oci("delete", "--force", b.id, timeout=30)
        equal((verb, r[0]), (verb, 0))
        try:
            nothing_left(b)
        except AssertionError as why:
            raise AssertionError(f"round {i}, {verb}: {why}; state before: {before}") from why


main(globals())
