/* Code that is rewritten while others run it, by the rules of fence.i (Volume I, Zifencei): a hart
 * that has made a fence.i runs what it wrote itself, and what another hart had written before a
 * store that it saw. All that is written is on one page. */
#ifndef MODIFY_H
#define MODIFY_H

#include <stdint.h>

#define ACTORS      4u
#define NUMBER_MASK 0x7ffu /* what an immediate can hold */

struct function {
    uint32_t answer, back; /* li a0, NUMBER; ret */
} __attribute__((aligned(16)));

struct stage {
    struct function own[ACTORS], common;
};

static uint64_t published __attribute__((aligned(64)));

static void stage_init(struct stage *s)
{
    for (unsigned k = 0; k < ACTORS; k++)
        s->own[k] = (struct function){0x513, 0x8067};
    s->common = (struct function){0x513, 0x8067};
}

static void write_number(struct function *f, uint64_t n)
{
    __atomic_store_n(&f->answer, (uint32_t)(n & NUMBER_MASK) << 20 | 0x513, __ATOMIC_RELAXED);
}

static uint64_t run_it(struct function *f)
{
    __asm__ volatile("fence.i" ::: "memory");
    return ((uint64_t(*)(void))(uintptr_t)f)();
}

/* Old answers that one of the actors got. */
struct outcome {
    uint64_t own, common;
};

static struct outcome act(unsigned id, struct stage *s, uint64_t rounds)
{
    struct outcome bad = {0, 0};
    for (uint64_t n = 1; n <= rounds; n++) {
        write_number(&s->own[id], n);
        bad.own += run_it(&s->own[id]) != (n & NUMBER_MASK);
        if (id == 0) {
            write_number(&s->common, n);
            __atomic_store_n(&published, n, __ATOMIC_RELEASE);
        } else {
            uint64_t seen = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
            uint64_t got = (run_it(&s->common) - seen) & NUMBER_MASK; /* so much newer */
            uint64_t most = __atomic_load_n(&published, __ATOMIC_ACQUIRE) + 1 - seen;
            bad.common += got > most; /* who was away for long cannot tell */
        }
    }
    return bad;
}

#endif
