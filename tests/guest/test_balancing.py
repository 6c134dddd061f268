#!/usr/bin/env python3
"""Two machines that want more memory than their host has: it balances their balloons by itself.

The host is a control group with a limit, as in a container. timeout: 300"""
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import host_group
from host_group import MIB

LIMIT, SIZE = 1000 * MIB, 592 * MIB
if os.environ.get("WIRT_SANITIZED"):
    LIMIT += 120 * MIB  # what AddressSanitizer keeps for itself, of both
host_group.need("guest/vmlinux", "guest/initramfs.cpio.gz")
group = host_group.Group(LIMIT)
folder = pathlib.Path(tempfile.mkdtemp(prefix="wirt-test."))
host = host_group.Host(group, folder)
check, wirt, balloon, logged = host.check, host.wirt, host.balloon, host.logged


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
sys.exit(host.failures > 0)
