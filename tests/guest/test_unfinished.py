#!/usr/bin/env python3
"""wirt run, stop and rm, or the monitor behind them, killed at any time: rm --force leaves nothing.
WIRT_TEST_LONG=1: a thousand times."""
# timeout: 7200
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../container"))
from bundle import check, main, need_rights  # noqa: E402
from guests import WALLS, WIRT, Wirt  # noqa: E402
from unfinished import processes  # noqa: E402

need_rights("guest/unfinished")
SEED = int(os.environ.get("WIRT_TEST_SEED", str(random.randrange(1 << 30))))
ROUNDS = (1000 if os.environ.get("WIRT_TEST_LONG") == "1" else 50) // len(WALLS)


def kill_one(guest, p, rnd):
    """The command, or another of the guest's own: its monitor, a maker, the keeper, a machine's launcher,
    the machine, its network."""
    own = [int(line.split(":")[0]) for line in processes(guest.state)]
    for pid in {rnd.choice([p.pid, *own])} if own else {p.pid}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def one_round(guest, rnd, span):
    what = rnd.choice(["run -d", "run -d", "run --rm", "stop", "rm"])
    if what in ("stop", "rm"):
        guest.start()
    command = {"run -d": guest.run("-d"), "run --rm": guest.run("--rm"),
               "stop": [WIRT, "--root", guest.state, "stop", "-t", "1", guest.name],
               "rm": [WIRT, "--root", guest.state, "rm", "-f", guest.name]}[what]
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    time.sleep(rnd.random() * span)
    kill_one(guest, p, rnd)
    try:
        p.wait(20)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
        if what != "run --rm" or guest.wall != "machine":
            return f"{what}: still there 20 s after a kill"
    guest.clean()
    end = time.monotonic() + 8
    while (left := guest.left()) and time.monotonic() < end:
        time.sleep(0.05)
    return f"{what}: left: {left}" if left else None


def killed(wall):
    guest = Wirt(wall)
    rnd = random.Random(SEED)
    try:
        then = time.monotonic()
        guest.start()
        guest.clean()
        span = (time.monotonic() - then) * 0.8
        for i in range(ROUNDS):
            why = one_round(guest, rnd, span)
            check(not why, f"round {i} of WIRT_TEST_SEED={SEED}: {why}")
    finally:
        for line in processes(guest.state):
            os.kill(int(line.split(":")[0]), signal.SIGKILL)
        shutil.rmtree(guest.state, ignore_errors=True)


def test_container():
    """container: killed at any time, rm --force leaves nothing"""
    killed("container")


def test_process():
    """process: killed at any time, rm --force leaves nothing"""
    killed("process")


def test_machine():
    """machine: killed at any time, rm --force leaves nothing"""
    killed("machine")


main(globals())
