#!/usr/bin/env python3
"""However a machine is ended from outside, what it held (a published port, its disk's lock) is free when that is said:
a start right after has it. Also when its launcher, its monitor or both were killed by somebody. timeout: 300"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "machine"))
from guest import BUILD, SOURCE, check, finish  # noqa: E402

ROUNDS = 5
SPIN = BUILD / "programs/machine/spin"


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.disk = folder / "disk"
        self.disk.write_bytes(bytes(1 << 20))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]

    def wirt(self, *args):
        p = subprocess.run([BUILD / "wirt", "--root", self.folder / "state", *args], stdin=subprocess.DEVNULL, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return p.returncode, p.stdout.strip()

    def start(self):
        """None, or why not."""
        status, said = self.wirt("run", "-d", "--name", "a", "--as", "machine", "--memory", "64m", "-p",
                                 f"127.0.0.1:{self.port}:80", "--disk", self.disk, "--firmware", SPIN)
        return None if status == 0 else said

    def told(self):
        return json.loads(self.wirt("inspect", "a")[1])[0]

    def remove(self):
        return self.wirt("rm", "-f", "a")

    def wait(self):
        end = time.monotonic() + 20
        while self.told()["status"] in ("running", "paused") and time.monotonic() < end:
            time.sleep(0.001)


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def wirt_kill(m):
    m.wirt("kill", "a")
    # The guest is there as one that has ended; the next has its name.
    return m.wirt("rm", "a")


def kill_launcher(m):
    kill(m.told()["pid"])
    m.wait()
    return m.wirt("rm", "a")


def kill_monitor(m):
    kill(m.told()["monitorPid"])
    return m.remove()


def stop_launcher(m):
    """One that is stopped cannot put its things in order before it is told to go on."""
    os.kill(m.told()["pid"], signal.SIGSTOP)
    return m.remove()


def kill_paused(m):
    m.wirt("pause", "a")
    return m.remove()


WAYS = {"rm -f": Machine.remove, "kill, then rm": wirt_kill, "its launcher killed": kill_launcher,
        "its monitor killed, then rm -f": kill_monitor, "its launcher stopped, then rm -f": stop_launcher,
        "paused, then rm -f": kill_paused}

subprocess.run([SOURCE / "scripts/programs.sh"], check=True)
with tempfile.TemporaryDirectory() as name:
    m = Machine(pathlib.Path(name))
    for way, fn in WAYS.items():
        bad = m.start()
        for _ in range(ROUNDS):
            if bad:
                break
            status, said = fn(m)
            bad = f"{status}: {said}" if status else m.start()
        m.remove()
        check(f"{way}: a start right after succeeds, {ROUNDS} times", not bad, bad)
    # A monitor that is killed while its machine is on its way.
    bad = None
    for i in range(3 * ROUNDS):
        p = subprocess.Popen([BUILD / "wirt", "--root", m.folder / "state", "run", "-d", "--name", "a", "--as", "machine",
                              "--memory", "64m", "-p", f"127.0.0.1:{m.port}:80", "--disk", m.disk, "--firmware", SPIN],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.005 * i)
        try:
            kill(m.told()["monitorPid"])
        except (KeyError, IndexError, ValueError, ProcessLookupError):
            pass
        p.wait(30)
        m.remove()
        bad = m.start()
        m.remove()
        if bad:
            break
    check(f"its monitor killed on the way, then rm -f: a start right after succeeds, {3 * ROUNDS} times", not bad, bad)
finish()
