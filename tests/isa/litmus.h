/* Litmus tests: shapes of a few loads and stores on two or more harts, each with an outcome that
 * RVWMO forbids (Volume I, chapter RVWMO and its appendix). For the process wall (litmus_threads.c)
 * and for bare harts (machine/guest/litmus.c), which give the harts: each calls litmus_hart() with
 * its number. */
#ifndef LITMUS_H
#define LITMUS_H

#include <stdbool.h>
#include <stdint.h>

#define LITMUS_HARTS 4
#define CELLS        256

/* Waits a little for other harts: the environment's. */
static void relax(void);
/* The result of a shape, from hart 0. */
static void report(const char *name, uint64_t forbidden, uint64_t allowed, uint64_t rounds);

struct cell {
    uint64_t x __attribute__((aligned(128)));
    uint64_t y __attribute__((aligned(128)));
    uint64_t r[6] __attribute__((aligned(128))); /* the last two: of sides that only store */
};

static struct cell cells[CELLS];

typedef void side(struct cell *c);

/* One side of a shape: its instructions, with x at %[x], y at %[y]; t0 and t1 are its registers,
 * stored to r[first] and r[first + 1] afterwards. */
#define SIDE(name, first, body)                                                        \
    static void name(struct cell *c)                                                   \
    {                                                                                  \
        uint64_t a = 0, b = 0;                                                         \
        __asm__ volatile("li t0, 0\n li t1, 0\n" body "\n mv %[a], t0\n mv %[b], t1\n" \
                         : [a] "=&r"(a), [b] "=&r"(b)                                  \
                         : [x] "r"(&c->x), [y] "r"(&c->y), [one] "r"(UINT64_C(1))      \
                         : "t0", "t1", "t2", "t3", "memory");                          \
        c->r[first] = a;                                                               \
        if ((first) < 4)                                                               \
            c->r[(first) + 1] = b;                                                     \
    }

#define STORE(at)   "sd %[one], (%[" at "])\n"
#define LOAD(r, at) "ld " r ", (%[" at "])\n"
#define FENCE(kind) "fence " kind "\n"
/* A store as the second half of lr/sc, and one by amo. */
#define SC(at, order) \
    "1: lr.d" order " t2, (%[" at "])\n sc.d" order " t2, %[one], (%[" at "])\n bnez t2, 1b\n"
#define AMO(at, order)     "amoswap.d" order " x0, %[one], (%[" at "])\n"
#define AMO_LOAD(r, at, o) "amoor.d" o " " r ", x0, (%[" at "])\n"

/* Store buffering. */
SIDE(sb_0, 0, STORE("x") FENCE("rw,rw") LOAD("t0", "y"))
SIDE(sb_1, 2, STORE("y") FENCE("rw,rw") LOAD("t0", "x"))
SIDE(sb_plain_0, 0, STORE("x") LOAD("t0", "y"))
SIDE(sb_plain_1, 2, STORE("y") LOAD("t0", "x"))
SIDE(sb_amo_0, 0, AMO("x", ".aqrl") LOAD("t0", "y"))
SIDE(sb_amo_1, 2, AMO("y", ".aqrl") LOAD("t0", "x"))
SIDE(sb_sc_0, 0, SC("x", ".aqrl") LOAD("t0", "y"))
SIDE(sb_sc_1, 2, SC("y", ".aqrl") LOAD("t0", "x"))
SIDE(sb_wr_0, 0, STORE("x") FENCE("w,r") LOAD("t0", "y"))
SIDE(sb_wr_1, 2, STORE("y") FENCE("w,r") LOAD("t0", "x"))
/* Message passing. */
SIDE(mp_0, 0, STORE("x") FENCE("w,w") STORE("y"))
SIDE(mp_1, 2, LOAD("t0", "y") FENCE("r,r") LOAD("t1", "x"))
SIDE(mp_dep, 2, LOAD("t0", "y") "xor t2, t0, t0\n add t2, t2, %[x]\n ld t1, (t2)\n")
SIDE(mp_rel_0, 0, STORE("x") AMO("y", ".rl"))
SIDE(mp_acq_1, 2, AMO_LOAD("t0", "y", ".aq") LOAD("t1", "x"))
SIDE(mp_lr_1, 2, "lr.d.aq t0, (%[y])\n" LOAD("t1", "x"))
/* Load buffering, with dependencies. */
SIDE(lb_0, 0, LOAD("t0", "x") "xor t2, t0, t0\n add t2, t2, %[one]\n sd t2, (%[y])\n")
SIDE(lb_1, 2, LOAD("t0", "y") "xor t2, t0, t0\n add t2, t2, %[one]\n sd t2, (%[x])\n")
SIDE(lb_fence_0, 0, LOAD("t0", "x") FENCE("r,w") STORE("y"))
SIDE(lb_fence_1, 2, LOAD("t0", "y") FENCE("r,w") STORE("x"))
/* Independent reads of independent writes. */
SIDE(write_x, 4, STORE("x"))
SIDE(write_y, 5, STORE("y"))
SIDE(iriw_0, 0, LOAD("t0", "x") FENCE("r,r") LOAD("t1", "y"))
SIDE(iriw_1, 2, LOAD("t0", "y") FENCE("r,r") LOAD("t1", "x"))
/* Coherence of one location: two reads, and two sizes. */
SIDE(corr_1, 2, LOAD("t0", "x") LOAD("t1", "x"))
SIDE(corr_half_1, 2, "lwu t0, (%[x])\n" LOAD("t1", "x"))
SIDE(corr_lr_1, 2, "lr.d t0, (%[x])\n" LOAD("t1", "x"))
/* Read-modify-writes lose nothing. */
SIDE(add_amo, 4, "amoadd.d x0, %[one], (%[x])\n")
SIDE(add_sc, 5, "1: lr.d t2, (%[x])\n addi t2, t2, 1\n sc.d t3, t2, (%[x])\n bnez t3, 1b\n")

