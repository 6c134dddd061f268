#!/usr/bin/env python3
"""What a caller gives a guest and gets from it, by files and by a terminal: each system call on the way fails
once; see tests/container/faults.py. WIRT_TEST_LONG=1: all of them.

The rule: with status 0, all of the input was there for the command, and all of its output is where it was to
go; and a terminal is what it was before."""
# timeout: 7200
import os
import pty
import shlex
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../container"))
from bundle import BUILD, Skip, check, equal, main, need_rights  # noqa: E402
from faults import each_call  # noqa: E402
from guests import Wirt  # noqa: E402

need_rights("guest/stream_faults")
# More than a pipe takes at once, and than one read brings.
TEXT = "".join(f"{i} {'x' * 1000}\n" for i in range(200))


class Carry(Wirt):
    """A command that hands on its input."""
    input = TEXT.encode()
    errors_apart = True
    thin = 2
    how = ("-i",)

    def command(self):
        return [*self.own, "run", *self.how, "--name", self.name, "--as", self.wall,
                *self.options, str(self.root), "cat"]

    def done(self, out):
        check(out == TEXT, f"{len(out)} of {len(TEXT)} bytes")


class CarryRm(Carry):
    how = ("-i", "--rm")


class Exec(Carry):
    def before(self):
        self.start()

    def command(self):
        return [*self.own, "exec", "-i", self.name, "cat"]


class Then:
    """Something else with what `run` has started; all of it under the injector, so that the monitor's part
    is, too."""

    def command(self):
        return ["sh", "-c", f"{shlex.join(super().command())} >/dev/null && exec {shlex.join(self.then())}"]

    def then(self):
        return [*self.own, "attach", self.name]


class Attach(Then, Carry):
    thin = 8
    how = ("-di",)


class Terminal(Wirt):
    how = ("-it",)
    shell = ["sh", "-c", "test -t 1 && read x && echo got $x"]
    typed = b"hello\n"

    def command(self):
        return [*self.own, "run", *self.how, "--name", self.name, "--as", self.wall,
                *self.options, str(self.root), *self.shell]

    def inject(self, *options):
        ours, its = pty.openpty()
        mode = termios.tcgetattr(its)
        mode[0] &= ~termios.IXON  # or else it would keep a ctrl-q to itself
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(its, termios.TCSANOW, mode)
        mode = termios.tcgetattr(its)
        os.write(ours, self.typed)
        said = []

        def listen():
            try:
                while data := os.read(ours, 4096):
                    said.append(data)
            except OSError:
                pass  # the other side is closed

        listener = threading.Thread(target=listen)
        listener.start()
        with tempfile.NamedTemporaryFile("r") as report:
            p = subprocess.run(self.injected(report.name, options), stdin=its, stdout=its, stderr=its,
                               timeout=self.seconds + 60, check=False)
            self.restored = termios.tcgetattr(its) == mode
            termios.tcflush(its, termios.TCIFLUSH)
            os.close(its)
            listener.join(10)
            held = listener.is_alive()  # somebody holds the terminal still
            out = b"".join(said).decode(errors="replace")
            if held:
                self.clean()
                listener.join(10)
            os.close(ours)
            self.held = held
            return p.returncode, out, report.read().split("\n")

    def done(self, out):
        self.answered(out)
        equal(self.held, False)
        check(self.restored or "terminal" in out.replace("got hello", ""),
              "the terminal is not what it was, and nobody says so")

    def answered(self, out):
        check("got hello" in out, f"it said {out!r}")


class ExecTerminal(Terminal):
    def before(self):
        self.start()

    def command(self):
        return [*self.own, "exec", "-it", self.name, *self.shell]


class AttachTerminal(Then, Terminal):
    thin = 8
    how = ("-dit",)


class Detach(Terminal):
    """What was typed before the keys that detach is the guest's."""
    thin = 4
    shell = ["sh", "-c", "read x && echo got $x && exec sleep 1000"]
    typed = b"hello\n\x10\x11"

    def answered(self, out):
        equal(self.status(), "running")
        end = time.monotonic() + 10
        while "got hello" not in (log := self.ok("logs", self.name)):
            check(time.monotonic() < end, f"its log: {log!r}")
            time.sleep(0.02)


