/* Every floating-point instruction of F and D on the values where the rules are special, in every
 * rounding mode: one line a instruction with a hash of all results and of all flags. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static const uint64_t doubles[] = {0,
                                   1,
                                   0x8000000000000000,
                                   0x8000000000000001,
                                   0x000fffffffffffff,
                                   0x0010000000000000,
                                   0x3ff0000000000000,
                                   0xbff0000000000000,
                                   0x3ff0000000000001,
                                   0x3fefffffffffffff,
                                   0x4000000000000000,
                                   0x3fe0000000000000,
                                   0xbfe0000000000000,
                                   0x3ff8000000000000,
                                   0xbff8000000000000,
                                   0x4004000000000000,
                                   0x41dfffffffc00000,
                                   0x41dfffffffe00000,
                                   0x41e0000000000000,
                                   0xc1e0000000000000,
                                   0xc1e0000000200000,
                                   0x41efffffffe00000,
                                   0x41f0000000000000,
                                   0x43dfffffffffffff,
                                   0x43e0000000000000,
                                   0xc3e0000000000000,
                                   0xc3e0000000000001,
                                   0x43efffffffffffff,
                                   0x43f0000000000000,
                                   0x7fefffffffffffff,
                                   0xffefffffffffffff,
                                   0x7ff0000000000000,
                                   0xfff0000000000000,
                                   0x7ff8000000000000,
                                   0xfff8000000000000,
                                   0x7ff0000000000001,
                                   0xfff4000000000000,
                                   0x7fffffffffffffff,
                                   0x36a0000000000000,
                                   0x380fffffffffffff,
                                   0x3690000000000001,
                                   0x47efffffe0000000,
                                   0x47efffffefffffff,
                                   0x47effffff0000000,
                                   0x3fd5555555555555,
                                   0x400921fb54442d18,
                                   0x0000000080000000,
                                   0xffffffff3f800000};
static const uint32_t singles[] = {
    0,          1,          0x80000000, 0x80000001, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000,
    0x3f800001, 0x3f7fffff, 0x40000000, 0x3f000000, 0xbf000000, 0x3fc00000, 0xbfc00000, 0x40200000,
    0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001, 0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000,
    0xdf000000, 0xdf000001, 0x5f7fffff, 0x5f800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
    0x7fc00000, 0xffc00000, 0x7f800001, 0xffa00000, 0x7fffffff, 0x3eaaaaab, 0x40490fdb, 0x33000001};
static const uint64_t integers[] = {0,
                                    1,
                                    UINT64_MAX,
                                    2,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x100000000,
                                    0xffffffff80000000,
                                    0xffffffff7fffffff,
                                    0x1000001,
                                    0x1000003,
                                    0x7fffff7fffffffff,
                                    0x20000000000001,
                                    0x20000000000003,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    0x8000000000000400,
                                    0xfffffffffffffbff,
                                    0xfffffffffffffc00,
                                    0x7ffffffffffffdff,
                                    12345678901234567};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static uint64_t values, flags;

static void note(uint64_t value)
{
    uint64_t f;
    __asm__ volatile("csrrwi %0, fflags, 0" : "=r"(f));
    values = (values ^ value) * 0x100000001b3 + 1;
    flags = (flags ^ f) * 0x100000001b3 + 1;
}

static void done(const char *name)
{
    printf("%-14s %016" PRIx64 " %016" PRIx64 "\n", name, values, flags);
    values = flags = 0;
}

static void set_rounding(unsigned rm)
{
    __asm__ volatile("csrw frm, %0" ::"r"((unsigned long)rm));
}

/* A raw register image in an f register: a single is boxed unless `raw` says otherwise. */
static double image(uint64_t bits)
{
    double d;
    __asm__ volatile("fmv.d.x %0, %1" : "=f"(d) : "r"(bits));
    return d;
}

static uint64_t bits(double d)
{
    uint64_t u;
    __asm__ volatile("fmv.x.d %0, %1" : "=r"(u) : "f"(d));
    return u;
}

static uint64_t boxed(uint32_t s)
{
    return 0xffffffff00000000 | s;
}

