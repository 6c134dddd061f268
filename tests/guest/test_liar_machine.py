#!/usr/bin/env python3
"""A machine whose guest lies of its memory (tests/programs/guest/liar_balloon.c) beside two that are full of what
they read: when the host runs short they give, as it does not; they live on, and nobody is killed in its stead.

The host is a control group with a limit, as in a container. timeout: 300"""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import host_group
from host_group import BUILD, MIB, SOURCE

LIMIT, SIZE, LIAR, FILE = 1100 * MIB, 320 * MIB, 384 * MIB, 480 * MIB
host_group.need("guest/vmlinux", "guest/initramfs.cpio.gz")
subprocess.run([SOURCE / "scripts/programs.sh"], check=True)

READ = ("exec 3</dev/vda; i=0; while [ $i -lt 460 ]; do dd bs=1M count=12 of=/dev/null <&3 2>/dev/null;"
        " i=$((i+12)); usleep 200000; done; echo read all; sleep 1000")
group = host_group.Group(LIMIT)
folder = pathlib.Path(tempfile.mkdtemp(prefix="wirt-test."))
host = host_group.Host(group, folder)
check, wirt = host.check, host.wirt


def wait(seconds, holds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(0.3)


try:
    image = folder / "disk.img"
    with open(image, "wb") as f:
        f.truncate(FILE)
    for name in ("first", "second"):
        r = wirt("run", "-d", "--as", "machine", "-m", SIZE, "--name", name, "--network", "none",
                 "--disk", f"{image},ro", "--append", f'root= quiet wirt.run="{READ}"')
        check(f"the {name} machine starts", r.returncode == 0, r.stdout)
    wait(60, lambda: all(host.logged(n, "read all") for n in ("first", "second")))
    r = wirt("run", "-d", "--as", "machine", "-m", LIAR, "--name", "liar", "--network", "none",
             BUILD / "programs/riscv64/liar_balloon", LIAR // MIB - 130)
    check("the liar starts", r.returncode == 0, r.stdout)
    # Its statistics are asked for, also while nobody needs them.
    wait(60, lambda: wirt("stats", "--no-stream", "liar") and host.logged("liar", "lying"))
    check("its statistics are read", host.logged("liar", "lying"), wirt("logs", "liar").stdout)
    wait(15, lambda: group.kills() > 0)
    for name in ("first", "second"):
        r = wirt("exec", name, "echo", "alive")
        check(f"the {name} machine lives", "alive" in r.stdout, r.stdout)
    taken = sum(host.balloon(n).get("actual", 0) for n in ("first", "second"))
    check("they gave what it did not", taken > 50 * MIB, f"{taken >> 20} MiB")
    liar = host.balloon("liar")
    check("it was asked and gave nothing", liar.get("actual") == 0 and
          "it gives" in host.balance_log("liar"), f"{liar}; {host.balance_log('liar')}")
    alive = wirt("ps", "-q", "-f", "name=liar").stdout.strip()
    check("nobody but the liar was ever killed for lack of memory",
          group.kills() == 0 or (group.kills() == 1 and not alive), f"{group.kills()} kills")
finally:
    wirt("rm", "-f", "liar", "first", "second")
    group.remove()
    shutil.rmtree(folder)
sys.exit(host.failures > 0)
