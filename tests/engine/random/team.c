/* A team: its engine, its members' worlds, and what each does. */
#include "team.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "places.h"

#define ARENA_STEP UINT64_C(0x1237000)
#define NAME_STEP  UINT64_C(0x100000)
#define STORMS     24u /* one program of so many is one */

/* Code that all members have: what follows a program in its pages is what a world's frames have. */
static void make_commons(struct team *t)
{
    size_t size = COMMON_PAGES * PAGE;
    uint8_t *fresh = malloc(FRAMES * PAGE);
    t->common = malloc(COMMON_COUNT * size);
    if (!fresh || !t->common)
        abort();
    fill_frames(fresh, t->arena);
    for (unsigned k = 0; k < COMMON_COUNT; k++) {
        struct program *p = &t->commons[k];
        struct setting s = {
            .arena = t->arena, .shared = t->shared.at, .together = true, .common = true};
        uint8_t *code = t->common + k * size;
        generate(p, t->seed + k, s);
        memcpy(code, fresh + CODE_FIRST * PAGE, size);
        memcpy(code + (p->start - t->arena - CODE_FIRST * PAGE), p->code, p->size);
        for (unsigned i = 0; i < COMMON_PAGES; i++)
            p->pages[CODE_FIRST + i].frame = (uint8_t)(FRAMES + k * COMMON_PAGES + i);
    }
    free(fresh);
}

static void map_shared(const struct team *t)
{
    void *at = (void *)(uintptr_t)t->shared.at;
    void *got = mmap(at, SHARED_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    off_t data = (off_t)(SHARED_FRAMES - 1) * PAGE;
    if (got != at ||
        mmap(at, SHARED_CODE_PAGES * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, t->shared.fd, 0) !=
            at ||
        mmap((uint8_t *)at + SHARED_DATA, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             t->shared.fd, data) == MAP_FAILED) {
        perror("map what is shared");
        exit(2);
    }
}

static void start_member(struct team *t, unsigned k)
{
    struct member *m = &t->members[k];
    bool flat = t->tier->flat;
    uint64_t arena = t->arena + (flat ? k * ARENA_STEP : 0);
    m->team = t;
    m->number = k;
    world_init(&m->world, arena, FRAME_NAME + k * NAME_STEP);
    m->world.common = t->common;
    if (flat) {
        world_reserve(&m->world);
        m->world.others = t->arena;
        m->world.others_size = t->n * ARENA_STEP;
    }
    shared_init(&m->shared, t->shared.at, !flat);
    m->reference = hart_new(&m->world, NULL);
    m->reference->shared = &m->shared;
    m->hart = hart_beside(&m->world, t->tier, t->engine);
    m->hart->shared = &t->shared;
}

static bool alone_it_differs(struct member *m, const struct program *p)
{
    char why[200];
    struct hart *h = hart_new(&m->world, m->team->tier);
    h->shared = &m->shared;
    hart_run(h, p);
    return differs(m->reference, h, why, sizeof why);
}

static void tell(struct member *m, const struct program *p, const char *why)
{
    struct team *t = m->team;
    if (atomic_exchange(&t->failed, true))
        return;
    printf("# seed %" PRIu64 ", member %u of %u, %s%s: %s\n", p->seed, m->number, t->n,
           t->tier->name, p->setting.common ? ", code that others run too" : "", why);
    print_program(stdout, p);
    if (!t->tier->flat && alone_it_differs(m, p))
        printf("# it differs without the others, too\n");
    fflush(stdout);
}

/* The next program of a member: one of its own, or a common one on values of its own. */
static void next_program(struct member *m, struct program *p)
{
    const struct team *t = m->team;
    uint64_t seed = t->seed + m->number * MEMBER_SEEDS + COMMON_COUNT + m->programs;
    if (!t->tier->flat && m->programs % 3 == 1) {
        *p = t->commons[seed % COMMON_COUNT];
        other_values(p, seed);
    } else {
        bool storm = m->programs % STORMS == STORMS - 1;
        struct setting s = {
            .arena = m->world.arena, .shared = t->shared.at, .together = true, .storm = storm};
        generate(p, seed, s);
    }
}

/* Waits for a second one who is about to begin a storm; not for long. */
static void meet(struct team *t)
{
    unsigned n = atomic_fetch_add(&t->met, 1);
    for (unsigned k = 0; k < 200000 && n % 2 == 0 && atomic_load(&t->met) == n + 1; k++)
        if (k % 1000 == 999)
            sched_yield();
}

static void run_one(struct member *m, struct program *p)
{
    static _Thread_local uint8_t data[PAGE];
    char why[200];
    next_program(m, p);
    m->programs++;
    shared_save(&m->shared, data);
    hart_run(m->reference, p);
    if (m->reference->racy || m->reference->stuck) {
        shared_restore(&m->shared, data);
        m->dropped++;
        return;
    }
    if (p->setting.storm)
        meet(m->team);
    hart_run(m->hart, p);
    if (differs(m->reference, m->hart, why, sizeof why))
        tell(m, p, why);
}

/* Blocks of the shared code that only their page tells apart from another in the same bucket. */
static unsigned count_twins(const struct team *t)
{
    struct engine *e = t->engine;
    unsigned n = 0;
    pthread_mutex_lock(&e->lock);
    for (unsigned k = 0; k < 1u << HASH_BITS; k++)
        for (const struct block *b = e->blocks.hash[k]; b; b = b->hash_next)
            for (const struct block *o = b->hash_next; o && is_shared(&t->shared, b->pc);
                 o = o->hash_next)
                n += o->pc == b->pc && o->mode == b->mode && o->page != b->page;
    pthread_mutex_unlock(&e->lock);
    return n;
}

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct team *t = m->team;
    struct program *p = malloc(sizeof *p);
    thread_faults();
    while (p && m->programs < TEAM_PROGRAMS && !atomic_load(&t->failed)) {
        run_one(m, p);
        if (m->programs % 4 == 0)
            atomic_fetch_add(&t->twins, count_twins(t));
        if (m->programs % 16 == m->number) { /* as a thread that ends, and a new one */
            hart_detach(m->hart);
            hart_attach(m->hart, t->engine);
        }
    }
    free(p);
    atomic_fetch_sub(&t->left, 1);
    return NULL;
}

