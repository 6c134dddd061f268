/* Four harts: start and stop, interrupts to each other, contended atomics, remote fences. */
#include "guest.h"

#define N      4u
#define ROUNDS 20000u

static volatile uint64_t started, stop_now;
static volatile uint64_t counter, lock, guarded, swaps;
static volatile unsigned ipis[N];
static volatile uint32_t half;

static uint64_t hart_id(void)
{
    uint64_t sp;
    extern char stacks[];
    __asm__ volatile("mv %0, sp" : "=r"(sp));
    return (sp - (uint64_t)stacks) / STACK_SIZE;
}

static void interrupt(struct frame *f)
{
    if ((f->cause & 63) == 1) {
        csr_clear("sip", 2);
        ipis[hart_id()]++;
    }
}

static void lr_sc_add(volatile uint64_t *p)
{
    uint64_t v, failed;
    __asm__ volatile("1: lr.d %0, (%2)\n addi %0, %0, 1\n sc.d %1, %0, (%2)\n bnez %1, 1b"
                     : "=&r"(v), "=&r"(failed)
                     : "r"(p)
                     : "memory");
}

static void contend(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        lr_sc_add(&counter);
        __atomic_fetch_add(&half, 1, __ATOMIC_RELAXED);
        if (i % 8)
            continue;
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
            ;
        guarded = guarded + 1; /* not atomic: the lock's to protect */
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    }
    __atomic_fetch_add(&swaps, 1, __ATOMIC_SEQ_CST);
}

static void other(uint64_t id, uint64_t unused)
{
    csr_write("sie", 2);
    csr_set("sstatus", SSTATUS_SIE);
    __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
    contend();
    while (!stop_now)
        __asm__ volatile("wfi");
    csr_clear("sstatus", SSTATUS_SIE);
    sbi(SBI_HSM, 1, 0, 0, 0, 0, 0);
}

static uint64_t now(void)
{
    return csr_read("time");
}

#define WAIT(condition) for (uint64_t end_ = now() + 100000000; !(condition) && now() < end_;)

static void start_others(uint64_t self)
{
    for (unsigned i = 0; i < N; i++) {
        if (i == self)
            continue;
        check("hart start",
              (uint64_t)sbi(SBI_HSM, 0, i, (uint64_t)start_hart, (uint64_t)other, 0, 0).error, 0);
    }
    WAIT(started == N - 1);
    check("all run", started, N - 1);
}

int main(uint64_t self, uint64_t dtb)
{
    on_interrupt = interrupt;
    check("start of a hart that runs", (uint64_t)sbi(SBI_HSM, 0, self, 0x80200000, 0, 0, 0).error,
          (uint64_t)-6);
    check("start of a hart that there is not",
          (uint64_t)sbi(SBI_HSM, 0, 99, 0x80200000, 0, 0, 0).error, (uint64_t)-3);
    start_others(self);
    contend();
    WAIT(swaps == N);
    check("lr and sc, four harts", counter, N * ROUNDS);
    check("amoadd.w, four harts", half, N * ROUNDS);
    check("a spin lock, four harts", guarded, N * ROUNDS / 8);

    uint64_t mask = ((1u << N) - 1) & ~(1u << self);
    bool good = true;
    for (unsigned i = 1; i <= 200; i++) {
        sbi(SBI_IPI, 0, mask, 0, 0, 0, 0);
        for (unsigned k = 0; k < N; k++) {
            if (k != self)
                WAIT(ipis[k] >= i);
            good &= k == self || ipis[k] == i;
        }
    }
    check("200 interrupts to each of three waiting harts", good, true);
    for (unsigned i = 0; i < 500; i++)
        good &=
            !sbi(SBI_RFENCE, i % 2 + 1, mask, 0, i % 3 ? 0x40000000 : 0, i % 3 ? 4096 : 0, 0).error;
    check("remote fences", good, true);
    check("a fence for harts that there are not",
          (uint64_t)sbi(SBI_RFENCE, 1, 0x100, 0, 0, 0, 0).error, (uint64_t)-3);

    stop_now = 1;
    sbi(SBI_IPI, 0, mask, 0, 0, 0, 0);
    for (unsigned i = 0; i < N; i++)
        if (i != self)
            WAIT(sbi(SBI_HSM, 2, i, 0, 0, 0, 0).value == 1);
    good = true;
    for (unsigned i = 0; i < N; i++)
        good &= i == self || sbi(SBI_HSM, 2, i, 0, 0, 0, 0).value == 1;
    check("all stopped", good, true);
    started = stop_now = counter = swaps = 0;
    start_others(self);
    finish();
}
