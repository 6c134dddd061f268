#!/usr/bin/env python3
"""The agent where it belongs: in Debian's kernel in a machine, on its virtio-console port."""
# timeout: 400
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from host import BUILD, OUTPUT, POWEROFF, WINDOW, Agent, Gone

GUEST = BUILD / "guest"
MOUNT = """for m in $(cat /lib/modules/root); do insmod /lib/modules/$(uname -r)/$m; done
mount -t ext4 /dev/vda /mnt && echo kept >/mnt/file && echo mounted"""
failures = 0


def check(name, good, why=""):
    global failures
    print(f"ok - {name}" if good else f"not ok - {name}: {why}", flush=True)
    failures += not good


def boot(console, *options):
    a = Agent("--memory", "256M", "--kernel", str(GUEST / "vmlinux"), "--initrd", str(GUEST / "initramfs.cpio.gz"),
              "--append", "console=ttyS0 quiet", *options, greet=False, stdout=console,
              command=(BUILD / "tests/machine-boot", "--agent", "{}"))
    a.shake_hands(60)
    return a


def power_off(a, status):
    """The machine's exit status, and how long it took."""
    start = time.monotonic()
    a.send(POWEROFF, 0, bytes([status]))
    try:
        a.until(lambda: False, 20)
    except (Gone, ConnectionError):
        pass
    return a.process.wait(20), time.monotonic() - start


def commands(a):
    s = a.sh("uname -m; cat; echo err >&2; exit 3", user="")
    s.input(b"typed\n")
    s.end_input()
    check("a command's streams and exit status", (s.wait(), s.out, s.err) == (3, b"riscv64\ntyped\n", b"err\n"), s)
    s = a.sh("tty; stty size", user="", tty=1, size=(33, 101))
    check("a terminal", s.wait() == 0 and s.out.startswith(b"/dev/pts/") and s.out.endswith(b"33 101\r\n"), s)
    data = random.Random(3).randbytes(2 << 20)
    s = a.run("cat", user="")
    s.input(data, 60)
    s.end_input()
    check("megabytes in and out", s.wait(60) == 0 and s.out == data, (len(s.out), s.status))
    slow = a.sh("seq 100000", user="")
    slow.slow = True
    a.until(lambda: slow.owed[OUTPUT] == WINDOW, 20)
    fast = [a.sh(f"seq {n} {n + 20000}", user="") for n in range(10)]
    check("many at once beside one that nobody reads", all(s.wait(60) == 0 for s in fast) and slow.status is None, slow)
    slow.hurry()
    check("... which is read in the end", slow.wait() == 0 and slow.out.endswith(b"\n100000\n"), slow)
    s = a.sh("cat /proc/$PPID/oom_score_adj /proc/self/oom_score_adj", user="")
    check("memory that runs out takes commands first", s.wait() == 0 and s.out == b"-1000\n0\n", s)
    check("the agent kept to the protocol", not a.broken, a.broken[:5])


def orderly_end(console):
    with tempfile.TemporaryDirectory() as folder:
        disk = pathlib.Path(folder) / "disk"
        subprocess.run(["truncate", "-s", "16M", disk], check=True)
        subprocess.run(["mkfs.ext4", "-q", disk], check=True)
        with boot(console, "--disk", str(disk)) as a:
            commands(a)
            s = a.sh(MOUNT, user="")
            check("a disk is mounted and written to", s.says(b"mounted"), s)
            polite = a.sh("trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.1; done", user="", tty=1)
            polite.says(b"ready")
            shell = a.run("sh", "-i", user="", tty=1)
            shell.says(b"# ")
            status, seconds = power_off(a, 42)
            check("the machine ends with the status that was asked for", status == 42, status)
            check("... after its commands, which were asked to", polite.status == 9 and b"bye\r\n" in polite.out, polite)
            check("... and its shells, which do not hear that", shell.status == 129, (str(shell), seconds))
        said = subprocess.run(["debugfs", "-R", "cat /file", disk], check=True, capture_output=True).stdout
        state = subprocess.run(["dumpe2fs", "-h", disk], check=True, capture_output=True).stdout
        check("what was written is on the disk, unmounted cleanly",
              said == b"kept\n" and b"needs_recovery" not in state, (said, state))


def hard_end(console):
    with boot(console, "--harts", "2") as a:
        s = a.sh("trap '' TERM HUP; echo ready; while :; do sleep 1; done", user="")
        s.says(b"ready")
        status, seconds = power_off(a, 0)
        check("a command that does not end is ended, and then the machine",
              status == 0 and s.status == 137 and seconds > 1.9, (status, str(s), seconds))


def main():
    if not (GUEST / "vmlinux").exists():
        print("skip - the agent in a machine: no guest files, run make guest")
        return 0
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # of e2fsprogs
    logs = BUILD / "test-logs"
    logs.mkdir(exist_ok=True)
    with open(logs / "agent-console.log", "wb") as console:
        orderly_end(console)
        hard_end(console)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
