#!/usr/bin/env python3
"""Files that are not what they should be: each is refused with a message that names it and the reason,
and exit status 126 or 127; random damage never ends in an error of the emulator itself."""
# timeout: 300
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
WIRT = BUILD / "wirt-riscv64"
PT_LOAD, PT_INTERP = 1, 3
failed = False


def result(name, good, why=""):
    global failed
    print(f"ok - {name}" if good else f"not ok - {name}: {why}")
    failed |= not good


def run(path, *options):
    return subprocess.run([WIRT, *options, path], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=20, cwd=path.parent)


def header(**changes):
    h = dict(magic=b"\x7fELF", cls=2, data=1, type=2, machine=243, version=1, entry=0x10078,
             phoff=64, shoff=0, flags=5, ehsize=64, phentsize=56, phnum=1, shentsize=0, shnum=0,
             shstrndx=0)
    h.update(changes)
    return (h["magic"] + bytes([h["cls"], h["data"], 1]) + bytes(9) +
            struct.pack("<HHIQQQIHHHHHH", h["type"], h["machine"], h["version"], h["entry"],
                        h["phoff"], h["shoff"], h["flags"], h["ehsize"], h["phentsize"],
                        h["phnum"], h["shentsize"], h["shnum"], h["shstrndx"]))


def segment(**changes):
    s = dict(type=PT_LOAD, flags=5, offset=0, vaddr=0x10000, filesz=0x88, memsz=0x88,
             align=0x1000)
    s.update(changes)
    return struct.pack("<IIQQQQQQ", s["type"], s["flags"], s["offset"], s["vaddr"], s["vaddr"],
                       s["filesz"], s["memsz"], s["align"])


# li a0, 42; li a7, 93; ecall
CODE = struct.pack("<III", 0x02A00513, 0x05D00893, 0x00000073) + bytes(4)
GOOD = header() + segment() + CODE

HOSTILE = {
    "empty": (b"", "too short"),
    "four bytes": (b"\x7fELF", "too short"),
    "text": (b"this is not a program at all, but it is longer than a header is, says the author.",
             "not an ELF file"),
    "32 bit": (header(cls=1) + segment() + CODE, "not a 64-bit"),
    "big endian": (header(data=2) + segment() + CODE, "little-endian"),
    "x86-64": (header(machine=62) + segment() + CODE, "not a riscv64 program"),
    "object file": (header(type=1) + segment() + CODE, "neither EXEC nor DYN"),
    "RV64E": (header(flags=8) + segment() + CODE, "RV64E"),
    "phentsize": (header(phentsize=55) + segment() + CODE, "e_phentsize"),
    "no program headers": (header(phnum=0) + segment() + CODE, "e_phnum"),
    "too many program headers": (header(phnum=0xFFFF) + segment() + CODE, "e_phnum"),
    "headers beyond the end": (header(phoff=1 << 40) + segment() + CODE, "truncated"),
    "headers that wrap around": (header(phoff=2**64 - 8) + segment() + CODE, "truncated"),
    "truncated segment": (header() + segment(filesz=0x10000, memsz=0x10000) + CODE, "truncated"),
    "segment offset wraps": (header() + segment(offset=2**64 - 4096) + CODE, "truncated"),
    "filesz over memsz": (header() + segment(memsz=1) + CODE, "p_filesz"),
    "address beyond user space": (header() + segment(vaddr=1 << 63) + CODE, "user space"),
    "size beyond user space": (header() + segment(memsz=1 << 62) + CODE, "user space"),
    "addresses wrap": (header() + segment(vaddr=2**64 - 4096, memsz=8192) + CODE, "user space"),
    "offset against address": (header() + segment(vaddr=0x10010) + CODE, "p_vaddr"),
    "alignment": (header() + segment(align=0x1001) + CODE, "p_align"),
    "nothing to load": (header() + segment(type=4) + CODE, "PT_LOAD"),
    "interpreter name too long": (header(phnum=2) + segment() + segment(
        type=PT_INTERP, filesz=5000, memsz=5000) + CODE + bytes(5000), "PT_INTERP"),
    "interpreter name without end": (header(phnum=2) + segment() + segment(
        type=PT_INTERP, filesz=4, memsz=4) + CODE, "PT_INTERP"),
    "interpreter missing": (header(phnum=2) + segment() + segment(
        type=PT_INTERP, offset=176, filesz=13, memsz=13) + b"/nonexistent\0" + CODE,
        "/nonexistent"),
}


def refused(folder, name, data, words):
    path = folder / "hostile"
    path.write_bytes(data)
    path.chmod(0o755)
    p = run(path)
    said = p.stderr.decode(errors="replace")
    good = (p.returncode in (126, 127) and words in said and said.count("\n") == 1 and
            said.startswith("wirt-riscv64: ") and "/" in said)
    result(f"refused: {name}", good, f"exit status {p.returncode}, said {said!r}")


def random_damage(folder, n):
    """Flips bytes in the headers: whatever happens, it is the guest's end, not the emulator's."""
    rng = random.Random(4711)
    path = folder / "damaged"
    worst = None
    for i in range(n):
        data = bytearray(header(phnum=2) + segment() + segment(vaddr=0x20000, flags=6,
                                                               memsz=0x5000) + CODE)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(4, 176)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        path.write_bytes(data)
        path.chmod(0o755)
        try:
            p = run(path)
        except subprocess.TimeoutExpired:
            continue  # a loop of the guest's own
        if b"internal error" in p.stderr or p.returncode == -6:
            worst = (i, p.stderr)
    result(f"{n} randomly damaged files", worst is None, str(worst))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = folder / "good"
        path.write_bytes(GOOD)
        path.chmod(0o755)
        p = run(path)
        result("the smallest program", p.returncode == 42, f"{p.returncode} {p.stderr}")
        for what, (data, words) in HOSTILE.items():
            refused(folder, what, data, words)
        p = run(folder / "missing")
        result("a missing file", p.returncode == 127 and b"missing" in p.stderr, p.stderr)
        p = run(folder)
        result("a folder", p.returncode == 126 and b"not a regular file" in p.stderr, p.stderr)
        p = run(path, "-L", "/nonexistent")
        result("a missing sysroot", p.returncode in (126, 127) and b"-L /nonexistent" in p.stderr,
               p.stderr)
        random_damage(folder, 300)
    return failed


if __name__ == "__main__":
    sys.exit(main())
