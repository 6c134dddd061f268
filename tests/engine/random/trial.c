#include "trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "isa/isa.h"
#include "places.h"

#define NO_HISTORY     UINT64_MAX
#define SHRINK_SECONDS 20

const struct tier tiers[] = {
    {"paged", false, false, false, HOST_ALL},
    {"flat", true, false, false, HOST_ALL},
    {"paged-sse", false, false, false, 0},
    {"flat-sse", true, false, false, 0},
    {"paged-parallel", false, false, true, HOST_ALL},
    {"flat-parallel", true, false, true, HOST_ALL},
    {"paged-avx", false, false, false, HOST_AVX | HOST_POPCNT},
    {"flat-bmi", true, false, true, HOST_BMI1 | HOST_BMI2 | HOST_LZCNT | HOST_FMA},
    {"paged-kept", false, false, false, HOST_ALL, true},
    {"flat-kept", true, false, true, HOST_ALL, true},
    {"paged-interpret", false, true, false, HOST_ALL},
    {"flat-interpret", true, true, false, HOST_ALL},
};
const unsigned n_tiers = sizeof tiers / sizeof tiers[0];

/* Without paging a wild address is the host's, and must lead nowhere: in a build with
 * AddressSanitizer it leads to that one's own memory. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || __has_feature(address_sanitizer)
#define FLAT_IS_EMPTY false
#else
#define FLAT_IS_EMPTY true
#endif

bool tier_runs(unsigned tier)
{
    return !tiers[tier].flat || FLAT_IS_EMPTY;
}

static struct place batch_place(uint64_t seed)
{
    return place_of(seed / BATCH, false);
}

bool seed_runs(uint64_t seed, unsigned tier)
{
    return tier_runs(tier) && !(tiers[tier].flat && batch_place(seed).paged_only);
}

bool scheduled(uint64_t seed, unsigned tier)
{
    if (tier < 2)
        return seed_runs(seed, tier);
    uint64_t more = n_tiers - 2, n = seed % more;
    while (!seed_runs(seed, 2 + (unsigned)n))
        n = (n + 1) % more;
    return tier == 2 + n;
}

void batch_world(struct world *w, uint64_t seed)
{
    struct place p = batch_place(seed);
    world_init(w, p.arena, FRAME_NAME);
    if (FLAT_IS_EMPTY && !p.paged_only)
        world_reserve(w);
}

enum verdict try_program(struct hart *reference, struct hart **harts, uint32_t mask,
                         const struct program *p, unsigned *which, char *why, size_t size)
{
    hart_run(reference, p);
    if (reference->racy || reference->stuck)
        return DROPPED;
    for (unsigned t = 0; t < n_tiers; t++) {
        if (!(mask >> t & 1))
            continue;
        *which = t;
        hart_run(harts[t], p);
        if (differs(reference, harts[t], why, size))
            return DIFFERS;
    }
    return SAME;
}

/* What a trial's process says. */
struct answer {
    enum verdict verdict;
    int status; /* as waitpid says: one that dies is not made shorter to one that only differs */
    char why[200];
};

static void trial_process(struct world *w, uint64_t history, const struct program *p, unsigned tier,
                          struct answer *a)
{
    struct rlimit cpu = {2, 2};
    setrlimit(RLIMIT_CPU, &cpu);
    start_faults();
    start_clock();
    struct hart *reference = hart_new(w, NULL), *harts[16] = {NULL};
    harts[tier] = hart_new(w, &tiers[tier]);
    unsigned which;
    struct program *earlier = malloc(sizeof *earlier);
    for (uint64_t s = history; earlier && s < p->seed; s++) {
        if (!scheduled(s, tier))
            continue;
        generate(earlier, s, (struct setting){.arena = w->arena});
        try_program(reference, harts, 1u << tier, earlier, &which, a->why, sizeof a->why);
    }
    a->verdict = try_program(reference, harts, 1u << tier, p, &which, a->why, sizeof a->why);
    _exit(0);
}

