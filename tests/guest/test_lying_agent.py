#!/usr/bin/env python3
"""A machine that was taken over (tests/guest/liar.py in its place) lies to its monitor in every frame
and answer, while clients ask for commands, figures and memory. The monitor lives on, stays small, ends
the guest when it is told to, and lets every client go. timeout: 1200

WIRT_HOSTILE_SECONDS: how long in all (15); WIRT_HOSTILE_SEED: one seed, said by an earlier run."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
HERE = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("WIRT_HOSTILE_SECONDS", 15))
EACH = 3.0     # of one seed's asking
PATIENCE = 30  # for what takes a second on a host that is idle
MOST = (400 if "WIRT_SANITIZED" in os.environ else 60) << 20  # a monitor's memory


class Run:
    def __init__(self, scratch, seed):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
        self.rng = random.Random(seed)
        for name in ("libexec", "guest", "root/bin"):
            (self.folder / name).mkdir(parents=True)
        shutil.copy(HERE / "liar.py", self.folder / "libexec/wirt-machine")
        (self.folder / "libexec/seed").write_text(str(seed))
        for name in ("vmlinux", "initramfs.cpio.gz"):
            (self.folder / "guest" / name).write_bytes(b"never read")
        shutil.copy(BUILD / "programs/riscv64/hello", self.folder / "root/bin/sh")
        log = f":log_path={self.folder}/report"
        self.env = dict(os.environ, WIRT_LIBEXEC=str(self.folder / "libexec"),
                        WIRT_GUEST_DIR=str(self.folder / "guest"),
                        ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + log,
                        UBSAN_OPTIONS=os.environ.get("UBSAN_OPTIONS", "") + log)
        self.clients = []

    def command(self, *args):
        return [BUILD / "wirt", "--root", self.folder / "state", *args]

    def wirt(self, *args):
        """Its status and output; status None: it does not end."""
        try:
            p = subprocess.run(self.command(*args), stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env,
                               timeout=PATIENCE, errors="replace")
            return p.returncode, p.stdout
        except subprocess.TimeoutExpired as e:
            return None, f"{args} does not end"

    def client(self):
        args = self.rng.choice([("exec", "-i", "liar", "cat"), ("exec", "liar", "sh"),
                                ("attach", "liar"), ("stats", "--no-stream", "liar"),
                                ("balloon", "liar", "300m"), ("pause", "liar"),
                                ("unpause", "liar"), ("kill", "-s", "USR1", "liar")])
        p = subprocess.Popen(self.command(*args), stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env)
        os.set_blocking(p.stdin.fileno(), False)
        self.clients.append(p)

    def feed(self):
        for p in self.clients:
            try:
                os.write(p.stdin.fileno(), self.rng.randbytes(30000))
            except (BlockingIOError, BrokenPipeError):
                pass

    def monitor(self):
        """Its pid, from the state folder."""
        for state in (self.folder / "state/guests").glob("*/state.json"):
            return json.loads(state.read_text())["monitor"]["pid"]
        return 0

    def ask(self):
        """Starts the guest and asks for everything: what went wrong, or None."""
        status, text = self.wirt("run", "-d", "--as", "machine", "--name", "liar",
                                 str(self.folder / "root"), "sh")
        if status != 0:
            return f"it did not start: {text.strip()}"
        pid, top, end = self.monitor(), 0, time.monotonic() + EACH
        while time.monotonic() < end:
            if len(self.clients) < 12:
                self.client()
            self.feed()
            time.sleep(0.1)
            try:
                resident = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
                top = max(top, resident * os.sysconf("SC_PAGESIZE"))
            except (OSError, ValueError):
                pass  # it may have ended with its guest
        status, text = self.wirt("inspect", "liar")
        if status != 0 or json.loads(text)[0]["status"] in ("dead", "damaged"):
            return f"the monitor is gone: {text.strip()[-500:]}"
        return f"the monitor grew to {top >> 20} MiB" if top > MOST else None

    def end(self):
        """Ends the guest: what went wrong, or None."""
        status, text = self.wirt("rm", "-f", "liar")
        if status != 0:
            return f"rm -f: {status} {text.strip()}"
        for p in self.clients:
            try:
                p.stdin.close()
            except BrokenPipeError:
                pass
            try:
                p.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                return f"a client does not end: {p.args}"
        left = list((self.folder / "state/guests").glob("*"))
        return f"left: {left}" if left else None

    def close(self):
        for p in self.clients:
            p.kill()
            p.wait()
        self.wirt("rm", "-f", "liar")

    def reports(self):
        return "\n".join(p.read_text(errors="replace") for p in self.folder.glob("report*"))


def run_seed(scratch, seed):
    r = Run(scratch, seed)
    try:
        why = r.ask()
        why = r.end() or why if not why else why
    finally:
        r.close()
    reports = r.reports()
    if reports:
        why = why or "a sanitizer reports"
    print(f"not ok - seed {seed}: {why}\n{reports[:6000]}" if why else f"ok - seed {seed}: holds",
          flush=True)
    shutil.rmtree(r.folder, ignore_errors=True)
    return not why


def main():
    subprocess.run([HERE.parent.parent / "scripts/programs.sh"], check=True)
    given = os.environ.get("WIRT_HOSTILE_SEED")
    failures = 0
    end = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < end and failures < 3:
            seed = int(given) if given else int.from_bytes(os.urandom(4), "little")
            failures += not run_seed(scratch, seed)
    return failures > 0


sys.exit(main())
