"""Random riscv64 programs: a list of items (each a few lines of assembly), made from a seed.

A program is a batch of streams: each sets all registers to interesting values and runs its items;
every few items x and f registers and fcsr are written to standard output, at the end scratch memory
as well. With faults, some
accesses hit what they must not; a signal handler writes the registers (pc in the place of x0) and
goes on behind the instruction. One register, `base`, always points into the scratch memory:
    base - 2048 .. base - 1025   constants, only read
    base - 1024 .. base + 1023   read and written
    base + 1024 .. base + 1544   the final x, f and fcsr
"""
import random
import struct

SCRATCH, OUT_X, OUT_F, OUT_FCSR, OUT_END = -1024, 1024, 1280, 1536, 1544
CHECK_LEN, END_LEN = OUT_END - OUT_X, OUT_END - SCRATCH
CHECK_EVERY = 8  # items
STREAM = 16  # items

X = ["x%d" % i for i in range(32)]
F = ["f%d" % i for i in range(32)]
MODES = ["rne", "rtz", "rdn", "rup", "rmm", "dyn", "dyn", "dyn"]

ALU = "add sub sll slt sltu xor srl sra or and addw subw sllw srlw sraw".split()
ALU_IMM = "addi slti sltiu xori ori andi addiw".split()
SHIFT64, SHIFT32 = "slli srli srai".split(), "slliw srliw sraiw".split()
MULDIV = "mul mulh mulhsu mulhu div divu rem remu mulw divw divuw remw remuw".split()
BITS = ("add.uw sh1add sh2add sh3add sh1add.uw sh2add.uw sh3add.uw andn orn xnor max maxu min minu rol "
        "ror rolw rorw clmul clmulr clmulh bclr bext binv bset").split()
BITS_UNARY = "clz ctz cpop clzw cpopw sext.b sext.h zext.h orc.b rev8".split()
BITS_SHIFT64 = "rori bclri bexti binvi bseti slli.uw".split()
LOADS = {"lb": 1, "lh": 2, "lw": 4, "ld": 8, "lbu": 1, "lhu": 2, "lwu": 4}
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}
AMOS = "swap add xor and or min max minu maxu".split()
BRANCHES = "beq bne blt bge bltu bgeu".split()

# What wants certain host registers, or has its operands in places of its own.
FIXED = MULDIV + "sll srl sra sllw srlw sraw rol ror rolw rorw bclr bext binv bset clmulh".split()
# opcode, funct3, funct7 of instructions that are written over others
WRITTEN = {"add": (0x33, 0, 0), "sub": (0x33, 0, 32), "xor": (0x33, 4, 0), "and": (0x33, 7, 0),
           "sraw": (0x3B, 5, 32), "mulhu": (0x33, 3, 1), "rem": (0x33, 6, 1), "div": (0x33, 4, 1)}

U64 = (1 << 64) - 1
INTS = [0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 255, 256, 0x7FF, 0x800, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
        0x100000000, 1 << 62, 1 << 63, (1 << 63) - 1, U64, U64 - 1, U64 - 0x7FFFFFFF, 0x8080808080808080,
        0x0102030405060708, 0x5555555555555555, 0xAAAAAAAAAAAAAAAA]
DOUBLES = [0, 1, 2, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x10000000000001, 0x7FEFFFFFFFFFFFFF,
           0x7FF0000000000000, 0x7FF8000000000000, 0x7FF0000000000001, 0x7FF7FFFFFFFFFFFF,
           0x7FFC123456789ABC, 0x3FF0000000000000, 0x3FF0000000000001, 0x3FEFFFFFFFFFFFFF,
           0x3FE0000000000000, 0x3FF8000000000000, 0x4004000000000000, 0x41DFFFFFFFC00000,
           0x41E0000000000000, 0x41EFFFFFFFE00000, 0x41F0000000000000, 0x43E0000000000000,
           0x43F0000000000000, 0x433FFFFFFFFFFFFF, 0x4340000000000001, 0x380FFFFFFFFFFFFF,
           0x36A0000000000000, 0x47EFFFFFF0000000, 0x47EFFFFFE0000000, 0x3690000000000000]
SINGLES = [0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001,
           0x7FBFFFFF, 0x7FE12345, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x3F000000, 0x3FC00000,
           0x40200000, 0x4EFFFFFF, 0x4F000000, 0x4F7FFFFF, 0x4F800000, 0x5F000000, 0x5F800000,
           0x4AFFFFFF, 0x4B7FFFFF, 0x33800000, 0x34000000]
