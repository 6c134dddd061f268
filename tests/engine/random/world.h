/* Harts that run random programs: one that interprets each instruction by itself, which is the
 * reference, and those of an engine; and what they share, the world's memory. */
#ifndef WIRT_TESTS_WORLD_H
#define WIRT_TESTS_WORLD_H

#include "engine/internal.h"
#include "program.h"

/* Frames, and where pages are. Several harts may use one after the other. */
struct world {
    int fd; /* of the frames */
    uint8_t *frames;
    const uint8_t *fresh; /* what the frames hold when a program begins */
    struct page pages[PAGES];
    bool is_code[FRAMES], written[FRAMES]; /* translated from; written since the last fence.i */
    uint8_t *dirty; /* reference: a byte for each of the frames, 1: written since then */
};

/* What a hart looked like when it trapped or asked for the wall. */
struct record {
    uint64_t pc, cause, tval;
    uint64_t x[32], f[32], csr[4];
    uint32_t mode;
    uint8_t frm, fflags, is_trap;
};

struct hart {
    struct cpu cpu;
    uint64_t csr[4];
    struct world *w;
    const struct program *p;
    bool flat, reference;
    bool over;  /* the program has ended */
    bool racy;  /* reference: it ran code that was written without fence.i */
    bool stuck; /* it does not end */
    unsigned events, misses, n_records;
    struct record records[MAX_RECORDS];
    uint8_t end[FRAMES * PAGE];
    struct tlb tlb;
    struct jump_cache jumps;
};

/* How an engine is set up. */
struct tier {
    const char *name;
    bool flat, interpret, parallel;
    unsigned host; /* enum host_feature */
};

void world_init(struct world *w);

/* A hart of an engine of its own; of none: the reference. exits with a message. */
struct hart *hart_new(struct world *w, const struct tier *t);
void hart_free(struct hart *h);

/* Runs p from its beginning; what came of it is in h->records and h->end. */
void hart_run(struct hart *h, const struct program *p);

/* Installs the handlers of faults and of the clock that interrupts harts all the time. */
void start_signals(void);

/* What differs, in words; false: nothing does. */
bool differs(const struct hart *expected, const struct hart *got, char *why, size_t size);

#endif
