/* A riscv64 program: every floating-point operation on every pair of special values in every
 * rounding mode. Writes, for each, the result and fflags, 8 bytes each, to standard output.
 * test_float.py runs it here and there and compares. */
typedef unsigned long u64;

static const u64 values[] = {
    0x0000000000000000,
    0x0000000000000001,
    0x000fffffffffffff,
    0x0010000000000000,
    0x0010000000000001,
    0x001fffffffffffff,
    0x0020000000000000,
    0x7fefffffffffffff,
    0x7fe0000000000000,
    0x7ff0000000000000,
    0x7ff8000000000000,
    0x7ff0000000000001,
    0x7ffc123456789abc,
    0x3ff0000000000000,
    0x3ff0000000000001,
    0x3fefffffffffffff,
    0x3fe0000000000000,
    0x3fdfffffffffffff,
    0x3ff8000000000000,
    0x4004000000000000,
    0x4009000000000000,
    0x41dfffffffc00000,
    0x41dfffffffe00000,
    0x41e0000000000000,
    0x41efffffffe00000,
    0x41effffffff00000,
    0x41f0000000000000,
    0x43dfffffffffffff,
    0x43e0000000000000,
    0x43efffffffffffff,
    0x43f0000000000000,
    0x4340000000000001,
    0x433fffffffffffff,
    0x380fffffffffffff,
    0x380ffffff0000000,
    0x380fffffe0000000,
    0x36a0000000000000,
    0x3690000000000000,
    0x3690000000000001,
    0x47efffffe0000000,
    0x47effffff0000000,
    0x47efffffefffffff,
    0x2000000000000000,
    0x1ff8000000000000,
    0xbff0000000000000,
    0x8000000000000000,
    0xbfe0000000000000,
    0xc1e0000000000000,
    0xc1e0000000100000,
    0xc1e0000000200000,
    0xc3e0000000000000,
    0xc3e0000000000001,
    0xfff0000000000000,
    0xfff0000000000001,
    0x8010000000000000,
    0xffefffffffffffff,
    0xbff8000000000000,
    0xc004000000000000,
    0x8000000000000001,
    0x3ca0000000000000,
    /* boxed singles, and ones whose box is broken */
    0xffffffff00000000,
    0xffffffff00000001,
    0xffffffff007fffff,
    0xffffffff00800000,
    0xffffffff00800001,
    0xffffffff00ffffff,
    0xffffffff7f7fffff,
    0xffffffff7f000000,
    0xffffffff7f800000,
    0xffffffff7fc00000,
    0xffffffff7f800001,
    0xffffffff7fe12345,
    0xffffffff3f800000,
    0xffffffff3f800001,
    0xffffffff3f7fffff,
    0xffffffff3f000000,
    0xffffffff3effffff,
    0xffffffff3fc00000,
    0xffffffff40200000,
    0xffffffff4effffff,
    0xffffffff4f000000,
    0xffffffff4f7fffff,
    0xffffffff4f800000,
    0xffffffff5effffff,
    0xffffffff5f000000,
    0xffffffff5f800000,
    0xffffffff4b000001,
    0xffffffff33800000,
    0xffffffff20000000,
    0xffffffff1fc00000,
    0xffffffff80000000,
    0xffffffffbf800000,
    0xffffffffbf000000,
    0xffffffffcf000000,
    0xffffffffcf000001,
    0xffffffffdf000000,
    0xffffffffff800000,
    0xffffffffff800001,
    0xffffffff80800000,
    0xffffffff80000001,
    0xffffffffff7fffff,
    0xffffffffbfc00000,
    0x000000003f800000,
    0xfffffffe3f800000,
};

#define COUNT (sizeof values / sizeof values[0])

static u64 buffer[8192];
static unsigned used;