class DetachAttached(Then, Detach):
    thin = 8
    how = ("-dit",)


class Machine(Wirt):
    """A program in a machine, attached: by way of the agent."""
    seconds = 120
    errors_apart = True
    how = ("--rm",)
    thin = 12  # each boots a kernel
    root = BUILD / "programs/riscv64/hello"
    command_line = ()

    def __init__(self):
        for file in (self.root, BUILD / "guest/vmlinux"):
            if not os.path.exists(file):
                raise Skip(f"{file} is not there (make guest, scripts/programs.sh)")
        root = self.root
        super().__init__("machine")
        self.root = root

    def command(self):
        return [*self.own, "run", *self.how, "--name", self.name, "--as", "machine",
                "--memory", "128m", str(self.root), *self.command_line]

    def done(self, out):
        equal(out, "hello\n")
        self.seen = self.ids()
        equal(self.seen, [])


class MachineCarry(Machine):
    input = TEXT.encode()
    excluded = (*Wirt.excluded, "wirt-machine")
    thin = 6
    root = BUILD / "guest/rootfs"
    command_line = ("cat",)
    how = ("-i", "--rm")

    def done(self, out):
        check(out == TEXT, f"{len(out)} of {len(TEXT)} bytes")


class MachineAttach(Then, MachineCarry):
    thin = 24
    how = ("-di",)


class MachineExecFirst(MachineAttach):
    """A command besides the first one: the monitor's part of it, too."""
    how = ("-d",)
    command_line = ("sleep", "1000")

    def then(self):
        return [*self.own, "exec", "-i", self.name, "cat"]


class Within:
    """Of a machine that runs from one time to the next."""
    seconds = 60
    waits = ["sh", "-c", "while :; do sleep 1; done"]

    def __init__(self):
        file = BUILD / "guest/vmlinux"
        if not os.path.exists(file):
            raise Skip(f"{file} is not there (make guest)")
        super().__init__("process")  # which has the same root file system

    def before(self):
        if not self.ids():
            self.ok("run", "-d", "--name", self.name, "--as", "machine", "--memory", "128m",
                    str(self.root), *self.waits)
            self.ok("exec", self.name, "true")

    def clean(self):
        equal(self.status(), "running")

    def left(self):
        """Who goes takes the command along."""
        return self.ok("exec", self.name, "sh", "-c", "pgrep -x cat || true").split()

    def end(self):
        for i in self.ids():
            self.ok("rm", "-f", i)
        super().end()


class MachineExec(Within, Exec):
    thin = 1


class MachineExecTerminal(Within, ExecTerminal):
    shell = ["sh", "-c", "test -t 1 && read x && echo got $x | cat"]


NAMES = {Carry: "run -i, by files", CarryRm: "run -i --rm, by files", Exec: "exec -i, by files",
         Attach: "run -di, attach, by files", Terminal: "run -it", ExecTerminal: "exec -it",
         AttachTerminal: "run -dit, attach", Detach: "run -it, detach by keys",
         DetachAttached: "run -dit, attach, detach by keys"}


def add_test(name, make, what):
    def test():
        case = make()
        try:
            each_call(case)
        finally:
            case.end()
    test.__doc__ = f"{what}: each system call fails once"
    globals()[f"test_{name}"] = test


for wall in ("container", "process"):
    for kind, said in NAMES.items():
        add_test(f"{wall}_{kind.__name__.lower()}", lambda wall=wall, kind=kind: kind(wall), f"{wall}: {said}")
add_test("machine", Machine, "machine: run --rm, attached")
add_test("machine_carry", MachineCarry, "machine: run -i, by files")
add_test("machine_attach", MachineAttach, "machine: run -di, attach, by files")
add_test("machine_run_exec", MachineExecFirst, "machine: run -d, exec -i, by files")
add_test("machine_exec", MachineExec, "machine: exec -i, by files")
add_test("machine_exec_terminal", MachineExecTerminal, "machine: exec -it")
main(globals())
