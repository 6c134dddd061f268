/* Host memory runs short: the machines' balloons are balanced by their monitors, without anybody
 * asking.
 *
 * Four times a second each machine's monitor looks at the host's memory (hostmem.h). A host with
 * less than `high` available is careful, one with less than `low` is short; then the machine is
 * asked for its statistics, and when they come, balance_decide says what that means for it. What
 * the user took with `wirt balloon` is not touched. Monitors do not talk to each other: each
 * publishes its reading in ROOT/memory, and the lock there puts their decisions one after the
 * other, so that each sees what the others have promised. The lock is held for reading and writing
 * these files only, never while a machine is asked: one that hangs holds up nobody. A monitor that
 * was taken over (monitor_jail.c) can write readings, but neither the settings nor anything else of
 * another guest.
 *
 * What a guest says of its memory is its word, and counts as far as the host's own counters allow
 * (balance_read, balance_observe): it has no more available than its memory without the balloon,
 * old statistics say nothing, and pages that were promised count at the pace at which they come.
 *
 *   ROOT/settings/balance.json  auto: bool, low, high: bytes (absent: an eighth and a quarter of
 * the host's, at most 2 and 4 GiB) ROOT/memory/ID              available, total, idle, extra,
 * pending: bytes; late: bool; when: CLOCK_MONOTONIC ns GUEST/balance.log           each reading
 * that led to a decision, and the decision */
#ifndef WIRT_GUEST_BALANCE_H
#define WIRT_GUEST_BALANCE_H

#include "guest/hostmem.h"
#include "guest/wall.h"

#define BALANCE_TICK_NS 250000000u

/* What a guest keeps available of its own, in bytes: an eighth of it, at least 32 MiB. */
uint64_t balance_reserve(uint64_t total);

struct balance_settings {
    bool automatic;
    uint64_t low, high; /* bytes available on the host */
};

/* Reads the settings out of their folder and fills in what is absent or out of bounds. */
void balance_settings_read(int folder, const struct host_memory *host,
                           struct balance_settings *out);
int balance_settings_write(struct store *s, const struct balance_settings *in, struct error **err);

/* What a guest says of itself. */
struct balance_claims {
    bool running; /* it has a balloon driver; nothing below is known without one */
    uint64_t available, total;
    uint64_t age_ns; /* since it said so; UINT64_MAX: never */
};

/* What the host counts of it. */
struct balance_counts {
    uint64_t ram, resident, ballooned;
};

/* One machine's reading. */
struct balance_reading {
    uint64_t available, total; /* what its guest says, as far as that can be */
    uint64_t idle;             /* its pages without memory of the host's behind them */
    uint64_t extra;            /* taken by balancing so far */
    uint64_t pending;          /* what the guest was asked for and is about to hand over */
    bool late;                 /* it was asked for more than it hands over: it gives nothing more */
};

/* A machine's reading, without what it was asked for. A guest whose statistics are old or missing
 * has its reserve available: it can spare nothing, and is not in need. */
struct balance_reading balance_read(const struct balance_claims *said,
                                    const struct balance_counts *counted);

/* How a guest keeps its promises, round by round. */
struct balance_promise {
    uint64_t ballooned; /* in the round before */
    uint64_t pace;      /* bytes that came in about the last second */
    unsigned rounds;    /* since it was last asked for more */
};

/* One round: target is what the balloon shall have, ballooned what the host counts in it. Sets
 * r->pending and r->late. */
void balance_observe(struct balance_promise *p, uint64_t target, uint64_t ballooned,
                     struct balance_reading *r);

/* What the machines come to together. */
struct balance_sum {
    uint64_t idle; /* what they can still fill: idle pages that no balloon is about to take */
    uint64_t gain; /* what the host would gain if each gave all it can spare */
    uint64_t extra;
    uint64_t pending; /* what the host gains by what they were asked for already */
};

void balance_add(struct balance_sum *sum, const struct balance_reading *r);

/* The decision, free of files and clocks: how much `extra` this machine shall have. sum is over all
 * machines, this one included.
 *
 * A guest can spare its available memory less a reserve. A careful host takes idle pages, until the
 * guests together can fill no more than half of what it has available: balloons fill more slowly
 * than caches. A short one takes all idle pages that can be spared and, in proportion to what else
 * each guest can spare, as much as brings it to the middle between low and high. A guest that has
 * come down to half its reserve gets some back first of all. A host with more than `high` gives
 * back, in proportion to what was taken, so that the guests come to fill half of what it has. */
uint64_t balance_decide(const struct balance_settings *set, const struct host_memory *host,
                        const struct balance_reading *mine, const struct balance_sum *sum);

struct balance {
    struct guest *g;
    struct workload *w;
    int settings, readings; /* folders: ROOT/settings, ROOT/memory */
    struct host_memory_files host;
    uint64_t manual; /* ballooned by the user, bytes */
    uint64_t extra;  /* ballooned on top by balancing */
    uint64_t before; /* extra, when the machine should refuse the last change */
    struct balance_promise promise;
    unsigned settle; /* rounds before more may be taken */
    bool published;  /* the last round was in need as well: the others know of us */
    bool asking;     /* an answer of the machine's is waited for */
    bool unsure;     /* whether the balloon's size is what we think */
};

/* For a machine's monitor; w->machine is there when it ticks. Opens all that it needs; what
 * fails is told, and b is for balance_free all the same. */
int balance_init(struct balance *b, struct guest *g, struct workload *w, struct error **err);
void balance_free(struct balance *b);

/* Begins a round. Trouble is written to the guest's balance.log. */
void balance_tick(struct balance *b);

/* The user sets the balloon by hand: balancing starts anew from there. */
void balance_set_manual(struct balance *b, uint64_t ballooned);

#endif