static long write_out(const void *data, u64 len)
{
    register long a0 asm("a0") = 1;
    register const void *a1 asm("a1") = data;
    register u64 a2 asm("a2") = len;
    register long a7 asm("a7") = 64;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

static void flush(void)
{
    write_out(buffer, used * 8);
    used = 0;
}

static void put(u64 result, u64 flags)
{
    if (used == 8192)
        flush();
    buffer[used++] = result;
    buffer[used++] = flags;
}

/* Runs one instruction on fa0 and fa1 (and fa2); reg is where its result is. */
#define RUN(text, a, b, c, move)                                                         \
    do {                                                                                 \
        u64 result_, flags_;                                                             \
        asm volatile("fmv.d.x fa0, %2\n fmv.d.x fa1, %3\n fmv.d.x fa2, %4\n mv a5, %2\n" \
                     "fsflags x0\n" text "\n" move "\n frflags %1"                       \
                     : "=&r"(result_), "=&r"(flags_)                                     \
                     : "r"(a), "r"(b), "r"(c)                                            \
                     : "fa0", "fa1", "fa2", "fa3", "a5", "memory");                      \
        put(result_, flags_);                                                            \
    } while (0)
#define F(text) RUN(text, a, b, c, "fmv.x.d %0, fa3") /* result in fa3 */
#define X(text) RUN(text, a, b, c, "mv %0, a5")       /* result in a5 */

static void two_operands(u64 a, u64 b)
{
    u64 c = 0;
#define FORMAT(s)                       \
    F("fadd." s " fa3, fa0, fa1");      \
    F("fsub." s " fa3, fa0, fa1");      \
    F("fmul." s " fa3, fa0, fa1");      \
    F("fdiv." s " fa3, fa0, fa1");      \
    F("fadd." s " fa3, fa0, fa1, rmm"); \
    F("fmul." s " fa3, fa0, fa1, rdn"); \
    F("fdiv." s " fa3, fa0, fa1, rup"); \
    F("fmin." s " fa3, fa0, fa1");      \
    F("fmax." s " fa3, fa0, fa1");      \
    F("fsgnj." s " fa3, fa0, fa1");     \
    F("fsgnjn." s " fa3, fa0, fa1");    \
    F("fsgnjx." s " fa3, fa0, fa1");    \
    X("feq." s " a5, fa0, fa1");        \
    X("flt." s " a5, fa0, fa1");        \
    X("fle." s " a5, fa0, fa1");
    FORMAT("s")
    FORMAT("d")
#undef FORMAT
}

static void one_operand(u64 a)
{
    u64 b = 0, c = 0;
#define FORMAT(s)                    \
    F("fsqrt." s " fa3, fa0");       \
    F("fsqrt." s " fa3, fa0, rmm");  \
    X("fclass." s " a5, fa0");       \
    X("fcvt.w." s " a5, fa0");       \
    X("fcvt.wu." s " a5, fa0");      \
    X("fcvt.l." s " a5, fa0");       \
    X("fcvt.lu." s " a5, fa0");      \
    X("fcvt.w." s " a5, fa0, rtz");  \
    X("fcvt.wu." s " a5, fa0, rtz"); \
    X("fcvt.l." s " a5, fa0, rtz");  \
    X("fcvt.lu." s " a5, fa0, rtz"); \
    X("fcvt.w." s " a5, fa0, rmm");  \
    X("fcvt.lu." s " a5, fa0, rup"); \
    F("fcvt." s ".w fa3, a5");       \
    F("fcvt." s ".wu fa3, a5");      \
    F("fcvt." s ".l fa3, a5");       \
    F("fcvt." s ".lu fa3, a5");      \
    F("fcvt." s ".l fa3, a5, rmm");  \
    F("fcvt." s ".lu fa3, a5, rdn");
    FORMAT("s")
    FORMAT("d")
#undef FORMAT
    F("fcvt.s.d fa3, fa0");
    F("fcvt.s.d fa3, fa0, rmm");
    F("fcvt.d.s fa3, fa0");
    X("fmv.x.w a5, fa0");
    F("fmv.w.x fa3, a5");
}

static void three_operands(u64 a, u64 b, u64 c)
{
#define FORMAT(s)                         \
    F("fmadd." s " fa3, fa0, fa1, fa2");  \
    F("fmsub." s " fa3, fa0, fa1, fa2");  \
    F("fnmsub." s " fa3, fa0, fa1, fa2"); \
    F("fnmadd." s " fa3, fa0, fa1, fa2"); \
    F("fmadd." s " fa3, fa0, fa1, fa2, rmm");
    FORMAT("s")
    FORMAT("d")
#undef FORMAT
}

/* The order is known to test_float.py. */
void start(void);
void start(void)
{
    for (u64 mode = 0; mode < 5; mode++) {
        asm volatile("fsrm %0" : : "r"(mode));
        for (u64 i = 0; i < COUNT; i++)
            for (u64 j = 0; j < COUNT; j++)
                two_operands(values[i], values[j]);
        for (u64 i = 0; i < COUNT; i++)
            one_operand(values[i]);
        for (u64 i = 0; i < COUNT; i += 3)
            for (u64 j = 0; j < COUNT; j += 4)
                for (u64 k = 0; k < COUNT; k += 5)
                    three_operands(values[i], values[j], values[k]);
    }
    flush();
    asm volatile("li a0, 0\n li a7, 93\n ecall");
}

asm(".globl _start\n_start:\n .option push\n .option norelax\n la gp, __global_pointer$\n"
    " .option pop\n call start\n");