#define FOR_ROUNDING for (unsigned rm = 0; rm < 5; set_rounding(0), rm++)

#define BINARY(text, table, wrap)                                                \
    do {                                                                         \
        FOR_ROUNDING                                                             \
        for (unsigned i = 0; i < COUNT(table); i++)                              \
            for (unsigned j = 0; j < COUNT(table); j++) {                        \
                double a = image(wrap(table[i])), b = image(wrap(table[j])), r;  \
                set_rounding(rm);                                                \
                __asm__ volatile(text " %0, %1, %2" : "=f"(r) : "f"(a), "f"(b)); \
                note(bits(r));                                                   \
            }                                                                    \
        done(text);                                                              \
    } while (0)

#define COMPARE(text, table, wrap)                                               \
    do {                                                                         \
        for (unsigned i = 0; i < COUNT(table); i++)                              \
            for (unsigned j = 0; j < COUNT(table); j++) {                        \
                double a = image(wrap(table[i])), b = image(wrap(table[j]));     \
                uint64_t r;                                                      \
                __asm__ volatile(text " %0, %1, %2" : "=r"(r) : "f"(a), "f"(b)); \
                note(r);                                                         \
            }                                                                    \
        done(text);                                                              \
    } while (0)

#define FUSED(text, table, wrap)                                                                 \
    do {                                                                                         \
        FOR_ROUNDING                                                                             \
        for (unsigned i = 0; i < COUNT(table); i++)                                              \
            for (unsigned j = 0; j < COUNT(table); j++)                                          \
                for (unsigned k = i & 1; k < COUNT(table); k += 2) {                             \
                    double a = image(wrap(table[i])), b = image(wrap(table[j])),                 \
                           c = image(wrap(table[k])), r;                                         \
                    set_rounding(rm);                                                            \
                    __asm__ volatile(text " %0, %1, %2, %3" : "=f"(r) : "f"(a), "f"(b), "f"(c)); \
                    note(bits(r));                                                               \
                }                                                                                \
        done(text);                                                                              \
    } while (0)

#define UNARY(text, table, wrap)                                 \
    do {                                                         \
        FOR_ROUNDING                                             \
        for (unsigned i = 0; i < COUNT(table); i++) {            \
            double a = image(wrap(table[i])), r;                 \
            set_rounding(rm);                                    \
            __asm__ volatile(text " %0, %1" : "=f"(r) : "f"(a)); \
            note(bits(r));                                       \
        }                                                        \
        done(text);                                              \
    } while (0)

#define TO_INTEGER(text, table, wrap)                            \
    do {                                                         \
        FOR_ROUNDING                                             \
        for (unsigned i = 0; i < COUNT(table); i++) {            \
            double a = image(wrap(table[i]));                    \
            uint64_t r;                                          \
            set_rounding(rm);                                    \
            __asm__ volatile(text " %0, %1" : "=r"(r) : "f"(a)); \
            note(r);                                             \
        }                                                        \
        done(text);                                              \
    } while (0)

#define STATIC_ROUNDING(text, mode)                                     \
    do {                                                                \
        for (unsigned i = 0; i < COUNT(doubles); i++) {                 \
            double a = image(doubles[i]);                               \
            uint64_t r;                                                 \
            __asm__ volatile(text " %0, %1, " mode : "=r"(r) : "f"(a)); \
            note(r);                                                    \
        }                                                               \
        done(text "/" mode);                                            \
    } while (0)

#define FROM_INTEGER(text)                                                 \
    do {                                                                   \
        FOR_ROUNDING                                                       \
        for (unsigned i = 0; i < COUNT(integers); i++) {                   \
            double r;                                                      \
            set_rounding(rm);                                              \
            __asm__ volatile(text " %0, %1" : "=f"(r) : "r"(integers[i])); \
            note(bits(r));                                                 \
        }                                                                  \
        done(text);                                                        \
    } while (0)

#define CLASSIFY(text, table, wrap)                              \
    do {                                                         \
        for (unsigned i = 0; i < COUNT(table); i++) {            \
            double a = image(wrap(table[i]));                    \
            uint64_t r;                                          \
            __asm__ volatile(text " %0, %1" : "=r"(r) : "f"(a)); \
            note(r);                                             \
        }                                                        \
        done(text);                                              \
    } while (0)

