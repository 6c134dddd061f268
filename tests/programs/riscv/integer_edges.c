/* flags: -march=rv64gc_zba_zbb_zbs -fno-strict-aliasing
 * Every integer instruction of RV64IM, Zba, Zbb and Zbs on the values where the rules are special:
 * one line an instruction with a hash of all results. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static const uint64_t numbers[] = {0,
                                   1,
                                   2,
                                   3,
                                   7,
                                   8,
                                   31,
                                   32,
                                   33,
                                   63,
                                   64,
                                   65,
                                   0x7f,
                                   0x80,
                                   0xff,
                                   0x7fff,
                                   0x8000,
                                   0xffff,
                                   0x7fffffff,
                                   0x80000000,
                                   0x80000001,
                                   0xffffffff,
                                   0x100000000,
                                   0x123456789abcdef0,
                                   0x00ff00ff00ff0001,
                                   0x7fffffffffffffff,
                                   0x8000000000000000,
                                   0x8000000000000001,
                                   0xfffffffffffffffe,
                                   0xffffffffffffffff,
                                   0xffffffff80000000,
                                   0xffffffff7fffffff,
                                   0xdeadbeefcafebabe};
#define N (sizeof numbers / sizeof *numbers)

static uint64_t values;

static void note(uint64_t value)
{
    values = (values ^ value) * 0x100000001b3 + 1;
}

static void done(const char *name)
{
    printf("%-12s %016" PRIx64 "\n", name, values);
    values = 0;
}

#define TWO(text)                                                                    \
    ({                                                                               \
        for (unsigned i = 0; i < N; i++)                                             \
            for (unsigned j = 0; j < N; j++) {                                       \
                uint64_t r, same = numbers[i];                                       \
                __asm__ volatile(text " %0, %1, %2"                                  \
                                 : "=&r"(r)                                          \
                                 : "r"(numbers[i]), "r"(numbers[j]));                \
                note(r);                                                             \
                /* the destination is also a source */                               \
                __asm__ volatile(text " %0, %0, %1" : "+r"(same) : "r"(numbers[j])); \
                note(same);                                                          \
                same = numbers[j];                                                   \
                __asm__ volatile(text " %0, %1, %0" : "+r"(same) : "r"(numbers[i])); \
                note(same);                                                          \
            }                                                                        \
        done(text);                                                                  \
    })

#define ONE(text)                                                         \
    ({                                                                    \
        for (unsigned i = 0; i < N; i++) {                                \
            uint64_t r;                                                   \
            __asm__ volatile(text " %0, %1" : "=r"(r) : "r"(numbers[i])); \
            note(r);                                                      \
        }                                                                 \
        done(text);                                                       \
    })

