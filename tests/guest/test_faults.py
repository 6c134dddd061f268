#!/usr/bin/env python3
"""Every system call of `wirt run`, `stop` and `rm` behind each wall fails once; see
tests/container/faults.py. WIRT_TEST_LONG=1: all of them."""
# timeout: 7200
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../container"))
from bundle import BUILD, Skip, check, equal, main, need_rights  # noqa: E402
from faults import Case, each_call  # noqa: E402
from unfinished import groups, processes  # noqa: E402

need_rights("guest/faults")
WIRT = str(BUILD / "wirt")
WALLS = {
    "container": (BUILD / "guest/rootfs-native", []),
    "process": (BUILD / "guest/rootfs", []),
    "machine": (BUILD / "programs/machine/spin", ["--memory", "64m", "--firmware"]),
}


class Wirt(Case):
    # What the emulated program asks the kernel for is its own affair.
    excluded = ("wirt-riscv64",)

    def __init__(self, wall):
        self.wall = wall
        self.root, self.options = WALLS[wall]
        if not os.path.exists(self.root):
            raise Skip(f"{self.root} is not there (make guest, scripts/programs.sh)")
        self.state = tempfile.mkdtemp(prefix="wirt-faults-")
        self.name = "subject"

    def wirt(self, *args):
        p = subprocess.run([WIRT, "--root", self.state, *args], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")

    def ok(self, *args):
        r = self.wirt(*args)
        check(r[0] == 0, f"wirt {args[0]}: {r}")
        return r[1]

    def run(self, *how):
        command = [] if self.wall == "machine" else (
            ["sh", "-c", "echo hello"] if "--rm" in how else ["sh", "-c", "while :; do sleep 1; done"])
        return [WIRT, "--root", self.state, "run", *how, "--name", self.name, "--as", self.wall,
                *self.options, str(self.root), *command]

    def start(self):
        p = subprocess.run(self.run("-d"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=60, check=False)
        check(p.returncode == 0, p.stdout)

    def status(self):
        return json.loads(self.ok("inspect", self.name))[0]["status"]

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


class Run(Wirt):
    def command(self):
        return self.run("--rm")

    def done(self, out):
        equal([line for line in out.splitlines() if ": warning: " not in line], ["hello"])
        self.seen = self.ids()
        equal(self.seen, [])


class RunDetached(Wirt):
    def command(self):
        return self.run("-d")

    def done(self, out):
        equal(self.status(), "running")


class Stop(Wirt):
    def before(self):
        self.start()

    def command(self):
        return [WIRT, "--root", self.state, "stop", "-t", "1", self.name]

    def done(self, out):
        equal(self.status(), "exited")


class Rm(Stop):
    def command(self):
        return [WIRT, "--root", self.state, "rm", "-f", self.name]

    def done(self, out):
        equal(self.ids(), [])


def add_tests():
    for wall in WALLS:
        for kind in (Run, RunDetached, Stop, Rm):
            if wall == "machine" and kind is Run:  # the program there has no end
                continue

            def test(wall=wall, kind=kind):
                case = kind(wall)
                try:
                    each_call(case)
                finally:
                    case.end()
            name = {"Run": "run", "RunDetached": "run -d", "Stop": "stop", "Rm": "rm -f"}[kind.__name__]
            test.__doc__ = f"{wall}: {name}: each system call fails once"
            globals()[f"test_{wall}_{kind.__name__.lower()}"] = test


add_tests()
main(globals())
