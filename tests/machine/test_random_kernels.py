#!/usr/bin/env python3
"""Kernels and firmware of random, mostly privileged instructions: whatever they do, the hypervisor
neither crashes nor hangs. The seed is fixed, unless SEED gives one. timeout: 300"""
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
SEED = int(os.environ.get("SEED", "1"))
COUNT = int(os.environ.get("COUNT", "25"))
CSRS = [0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180, 0x300,
        0x302, 0x303, 0x304, 0x305, 0x306, 0x30a, 0x340, 0x341, 0x342, 0x344, 0x3a0, 0x3a2, 0x3b0,
        0x3b1, 0x3bf, 0xb00, 0xb02, 0xc00, 0xc01, 0xc02, 0xf14]
SYSTEM = [0x73, 0x100073, 0x10200073, 0x30200073, 0x10500073, 0x0000100f, 0x00d00073]
DEVICES = [0x100, 0x101, 0x2000, 0xc000, 0xc200, 0x10000, 0x30000, 0x40000]  # addresses >> 12


def instruction(r):
    bits, kind = r.getrandbits, r.random()
    rd, rs1 = bits(5) << 7, bits(5) << 15
    if kind < .25:
        csr = r.choice(CSRS) if r.random() < .9 else bits(12)
        return 0x73 | rd | r.choice([1, 2, 3, 5, 6, 7]) << 12 | rs1 | csr << 20
    if kind < .32:
        return r.choice(SYSTEM + [0x12000073 | rs1 | bits(5) << 20])
    if kind < .5:
        return 0x03 | rd | bits(3) << 12 | rs1 | bits(12) << 20
    if kind < .65:
        return 0x23 | rd | r.randrange(4) << 12 | bits(10) << 15 | bits(7) << 25
    if kind < .7:
        return 0x2f | rd | r.choice([2, 3]) << 12 | bits(10) << 15 | bits(7) << 25
    if kind < .8:
        return r.choice([0x13, 0x1b]) | rd | bits(3) << 12 | rs1 | bits(12) << 20
    if kind < .85:
        return r.choice([0x17, 0x37]) | rd | bits(20) << 12
    return 0x63 | bits(25) << 7 if kind < .9 else bits(32)


def image(r, firmware):
    words = []
    for reg in range(1, 32):
        if r.random() < .6:
            words.append(0x17 | reg << 7 | r.getrandbits(8) << 12)  # auipc: RAM close by
        elif r.random() < .5:
            words.append(0x37 | reg << 7 | r.choice(DEVICES) << 12)  # lui
    words += [instruction(r) for _ in range(3000)]
    body = b"".join(struct.pack("<I", w) for w in words)
    if not firmware:
        body = struct.pack("<2I3Q2IQQ2I", 0x0400006f, 0, 0x200000, 0x400000, 0, 2, 0, 0, 0,
                           0x05435352, 0) + body
    body += b"\0" * (-len(body) % 4096)
    for _ in range(8 * 512):  # what may serve as page tables
        leaf = r.randrange(0x80000, 0x84000) << 10 | r.getrandbits(8) | 1
        body += struct.pack("<Q", leaf if r.random() < .5 else r.getrandbits(64))
    return body


def main():
    bad = []
    with tempfile.TemporaryDirectory() as scratch:
        for n in range(COUNT):
            r = random.Random(f"{SEED}/{n}")
            firmware = r.random() < .5
            path = f"{scratch}/image"
            pathlib.Path(path).write_bytes(image(r, firmware))
            command = [BUILD / "tests/machine-boot", "--firmware" if firmware else "--kernel", path,
                       "--memory", "64M", "--harts", r.choice("12")]
            if r.random() < .2:
                command.append("--interpret")
            p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
            try:
                said = p.communicate(timeout=1)[1]
            except subprocess.TimeoutExpired:
                p.terminate()
                try:
                    said = p.communicate(timeout=20)[1]
                except subprocess.TimeoutExpired:
                    p.kill()
                    said = p.communicate()[1] + b"does not stop"
                    p.returncode = -9
            if p.returncode < 0 or b"Sanitizer" in said or b"runtime error" in said:
                bad.append((n, p.returncode, said.decode(errors="replace")[-300:]))
    name = f"{COUNT} kernels of random privileged instructions"
    print(f"not ok - {name}: SEED={SEED} number, status, output: {bad}" if bad else f"ok - {name}")
    return bool(bad)


sys.exit(main())
