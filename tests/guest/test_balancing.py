#!/usr/bin/env python3
"""Two machines that want more memory than their host has: it balances their balloons by itself.

The host is a control group with a limit, as in a container. timeout: 300"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", SOURCE / "build")).resolve()
MIB = 1 << 20
LIMIT, SIZE = 1000 * MIB, 592 * MIB
if os.environ.get("WIRT_SANITIZED"):
    LIMIT += 120 * MIB  # what AddressSanitizer keeps for itself, of both
failures = 0


def check(name, holds, why=""):
    global failures
    failures += not holds
    print(f"ok - {name}" if holds else f"not ok - {name}: {why}", flush=True)


def skip(why):
    print(f"skip - balancing: {why}")
    sys.exit(0)


class Group:
    """A memory control group, v1 or v2."""

    def __init__(self):
        v1 = pathlib.Path("/sys/fs/cgroup/memory")
        self.v1 = v1.is_dir()
        base = v1 if self.v1 else pathlib.Path("/sys/fs/cgroup")
        if not self.v1 and "memory" not in (base / "cgroup.controllers").read_text().split():
            skip("no memory controller")
        if not self.v1:
            (base / "cgroup.subtree_control").write_text("+memory")
        self.path = base / f"wirt-test-{os.getpid()}"
        self.path.mkdir()
        self.file("memory.limit_in_bytes", "memory.max").write_text(str(LIMIT))

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


if os.geteuid() != 0:
    skip("needs root for a control group")
for name in ("wirt", "wirt-machine", "guest/vmlinux", "guest/initramfs.cpio.gz"):
    if not (BUILD / name).exists():
        skip(f"{BUILD / name} is missing")

group = Group()
folder = pathlib.Path(tempfile.mkdtemp(prefix="wirt-test."))


def wirt(*args):
    return subprocess.run([BUILD / "wirt", "--root", folder / "state", *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, preexec_fn=group.enter)


def balloon(name):
    r = wirt("balloon", "--json", name)
    try:
        return json.loads(r.stdout)
    except ValueError:
        return {}


def logged(name, text):
    return text in wirt("logs", name).stdout


# Reads its disk at about 60 MB/s, so that Linux fills all of its memory with the disk's blocks, and
# keeps it open, so that it keeps them.
READ = ("exec 3</dev/vda; i=0; while [ $i -lt 700 ]; do dd bs=1M count=12 of=/dev/null <&3 2>/dev/null;"
        " i=$((i+12)); usleep 200000; done; echo read all; sleep 1000")

try:
    image = folder / "disk.img"
    with open(image, "wb") as f:
        f.truncate(720 * MIB)
    for name in ("first", "second"):
        r = wirt("run", "-d", "--as", "machine", "-m", SIZE, "--name", name, "--network", "none",
                 "--disk", f"{image},ro", "--append", f'root= quiet wirt.run="{READ}"')
        check(f"the {name} machine starts", r.returncode == 0, r.stdout)
    taken, peak, end = 0, 0, time.monotonic() + 120
    while time.monotonic() < end:
        taken = max(taken, sum(balloon(n).get("actual", 0) for n in ("first", "second")))
        peak = max(peak, group.held())
        if logged("first", "read all") and logged("second", "read all"):
            break
        time.sleep(0.5)
    done = [n for n in ("first", "second") if logged(n, "read all")]
    check("both machines go on, and come to the end", len(done) == 2,
          f"only {done}; {wirt('ps', '-a').stdout}")
    check("nobody was killed for lack of memory", group.kills() == 0, group.kills())
    check("memory was taken from them without being asked for", taken > 100 * MIB,
          f"{taken >> 20} MiB")
    check("the host kept some in hand", peak < LIMIT - 20 * MIB,
          f"{peak >> 20} of {LIMIT >> 20} MiB were held")
    inside = [p.read_text() for p in (folder / "state" / "guests").glob("*/balance.log")]
    check("and it says so", any("it gives" in text for text in inside), inside)

    r = wirt("rm", "-f", "second")
    check("one machine goes", r.returncode == 0, r.stdout)
    end = time.monotonic() + 60
    while time.monotonic() < end and balloon("first").get("actual", 1):
        time.sleep(0.5)
    b = balloon("first")
    check("the other one gets its memory back", b.get("actual") == 0, b)
finally:
    wirt("rm", "-f", "first", "second")
    group.remove()
    shutil.rmtree(folder)
sys.exit(failures > 0)
