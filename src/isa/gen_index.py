#!/usr/bin/env python3
"""Makes the decoder's index out of table.def: gen_index.py table.def output.h

Entries are sorted into buckets by major opcode and funct3 (OP-FP, where funct3 is mostly the
rounding mode: by funct7), so that a decoder tries a handful of entries, not three hundred.
"""
import re
import sys

OP_FP = 0x53
entries = []
for line in open(sys.argv[1], encoding="utf-8"):
    m = re.match(r"INSN\((\w+), (0x\w+), (0x\w+), (\w+), (\w+)\)", line)
    if m:
        entries.append((m[1], int(m[2], 16), int(m[3], 16)))


def candidates(fixed, bits):
    """Entries that can match when the bits of mask `fixed` have the values `bits`."""
    return [name for name, mask, match in entries if (bits ^ match) & mask & fixed == 0]


buckets = []
for opcode in range(32):
    for funct3 in range(8):
        buckets.append(candidates(0x707F, opcode << 2 | 3 | funct3 << 12))
for funct7 in range(128):
    buckets.append(candidates(0xFE00007F, OP_FP | funct7 << 25))

starts, flat = [], []
for b in buckets:
    starts.append(len(flat))
    flat += b
starts.append(len(flat))

with open(sys.argv[2], "w", encoding="utf-8") as out:
    out.write("/* Made by gen_index.py from table.def. */\n")
    out.write("static const uint16_t bucket_start[%d] = {\n" % len(starts))
    out.write(",\n".join(map(str, starts)) + "};\n")
    out.write("static const uint16_t bucket_entry[%d] = {\n" % len(flat))
    out.write(",\n".join("INSN_" + n for n in flat) + "};\n")
