/* Instructions are counted, also while interrupts come: each adds what its handler has, and no
 * more. */
#include "guest.h"

#define STI   5
#define LOOPS 2000000u

static volatile uint64_t timers;

static void interrupt(struct frame *f)
{
    timers++;
    csr_write("0x14d", csr_read("time") + 2000); /* stimecmp: 200 us from now */
}

/* Instructions of a loop of LOOPS rounds, and how many interrupts came meanwhile. */
static uint64_t count(uint64_t *interrupts)
{
    uint64_t before, after, came = timers;
    __asm__ volatile("csrr %0, instret\n"
                     "li t0, %2\n"
                     "1: addi t0, t0, -1\n"
                     "xor t1, t1, t0\n"
                     "bnez t0, 1b\n"
                     "csrr %1, instret\n"
                     : "=&r"(before), "=&r"(after)
                     : "i"(LOOPS)
                     : "t0", "t1", "memory");
    *interrupts = timers - came;
    return after - before - 1;
}

int main(uint64_t self, uint64_t dtb)
{
    uint64_t n, exact = 2 + 3 * (uint64_t)LOOPS;
    on_interrupt = interrupt;
    count(&n);
    check("without interrupts", count(&n), exact);
    csr_write("sie", 1u << STI);
    csr_write("0x14d", csr_read("time") + 2000);
    csr_set("sstatus", SSTATUS_SIE);
    uint64_t each = 0, came = 0, wrong = 0;
    for (int round = 0; round < 1000 && came < 20; round++) {
        uint64_t more = count(&n) - exact;
        if (n && !each)
            each = more / n;
        came += n;
        wrong += more != each * n;
    }
    check("interrupts came", came >= 20 && each > 10, true);
    check("each handler has the same number of instructions", wrong, 0);
    csr_clear("sstatus", SSTATUS_SIE);
    finish();
}