static void compare_shared(struct team *t)
{
    struct shared all;
    char why[200];
    shared_init(&all, t->shared.at, false);
    for (unsigned k = 0; k < t->n; k++)
        shared_add(&all, &t->members[k].shared);
    if (shared_differs(&all, &t->shared, why, sizeof why)) {
        printf("# seed %" PRIu64 ", %u members, %s: %s\n", t->seed, t->n, t->tier->name, why);
        atomic_store(&t->failed, true);
    }
    shared_free(&all);
}

bool team_run(struct team *t, uint64_t seed, unsigned tier, unsigned n)
{
    static const size_t sizes[] = {1 << 16, 1 << 18, 1 << 20};
    memset(t, 0, sizeof *t);
    t->seed = seed;
    t->tier = &tiers[tier];
    t->n = n;
    struct random r = random_from(seed);
    unsigned flush_every = (unsigned[]){0, 300, 30}[below(&r, 3)];
    t->engine = tier_engine(t->tier, sizes[seed / TEAM_SEEDS % 3]);
    t->arena = place_of(seed / TEAM_SEEDS, t->tier->flat).arena;
    shared_init(&t->shared, t->arena + SHARED_DISTANCE, !t->tier->flat);
    make_commons(t);
    if (t->tier->flat)
        map_shared(t);
    start_faults();
    for (unsigned k = 0; k < n; k++) {
        start_member(t, k);
        t->members[k].hart->flush_every = flush_every;
    }
    atomic_store(&t->left, n);
    for (unsigned k = 0; k < n; k++)
        if (pthread_create(&t->members[k].thread, NULL, member_main, &t->members[k]) != 0)
            abort();
    meddle(t);
    for (unsigned k = 0; k < n; k++)
        pthread_join(t->members[k].thread, NULL);
    if (!atomic_load(&t->failed))
        compare_shared(t);
    engine_get_stats(t->engine, &t->stats);
    return !atomic_load(&t->failed);
}
