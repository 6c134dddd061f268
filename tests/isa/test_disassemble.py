#!/usr/bin/env python3
"""The decoder and disassembler against binutils: random operands of every instruction of the table,
all 65,536 values of 16 bits, random words, and a real program."""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("WIRT_BUILD", "build")).resolve()
TOOL = BUILD / "tests/isa/disassemble"
CROSS = "riscv64-linux-gnu-"
MARCH = "rv64imafdch_zicsr_zifencei_zba_zbb_zbc_zbs_zbkb_zbkx_zicbom_zicboz_svinval_zawrs"
# What binutils 2.40 does not know.
UNKNOWN = re.compile(r"(czero|amocas|amo\w+[_.][bh]\b|wrs)")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+([0-9a-f]+)\s+(.*)$")


# Where binutils leave the i of an immediate form out.
IMMEDIATE = re.compile(r"^(add|sll|srl|sra|ror)(w?)\t(.*,-?(?:0x)?[0-9a-f]+)$")
IMMEDIATE64 = re.compile(r"^(and|or|xor|slt|sltu|bclr|bext|binv|bset|csrr?[wsc])\t(.*,-?(?:0x)?[0-9a-f]+)$")
REGISTER = re.compile(r",(a[0-7]|fa[0-7])$")


def normal(text):
    """Without symbols and comments; the i of immediate forms written; no instruction: unknown."""
    text = re.sub(r"\s*(#.*|<.*>)$", "", text).strip()
    if re.match(r"\.(2byte|4byte|short|word|insn)|0x|unimp|c\.unimp", text) or ",unknown" in text:
        return "unknown"
    if not REGISTER.search(text):
        text = IMMEDIATE.sub(r"\1i\2\t\3", text)
        text = IMMEDIATE64.sub(r"\1i\t\2", text)
    text = text.replace("slli.uw", "sll.uw")
    return re.sub(r"^jal\t([0-9a-f]+)$", r"jal\tra,\1", text)


def same(theirs, mine):
    """The same, or something the two may see differently."""
    if theirs.startswith("c.") or mine.startswith("fence") and theirs == "unknown":
        return True  # hints in 16 bits; reserved fields of fences, which hardware has to ignore
    if theirs == "unknown" and (UNKNOWN.match(mine) or re.match(r"fcvt\.d\.[ws]", mine)):
        return True  # newer than they are; exact conversions with a rounding mode
    if mine.startswith("csr"):  # they know CSRs that no longer are
        a, b = re.split(r"[\t,]", mine), re.split(r"[\t,]", theirs)
        return len(a) == len(b) and all(m == t or m.startswith("0x") for m, t in zip(a, b))
    if (mine, theirs) == ("unknown", "addi\tsp,sp,0"):
        return True  # c.addi16sp with 0 is reserved
    return theirs == mine


def objdump(path):
    """(address, instruction, text) of each instruction."""
    out = subprocess.run([CROSS + "objdump", "-d", path], check=True, stdout=subprocess.PIPE, text=True)
    return [(m[1], m[2], normal(m[3])) for m in map(LINE.match, out.stdout.splitlines()) if m]


def ours(lines):
    given = "".join(f"{pc} {insn}\n" for pc, insn, _ in lines)
    out = subprocess.run([TOOL], input=given, check=True, stdout=subprocess.PIPE, text=True)
    return [normal(t) for t in out.stdout.splitlines()]


def words(source, tmp):
    """objdump's view of these (length, value) pairs."""
    obj = tmp + "/words.o"
    text = "".join(f".insn {n}, 0x{v:x}\n" for n, v in source)
    subprocess.run([CROSS + "as", "-march=" + MARCH, "-o", obj, "-"], input=text.encode(), check=True)
    return objdump(obj)


def check(what, lines):
    if not lines:
        print(f"not ok - {what}: nothing to compare")
        return False
    wrong = [(l, t) for l, t in zip(lines, ours(lines)) if not same(l[2], t)]
    if wrong:
        (pc, insn, theirs), mine = wrong[0]
        print(f"not ok - {what}: {len(wrong)} of {len(lines)} differ, first {insn} at {pc}: "
              f"'{mine}', objdump '{theirs}'")
        for (pc, insn, theirs), mine in wrong[1:20]:
            print(f"# {insn} at {pc}: '{mine}', objdump '{theirs}'")
        return False
    print(f"ok - {what} ({len(lines)})")
    return True


def main():
    missing = [t for t in (CROSS + "as", CROSS + "objdump") if not shutil.which(t)]
    if missing:
        print("skip - disassembly as by binutils: no " + ", ".join(missing))
        return 0
    r = random.Random(1)
    table = subprocess.run([TOOL, "-i"], check=True, stdout=subprocess.PIPE, text=True).stdout
    encodings = []
    for name, mask, match, _ in map(str.split, table.splitlines()):
        if not UNKNOWN.match(name):
            for _ in range(40):
                word = int(match, 16) | r.getrandbits(32) & ~int(mask, 16)
                encodings.append((4, word))
    good = True
    with tempfile.TemporaryDirectory(prefix="wirt-disassemble-") as tmp:
        good &= check("random operands of each instruction", words(encodings, tmp))
        short = [(2, v) for v in range(0x10000) if v & 3 != 3]
        good &= check("all 16-bit instructions", words(short, tmp))
        noise = [(4, r.getrandbits(32) | 3) for _ in range(20000)]
        good &= check("random words", words([(4, v) for _, v in noise if v & 0x1C != 0x1C], tmp))
        program = tmp + "/program.c"
        pathlib.Path(program).write_text("#include <stdio.h>\n#include <math.h>\nint main(int n, char **v)"
                                         "{ return printf(\"%g\", pow(n, 0.1)); }\n", encoding="utf-8")
        subprocess.run([CROSS + "gcc", "-O2", "-static", "-o", tmp + "/program", program, "-lm"], check=True)
        good &= check("glibc", objdump(tmp + "/program"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
