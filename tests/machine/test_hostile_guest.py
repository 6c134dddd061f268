#!/usr/bin/env python3
"""A guest that writes random things to everything there is (tests/machine/hostile): CSRs, page tables,
PMP, code, every device's registers and queues, the firmware's calls; on four harts, in S mode and as
firmware in M mode. Meanwhile its host asks, pauses, moves the balloon and writes to the agent's port.
The machine never crashes or grows, and ends when it is told to. timeout: 1200

WIRT_HOSTILE_SECONDS: how long in all (20); WIRT_HOSTILE_SEED: one seed, said by an earlier run."""
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
HERE = pathlib.Path(__file__).resolve().parent / "hostile"
CC = "riscv64-linux-gnu-gcc"
SECONDS = float(os.environ.get("WIRT_HOSTILE_SECONDS", 20))
EACH = 5.0 if SECONDS < 120 else 15.0  # of one seed
RAM = 64 << 20
# What a machine needs besides its RAM: its cache of code, once full, and a sanitizer's shadow.
OVERHEAD = (700 if "WIRT_SANITIZED" in os.environ else 160) << 20
STOP_SECONDS = 20  # on a loaded host; it takes a fraction of one
STEPS = re.compile(rb"<([0-9a-f]{16})>")


def check(name, good, why=""):
    print(f"ok - {name}" if good else f"not ok - {name}: {why}", flush=True)
    return good


class Machine:
    def __init__(self, kernel, folder, seed, mode, more):
        self.ours, theirs = socket.socketpair()
        self.agent, guest = socket.socketpair()
        self.agent.setblocking(False)
        # No network that it could reach, where that can be had.
        alone = ["unshare", "-n"] if os.geteuid() == 0 else []
        self.errors = open(f"{folder}/errors", "w+b")
        self.process = subprocess.Popen(
            [*alone, BUILD / "tests/machine-boot", mode, kernel, "--append", f"seed={seed}",
             "--memory", "64M", "--harts", "4", "--disk", f"{folder}/disk",
             "--share", f"tag={folder}/share", "--share", f"file={folder}/file,ro", "--network",
             "--control", str(theirs.fileno()), "--agent", str(guest.fileno()), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            pass_fds=[theirs.fileno(), guest.fileno()])
        theirs.close()
        guest.close()
        self.ours.settimeout(STOP_SECONDS)
        self.replies = self.ours.makefile("rb")
        self.steps = 0
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        kept = b""
        while data := os.read(self.process.stdout.fileno(), 65536):
            kept = (kept + data)[-70000:]
            for number in STEPS.findall(kept):
                self.steps = max(self.steps, min(int(number, 16), 1 << 40))

    def ask(self, **request):
        self.ours.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(self.replies.readline() or b"{}")

    def rss(self):
        """The machine's resident memory, in bytes: it is a child of the launcher."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        texts = [pathlib.Path(f"/proc/{p}/status").read_text() for p in children]
        return sum(int(m.group(1)) << 10 for t in texts if (m := re.search(r"VmRSS:\s+(\d+)", t)))

    def disturb(self, rng):
        """What a host does to a machine meanwhile."""
        match rng.randrange(6):
            case 0: self.ask(op="stats")
            case 1: self.ask(op="balloon", bytes=rng.choice([0, 1, RAM // 2, RAM, 1 << 50]))
            case 2:
                self.ask(op="pause")
                time.sleep(rng.random() / 50)
                self.ask(op="resume")
            case 3:
                try:
                    self.agent.send(rng.randbytes(rng.randrange(1, 5000)))
                except BlockingIOError:
                    pass
            case 4:
                try:
                    self.agent.recv(65536)
                except BlockingIOError:
                    pass
            case _:
                self.process.stdin.write(rng.randbytes(rng.randrange(1, 50)))
                self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for f in (self.process.stdin, self.process.stdout, self.replies, self.ours, self.agent,
                  self.errors):
            try:
                f.close()
            except BrokenPipeError:
                pass


def live(m, rng, seconds):
    """Lets it run for that long: why that went wrong, or None."""
    start, top = time.monotonic(), 0
    if not json.loads(m.replies.readline() or b"{}").get("ok"):
        return "it did not start"
    while time.monotonic() - start < seconds:
        try:
            m.disturb(rng)
        except (OSError, ValueError) as e:
            if m.process.poll() is None:
                return f"its control socket: {e!r}"
        time.sleep(0.05)
        if m.process.poll() is not None:
            return f"it ended by itself, status {m.process.returncode}"
        top = max(top, m.rss())
    if top > RAM + OVERHEAD:
        return f"it grew to {top >> 20} MiB"
    return None if m.steps else "its guest did nothing"


def run_seed(kernel, scratch, seed):
    rng = random.Random(seed)
    mode = rng.choice(["--kernel", "--kernel", "--firmware"])
    more = ["--interpret"] if rng.randrange(5) == 0 else []
    name = f"seed {seed}, {mode[2:]} {' '.join(more)}".strip()
    folder = tempfile.mkdtemp(dir=scratch)
    os.mkdir(f"{folder}/share")
    pathlib.Path(f"{folder}/share/file").write_bytes(b"x" * 10000)
    pathlib.Path(f"{folder}/file").write_bytes(b"alone")
    with open(f"{folder}/disk", "wb") as f:
        f.truncate(4 << 20)
    m = Machine(kernel, folder, seed, mode, more)
    try:
        why = live(m, rng, EACH)
        if not why:
            if rng.randrange(4):
                m.ours.sendall(b'{"op": "stop"}\n')
            else:
                m.process.terminate()
            try:
                status = m.process.wait(STOP_SECONDS)
                why = None if status == 143 else f"stopped, it ended with status {status}"
            except subprocess.TimeoutExpired:
                why = "it does not stop"
        if not why and pathlib.Path(f"{folder}/file").read_bytes() != b"alone":
            why = "it wrote to a share that is read-only"
        m.errors.seek(0)
        if not check(f"{name}: holds", not why, why):
            print(m.errors.read().decode(errors="replace")[-6000:])
        return m.steps, not why
    finally:
        m.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    if not shutil.which(CC):
        print(f"skip - hostile guest: {CC} is not installed")
        return 0
    failures = steps = 0
    with tempfile.TemporaryDirectory() as scratch:
        kernel = f"{scratch}/hostile"
        subprocess.run([CC, "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-O2", "-Wall",
                        "-Wextra", "-Werror", "-ffreestanding", "-fno-builtin", "-fno-pie",
                        "-no-pie", "-fno-stack-protector", "-nostdlib", "-static",
                        "-fno-tree-loop-distribute-patterns", "-Wl,-Ttext=0x80200000",
                        "-Wl,--build-id=none,--no-warn-rwx-segments", "-o", kernel,
                        HERE / "start.S", *sorted(HERE.glob("*.c"))], check=True)
        given = os.environ.get("WIRT_HOSTILE_SEED")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            seed = int(given) if given else int.from_bytes(os.urandom(4), "little") or 1
            n, good = run_seed(kernel, scratch, seed)
            steps += n
            failures += not good
            if failures >= 5:
                break
    print(f"# {steps} steps")
    return failures > 0


sys.exit(main())
