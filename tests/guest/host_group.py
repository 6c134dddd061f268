"""A host that is short of memory, for tests: a memory control group with a limit, and wirt run in it."""
import json
import os
import pathlib
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", SOURCE / "build")).resolve()
MIB = 1 << 20


def skip(why):
    print(f"skip - memory of the host: {why}")
    sys.exit(0)


def need(*files):
    if os.geteuid() != 0:
        skip("only the host's root may make a control group")
    for name in ("wirt", "wirt-machine", *files):
        if not (BUILD / name).exists():
            skip(f"{BUILD / name} is missing")


class Group:
    """A memory control group, v1 or v2."""

    def __init__(self, limit):
        v1 = pathlib.Path("/sys/fs/cgroup/memory")
        self.v1 = v1.is_dir()
        base = v1 if self.v1 else pathlib.Path("/sys/fs/cgroup")
        if not self.v1 and "memory" not in (base / "cgroup.controllers").read_text().split():
            skip("no memory controller")
        if not self.v1:
            (base / "cgroup.subtree_control").write_text("+memory")
        self.path = base / f"wirt-test-{os.getpid()}"
        self.path.mkdir()
        self.file("memory.limit_in_bytes", "memory.max").write_text(str(limit))

    def file(self, v1, v2):
        return self.path / (v1 if self.v1 else v2)

    def enter(self):
        (self.path / "cgroup.procs").write_text("0")

    def kills(self):
        text = self.file("memory.oom_control", "memory.events").read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def held(self):
        """What cannot be dropped: usage without the caches of files."""
        usage = int(self.file("memory.usage_in_bytes", "memory.current").read_text())
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        prefix = "total_" if self.v1 else ""
        return usage - int(stat[prefix + "inactive_file"]) - int(stat[prefix + "active_file"])

    def remove(self):
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)


class Host:
    """wirt in a group, with a state folder below folder; and what a test says."""

    def __init__(self, group, folder):
        self.group, self.folder, self.failures = group, folder, 0

    def check(self, name, holds, why=""):
        self.failures += not holds
        print(f"ok - {name}" if holds else f"not ok - {name}: {why}", flush=True)

    def wirt(self, *args):
        return subprocess.run([BUILD / "wirt", "--root", self.folder / "state", *map(str, args)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL, preexec_fn=self.group.enter)

    def balloon(self, name):
        r = self.wirt("balloon", "--json", name)
        try:
            return json.loads(r.stdout)
        except ValueError:
            return {}

    def logged(self, name, text):
        return text in self.wirt("logs", name).stdout

    def balance_log(self, name):
        r = self.wirt("inspect", name)
        try:
            guest = json.loads(r.stdout)[0]["id"]
            return (self.folder / "state/guests" / guest / "balance.log").read_text()
        except (ValueError, LookupError, OSError):
            return ""