static bool trial(struct world *w, uint64_t history, const struct program *p, unsigned tier,
                  struct answer *a)
{
    int status;
    a->verdict = SAME;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        trial_process(w, history, p, tier, a);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("trial");
        exit(2);
    }
    a->status = status;
    if (WIFSIGNALED(status)) {
        a->verdict = DIFFERS;
        snprintf(a->why, sizeof a->why, "it ends by signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status)) {
        a->verdict = DIFFERS;
        snprintf(a->why, sizeof a->why, "it exits with %d", WEXITSTATUS(status));
    }
    return a->verdict == DIFFERS;
}

struct search {
    struct world *w;
    uint64_t history;
    unsigned tier;
    struct answer *answer;
    int status; /* that the answer shall have */
    struct program *best, *next;
    bool better;
    time_t deadline;
};

/* Takes `next` when the difference is still there. */
static bool keep(struct search *s)
{
    layout(s->next);
    bool good = time(NULL) < s->deadline && trial(s->w, s->history, s->next, s->tier, s->answer);
    if (good)
        *s->best = *s->next;
    else
        *s->next = *s->best;
    s->better |= good;
    return good;
}

static void drop_items(struct search *s)
{
    uint32_t last = s->best->n_items - 1;
    for (uint32_t size = (last + 1) / 2; size; size /= 2) {
        for (uint32_t at = 0; at < last; at += size) {
            bool any = false;
            for (uint32_t i = at; i < at + size && i < last; i++) {
                any |= !s->next->items[i].dropped;
                s->next->items[i].dropped = true;
            }
            if (any)
                keep(s);
        }
    }
}

static void drop_insns(struct search *s)
{
    for (uint32_t i = 0; i + 1 < s->best->n_items; i++) {
        for (unsigned k = 0; k < s->best->items[i].n && !s->best->items[i].dropped;) {
            struct item *it = &s->next->items[i];
            it->n--;
            it->low = (uint8_t)((it->low & ((1u << k) - 1)) | (it->low >> 1 & ~((1u << k) - 1)));
            memmove(it->insn + k, it->insn + k + 1, (it->n - k) * sizeof it->insn[0]);
            it->fix = it->fix == (int)k ? -1 : (int8_t)(it->fix - (it->fix > (int)k));
            if (!keep(s))
                k++;
        }
    }
}

/* Sets a word of the program to a plain value. */
#define SIMPLIFY(field, value)       \
    if (s->next->field != (value)) { \
        s->next->field = (value);    \
        keep(s);                     \
    }

static void simplify(struct search *s)
{
    SIMPLIFY(mode, 0)
    SIMPLIFY(frm, 0)
    for (unsigned i = 0; i < MAX_EVENTS; i++)
        SIMPLIFY(events[i].kind, EVENT_NONE)
    for (unsigned i = 0; i < 32; i++) {
        SIMPLIFY(x_item[i], 0)
        SIMPLIFY(x[i], 0)
        SIMPLIFY(f[i], 0)
    }
    for (unsigned i = CODE_FIRST; i < CODE_END; i++)
        SIMPLIFY(pages[i].perm, PERM_R | PERM_X)
    for (unsigned i = DATA_FIRST; i < DATA_END; i++)
        SIMPLIFY(pages[i].perm, PERM_R | PERM_W)
}

static void print_report(const struct search *s, uint64_t seed)
{
    const char *name = tiers[s->tier].name;
    printf("# seed %" PRIu64 ", %s: %s\n", seed, name, s->answer->why);
    if (s->history == NO_HISTORY)
        printf("# again: random_blocks --seed %" PRIu64 " --count 1 --tier %s\n", seed, name);
    else
        printf("# again, only after others: random_blocks --seed %" PRIu64 " --count %" PRIu64
               " --tier %s\n",
               s->history, seed + 1 - s->history, name);
    print_program(stdout, s->best);
    fflush(stdout);
}

/* Whether it differs again: by itself, or after those of its batch, of which the shortest history
 * that serves is found. */