static bool both_zero(const struct cell *c)
{
    return !c->r[0] && !c->r[2];
}
static bool message_lost(const struct cell *c)
{
    return c->r[2] && !c->r[3];
}
static bool out_of_thin_air(const struct cell *c)
{
    return c->r[0] && c->r[2];
}
static bool orders_differ(const struct cell *c)
{
    return c->r[0] && !c->r[1] && c->r[2] && !c->r[3];
}
static bool went_back(const struct cell *c)
{
    return c->r[2] > c->r[3];
}
static bool lost_addition(const struct cell *c)
{
    return c->x != 2;
}
static bool never(const struct cell *c)
{
    return false;
}

static const struct shape {
    const char *name;
    side *side[LITMUS_HARTS];
    bool (*forbidden)(const struct cell *c);
    bool (*allowed)(
        const struct cell *c); /* what weak memory may do, to be seen now and then: or NULL */
} shapes[] = {
    {"SB without fences", {sb_plain_0, sb_plain_1}, never, both_zero},
    {"SB+fence.rw.rw", {sb_0, sb_1}, both_zero, NULL},
    {"SB+fence.w.r", {sb_wr_0, sb_wr_1}, both_zero, NULL},
    {"SB+amo.aq.rl", {sb_amo_0, sb_amo_1}, both_zero, NULL},
    {"SB+lr.sc.aq.rl", {sb_sc_0, sb_sc_1}, both_zero, NULL},
    {"MP+fences", {mp_0, mp_1}, message_lost, NULL},
    {"MP+fence.w.w+addr", {mp_0, mp_dep}, message_lost, NULL},
    {"MP+amo.rl+amo.aq", {mp_rel_0, mp_acq_1}, message_lost, NULL},
    {"MP+amo.rl+lr.aq", {mp_rel_0, mp_lr_1}, message_lost, NULL},
    {"LB+datas", {lb_0, lb_1}, out_of_thin_air, NULL},
    {"LB+fence.r.w", {lb_fence_0, lb_fence_1}, out_of_thin_air, NULL},
    {"IRIW+fence.r.r", {iriw_0, write_x, iriw_1, write_y}, orders_differ, NULL},
    {"CoRR", {write_x, corr_1}, went_back, NULL},
    {"CoRR, a part first", {write_x, corr_half_1}, went_back, NULL},
    {"CoRR, lr first", {write_x, corr_lr_1}, went_back, NULL},
    {"amoadd beside lr/sc", {add_amo, add_sc}, lost_addition, NULL},
    {"lr/sc beside lr/sc", {add_sc, add_sc}, lost_addition, NULL},
};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

static unsigned sides_of(const struct shape *s)
{
    unsigned n = 0;
    while (n < LITMUS_HARTS && s->side[n])
        n++;
    return n;
}

struct barrier {
    uint64_t arrived, generation;
};

static void wait_at(struct barrier *b, unsigned harts)
{
    uint64_t mine = __atomic_load_n(&b->generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == harts) {
        b->arrived = 0;
        __atomic_store_n(&b->generation, mine + 1, __ATOMIC_RELEASE);
        return;
    }
    for (unsigned n = 0; __atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == mine; n++)
        if (n > 1000)
            relax();
}

/* Comes to cell k when the others do; waits no longer than they need if they run at all. */
static void meet(unsigned hart, unsigned harts, uint64_t k)
{
    static struct {
        uint64_t at __attribute__((aligned(128)));
    } progress[LITMUS_HARTS];
    __atomic_store_n(&progress[hart].at, k, __ATOMIC_RELAXED);
    for (unsigned other = 0; other < harts; other++)
        for (unsigned n = 0; n < 100 && __atomic_load_n(&progress[other].at, __ATOMIC_RELAXED) < k;
             n++)
            ;
}

/* All shapes, as one of the harts; each with `rounds` times CELLS cells. A shape that weak memory
 * allows is tried up to PATIENCE times as often until it was seen: harts of a busy host seldom run
 * at the same time. */
#define PATIENCE 30

static void litmus_hart(unsigned hart, uint64_t rounds)
{
    static struct barrier all, those;
    static bool over; /* written by hart 0 before a barrier */
    for (const struct shape *s = shapes; s < shapes + N_SHAPES; s++) {
        uint64_t forbidden = 0, allowed = 0, tried = 0;
        uint64_t first = (uint64_t)(s - shapes) * PATIENCE * rounds * CELLS;
        unsigned harts = sides_of(s);
        wait_at(&all, LITMUS_HARTS);
        for (uint64_t n = 0; hart < harts; n++) {
            if (hart == 0)
                over = n >= rounds * PATIENCE || (n >= rounds && (allowed || !s->allowed));
            for (unsigned k = 0; hart == 0 && k < CELLS; k++)
                cells[k] = (struct cell){0};
            wait_at(&those, harts);
            if (over)
                break;
            for (unsigned k = 0; k < CELLS; k++) {
                meet(hart, harts, first + n * CELLS + k);
                s->side[hart](&cells[k]);
            }
            wait_at(&those, harts);
            tried += CELLS;
            for (unsigned k = 0; hart == 0 && k < CELLS; k++) {
                forbidden += s->forbidden(&cells[k]);
                allowed += s->allowed && s->allowed(&cells[k]);
            }
        }
        if (hart == 0)
            report(s->name, forbidden, s->allowed ? allowed : 1, tried);
    }
}

#endif