#define IMMEDIATE(text, imm)                                                     \
    ({                                                                           \
        for (unsigned i = 0; i < N; i++) {                                       \
            uint64_t r;                                                          \
            __asm__ volatile(text " %0, %1, " #imm : "=r"(r) : "r"(numbers[i])); \
            note(r);                                                             \
        }                                                                        \
        done(text " " #imm);                                                     \
    })

#define BRANCH(text)                                                               \
    ({                                                                             \
        for (unsigned i = 0; i < N; i++)                                           \
            for (unsigned j = 0; j < N; j++) {                                     \
                uint64_t r;                                                        \
                __asm__ volatile("li %0, 1\n\t" text " %1, %2, 1f\n\tli %0, 0\n1:" \
                                 : "=&r"(r)                                        \
                                 : "r"(numbers[i]), "r"(numbers[j]));              \
                note(r);                                                           \
            }                                                                      \
        done(text);                                                                \
    })

#define ATOMIC(text, type)                                              \
    ({                                                                  \
        for (unsigned i = 0; i < N; i++)                                \
            for (unsigned j = 0; j < N; j++) {                          \
                uint64_t cell[2] = {numbers[i], 0x5555555555555555}, r; \
                __asm__ volatile(text " %0, %2, %1"                     \
                                 : "=&r"(r), "+A"(*(type *)cell)        \
                                 : "r"(numbers[j]));                    \
                note(r);                                                \
                note(cell[0]);                                          \
                note(cell[1]);                                          \
            }                                                           \
        done(text);                                                     \
    })

static void base(void)
{
    TWO("add"), TWO("sub"), TWO("sll"), TWO("slt"), TWO("sltu"), TWO("xor"), TWO("srl"), TWO("sra");
    TWO("or"), TWO("and"), TWO("addw"), TWO("subw"), TWO("sllw"), TWO("srlw"), TWO("sraw");
    IMMEDIATE("addi", -2048), IMMEDIATE("addi", 2047), IMMEDIATE("slti", -1), IMMEDIATE("slti", 5);
    IMMEDIATE("sltiu", -1), IMMEDIATE("sltiu", 1), IMMEDIATE("xori", -1), IMMEDIATE("ori", -2048);
    IMMEDIATE("andi", 255), IMMEDIATE("andi", -256), IMMEDIATE("slli", 63), IMMEDIATE("slli", 1);
    IMMEDIATE("srli", 63), IMMEDIATE("srli", 33), IMMEDIATE("srai", 63), IMMEDIATE("srai", 4);
    IMMEDIATE("addiw", -1), IMMEDIATE("addiw", 0), IMMEDIATE("slliw", 31), IMMEDIATE("srliw", 31);
    IMMEDIATE("sraiw", 31), IMMEDIATE("sraiw", 1), IMMEDIATE("srliw", 0);
    BRANCH("beq"), BRANCH("bne"), BRANCH("blt"), BRANCH("bge"), BRANCH("bltu"), BRANCH("bgeu");
    TWO("mul"), TWO("mulh"), TWO("mulhsu"), TWO("mulhu"), TWO("div"), TWO("divu"), TWO("rem");
    TWO("remu"), TWO("mulw"), TWO("divw"), TWO("divuw"), TWO("remw"), TWO("remuw");
}

static void bit_manipulation(void)
{
    TWO("add.uw"), TWO("sh1add"), TWO("sh2add"), TWO("sh3add"), TWO("sh1add.uw"), TWO("sh2add.uw");
    TWO("sh3add.uw"), IMMEDIATE("slli.uw", 1), IMMEDIATE("slli.uw", 40);
    TWO("andn"), TWO("orn"), TWO("xnor"), TWO("max"), TWO("maxu"), TWO("min"), TWO("minu");
    TWO("rol"), TWO("ror"), TWO("rolw"), TWO("rorw"), IMMEDIATE("rori", 17), IMMEDIATE("roriw", 31);
    ONE("clz"), ONE("ctz"), ONE("cpop"), ONE("clzw"), ONE("cpopw"), ONE("sext.b"), ONE("sext.h");
    ONE("zext.h"), ONE("rev8"), ONE("orc.b");
    TWO("bclr"), TWO("bext"), TWO("binv"), TWO("bset");
    IMMEDIATE("bclri", 63), IMMEDIATE("bexti", 31), IMMEDIATE("binvi", 32), IMMEDIATE("bseti", 31);
}

static void atomics(void)
{
    ATOMIC("amoswap.w", uint32_t), ATOMIC("amoadd.w", uint32_t), ATOMIC("amoxor.w", uint32_t);
    ATOMIC("amoand.w", uint32_t), ATOMIC("amoor.w", uint32_t), ATOMIC("amomin.w", uint32_t);
    ATOMIC("amomax.w", uint32_t), ATOMIC("amominu.w", uint32_t), ATOMIC("amomaxu.w", uint32_t);
    ATOMIC("amoswap.d", uint64_t), ATOMIC("amoadd.d", uint64_t), ATOMIC("amoxor.d", uint64_t);
    ATOMIC("amoand.d", uint64_t), ATOMIC("amoor.d", uint64_t), ATOMIC("amomin.d", uint64_t);
    ATOMIC("amomax.d", uint64_t), ATOMIC("amominu.d", uint64_t), ATOMIC("amomaxu.d", uint64_t);
    uint64_t cell = 5, r;
    __asm__ volatile("sc.d %0, %2, %1" : "=&r"(r), "+A"(cell) : "r"(9ul));
    note(r != 0), note(cell); /* without a reservation it fails */
    __asm__ volatile("lr.d %0, %1" : "=&r"(r), "+A"(cell));
    note(r);
    __asm__ volatile("1: lr.w %0, %1\n\tsc.w %0, %2, %1\n\tbnez %0, 1b"
                     : "=&r"(r), "+A"(*(uint32_t *)&cell)
                     : "r"(-1l));
    note(r), note(cell);
    done("lr, sc");
}

/* Loads and stores of each width, also unaligned and over a page's end. */
static void memory(void)
{
    static unsigned char area[3 * 4096] __attribute__((aligned(4096)));
    for (unsigned i = 0; i < sizeof area; i++)
        area[i] = (unsigned char)(i * 37 + i / 256 * 11);
    for (unsigned at = 4096 - 9; at < 4096 + 9; at++) {
        const unsigned char *p = area + at;
        uint64_t r;
#define LOAD(text)                                                                \
    __asm__ volatile(text " %0, 0(%1)" : "=r"(r) : "r"(p) : "memory");            \
    note(r);                                                                      \
    __asm__ volatile(text " %0, -2048(%1)" : "=r"(r) : "r"(p + 2048) : "memory"); \
    note(r);
        LOAD("lb") LOAD("lbu") LOAD("lh") LOAD("lhu") LOAD("lw") LOAD("lwu") LOAD("ld")
    }
    done("loads");
    for (unsigned at = 4096 - 9; at < 4096 + 9; at++) {
        unsigned char *p = area + at;
#define STORE(text, value) __asm__ volatile(text " %0, 3(%1)" ::"r"(value), "r"(p) : "memory");
        STORE("sd", 0x1122334455667788ul)
        STORE("sw", 0x99aabbccul)
        STORE("sh", 0xddeeul)
        STORE("sb", (unsigned long)at)
        for (unsigned i = 4096 - 32; i < 4096 + 32; i++)
            note(area[i]);
    }
    done("stores");
}

int main(void)
{
    base();
    bit_manipulation();
    atomics();
    memory();
    return 0;
}