static bool differs_again(struct search *s, uint64_t seed)
{
    if (trial(s->w, s->history, s->best, s->tier, s->answer))
        return true;
    s->history = seed / BATCH * BATCH;
    if (!trial(s->w, s->history, s->best, s->tier, s->answer))
        return false;
    for (uint64_t from = seed; from > s->history;) {
        from = from - (from - s->history + 1) / 2;
        if (trial(s->w, from, s->best, s->tier, s->answer))
            s->history = from;
        else if (from == s->history + 1)
            break;
        else
            continue;
        from = seed;
    }
    return true;
}

static void shrink(struct search *s)
{
    s->status = s->answer->status;
    for (unsigned round = 0; round < 4; round++) {
        s->better = false;
        drop_items(s);
        drop_insns(s);
        if (!round)
            simplify(s);
        if (!s->better)
            break;
    }
    if (!trial(s->w, s->history, s->best, s->tier, s->answer))
        snprintf(s->answer->why, sizeof s->answer->why, "not each time");
}

void report(uint64_t seed, unsigned tier)
{
    static struct world w;
    batch_world(&w, seed);
    struct search s = {
        .w = &w, .history = NO_HISTORY, .tier = tier, .deadline = time(NULL) + SHRINK_SECONDS};
    s.best = malloc(sizeof *s.best);
    s.next = malloc(sizeof *s.next);
    s.answer = shared_memory(sizeof *s.answer);
    if (!s.best || !s.next)
        abort();
    generate(s.best, seed, (struct setting){.arena = w.arena});
    *s.next = *s.best;
    if (differs_again(&s, seed)) {
        shrink(&s);
        print_report(&s, seed);
    } else {
        printf("# seed %" PRIu64 ", %s: differed once, not again\n", seed, tiers[tier].name);
    }
    munmap(s.answer, sizeof *s.answer);
    free(s.best);
    free(s.next);
    world_free(&w);
}

/* --- Printing --- */

static void print_event(FILE *f, unsigned n, const struct event *e)
{
    fprintf(f, "#   ecall %u: ", n + 1);
    switch (e->kind) {
    case EVENT_MAP:
        fprintf(f, "page %u becomes frame %u, perm %u\n", e->page, e->frame, e->perm);
        break;
    case EVENT_WRITE:
        fprintf(f, "0x%x written at page %u + 0x%x\n", e->value, e->page, e->offset);
        break;
    case EVENT_FRM: fprintf(f, "frm %u, fflags %u\n", e->value & 7, e->value >> 8 & 31); break;
    case EVENT_FLUSH: fprintf(f, "flush\n"); break;
    default: fprintf(f, "mode 0x%x\n", e->value);
    }
}

void print_program(FILE *f, const struct program *p)
{
    for (unsigned i = 0; i < 32; i++)
        if (p->x[i] || p->x_item[i])
            fprintf(f, "#   x%u = 0x%" PRIx64 "\n", i,
                    p->x_item[i] ? p->at[p->x_item[i] - 1] : p->x[i]);
    for (unsigned i = 0; i < 32; i++)
        if (p->f[i])
            fprintf(f, "#   f%u = 0x%" PRIx64 "\n", i, p->f[i]);
    fprintf(f, "#   mode 0x%x, frm %u, perms", p->mode, p->frm);
    for (unsigned i = 0; i < PAGES; i++)
        fprintf(f, " %u", p->pages[i].perm);
    fputc('\n', f);
    for (unsigned i = 0; i < MAX_EVENTS; i++)
        if (p->events[i].kind)
            print_event(f, i, &p->events[i]);
    for (uint32_t at = 0; at < p->size;) {
        char text[96];
        uint32_t insn = 0;
        uint32_t len = (p->code[at] & 3) == 3 ? 4 : 2;
        memcpy(&insn, p->code + at, len);
        isa_disassemble(insn, p->start + at, text, sizeof text);
        fprintf(f, "#   %" PRIx64 ": %0*x  %s\n", p->start + at, (int)len * 2, insn, text);
        at += len;
    }
}
