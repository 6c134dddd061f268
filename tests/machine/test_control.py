#!/usr/bin/env python3
"""The control socket of a machine: statistics, pause and resume, balloon, stop; and nonsense."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
HERE = pathlib.Path(__file__).resolve().parent / "guest"
CC = "riscv64-linux-gnu-gcc"
failures = 0


def check(name, good, why=""):
    global failures
    print(f"ok - {name}" if good else f"not ok - {name}: {why}", flush=True)
    failures += not good


def within(seconds, condition):
    """True once the condition holds; False when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Machine:
    def __init__(self, kernel, harts):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [BUILD / "tests/machine-boot", "--kernel", kernel, "--memory", "64M",
             "--harts", str(harts), "--control", str(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(20)
        self.socket = ours
        self.file = ours.makefile("r")
        self.started = json.loads(self.file.readline())

    def line(self, text):
        self.socket.sendall(text.encode() + b"\n")
        return json.loads(self.file.readline())

    def ask(self, op, **more):
        return self.line(json.dumps({"op": op, **more}))

    def cpu(self):
        """CPU time that the machine has taken, in ticks: it is the launcher's only child."""
        pid = self.process.pid
        child = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        fields = pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(") ")[1].split()
        return int(fields[11]) + int(fields[12])


def run(m):
    check("it says that it runs", m.started == {"ok": True}, m.started)
    m.process.stdout.readline()  # "spinning"
    s = m.ask("stats")
    check("stats", s["ok"] and s["harts"] == 2, s)
    check("second-level faults are counted", s["memory"]["second_level_faults"] > 0, s["memory"])
    check("RAM is given by demand", 0 < s["memory"]["resident_bytes"] < 8 << 20, s["memory"])
    check("SBI calls are counted", s["hart_counters"]["system_instructions"]["sbi"] > 5,
          s["hart_counters"])
    check("blocks are counted", s["engine"]["blocks"] > 0, s["engine"])

    check("pause", m.ask("pause")["ok"])
    check("stats say so", m.ask("stats")["paused"])
    before = m.cpu()
    time.sleep(1)
    check("paused harts use no CPU", m.cpu() - before <= 5, m.cpu() - before)
    check("pause twice", m.ask("pause")["ok"])
    check("resume", m.ask("resume")["ok"])
    before = m.cpu()
    check("resumed harts run", within(20, lambda: m.cpu() - before >= 50), m.cpu() - before)
    check("stats say so", not m.ask("stats")["paused"])

    check("balloon target", m.ask("balloon", bytes=32 << 20)["ok"])
    check("the balloon knows it", m.ask("stats")["balloon"]["target"] == 32 << 20)
    for bad in [{}, {"bytes": "much"}, {"bytes": -1}, {"bytes": 1.5}]:
        check(f"balloon with {bad} is refused", not m.ask("balloon", **bad)["ok"])
    for bad in ["", "nonsense", "[1]", "{}", '{"op": 3}', '{"op": "dance"}', "{" * 1000]:
        answer = m.line(bad)
        check(f"'{bad[:20]}' is refused", not answer["ok"] and answer["error"], answer)
    m.socket.sendall(b'{"op": "sta')
    time.sleep(0.1)
    check("a request in pieces", m.line('ts"}')["ok"])
    m.socket.sendall(b"x" * 10000 + b"\n")
    m.file.readline()
    check("a request that is too long does not end it", m.ask("pause")["ok"])
    check("stop while paused", m.ask("stop")["ok"])
    check("its exit status", m.process.wait(20) == 143, m.process.returncode)


def main():
    if not shutil.which(CC):
        print(f"skip - control socket: {CC} is not installed")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        kernel = f"{scratch}/spin"
        subprocess.run([CC, "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-O2",
                        "-ffreestanding", "-fno-builtin", "-fno-pie", "-no-pie", "-nostdlib",
                        "-static", "-fno-stack-protector", "-Wl,-Ttext=0x80200000",
                        "-Wl,--build-id=none,--no-warn-rwx-segments", "-o", kernel,
                        HERE / "start.S", HERE / "guest.c", HERE / "spin.c"], check=True)
        m = Machine(kernel, 2)
        try:
            run(m)
        finally:
            m.process.kill()
            m.process.wait()
    return failures > 0


sys.exit(main())
