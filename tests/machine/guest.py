"""A machine in a test: boots Debian's kernel with machine-boot, runs commands on its console, and
speaks with its control socket."""
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", SOURCE / "build")).resolve()
BOOT = BUILD / "tests" / "machine-boot"
FILES = BUILD / "guest"

failures = 0


def check(name, holds, why=""):
    """Prints a test's line; answers whether it holds."""
    global failures
    if holds:
        print(f"ok - {name}", flush=True)
    else:
        failures += 1
        print(f"not ok - {name}: {why}", flush=True)
    return holds


def finish():
    sys.exit(failures > 0)


def need_files(*names):
    missing = [str(p) for p in [BOOT, *(FILES / n for n in names)] if not p.exists()]
    if missing:
        print(f"skip - {pathlib.Path(sys.argv[0]).stem}: missing {' '.join(missing)}")
        sys.exit(0)


class Guest:
    """with Guest(...) as g: a machine at a root shell. root: an image to use as its root disk.
    agent: with an agent's port, whose host's end is g.agent."""

    def __init__(self, *args, memory="512M", append="", root=None, agent=False, boot_seconds=90):
        # A shell with neither prompt, echo nor line editing.
        append = f'console=ttyS0 quiet {append} wirt.run="stty -echo; sh 2>&1 | cat"'
        if root:
            args = ("--disk", root, *args)
            append += " root=/dev/vda"
        self.ours, theirs = socket.socketpair()
        passed = [theirs]
        self.agent = None
        if agent:
            self.agent, other = socket.socketpair()
            passed.append(other)
            args = ("--agent", other.fileno(), *args)
        command = [BOOT, "--kernel", FILES / "vmlinux", "--initrd", FILES / "initramfs.cpio.gz",
                   "--memory", memory, "--append", append, "--control", str(theirs.fileno()), *args]
        self.output = b""
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        pass_fds=[s.fileno() for s in passed])
        for s in passed:
            s.close()
        self.replies = self.ours.makefile("rw")
        started = json.loads(self.replies.readline() or "{}")
        if not started.get("ok"):
            raise RuntimeError(f"the machine did not start: {started}")
        self.counter = 0
        self.send("cd /root; echo re''ady\n")
        self.wait_for(rb"(^|\n)ready\r?\n", boot_seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.ours.close()
        if self.agent:
            self.agent.close()

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_for(self, pattern, seconds):
        """Takes the console's output up to the pattern; what stood before it."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.output)
            if match:
                before = self.output[: match.start()]
                self.match = match
                self.output = self.output[match.end():]
                return before.decode(errors="replace")
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"no {pattern!r} within {seconds} s; the console's end: "
                                   f"{self.output[-400:]!r}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise EOFError(f"the machine ended; its console's end: {self.output[-400:]!r}")
            self.output += data

    def run(self, command, seconds=60):
        """Runs a shell command in the guest: its output, stripped, and its status."""
        self.counter += 1
        self.send(f"{command}\necho @{self.counter}:$?@\n")
        out = self.wait_for(rb"@%d:(\d+)@\r?\n" % self.counter, seconds)
        return out.replace("\r", "").strip(), int(self.match.group(1))

    def greet(self, seconds):
        """Waits until a shell answers that may not be listening yet, and may lose what is typed."""
        end = time.monotonic() + seconds
        while True:
            self.send("cd /root; echo re''ady\n")
            try:
                self.wait_for(rb"(^|\n)ready\r?\n", 2)
                break
            except TimeoutError:
                if time.monotonic() > end:
                    raise
        self.send("echo in''step\n")  # behind all that was asked before
        self.wait_for(rb"instep\r?\n", 20)

    def reboot(self, seconds=90):
        """Resets the machine and waits for its new shell.

        The kernel's last words are no sign of it: another hart may have taken the console for a
        message of its own, and the hart that calls the firmware does not wait for it."""
        boot_id = "cat /proc/sys/kernel/random/boot_id"
        before, _ = self.run(boot_id)
        self.send("busybox reboot -f\n")
        self.greet(seconds)
        after, _ = self.run(boot_id)
        if after == before:
            raise RuntimeError(f"no reset: boot {after} still runs")

    def poweroff(self, seconds=30):
        """Shuts the guest down; the machine's exit status."""
        self.send("exit 0\n")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    break
                self.output += data
        return self.process.wait(max(1, deadline - time.monotonic()))

    def control(self, **request):
        self.replies.write(json.dumps(request) + "\n")
        self.replies.flush()
        reply = json.loads(self.replies.readline())
        if not reply.get("ok"):
            raise RuntimeError(f"{request}: {reply}")
        return reply

    def rss(self):
        """The machine's resident memory on the host, in bytes: the launcher's, and its children's."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        texts = [pathlib.Path(f"/proc/{p}/status").read_text() for p in (pid, *children)]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", t).group(1)) for t in texts) * 1024


def eventually(seconds, condition):
    """The condition's first true value within that time, or its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.2)
