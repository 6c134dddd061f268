"""Each system call of a command made to fail once: what the command answers then, and what it leaves.

The rule that is held: a status of 0 means that all was done; any other comes with a message; nothing
hangs, nothing crashes, and after the command that takes away by force nothing is left."""
import os
import random
import subprocess
import tempfile
import time

from bundle import BUILD, check

INJECT = str(BUILD / "tests/container/inject")
# A sample for every run, each time another one; all of it, with every errno value, on demand.
LONG = os.environ.get("WIRT_TEST_LONG") == "1"
SHARE = int(os.environ.get("WIRT_TEST_SHARE", "30"))
SEED = int(os.environ.get("WIRT_TEST_SEED", str(random.randrange(1 << 30))))
# A part of them, by number: "0:500".
RANGE = [int(x) if x else None for x in os.environ.get("WIRT_TEST_RANGE", ":").split(":")]
MESSAGE_CALLS = (1, 20)  # write, writev: the message itself may be what failed
HANG = 98


class Case:
    """One command. What a subclass says:
    command: its arguments; before(): what has to be there; done(output): raises AssertionError when the command
    answered 0 and its effect is not there; clean(): takes away by force; left(): what is there still."""
    excluded = ()
    seconds = 40
    output = -1  # a descriptor of its last output
    input = None  # what its standard input has; None: nothing
    thin = 1  # how much fewer of its faults a run draws than others'
    errors_apart = False  # its standard error is not with its output, but in `errors`
    errors = ""

    def before(self):
        pass

    def tolerated(self, nr, code):
        """Whether an effect that is missing is what this answer of the kernel means."""
        return False

    def inject(self, *options):
        """Status, output, report. The output by way of a file: what is left running may hold it open."""
        if self.output >= 0:
            os.close(self.output)
        with tempfile.TemporaryFile() as out, tempfile.NamedTemporaryFile("r") as report, \
                tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
            given.write(self.input or b"")
            given.seek(0)
            p = subprocess.run(self.injected(report.name, options),
                               stdin=subprocess.DEVNULL if self.input is None else given,
                               stdout=out, stderr=errors if self.errors_apart else subprocess.STDOUT,
                               timeout=self.seconds + 60, check=False)
            errors.seek(0)
            self.errors = errors.read().decode(errors="replace")
            self.output = os.dup(out.fileno())
            out.seek(0)
            return p.returncode, out.read().decode(errors="replace"), report.read().split("\n")

    def injected(self, report, options):
        """The injector's command line."""
        x = [a for e in self.excluded for a in ("-x", e)]
        at = options.index("REPORT")
        return [INJECT, *options[:at], report, *options[at + 1:], *x, "-s", str(self.seconds), "--",
                *self.command()]

    def calls(self):
        """(task, n, nr, number of errno values) of an undisturbed run."""
        self.before()
        status, out, report = self.inject("-l", "REPORT")
        check(status == 0, f"undisturbed: {status} {out}")
        self.done(out)
        self.clean()
        found = [line.split()[1:] for line in report if line.startswith("call ")]
        return [(t, int(n), int(nr), int(k)) for t, n, nr, k in found]

    def attempt(self, task, n, k):
        """None, or what was wrong."""
        self.before()
        status, out, report = self.inject("-t", task, "-n", str(n), "-k", str(k), "-r", "REPORT")
        hit = next((line for line in report if line.startswith("hit ")), "")
        wrong = [line for line in report if line.startswith("crash ")]
        if status == HANG:
            wrong.append("it hangs")
        elif status == 0:
            try:
                self.done(out)
            except (AssertionError, OSError, subprocess.SubprocessError) as why:
                nr, code = [int(x) for x in hit.split()[3:5]] if hit else (-1, 0)
                if not self.tolerated(nr, code):
                    wrong.append(f"status 0, but {why}")
        elif not (out + self.errors).strip() and not (hit and int(hit.split()[3]) in MESSAGE_CALLS):
            wrong.append(f"status {status} without a message")
        try:
            self.clean()
            end = time.monotonic() + 5
            while (left := self.left()) and time.monotonic() < end:
                time.sleep(0.02)
            if left:
                wrong.append(f"left: {left}")
        except (AssertionError, subprocess.SubprocessError) as why:
            wrong.append(str(why))
        return f"{hit or f'task {task} call {n}'}: {'; '.join(wrong)} (status {status}, said " \
               f"{(out + self.errors).strip()[-200:]!r})" if wrong else None


def each_call(case):
    """Tries them; raises AssertionError with what was wrong."""
    rnd = random.Random(SEED)
    todo = []
    for task, n, _, values in case.calls():
        todo += [(task, n, k) for k in (range(values) if LONG else [rnd.randrange(values)])]
    share = SHARE * case.thin
    chosen = (todo if LONG else todo[rnd.randrange(share)::share])[slice(*RANGE)]
    wrong = []
    for i, (task, n, k) in enumerate(chosen):
        if i and i % 100 == 0 and len(chosen) > 200:
            print(f"# {i} of {len(chosen)}", flush=True)
        w = case.attempt(task, n, k)
        if w:
            print(f"# {i + (RANGE[0] or 0)}: {w}", flush=True)
            wrong.append(w)
    print(f"# {type(case).__name__}: {len(chosen)} of {len(todo)} faults, WIRT_TEST_SEED={SEED}", flush=True)
    check(not wrong, f"{len(wrong)} of {len(chosen)}: {wrong[:2]}")
