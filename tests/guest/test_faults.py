#!/usr/bin/env python3
"""Every system call of `wirt run`, `stop` and `rm` behind each wall fails once; see
tests/container/faults.py. WIRT_TEST_LONG=1: all of them."""
# timeout: 7200
import glob
import os
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../container"))
from bundle import check, equal, main, need_rights  # noqa: E402
from faults import each_call  # noqa: E402
from guests import WALLS, ByUser, Wirt  # noqa: E402
from reach import within_reach  # noqa: E402

need_rights("guest/faults")
within_reach()


def holders(file):
    """Who else has the file open: a caller that waits for the end of its output would wait for them."""
    found, st = [], os.fstat(file)
    for pid in filter(lambda p: p.isdigit() and int(p) != os.getpid(), os.listdir("/proc")):
        for link in glob.glob(f"/proc/{pid}/fd/*"):
            try:
                if os.path.samestat(os.stat(link), st):
                    found.append(link)
            except OSError:
                continue
    return found


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
        check(self.limited(), "it runs without its limit")
        equal(holders(self.output), [])


class Stop(Wirt):
    def before(self):
        self.start()

    def command(self):
        return [*self.own, "stop", "-t", "1", self.name]

    def done(self, out):
        equal(self.status(), "exited")


class Rm(Stop):
    def command(self):
        return [*self.own, "rm", "-f", self.name]

    def done(self, out):
        equal(self.ids(), [])


class Life(Wirt):
    """All of a guest's life under one injector: the monitor's part of stop and rm, too."""

    def command(self):
        own = self.own
        return ["sh", "-c", " && ".join(shlex.join(c) for c in (
            self.run("-d"), [*own, "stop", "-t", "1", self.name], [*own, "rm", self.name]))]

    def done(self, out):
        self.seen = self.ids()
        equal(self.seen, [])


class UserRun(ByUser, Run):
    thin = 2


class UserLife(ByUser, Life):
    thin = 2


NAMES = {Run: "run", RunDetached: "run -d", Stop: "stop", Rm: "rm -f",
         Life: "run -d, stop, rm, and the monitor all the while", UserRun: "run of an ordinary user",
         UserLife: "run -d, stop, rm of an ordinary user, and the monitor all the while"}


def add_tests():
    for wall in WALLS:
        for kind, said in NAMES.items():
            if wall == "machine" and issubclass(kind, Run):  # the program there has no end
                continue

            def test(wall=wall, kind=kind):
                case = kind(wall)
                try:
                    each_call(case)
                finally:
                    case.end()
            test.__doc__ = f"{wall}: {said}: each system call fails once"
            globals()[f"test_{wall}_{kind.__name__.lower()}"] = test


add_tests()
main(globals())
