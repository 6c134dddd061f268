/* Code that changes: seen after fence.i, on this hart and on another one. */
#include "guest.h"

static volatile uint32_t buffer[1024] __attribute__((aligned(4096)));
static volatile uint64_t go, done, answer;

/* li a0, n; ret */
static void write_function(unsigned at, unsigned n)
{
    buffer[at] = 0x00000513 | n << 20;
    buffer[at + 1] = 0x00008067;
}

static uint64_t call(unsigned at)
{
    return ((uint64_t(*)(void))(uint64_t)&buffer[at])();
}

static void here(void)
{
    bool good = true;
    for (unsigned i = 0; i < 2000; i++) {
        write_function(0, i & 2047);
        __asm__ volatile("fence.i" ::: "memory");
        good &= call(0) == (i & 2047);
    }
    check("code that was rewritten 2000 times", good, true);

    /* Data next to code: neither harms the other. */
    write_function(4, 77);
    __asm__ volatile("fence.i" ::: "memory");
    uint64_t sum = 0;
    for (unsigned i = 0; i < 5000; i++) {
        buffer[512] = i;
        sum += call(4) - 77 + buffer[512];
    }
    check("stores next to code", sum, 4999 * 2500);

    /* A block that changes itself, farther on. */
    good = true;
    for (unsigned i = 0; i < 100; i++) {
        /* sw a1, 16(a0); fence.i; nop; nop; (rewritten); ret */
        buffer[8] = 0x00b52823;
        buffer[9] = 0x0000100f;
        buffer[10] = buffer[11] = 0x00000013;
        buffer[12] = 0x00000013;
        buffer[13] = 0x00008067;
        __asm__ volatile("fence.i" ::: "memory");
        uint64_t (*fn)(const volatile uint32_t *, uint64_t) =
            (uint64_t(*)(const volatile uint32_t *, uint64_t))(uint64_t)&buffer[8];
        good &= fn(&buffer[8], 0x00000513 | i << 20) == i;
    }
    check("code that rewrites what follows it", good, true);
}

static void other_hart(uint64_t id, uint64_t unused)
{
    for (uint64_t round = 1;; round++) {
        while (go != round)
            ;
        answer = call(16);
        __atomic_store_n(&done, round, __ATOMIC_SEQ_CST);
    }
}

static void there(uint64_t self)
{
    uint64_t other = !self;
    check("hart start",
          (uint64_t)sbi(SBI_HSM, 0, other, (uint64_t)start_hart, (uint64_t)other_hart, 0, 0).error,
          0);
    bool good = true;
    for (unsigned i = 1; i <= 1000; i++) {
        write_function(16, i);
        __asm__ volatile("fence" ::: "memory");
        sbi(SBI_RFENCE, 0, 0, UINT64_MAX, 0, 0, 0);
        go = i;
        while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) != i)
            ;
        good &= answer == i;
    }
    check("code rewritten for another hart, remote fence.i", good, true);
}

int main(uint64_t self, uint64_t dtb)
{
    here();
    if (sbi(SBI_HSM, 2, 1, 0, 0, 0, 0).error == 0)
        there(self);
    finish();
}
