/* Code that is rewritten while others run it, on harts. The number of rounds is set when this is
 * compiled. */
#include "guest.h"

#include "../../isa/modify.h"

#ifndef ROUNDS
#define ROUNDS 1000
#endif

static struct stage stage __attribute__((aligned(4096)));
static struct outcome outcomes[ACTORS];
static uint64_t arrived, done, first;

static void hart(unsigned id)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) != ACTORS)
        ;
    outcomes[id] = act(id, &stage, ROUNDS);
    __atomic_fetch_add(&done, 1, __ATOMIC_ACQ_REL);
}

/* The hart that came first is number 0. */
static void other(uint64_t id, uint64_t unused)
{
    hart((unsigned)(id ? id : first));
    for (;;)
        __asm__ volatile("wfi");
}

int main(uint64_t self, uint64_t dtb)
{
    struct outcome all = {0, 0};
    first = self;
    stage_init(&stage);
    for (unsigned i = 0; i < ACTORS; i++)
        if (i != self)
            check("hart start",
                  (uint64_t)sbi(SBI_HSM, 0, i, (uint64_t)start_hart, (uint64_t)other, 0, 0).error,
                  0);
    hart(0);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) != ACTORS)
        ;
    for (unsigned i = 0; i < ACTORS; i++) {
        all.own += outcomes[i].own;
        all.common += outcomes[i].common;
    }
    check("code that one wrote itself is the new one", all.own, 0);
    check("code that another wrote is the new one", all.common, 0);
    finish();
}
