/* Registers of machine mode whose rules leave a choice, against the choice that wirt has made: the
 * grain of physical memory protection is a page, instructions are counted from the first question
 * on. */
#include "board.h"

#define READ(to) "csrr " to ", minstret\n"

/* Instructions between two looks. */
#define COUNT(body)                                                        \
    ({                                                                     \
        uint64_t before_, after_;                                          \
        __asm__ volatile(READ("%0") body READ("%1")                        \
                         : "=&r"(before_), "=&r"(after_)::"t0", "memory"); \
        after_ - before_ - 1;                                              \
    })

__asm__(".section .text.start\n"
        ".globl _start\n"
        "_start:\n"
        "  la sp, stack_top\n"
        "  call main\n");

static int failed;

static void check(const char *name, uint64_t got, uint64_t want)
{
    put(got == want ? "ok - " : "not ok - ");
    put(name);
    if (got != want) {
        failed = 1;
        put(": got ");
        put_hex(got);
        put(", want ");
        put_hex(want);
    }
    put("\n");
}

/* Volume II, Physical Memory Protection CSRs, with G = 10. */
static void protection(void)
{
    csr_write(pmpcfg0, 0);
    csr_write(pmpaddr0, ~0ul);
    check("off: the grain's bits read as 0", csr_read(pmpaddr0), (1ul << 54) - 1024);
    csr_write(pmpcfg0, 0x0f);
    check("TOR: so they do", csr_read(pmpaddr0), (1ul << 54) - 1024);
    csr_write(pmpaddr0, 0x20000123ul);
    csr_write(pmpcfg0, 0x1f);
    check("NAPOT: all but the highest of them read as 1", csr_read(pmpaddr0), 0x200001fful);
    csr_write(pmpcfg0, 0);
    check("what was written stays below", csr_read(pmpaddr0), 0x20000000ul);
    csr_write(pmpaddr0, 0x20000323ul);
    csr_write(pmpcfg0, 0x1f);
    check("the highest of the grain's bits keeps its value", csr_read(pmpaddr0), 0x200003fful);
    csr_write(pmpcfg0, 0x17);
    check("NA4 is finer than the grain: NAPOT", csr_read(pmpcfg0), 0x1f);
    csr_write(pmpcfg0, 0x1a);
    check("write without read is no right", csr_read(pmpcfg0), 0x18);
    csr_write(pmpcfg0, 0);
}

static void counting(void)
{
    check("instructions: none", COUNT(""), 0);
    check("instructions: none, again", COUNT(""), 0);
    check("instructions: a loop", COUNT("li t0, 1000\n 1: addi t0, t0, -1\n bnez t0, 1b\n"), 2001);
    check("instructions: memory and system",
          COUNT("ld t0, (sp)\n csrr t0, mscratch\n fence.i\n csrw mscratch, t0\n"), 4);
    uint64_t value;
    __asm__ volatile("csrw minstret, %1\n csrr %0, minstret" : "=r"(value) : "r"(12345ul));
    check("what is written is what is read", value, 12345);
    csr_write(mcountinhibit, ~0ul);
    check("instret can be inhibited, and nothing else", csr_read(mcountinhibit), 4);
    uint64_t before = csr_read(minstret);
    for (volatile int i = 0; i < 100; i++)
        ;
    check("inhibited, it stands still", csr_read(minstret), before);
    csr_write(mcountinhibit, 0ul);
    check("and counts again", COUNT("nop\n nop\n"), 2);
}

int main(void)
{
    protection();
    counting();
    put("end\n");
    power_off((unsigned)failed);
}
