#!/usr/bin/env python3
# timeout: 300
"""Random instruction streams: qemu-riscv64 against each engine, register for register.

usage: test_random.py [--seeds A-B] [--count ITEMS] [--only GROUP,...] [--keep DIR] [--engine NAME]

Engines: ir (lifting and the reference interpreter alone), interpret (wirt-riscv64 --interpret),
translate (wirt-riscv64), paged and paged-interpret (the same two through a software TLB), paged-sse
(paged for the first x86-64, without AVX, FMA and BMI). For each odd seed there is also a program
with faults, for engines that have signals. A program that differs is cut to the first item that
makes it differ.
GROUP: alu muldiv bits memory atomic fpload float fpstate fault.
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
    subprocess.run([CROSS + "ld", "--no-relax", "-o", str(path), obj], check=True)


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
    """The first item whose program differs (by halving), its lines and what differs."""
    low, high = 0, len(generator.items)
    while high - low > 1:
        middle = (low + high) // 2
        if compare(command, generator.source(middle), path):
            high = middle
        else:
            low = middle
    return high, compare(command, generator.source(high), path)


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
                    at, why = shrink(g, command, folder / f"shrunk-{seed}-{name}")
                    lines = "; ".join(g.items[at - 1][0])
                    failed[name].append(f"seed {seed}{' with faults' * faults}: {why} after item {at}: {lines}")
                    print(f"# {name}: {failed[name][-1]}", flush=True)
    for name in engines:
        what = f"{len(seeds)} random programs by {name} as by qemu"
        if name in skipped:
            print(f"skip - {what}: {engines[name][0]} is not built")
        elif failed[name]:
            print(f"not ok - {what}: {len(failed[name])} differ, first {failed[name][0]}")
        else:
            print(f"ok - {what}")
    return 1 if any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
