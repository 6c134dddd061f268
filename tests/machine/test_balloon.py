#!/usr/bin/env python3
"""A running guest is shrunk and grown, and the host's resident memory follows. timeout: 300"""
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from guest import Guest, check, eventually, finish, need_files  # noqa: E402

MIB = 1 << 20
need_files("vmlinux", "initramfs.cpio.gz")


def meminfo(g, field):
    out, _ = g.run(f"sed -n 's/^{field}: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")
    return int(out) * 1024


def balloon_actual(g):
    return g.control(op="stats")["balloon"]["actual"]


with Guest(memory="768M") as g:
    # The guest fills memory, then frees it; it reports free pages, and the host gets them back.
    g.run("mount -t tmpfs -o size=600m tmpfs /mnt")
    before = g.rss()
    out, status = g.run("dd if=/dev/zero of=/mnt/fill bs=1M count=450", 60)
    check("the guest fills 450 MiB", status == 0, out)
    full = g.rss()
    check("resident memory grows with use", full - before > 400 * MIB,
          f"{before >> 20} -> {full >> 20} MiB")
    g.run("rm /mnt/fill")
    freed = eventually(30, lambda: g.rss() < full - 350 * MIB)
    check("free pages that the guest reports go back to the host", freed,
          f"{full >> 20} -> {g.rss() >> 20} MiB")

    # The host takes memory that the guest holds as page cache.
    g.run("dd if=/dev/zero of=/mnt/fill bs=1M count=200", 60)
    total, available = meminfo(g, "MemTotal"), meminfo(g, "MemAvailable")
    stats = g.control(op="stats")["balloon"]
    check("the balloon's driver runs", stats["running"], stats)
    before = g.rss()
    g.control(op="balloon", bytes=384 * MIB)
    reached = eventually(30, lambda: balloon_actual(g) == 384 * MIB)
    check("the guest is ballooned to half", reached, f"actual {balloon_actual(g) >> 20} MiB")
    # A balloon that deflates on need counts as used memory in Linux, so the total stays.
    left = meminfo(g, "MemAvailable")
    check("the guest has less memory", abs(available - left - 384 * MIB) < 64 * MIB,
          f"{available >> 20} -> {left >> 20} MiB")
    # What it wrote is still there; the host's resident memory is bounded by what is left.
    out, status = g.run("cmp -n 209715200 /dev/zero /mnt/fill && echo same", 60)
    check("its files survive", out == "same", out)
    check("resident memory is bounded by what is left", g.rss() < (384 + 150) * MIB,
          f"{g.rss() >> 20} MiB")
    out, status = g.run("i=0; while [ $i -lt 200 ]; do i=$((i+1)); sh -c 'exit 0' || exit 1; done; "
                        "echo worked", 60)
    check("the guest goes on working", out == "worked", out)

    # Statistics come from the guest.
    stats = eventually(10, lambda: (s := g.control(op="stats")["balloon"]).get("total") and s)
    available = meminfo(g, "MemAvailable")
    check("statistics: total memory is the guest's", stats and stats["total"] == total,
          f"{stats} against {total}")
    check("statistics: available memory is the guest's",
          stats and abs(stats["available"] - available) < 64 * MIB, f"{stats} against {available}")

    # And back.
    g.control(op="balloon", bytes=768 * MIB)
    check("the balloon deflates", eventually(30, lambda: balloon_actual(g) == 0),
          f"actual {balloon_actual(g) >> 20} MiB")
    check("the guest has its memory again", meminfo(g, "MemAvailable") > available - 64 * MIB,
          f"{meminfo(g, 'MemAvailable') >> 20} of {available >> 20} MiB")
    out, status = g.run("dd if=/dev/zero of=/mnt/fill bs=1M count=500", 60)
    check("and can fill it", status == 0, out)
    check("the machine ends well", g.poweroff() == 0)

# A balloon larger than the guest can spare: it lets go of pages rather than kill its programs.
with Guest(memory="512M") as g:
    g.control(op="balloon", bytes=64 * MIB)
    eventually(20, lambda: balloon_actual(g) > 300 * MIB)
    squeezed = balloon_actual(g)
    g.run("mount -t tmpfs -o size=400m tmpfs /mnt")
    out, status = g.run("dd if=/dev/zero of=/mnt/fill bs=1M count=150 && echo filled", 120)
    check("out of memory deflates the balloon", "filled" in out and balloon_actual(g) < squeezed,
          f"{out}; actual {squeezed >> 20} -> {balloon_actual(g) >> 20} MiB")

finish()
