"""A guest behind each of the three walls, for tests of what it leaves."""
import json
import os
import shutil
import subprocess
import tempfile

from bundle import BUILD, ROOTLESS, Skip, check
from faults import Case
from unfinished import groups, processes

WIRT = str(BUILD / "wirt")
# A limit that has a control group made, where there may be one.
PIDS = "500"
LIMITS = [] if ROOTLESS else ["--pids-limit", PIDS]
WALLS = {
    "container": (BUILD / "guest/rootfs-native", LIMITS),
    "process": (BUILD / "guest/rootfs", LIMITS),
    "machine": (BUILD / "programs/machine/spin", ["--memory", "64m", "--firmware"]),
}
# Ends on SIGTERM at once, also as the first process of a pid namespace.
ENDLESS = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"


class Wirt(Case):
    # What the emulated program asks the kernel for is its own affair.
    excluded = ("wirt-riscv64",)

    def __init__(self, wall):
        self.wall = wall
        self.root, self.options = WALLS[wall]
        if not os.path.exists(self.root):
            raise Skip(f"{self.root} is not there (make guest, scripts/programs.sh)")
        self.state = tempfile.mkdtemp(prefix="wirt-faults-")
        self.own = [WIRT, "--root", self.state]
        self.name = "subject"

    def wirt(self, *args):
        p = subprocess.run([*self.own, *args], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")

    def ok(self, *args):
        r = self.wirt(*args)
        check(r[0] == 0, f"wirt {args[0]}: {r}")
        return r[1]

    def run(self, *how):
        command = [] if self.wall == "machine" else (
            ["sh", "-c", "echo hello"] if "--rm" in how else ["sh", "-c", ENDLESS])
        return [*self.own, "run", *how, "--name", self.name, "--as", self.wall,
                *self.options, str(self.root), *command]

    def start(self):
        p = subprocess.run(self.run("-d"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=60, check=False)
        check(p.returncode == 0, p.stdout)

    def status(self):
        return json.loads(self.ok("inspect", self.name))[0]["status"]

    def limited(self):
        """Whether it is in a group with its limit."""
        for g in groups(self.ids()[0]) if LIMITS and self.wall != "machine" else []:
            files = [os.path.join(g, f) for f in ("pids.max", "cgroup.procs")]
            if all(os.path.exists(f) for f in files):
                limit, pids = [open(f, encoding="ascii").read().strip() for f in files]
                return limit == PIDS and bool(pids)
        return not LIMITS or self.wall == "machine"

    def ids(self):
        guests = os.path.join(self.state, "guests")
        return os.listdir(guests) if os.path.isdir(guests) else []

    def clean(self):
        self.seen = self.ids()
        for i in self.seen:
            self.ok("rm", "-f", i)

    def left(self):
        left = processes(self.state)
        for i in self.seen:
            left += groups(i[:12])
        for top, dirs, files in os.walk(self.state):
            dirs[:] = [d for d in dirs if d != "@cache"]
            left += [os.path.join(top, f) for f in files
                     if not os.path.join(top, f).endswith(("/lock", "/balance.json"))]
        return left

    def end(self):
        shutil.rmtree(self.state, ignore_errors=True)


# One that no list knows: no ids of others (subuid(5)), no control group.
USER = 31337


class ByUser:
    """Of a guest: an ordinary user's. Where root is the host's."""

    def __init__(self, wall):
        super().__init__(wall)
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "HOME=/"]
        if subprocess.run([*as_user, "test", "-x", WIRT, "-a", "-r", str(self.root)],
                          stderr=subprocess.DEVNULL, check=False).returncode:
            raise Skip(f"another user cannot be, or not reach {WIRT}")
        if wall == "container" and subprocess.run([*as_user, "unshare", "--user", "true"], check=False,
                                                  stderr=subprocess.DEVNULL).returncode:
            raise Skip("this host gives ordinary users no user namespace")
        self.options = [] if self.options is LIMITS else self.options
        os.chown(self.state, USER, USER)
        self.own = [*as_user, *self.own]

    def limited(self):
        return True
