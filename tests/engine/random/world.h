/* Harts that run random programs: one that interprets each instruction by itself, which is the
 * reference, and those of an engine; and what they share, the world's memory. */
#ifndef WIRT_TESTS_WORLD_H
#define WIRT_TESTS_WORLD_H

#include "engine/internal.h"
#include "shared.h"

#define FRAME_NAME UINT64_C(0x80000000) /* of the first world's frames */

/* Frames, and where pages are. Several harts may use one after the other. */
struct world {
    int fd;                       /* of the frames */
    uint64_t arena;               /* guest address of page 0 */
    bool reserved;                /* host pages are there too */
    uint64_t others, others_size; /* guest addresses among which other worlds' host pages are, which
                                     a wild access finds */
    uint64_t name; /* guest-physical address of frame 0: frames of another world have others */
    uint8_t *frames;
    const uint8_t *common; /* frames from FRAMES on: code of several worlds, or NULL */
    const uint8_t *fresh;  /* what the frames hold when a program begins */
    struct page pages[PAGES];
    struct page mapped[PAGES];             /* host pages, as harts without a TLB see them */
    bool is_code[FRAMES], written[FRAMES]; /* translated from; written since the last fence.i */
    uint8_t *dirty; /* reference: a byte for each of the frames, 1: written since then */
};

/* What a hart looked like when it trapped or asked for the wall. */
struct record {
    uint64_t pc, cause, tval;
    uint64_t x[32], f[32], csr[4], instret;
    uint32_t mode;
    uint8_t frm, fflags, is_trap;
};

struct hart {
    struct cpu cpu;
    uint64_t csr[4];
    struct world *w;
    const struct program *p;
    bool flat, reference;
    bool over;                   /* the program has ended */
    bool racy;                   /* reference: it ran code that was written without fence.i */
    bool stuck;                  /* it does not end */
    const struct shared *shared; /* what it sees of it, or NULL */
    unsigned copy;               /* of each page of the shared code: a bit */
    unsigned flush_every;        /* a flush comes in between when it fetches, so often; 0: none */
    unsigned fetches;
    atomic_uint ticks; /* of the clock, since the program began */
    unsigned events, misses, n_records;
    struct record records[MAX_RECORDS];
    uint8_t end[FRAMES * PAGE];
    struct tlb tlb;
    struct jump_cache jumps;
};

/* What frames of common code are named. */
#define COMMON_NAME UINT64_C(0xd0000000)

/* How an engine is set up. */
struct tier {
    const char *name;
    bool flat, interpret, parallel;
    unsigned host; /* enum host_feature */
    bool kept;     /* what is translated is kept, and at once made again from that */
};

/* Frames of a world; its arena and name are given. exits with a message. */
void world_init(struct world *w, uint64_t arena, uint64_t name);

/* Host pages where its arena is, for harts without a TLB. exits with a message. */
void world_reserve(struct world *w);
void world_free(struct world *w);

/* An engine for harts as t says; code_bytes as in struct engine_config. exits with a message. */
struct engine *tier_engine(const struct tier *t, size_t code_bytes);

/* A hart of an engine of its own; of none: the reference. exits with a message. */
struct hart *hart_new(struct world *w, const struct tier *t);

/* A hart of e, one of several. */
struct hart *hart_beside(struct world *w, const struct tier *t, struct engine *e);
void hart_detach(struct hart *h);
void hart_attach(struct hart *h, struct engine *e);
void hart_free(struct hart *h); /* and, if it is the only one, its engine */

/* Runs p from its beginning; what came of it is in h->records and h->end. */
void hart_run(struct hart *h, const struct program *p);

/* Installs the handlers of faults, with a stack for the calling thread. */
void start_faults(void);
void thread_faults(void); /* a stack for another one */

/* Starts the clock that interrupts the hart that runs, when there is one at a time. */
void start_clock(void);

/* The same for one of several, by whoever keeps the time: every TICK_US or less. */
#define TICK_US 500
void hart_tick(struct hart *h);

/* engine_invalidate for all that is shared. */
void drop_shared(struct engine *e, const struct shared *s, bool flat, bool changed_only);

/* What differs, in words; false: nothing does. */
bool differs(const struct hart *expected, const struct hart *got, char *why, size_t size);

#endif
