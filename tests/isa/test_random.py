#!/usr/bin/env python3
# timeout: 300
"""Random instruction streams: qemu-riscv64 against each engine, register for register.

usage: test_random.py [--seeds A-B] [--count ITEMS] [--only GROUP,...] [--keep DIR] [--engine NAME]

Engines: ir (lifting and the reference interpreter alone), interpret (wirt-riscv64 --interpret),
translate (wirt-riscv64), paged and paged-interpret (the same two through a software TLB), paged-sse
(paged for the first x86-64, without AVX, FMA and BMI). For each odd seed there is also a program
with faults, for engines that have signals. A program is a batch of streams of 16 items, each with
registers of its own. One that differs is shortened, item by item, as long as it does. Where qemu
and the reference interpreter disagree, so is said: qemu is not always right.
GROUP: alu muldiv bits memory atomic fpload float fpstate fixed fault.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import programs

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
CROSS = "riscv64-linux-gnu-"
MARCH = "rv64imafdc_zicsr_zifencei_zba_zbb_zbc_zbs"
ENGINES = {
    "ir": [str(BUILD / "tests/isa/bare")],
    "interpret": [str(BUILD / "wirt-riscv64"), "--interpret"],
    "translate": [str(BUILD / "wirt-riscv64")],
    "paged-interpret": [str(BUILD / "tests/isa/paged"), "--interpret"],
    "paged": [str(BUILD / "tests/isa/paged")],
    "paged-sse": [str(BUILD / "tests/isa/paged"), "--sse"],
}

SIGNALS = ("interpret", "translate")


def assemble(source, path):
    obj = str(path) + ".o"
    subprocess.run([CROSS + "as", "-march=" + MARCH, "-o", obj, "-"], input=source.encode(), check=True)
    subprocess.run([CROSS + "ld", "--no-relax", "--no-warn-rwx-segments", "-o", str(path), obj], check=True)


def output(command, path):
    try:
        done = subprocess.run([*command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=60)
    except subprocess.TimeoutExpired:
        return b"", "does not end"
    said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
    return done.stdout, f"exit status {done.returncode}: {said}" if done.returncode else None


def compare(command, source, path):
    """What differs between qemu and the command, or None."""
    assemble(source, path)
    expected, trouble = output(["qemu-riscv64"], path)
    if trouble:
        return "qemu: " + trouble
    got, trouble = output(command, path)
    return trouble or programs.difference(expected, got)


def shrink(generator, command, path):
    """The items (their numbers) that are left when nothing more can go, and what differs then."""
    keep = list(range(len(generator.items)))
    low, high = 0, len(keep)  # the first item at which it differs
    while high - low > 1:
        middle = (low + high) // 2
        if compare(command, generator.source(keep[:middle]), path):
            high = middle
        else:
            low = middle
    keep, size = keep[:high], max(1, high // 2)
    while size:
        for at in range(0, len(keep), size):
            shorter = keep[:max(0, len(keep) - at - size)] + keep[len(keep) - at:]
            if len(shorter) < len(keep) and shorter and compare(command, generator.source(shorter), path):
                keep = shorter
                break
        else:
            size //= 2
    return keep, compare(command, generator.source(keep), path)


def who(path):
    """What the reference interpreter says of the shortest program: it or qemu is wrong."""
    expected, _ = output(["qemu-riscv64"], path)
    got, trouble = output(ENGINES["interpret"], path)
    return " (qemu and the reference interpreter disagree)" if trouble or got != expected else ""


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    p.add_argument("--seeds", default="1-40")
    p.add_argument("--count", type=int, default=400)
    p.add_argument("--only", default="")
    p.add_argument("--keep")
    p.add_argument("--engine", default="")
    a = p.parse_args()
    first, _, last = a.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    only = a.only.split(",") if a.only else None
    engines = {n: c for n, c in ENGINES.items() if n in (a.engine.split(",") if a.engine else ENGINES)}
    missing = [t for t in ("qemu-riscv64", CROSS + "as", CROSS + "ld") if not shutil.which(t)]
    if missing:
        print("skip - random instruction streams: no " + ", ".join(missing))
        return 0
    failed = {n: [] for n in engines}
    skipped = [n for n, c in engines.items() if not os.access(c[0], os.X_OK)]
    with tempfile.TemporaryDirectory(prefix="wirt-random-") as tmp:
        folder = pathlib.Path(a.keep or tmp)
        folder.mkdir(parents=True, exist_ok=True)
        for seed, faults in ((s, f) for s in seeds for f in (False, True) if not f or s % 2):
            g = programs.Generator(seed, a.count, only, faults)
            path = folder / f"program-{seed}{'-faults' * faults}"
            assemble(g.source(), path)
            expected, trouble = output(["qemu-riscv64"], path)
            if trouble:
                print(f"not ok - seed {seed}: qemu: {trouble}")
                return 1
            for name, command in engines.items():
                if name in skipped or (faults and name not in SIGNALS):
                    continue
                got, trouble = output(command, path)
                if trouble or programs.difference(expected, got):
                    keep, why = shrink(g, command, folder / f"shrunk-{seed}-{name}")
                    why = f"{why}{who(folder / f'shrunk-{seed}-{name}')}"
                    lines = "; ".join(line for n in keep for line in g.items[n][0])
                    failed[name].append(f"seed {seed}{' with faults' * faults}: {why}: {lines}")
                    print(f"# {name}: {failed[name][-1]}", flush=True)
    for name in engines:
        streams = len(seeds) * (a.count // programs.STREAM)
        what = f"{streams} random streams in {len(seeds)} programs by {name} as by qemu"
        if name in skipped:
            print(f"skip - {what}: {engines[name][0]} is not built")
        elif failed[name]:
            print(f"not ok - {what}: {len(failed[name])} differ, first {failed[name][0]}")
        else:
            print(f"ok - {what}")
    return 1 if any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