static void all_doubles(void)
{
    BINARY("fadd.d", doubles, );
    BINARY("fsub.d", doubles, );
    BINARY("fmul.d", doubles, );
    BINARY("fdiv.d", doubles, );
    BINARY("fmin.d", doubles, );
    BINARY("fmax.d", doubles, );
    BINARY("fsgnj.d", doubles, );
    BINARY("fsgnjn.d", doubles, );
    BINARY("fsgnjx.d", doubles, );
    COMPARE("feq.d", doubles, );
    COMPARE("flt.d", doubles, );
    COMPARE("fle.d", doubles, );
    FUSED("fmadd.d", doubles, );
    FUSED("fmsub.d", doubles, );
    FUSED("fnmadd.d", doubles, );
    FUSED("fnmsub.d", doubles, );
    UNARY("fsqrt.d", doubles, );
    UNARY("fcvt.s.d", doubles, );
    TO_INTEGER("fcvt.w.d", doubles, );
    TO_INTEGER("fcvt.wu.d", doubles, );
    TO_INTEGER("fcvt.l.d", doubles, );
    TO_INTEGER("fcvt.lu.d", doubles, );
    CLASSIFY("fclass.d", doubles, );
    CLASSIFY("fmv.x.w", doubles, );
    FROM_INTEGER("fcvt.d.w");
    FROM_INTEGER("fcvt.d.wu");
    FROM_INTEGER("fcvt.d.l");
    FROM_INTEGER("fcvt.d.lu");
    STATIC_ROUNDING("fcvt.w.d", "rne");
    STATIC_ROUNDING("fcvt.w.d", "rtz");
    STATIC_ROUNDING("fcvt.l.d", "rdn");
    STATIC_ROUNDING("fcvt.l.d", "rup");
    STATIC_ROUNDING("fcvt.l.d", "rmm");
    STATIC_ROUNDING("fcvt.lu.d", "rmm");
    /* Images that are no boxed single: they count as the canonical NaN. */
    BINARY("fadd.s", doubles, );
    BINARY("fsgnj.s", doubles, );
    UNARY("fsqrt.s", doubles, );
    CLASSIFY("fclass.s", doubles, );
}

static void all_singles(void)
{
    BINARY("fadd.s", singles, boxed);
    BINARY("fsub.s", singles, boxed);
    BINARY("fmul.s", singles, boxed);
    BINARY("fdiv.s", singles, boxed);
    BINARY("fmin.s", singles, boxed);
    BINARY("fmax.s", singles, boxed);
    BINARY("fsgnj.s", singles, boxed);
    BINARY("fsgnjn.s", singles, boxed);
    BINARY("fsgnjx.s", singles, boxed);
    COMPARE("feq.s", singles, boxed);
    COMPARE("flt.s", singles, boxed);
    COMPARE("fle.s", singles, boxed);
    FUSED("fmadd.s", singles, boxed);
    FUSED("fmsub.s", singles, boxed);
    FUSED("fnmadd.s", singles, boxed);
    FUSED("fnmsub.s", singles, boxed);
    UNARY("fsqrt.s", singles, boxed);
    CLASSIFY("fclass.s", singles, boxed);
    TO_INTEGER("fcvt.w.s", singles, boxed);
    TO_INTEGER("fcvt.wu.s", singles, boxed);
    TO_INTEGER("fcvt.l.s", singles, boxed);
    TO_INTEGER("fcvt.lu.s", singles, boxed);
    FROM_INTEGER("fcvt.s.w");
    FROM_INTEGER("fcvt.s.wu");
    FROM_INTEGER("fcvt.s.l");
    FROM_INTEGER("fcvt.s.lu");
    for (unsigned i = 0; i < COUNT(singles); i++) {
        double a = image(boxed(singles[i])), r;
        __asm__ volatile("fcvt.d.s %0, %1" : "=f"(r) : "f"(a));
        note(bits(r));
    }
    done("fcvt.d.s");
}

int main(void)
{
    all_doubles();
    all_singles();
    return 0;
}