BOX = 0xFFFFFFFF00000000


# sigaltstack and rt_sigaction for SIGSEGV, with SA_SIGINFO | SA_ONSTACK | SA_NODEFER.
HANDLE_FAULTS = ["la a0, stack", "li a1, 0", "li a7, 132", "ecall",
                 "li a0, 11", "la a1, action", "li a2, 0", "li a3, 8", "li a7, 134", "ecall"]
# a2: ucontext; at 176 in it pc, x1 to x31, f0 to f31, fcsr (32 bits), as many as a check writes.
HANDLER = ["handler:", "addi s0, a2, 176", "lwu t0, 512(s0)", "sd t0, 512(s0)", "li a0, 1", "mv a1, s0",
           "li a2, %d" % CHECK_LEN, "li a7, 64", "ecall", "ld t0, 0(s0)", "addi t0, t0, 4",
           "sd t0, 0(s0)", "ret"]
HANDLER_DATA = [".balign 16", "action: .dword handler, 0x48000004, 0", "stack: .dword space, 0, 65536",
                ".bss", ".balign 16", "space: .zero 65536"]


class Generator:
    def __init__(self, seed, count, only=None, faults=False):
        self.seed, self.r = seed, random.Random(seed)
        self.count = count
        self.only = only
        self.faults = faults
        self.labels = 0
        self.base = self.r.choice(["x2", "x2", "x8", "x9", "x10", "x15", "x20", "x31"])
        self.busy = {"x0", self.base}  # registers that items must not write
        if faults:
            self.busy.add("x2")  # a stack pointer within the signal stack would be taken for it
        self.functions = []
        self.items = self.make_items()
        self.values = ([self.integer() for _ in range(32)], [self.float() for _ in range(32)])
        self.constants = [self.integer() if i % 2 else self.float() for i in range(128)]
        self.scratch = [self.integer() if i % 2 else self.float() for i in range(256)]

    # Values

    def integer(self):
        r = self.r
        kind = r.randrange(6)
        if kind < 3:
            return r.choice(INTS)
        if kind == 3:
            return r.getrandbits(64)
        if kind == 4:
            return r.getrandbits(r.randrange(1, 64))
        return (U64 << r.randrange(64)) & U64

    def double(self):
        r = self.r
        sign = r.getrandbits(1) << 63
        kind = r.randrange(8)
        if kind < 4:
            return sign | r.choice(DOUBLES)
        if kind == 4:
            return r.getrandbits(64)
        mantissa = r.getrandbits(52) & r.choice([U64, 0xFFFFF80000000, 0x00000001FFFFF, 0])
        return sign | r.randrange(1010, 1090) << 52 | mantissa

    def single(self):
        r = self.r
        sign = r.getrandbits(1) << 31
        kind = r.randrange(8)
        if kind < 4:
            return sign | r.choice(SINGLES)
        if kind == 4:
            return r.getrandbits(32)
        return sign | r.randrange(110, 160) << 23 | r.getrandbits(23) & r.choice([U64, 0x7FF000, 0])

    def float(self):
        kind = self.r.randrange(16)
        if kind < 7:
            return self.double()
        if kind < 15:
            return BOX | self.single()
        return self.single() | self.r.getrandbits(32) << 32

    # Operands

    def x(self):
        return self.r.choice(X)

    def xd(self):
        """A register that may be written; compressed instructions like x8 to x15."""
        while True:
            reg = self.r.choice(X[8:16] if self.r.random() < 0.4 else X)
            if reg not in self.busy or reg == "x0":
                return reg

    def free(self, *others):
        while True:
            reg = self.r.choice(X[1:])
            if reg not in self.busy and reg not in others:
                return reg

    def f(self):
        return self.r.choice(F[:8] if self.r.random() < 0.5 else F)

    def imm12(self):
        return self.r.choice([0, 1, -1, 31, -32, 255, 2047, -2048, self.r.randrange(-2048, 2048)])

    def offset(self, size, written):
        low = SCRATCH if written else 2 * SCRATCH
        at = self.r.randrange(low, 1024 - size + 1)
        return at if self.r.random() < 0.05 else at // size * size

    def label(self):
        self.labels += 1
        return "L%d" % self.labels

    # Items: each answers a list of lines

    def alu(self):
        r = self.r
        kind = r.randrange(12)
        if kind < 4:
            a = self.xd()
            return ["%s %s, %s, %s" % (r.choice(ALU), a, a if r.random() < 0.3 else self.x(), self.x())]
        if kind < 7:
            a = self.xd()
            return ["%s %s, %s, %d" % (r.choice(ALU_IMM), a, a if r.random() < 0.4 else self.x(),
                                       self.imm12())]
        if kind == 7:
            return ["%s %s, %s, %d" % (r.choice(SHIFT64), self.xd(), self.x(), r.randrange(64))]
        if kind == 8:
            return ["%s %s, %s, %d" % (r.choice(SHIFT32), self.xd(), self.x(), r.randrange(32))]
        if kind == 9:
            return ["%s %s, %d" % (r.choice(["lui", "auipc"]), self.xd(), r.getrandbits(20))]
        if kind == 10:
            return ["li %s, %d" % (self.xd(), self.integer())]
        return self.idiom()

    def idiom(self):
        """What compilers write and the lifter folds."""
        r = self.r
        a, b, c = self.xd(), self.x(), self.xd()
        n = r.choice([32, 32, 48, 56, r.randrange(1, 64)])
        return r.choice([
            ["slli %s, %s, %d" % (a, b, n), "%s %s, %s, %d" % (r.choice(["srli", "srai"]), c, a, n)],
            ["mv %s, %s" % (a, b)],
            ["addiw %s, %s, 0" % (a, b), "sext.w %s, %s" % (c, a)],
            ["sltu %s, x0, %s" % (a, b), "slt %s, %s, %s" % (c, a, b)],
            ["sltiu %s, %s, 1" % (a, b), "snez %s, %s" % (c, a)],
            ["not %s, %s" % (a, b), "and %s, %s, %s" % (c, a, self.x())],
            ["xor %s, %s, %s" % (a, b, b)],
            ["addi %s, %s, 5" % (a, b), "addi %s, %s, -5" % (c, a)],
            ["slt %s, x0, %s" % (a, b)],
            self.rotation(a, b, c),
            ["slti %s, %s, %d" % (a, b, self.imm12())],
            ["lui %s, %d" % (a, r.getrandbits(20)), "addiw %s, %s, %d" % (c, a, self.imm12())],
        ])

    def rotation(self, a, b, c):
        """Two shifts and an or: a rotation, mostly."""
        r = self.r
        n, (w, width) = r.randrange(1, 32), r.choice([("w", 32), ("", 64)])
        back = width - n if r.random() < 0.8 else r.randrange(width)
        other = self.free(a, b)
        return ["slli%s %s, %s, %d" % (w, other, b, n), "srli%s %s, %s, %d" % (w, a, b, back),
                "or %s, %s, %s" % (c, *r.sample([a, other], 2))]

    def muldiv(self):
        r = self.r
        if r.random() < 0.3:  # by a constant
            t = self.free()
            return ["li %s, %d" % (t, r.choice([0, 1, 2, 8, -1, 10, 4096, self.integer()])),
                    "%s %s, %s, %s" % (r.choice(MULDIV), self.xd(), self.x(), t)]
        return ["%s %s, %s, %s" % (r.choice(MULDIV), self.xd(), self.x(), self.x())]

    def fixed(self):
        """An operation with fixed host registers, after moves of what it reads and overwrites: the old
        value of its destination, or an operand, lives on in another register."""
        r = self.r
        d = self.xd()
        a, b = (d if r.random() < 0.25 else self.x() for _ in range(2))
        lines = []
        for _ in range(r.randrange(4)):
            one = r.choice([d, a, b])
            if r.random() < 0.7 or one in self.busy:
                lines.append("mv %s, %s" % (self.xd(), one))
            else:
                lines.append("mv %s, %s" % (one, self.x()))
        lines.append("%s %s, %s, %s" % (r.choice(FIXED), d, a, b))
        if r.random() < 0.6:
            lines.append("%s %s, %s, %s" % (r.choice(["and", "add", "xor"]), self.xd(), self.x(), self.x()))
        return lines

    def pressure(self):
        """Many values at once that are in no register any more: what a later instruction is fused with
        reads them, and their registers are overwritten in between."""
        r = self.r
        regs = [x for x in X[1:] if x not in self.busy]
        r.shuffle(regs)
        n = r.randrange(2, len(regs) // 2 + 1)
        pairs = list(zip(regs[:n], regs[n:]))
        made, used = r.choice([
            ("sltu %s, %s, x0", "bnez %s, {0}"), ("slt %s, x0, %s", "beqz %s, {0}"),
            ("slli %s, %s, 32", "srli %s, %s, 29"), ("addi %s, %s, 5", "addi %s, %s, -7"),
            ("not %s, %s", "and %s, %s, a5"), ("mv %s, %s", "div %s, %s, t2")])
        lines = [made % p for p in pairs]
        lines += ["fadd.d %s, %s, %s" % (self.f(), f, self.f()) for f in F if r.random() < 0.5]
        lines += ["ld %s, %d(%s)" % (b, self.offset(8, False), self.base) if r.random() < 0.7 else
                  "li %s, %d" % (b, r.randrange(100)) for _, b in pairs]
        end = self.label()
        for a, _ in pairs:
            lines.append((used % ((a,) * used.count("%s"))).format(end))
        return lines + [end + ":"]

    def page_end(self):
        """Instructions about the end of a page."""
        r = self.r
        start = self.label()
        lines = ["j " + start, ".balign 4096", ".zero %d" % r.randrange(4072, 4096, 2), start + ":"]
        wide = [".option push", ".option norvc"] if r.random() < 0.7 else [".option push"]
        return lines + wide + self.body(r.randrange(2, 6)) + [".option pop"]

    def rewrite(self):
        """Code that is written over, and run before and after: on a page of its own, as text cannot be
        written."""
        r = self.r
        name, back, over = self.label(), self.label(), self.label()
        t, v, n = (self.free() for _ in range(3))
        if len({t, v, n}) < 3:
            return self.alu()
        busy = {t, v, n} - self.busy
        self.busy |= busy
        d, a, b = self.xd(), self.x(), self.x()
        opcode, f3, f7 = WRITTEN[r.choice(list(WRITTEN))]
        code = opcode | int(d[1:]) << 7 | f3 << 12 | int(a[1:]) << 15 | int(b[1:]) << 20 | f7 << 25
        before = "%s %s, %s, %s" % (r.choice(list(WRITTEN)), self.xd(), self.x(), self.x())
        lines = ["li %s, 2" % n, over + ":", "la %s, %s" % (t, name), "jr " + t,
                 '.section .written, "awx", @progbits', ".option push", ".option norvc"]
        lines += [".balign 4096", ".zero 4092"] if r.random() < 0.05 else []
        lines += ["nop"] * r.randrange(3) + [name + ":", before]
        lines += self.body(r.randrange(3)) + ["la %s, %s" % (t, back), "jr " + t, ".option pop", ".text",
                                              back + ":"]
        lines += ["la %s, %s" % (t, name), "li %s, %d" % (v, code), "sw %s, (%s)" % (v, t), "fence.i",
                  "addi %s, %s, -1" % (n, n), "bnez %s, %s" % (n, over)]
        self.busy -= busy
        return lines

    def bits(self):
        r = self.r
        kind = r.randrange(8)
        if kind < 4:
            return ["%s %s, %s, %s" % (r.choice(BITS), self.xd(), self.x(), self.x())]
        if kind < 6:
            return ["%s %s, %s" % (r.choice(BITS_UNARY), self.xd(), self.x())]
        if kind == 6:
            return ["%s %s, %s, %d" % (r.choice(BITS_SHIFT64), self.xd(), self.x(), r.randrange(64))]
        return ["roriw %s, %s, %d" % (self.xd(), self.x(), r.randrange(32))]

    def access(self, op, size, written, reg):
        """A load or store by the base register itself, or by a register made from it."""
        at = self.offset(size, written)
        if self.r.random() < 0.5:
            return ["%s %s, %d(%s)" % (op, reg, at, self.base)]
        t = self.free(reg)
        part = self.r.randrange(-1000, 1000)
        return ["addi %s, %s, %d" % (t, self.base, part), "%s %s, %d(%s)" % (op, reg, at - part, t)]

    def memory(self):
        r = self.r
        kind = r.randrange(10)
        if kind < 4:
            op = r.choice(list(LOADS))
            return self.fitting(lambda: self.access(op, LOADS[op], False, self.xd()))
        if kind < 8:
            op = r.choice(list(STORES))
            return self.fitting(lambda: self.access(op, STORES[op], True, self.x()))
        index, t = self.x(), self.free()  # an index from a register
        op = r.choice(list(LOADS) + list(STORES))
        reg = self.xd() if op in LOADS else self.x()
        return ["andi %s, %s, 0x3f8" % (t, index), "add %s, %s, %s" % (t, t, self.base),
                "%s %s, %d(%s)" % (op, reg, r.choice([0, -8, -1024]), t)]

    def fitting(self, make):
        while True:
            lines = make()
            at = int(lines[-1].split(", ")[1].split("(")[0])
            if -2048 <= at < 2048:
                return lines

    def atomic(self):
        r = self.r
        s, size = r.choice([("w", 4), ("d", 8)])
        t = self.free()
        at = r.randrange(SCRATCH, 1016) // size * size
        lines = ["addi %s, %s, %d" % (t, self.base, at)]
        order = r.choice(["", ".aq", ".rl", ".aqrl"])
        if r.random() < 0.7:
            return lines + ["amo%s.%s%s %s, %s, (%s)" % (r.choice(AMOS), s, order, self.xd(),
                                                          self.x(), t)]
        d = self.free(t)
        lines.append("lr.%s %s, (%s)" % (s, d, t))
        if r.random() < 0.5:
            lines.append("addi %s, %s, 1" % (d, d))
        if r.random() < 0.3:  # the location changes in between: sc fails, unless by the same value
            lines.append("s%s %s, 0(%s)" % (s, self.x(), t))
        lines.append("sc.%s %s, %s, (%s)" % (s, self.free(t), self.x(), t))
        if r.random() < 0.3:  # no reservation any more
            lines.append("sc.%s %s, %s, (%s)" % (s, self.free(t), self.x(), t))
        return lines

    def fault(self):
        """An access to page 0, or a store to the program's text."""
        r = self.r
        t = self.free()
        text = r.random() < 0.3
        kinds = ["sd %s, %%d(%s)" % (self.x(), t), "sw %s, %%d(%s)" % (self.x(), t),
                 "fsd %s, %%d(%s)" % (self.f(), t)]
        if not text:
            kinds += ["ld %s, %%d(%s)" % (self.xd(), t), "lbu %s, %%d(%s)" % (self.xd(), t),
                      "fld %s, %%d(%s)" % (self.f(), t), "flw %s, %%d(%s)" % (self.f(), t)]
        access = r.choice(kinds) % r.randrange(0, 64, 8)
        if r.random() < 0.2:
            access = "amo%s.d %s, %s, (%s)" % (r.choice(AMOS), self.xd(), self.x(), t)
        return ["la %s, text" % t if text else "li %s, %d" % (t, 8 * r.randrange(200)),
                ".option push", ".option norvc", access, ".option pop"]

    def fp_load(self):
        r = self.r
        size, s = r.choice([(8, "d"), (4, "w")])
        if r.random() < 0.75:
            return self.fitting(lambda: self.access("fl" + s, size, False, self.f()))
        return self.fitting(lambda: self.access("fs" + s, size, True, self.f()))

    def floating(self):
        r = self.r
        s = r.choice("sd")
        kind = r.randrange(20)
        mode = r.choice(MODES)
        d, a, b, c = self.f(), self.f(), self.f(), self.f()
        if kind < 6:
            return ["f%s.%s %s, %s, %s, %s" % (r.choice(["add", "sub", "mul", "div"]), s, d, a, b, mode)]
        if kind < 7:
            return ["fsqrt.%s %s, %s, %s" % (s, d, a, mode)]
        if kind < 10:
            return ["f%s.%s %s, %s, %s, %s, %s" % (r.choice(["madd", "msub", "nmsub", "nmadd"]), s, d,
                                                   a, b, c, mode)]
        if kind < 12:
            return ["f%s.%s %s, %s, %s" % (r.choice(["sgnj", "sgnjn", "sgnjx", "min", "max"]), s, d, a,
                                           a if r.random() < 0.3 else b)]
        if kind < 14:
            return ["f%s.%s %s, %s, %s" % (r.choice(["eq", "lt", "le"]), s, self.xd(), a, b)]
        if kind < 15:
            return ["fclass.%s %s, %s" % (s, self.xd(), a)]
        if kind < 17:
            return ["fcvt.%s.%s %s, %s, %s" % (r.choice(["w", "wu", "l", "lu"]), s, self.xd(), a, mode)]
        if kind < 18:
            k = r.choice(["w", "wu", "l", "lu"])
            exact = s == "d" and k in ("w", "wu")
            return ["fcvt.%s.%s %s, %s%s" % (s, k, d, self.x(), "" if exact else ", " + mode)]
        if kind < 19:
            return [r.choice(["fcvt.s.d %s, %s, %s" % (d, a, mode), "fcvt.d.s %s, %s" % (d, a)])]
        return [r.choice(["fmv.x.w %s, %s" % (self.xd(), a), "fmv.x.d %s, %s" % (self.xd(), a),
                          "fmv.w.x %s, %s" % (d, self.x()), "fmv.d.x %s, %s" % (d, self.x())])]

    def fp_state(self):
        r = self.r
        return [r.choice([
            "fsrmi %s, %d" % (self.xd(), r.randrange(5)),
            "fsrmi %d" % r.choice([0, 0, 0, 1, 2, 3, 4]),
            "fsflagsi %s, %d" % (self.xd(), r.randrange(32)),
            "frflags %s" % self.xd(),
            "frrm %s" % self.xd(),
            "frcsr %s" % self.xd(),
            "fsflags %s, %s" % (self.xd(), self.x()),
            "csrsi fflags, %d" % r.randrange(32),
            "csrci fcsr, %d" % r.randrange(32),
            "csrrs %s, fflags, %s" % (self.xd(), self.x()),
        ])]

    def skip(self):
        """A forward branch over a few items."""
        r = self.r
        end = self.label()
        a, b = self.x(), self.x() if r.random() < 0.7 else "x0"
        head = r.choice([["%s %s, %s, %s" % (r.choice(BRANCHES), a, b, end)],
                         ["%s %s, %s, %s" % (r.choice(BRANCHES), a, b, end)], ["j %s" % end],
                         self.indirect(end)])
        return head + self.body(r.randrange(1, 5)) + [end + ":"]

    def indirect(self, to):
        t = self.free()
        self.busy.add(t)
        lines = ["la %s, %s" % (t, to)]
        if self.r.random() < 0.5:
            lines += ["li x0, 0", "xori %s, %s, 1" % (t, t)]  # jalr clears the lowest bit
        self.busy.discard(t)
        if self.r.random() < 0.5:
            return lines + ["jalr %s, %s" % (self.xd() if self.r.random() < 0.5 else "x0", t)]
        return lines + ["jr %s" % t]

    def loop(self):
        counter, start = self.free(), self.label()
        self.busy.add(counter)
        lines = ["li %s, %d" % (counter, self.r.randrange(1, 12)), start + ":"]
        lines += self.body(self.r.randrange(1, 8))
        lines += ["addi %s, %s, -1" % (counter, counter), "bnez %s, %s" % (counter, start)]
        self.busy.discard(counter)
        return lines

    def call(self):
        """A function, called twice or through a register; x1 or x5 links."""
        r = self.r
        link = r.choice(["x1", "x1", "x5"])
        if link in self.busy:
            return self.alu()
        name = self.label()
        self.busy.add(link)
        self.functions += [name + ":"] + self.body(r.randrange(1, 5)) + ["jr %s" % link]
        self.busy.discard(link)
        if r.random() < 0.7:
            return ["jal %s, %s" % (link, name)] * r.randrange(1, 3)
        t = self.free(link)
        return ["la %s, %s" % (t, name), "jalr %s, %s" % (link, t)]

    def body(self, n):
        """Items without control flow, for the insides of loops and the like."""
        lines = []
        for _ in range(n):
            lines += self.pick(self.straight())()
        return lines

    def pick(self, weighted):
        makers, weights = zip(*weighted)
        return self.r.choices(makers, weights)[0]

    def straight(self):
        groups = {"alu": (self.alu, 30), "muldiv": (self.muldiv, 8), "bits": (self.bits, 10),
                  "memory": (self.memory, 15), "atomic": (self.atomic, 4),
                  "fpload": (self.fp_load, 8), "float": (self.floating, 22),
                  "fpstate": (self.fp_state, 2), "fixed": (self.fixed, 14), "fault": (self.fault, 6 if self.faults else 0)}
        return [g for name, g in groups.items() if not self.only or name in self.only]

    def make_items(self):
        items = []
        control = [(self.skip, 8), (self.loop, 2), (self.call, 2), (self.pressure, 2), (self.page_end, 0.5),
                   (self.rewrite, 1),
                   (lambda: [self.r.choice(["fence", "fence.i", "nop", "fence r,rw"])], 1)]
        for _ in range(self.count):
            first = len(self.functions)
            lines = self.pick(self.straight() + control)()
            items.append((lines, self.functions[first:]))
        return items

    # The program

    def write(self, start, r):
        """Stores all registers and writes base + start to base + OUT_END."""
        b = self.base
        temporary = "x3" if b == "x1" else "x1"
        out = ["sd x%d, %d(%s)" % (i, OUT_X + 8 * i, b) for i in range(32)]
        out += ["fsd f%d, %d(%s)" % (i, OUT_F + 8 * i, b) for i in range(32)]
        out += ["frcsr " + temporary, "sd %s, %d(%s)" % (temporary, OUT_FCSR, b)]
        out += ["li a2, %d" % start, "la a1, middle", "add a1, a1, a2", "li a2, %d" % (OUT_END - start),
                "li a7, 64", "li a0, 1", "ecall", "la %s, middle" % b]
        # What the call needed gets values again.
        return out + ["ld a%d, %d(%s)" % (i, 8 * r.randrange(-256, 120), b) for i in (0, 1, 2, 7)
                      if "x%d" % (10 + i) != b]

    def begin_stream(self, n):
        """Sets the registers of stream n: each begins with the table at other places."""
        return (["la x31, values"] +
                ["fld f%d, %d(x31)" % (i, 256 + 8 * ((i + 5 * n) % 32)) for i in range(32)] +
                ["ld x%d, %d(x31)" % (i, 8 * ((i + 7 * n) % 32)) for i in range(1, 32)] +
                ["la %s, middle" % self.base])

    def source(self, keep=None):
        """Assembly of the program, or of the items whose numbers are in `keep`."""
        keep = range(len(self.items)) if keep is None else keep
        items = [self.items[n] for n in keep]
        r = random.Random(self.seed)  # so that a shorter program begins as the whole one does
        out = [".option norelax", ".globl _start", ".text", ".balign 8", "text: .zero 64", "_start:"]
        if self.faults:
            out += HANDLE_FAULTS
        stream = None
        for n, number in enumerate(keep, 1):
            if number // STREAM != stream:
                stream = number // STREAM
                out += self.begin_stream(stream)
            out += self.items[number][0]
            if n % CHECK_EVERY == 0:
                out += self.write(OUT_X, r)
        out += self.write(SCRATCH, r) + ["li a7, 93", "li a0, 0", "ecall"]
        for _, functions in items:
            out += functions
        if self.faults:
            out += HANDLER
        quads = lambda values: [".dword " + ", ".join("0x%x" % v for v in values)]
        out += [".data", ".balign 16", "values:"] + quads(self.values[0]) + quads(self.values[1])
        out += quads(self.constants) + quads(self.scratch[:128]) + ["middle:"]
        out += quads(self.scratch[128:]) + [".zero %d" % (OUT_END - 1024)]
        if self.faults:
            out += HANDLER_DATA
        return "\n".join(out) + "\n"


def difference(expected, got):
    """Words on the first thing that differs between two outputs."""
    if len(expected) != len(got):
        return "output of %d bytes, not %d" % (len(got), len(expected))
    checks = (len(expected) - END_LEN) // CHECK_LEN
    for n in range(checks + 1):
        start, first = n * CHECK_LEN, OUT_X if n < checks else SCRATCH
        found = []
        for place in range(first, OUT_END, 8):
            e, g = (struct.unpack_from("<Q", b, start + place - first)[0] for b in (expected, got))
            if e != g:
                found.append("%s is 0x%x, not 0x%x" % (place_name(place), g, e))
        if found:
            return min(found, key=lambda s: s.startswith("base"))  # registers first
    return None


def place_name(place):
    if place < OUT_X:
        return "base%+d" % place
    if place < OUT_F:  # in what a signal handler wrote, x0 stands for pc
        return "x%d" % ((place - OUT_X) // 8)
    return "f%d" % ((place - OUT_F) // 8) if place < OUT_FCSR else "fcsr"
