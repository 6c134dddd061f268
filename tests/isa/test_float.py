#!/usr/bin/env python3
"""Every floating-point operation on every pair of special values in every rounding mode, results
and flags: qemu-riscv64 against each engine (fp_pairs.c)."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
SOURCE = pathlib.Path(__file__).with_name("fp_pairs.c")
GCC = "riscv64-linux-gnu-gcc"
ENGINES = {
    "ir": [str(BUILD / "tests/isa/bare")],
    "interpret": [str(BUILD / "wirt-riscv64"), "--interpret"],
    "translate": [str(BUILD / "wirt-riscv64")],
    "paged-interpret": [str(BUILD / "tests/isa/paged"), "--interpret"],
    "paged": [str(BUILD / "tests/isa/paged")],
    "paged-sse": [str(BUILD / "tests/isa/paged"), "--sse"],
}


def places():
    """(mode, instruction, operands) of each result, in the program's order."""
    text = SOURCE.read_text(encoding="utf-8")
    values = re.findall(r"0x[0-9a-f]{16}", text[:text.index("#define COUNT")])

    def instructions(function):
        body = text[text.index(f"static void {function}"):]
        body = body[:body.index("\n}")]
        inside, after = body.split("#undef FORMAT")
        names = [i.replace('" s "', s) for s in "sd" for i in re.findall(r'[FX]\("(.*?)"\);', inside)]
        return names + re.findall(r'[FX]\("(.*?)"\);', after)

    one, two, three = map(instructions, ("one_operand", "two_operands", "three_operands"))
    for mode in ("rne", "rtz", "rdn", "rup", "rmm"):
        for a in values:
            for b in values:
                yield from ((mode, i, (a, b)) for i in two)
        for a in values:
            yield from ((mode, i, (a,)) for i in one)
        for a in values[::3]:
            for b in values[::4]:
                for c in values[::5]:
                    yield from ((mode, i, (a, b, c)) for i in three)


def main():
    missing = [t for t in ("qemu-riscv64", GCC) if not shutil.which(t)]
    if missing:
        print("skip - floating point as by qemu: no " + ", ".join(missing))
        return 0
    failed = False
    with tempfile.TemporaryDirectory(prefix="wirt-float-") as tmp:
        program = tmp + "/fp_pairs"
        subprocess.run([GCC, "-O1", "-static", "-nostdlib", "-ffreestanding", "-o", program, SOURCE],
                       check=True)
        expected = subprocess.run(["qemu-riscv64", program], stdout=subprocess.PIPE, check=True).stdout
        for name, command in ENGINES.items():
            what = f"{len(expected) // 16} floating-point results and flags by {name} as by qemu"
            if not os.access(command[0], os.X_OK):
                print(f"skip - {what}: {command[0]} is not built")
                continue
            done = subprocess.run([*command, program], stdout=subprocess.PIPE, timeout=120, check=False)
            got = done.stdout
            if got == expected and done.returncode == 0 and expected:
                print(f"ok - {what}")
                continue
            failed = True
            if len(got) != len(expected):
                print(f"not ok - {what}: {len(got)} bytes of output, exit status {done.returncode}")
                continue
            wrong = [n for n in range(0, len(expected), 16) if expected[n:n + 16] != got[n:n + 16]]
            for n, place in enumerate(places()):
                if 16 * n == wrong[0]:
                    e, g = (int.from_bytes(o[16 * n:16 * n + 8], "little") for o in (expected, got))
                    print(f"not ok - {what}: {len(wrong)} differ, first {place}: 0x{g:x} flags "
                          f"{got[16 * n + 8]}, not 0x{e:x} flags {expected[16 * n + 8]}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
