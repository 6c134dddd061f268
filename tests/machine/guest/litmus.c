/* The litmus tests on harts. The number of rounds is set when this is compiled. */
#include "guest.h"

#include "../../isa/litmus.h"

#ifndef ROUNDS
#define ROUNDS 100
#endif

static uint64_t done, first;

/* Asleep for 50 us: who waits for a shape that is not its own leaves the processors to those whose
 * it is. */
static void relax(void)
{
    uint64_t now;
    __asm__ volatile("rdtime %0" : "=r"(now));
    sbi(SBI_TIME, 0, now + 500, 0, 0, 0, 0);
    csr_set("sie", 1u << 5); /* wakes it; sstatus.SIE is off: no trap */
    __asm__ volatile("wfi");
}

static void report(const char *name, uint64_t forbidden, uint64_t allowed, uint64_t n)
{
    if (allowed)
        check(name, forbidden, 0);
    else
        print("skip - SB without fences: the harts never ran at the same time\n");
}

/* The hart that came first is number 0. */
static void other(uint64_t id, uint64_t unused)
{
    litmus_hart((unsigned)(id ? id : first), ROUNDS);
    __atomic_fetch_add(&done, 1, __ATOMIC_ACQ_REL);
    for (;;)
        __asm__ volatile("wfi");
}

int main(uint64_t self, uint64_t dtb)
{
    first = self;
    for (unsigned i = 0; i < LITMUS_HARTS; i++)
        if (i != self)
            check("hart start",
                  (uint64_t)sbi(SBI_HSM, 0, i, (uint64_t)start_hart, (uint64_t)other, 0, 0).error,
                  0);
    litmus_hart(0, ROUNDS);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) != LITMUS_HARTS - 1)
        ;
    finish();
}
