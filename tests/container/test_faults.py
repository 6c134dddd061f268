#!/usr/bin/env python3
"""Every system call of wirt-oci's verbs fails once; see faults.py. WIRT_TEST_LONG=1: all of them."""
# timeout: 7200
import difflib
import errno
import os
import time

from bundle import OCI, ROOT, ROOTLESS, Bundle, check, equal, main, need_rights
from faults import Case, each_call
from unfinished import groups, processes

need_rights("container/faults")

# What a container is, as seen from inside: with status 0 none of it may be missing.
LOOK = """echo :ID >/dev/null; hostname; umask; env | grep A=; pwd
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status
cut -d' ' -f4-6 /proc/self/mountinfo; ls -l /dev | cut -c1-10; cat /proc/self/oom_score_adj
grep 'open files' /proc/self/limits; cat /proc/self/cgroup | cut -d: -f3 | sort -u
cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
touch /dev/made 2>/dev/null && echo dev is writable; ls /proc/self/fd | wc -l"""


class Oci(Case):
    seconds = 45

    def __init__(self, args=None):
        self.b = Bundle()
        b = self.b
        b.process["args"] = args or ["/bin/sh", "-c", LOOK.replace("ID", b.id)]
        b.process["env"] = ["PATH=/bin", "A=1"]
        b.process["cwd"] = "/tmp"
        b.process["oomScoreAdj"] = 100
        if not ROOTLESS: # who may make no control group has nothing to hold a limit
            b.linux["resources"]["pids"] = {"limit": 100}
        b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getcpu"], "action": "SCMP_ACT_ERRNO"}]}
        self.change(b)
        b.write()
        self.log = os.path.join(b.dir, "log")
        self.files = sorted(os.listdir(b.dir))
        self.want = None

    def change(self, b):
        pass

    def ok(self, *args):
        r = self.b.oci(*args)
        check(r[0] == 0, f"{args[0]}: {r}")

    def create(self):
        self.b.create()

    def looked(self, out):
        """What the container printed is what it printed undisturbed."""
        if self.want is None:
            self.want = out
            check("NoNewPrivs" in out, out)
        diff = [d for d in difflib.ndiff(self.want.split("\n"), out.split("\n")) if d[0] in "+-"]
        check(not diff, f"not what it is undisturbed: {diff[:6]}")

    def clean(self):
        self.ok("delete", "--force", self.b.id)
        if os.path.exists(self.log):
            os.unlink(self.log)

    def left(self):
        left = self.b.left_behind() + processes(self.b.id) + groups(self.b.id)
        left += [f for f in os.listdir(self.b.dir) if f not in self.files]
        return left + [f for f in os.listdir(ROOT) if f not in ("@cache",)]


class Create(Oci):
    """What it prints once it is started is part of its effect."""

    def command(self):
        return ["sh", "-c", f'exec >{self.log} 2>&1; exec "$@"', "sh", OCI, "--root", ROOT, "create",
                "--bundle", self.b.dir, self.b.id]

    def inject(self, *options):
        status, out, report = super().inject(*options)
        with open(self.log) as f:
            return status, out + f.read(), report

    def done(self, out):
        equal(self.b.state()["status"], "created")
        with open(self.log, "w"):
            pass
        self.ok("start", self.b.id)
        self.b.wait_status("stopped")
        with open(self.log) as f:
            self.looked(f.read())


class CreateUser(Create):
    def change(self, b):
        b.user_namespace()
        b.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]


    def tolerated(self, nr, code):
        """A procfs or sysfs that the kernel does not let a user namespace mount is bound instead:
        EPERM of fsopen(2), fsconfig(2), fsmount(2) or mount(2), and of fchdir(2) just before."""
        return nr in (81, 165, 430, 431, 432) and code == errno.EPERM


class Run(Oci):
    def command(self):
        return [OCI, "--root", ROOT, "run", "--bundle", self.b.dir, self.b.id]

    def done(self, out):
        self.looked(out)
        equal(self.left(), [])


class RunHooks(Run):
    def change(self, b):
        touch = lambda n: [{"path": "/bin/touch", "args": ["touch", os.path.join(b.rootfs, "tmp", n)]}]
        b.config["hooks"] = {k: touch(k) for k in ("createRuntime", "createContainer", "poststart")}
        b.process["args"][2] += "; sleep 0.2; ls /tmp; rm /tmp/*"


class Start(Oci):
    def before(self):
        self.create()

    def command(self):
        return [OCI, "--root", ROOT, "start", self.b.id]

    def done(self, out):
        self.b.wait_status("stopped")
        self.looked(self.b.printed())


class Running(Oci):
    def __init__(self):
        super().__init__()
        self.b.process["args"] = ["/bin/sh", "-c", f": {self.b.id}; sleep 1000; true"]
        self.b.write()

    def before(self):
        self.create()
        self.ok("start", self.b.id)
        self.b.wait_status("running")


class Exec(Running):
    def command(self):
        return [OCI, "--root", ROOT, "exec", self.b.id, "sh", "-c", LOOK.replace("ID", self.b.id)]

    def done(self, out):
        self.looked(out)


class Kill(Running):
    def command(self):
        return [OCI, "--root", ROOT, "kill", self.b.id, "KILL"]

    def done(self, out):
        self.b.wait_status("stopped")


class KillAll(Kill):
    def command(self):
        return [OCI, "--root", ROOT, "kill", "--all", self.b.id, "KILL"]


class Delete(Running):
    def command(self):
        return [OCI, "--root", ROOT, "delete", "--force", self.b.id]

    def done(self, out):
        end = time.monotonic() + 5
        while (left := self.left()) and time.monotonic() < end:
            time.sleep(0.02)
        equal(left, [os.path.basename(self.log)] if os.path.exists(self.log) else [])


def test_create():
    """create: each system call fails once"""
    each_call(Create())


def test_user_create():
    """create with a user namespace and devices: each system call fails once"""
    each_call(CreateUser())


def test_start():
    """start: each system call fails once"""
    each_call(Start())


def test_run():
    """run: each system call fails once"""
    each_call(Run())


def test_hooks_run():
    """run with hooks: each system call fails once"""
    each_call(RunHooks())


def test_exec():
    """exec: each system call fails once"""
    each_call(Exec())


def test_kill():
    """kill: each system call fails once"""
    each_call(Kill())


def test_all_kill():
    """kill --all: each system call fails once"""
    each_call(KillAll())


def test_delete():
    """delete --force: each system call fails once"""
    each_call(Delete())


main(globals())
