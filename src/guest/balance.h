/* Host memory runs short: the machines' balloons are balanced by their monitors, without anybody
 * asking.
 *
 * Once a second each machine's monitor reads MemAvailable. While it is below `low`, the machines
 * give up together what is missing half way to `high`, each in proportion to what its guest has
 * free; when it is above `high`, they get back what is left over, each in proportion to what it
 * gave. What the user took with `wirt balloon` is not touched. Monitors do not talk to each other:
 * each publishes its reading in its guest's folder (memory.json), and the lock ROOT/balance.lock
 * puts their decisions one after the other, so that each sees what the others have promised.
 *
 *   ROOT/balance.json     auto: bool, low, high: bytes (absent: 10 and 20 percent of the host's)
 *   GUEST/memory.json     available, total, extra, pending: bytes; when: CLOCK_MONOTONIC ns
 *   GUEST/balance.log     each reading that led to a decision, and the decision */
#ifndef WIRT_GUEST_BALANCE_H
#define WIRT_GUEST_BALANCE_H

#include "guest/wall.h"

#define BALANCE_TICK_NS 1000000000u

/* What a guest keeps available of its own, in bytes: an eighth of it, at least 64 MiB. */
uint64_t balance_reserve(uint64_t total);

struct balance_settings {
    bool automatic;
    uint64_t low, high; /* bytes of MemAvailable */
};

/* Reads the settings and fills in what is absent or out of bounds. */
void balance_settings_read(struct store *s, struct balance_settings *out);
int balance_settings_write(struct store *s, const struct balance_settings *in, struct error **err);

/* One machine's reading. */
struct balance_reading {
    uint64_t available, total; /* what its guest says */
    uint64_t extra;            /* taken by balancing so far */
    uint64_t pending;          /* of that, what the guest has not handed over yet */
};

/* The decision, free of files and clocks: how much `extra` this machine shall have. sum is over all
 * machines, this one included; host is MemAvailable. */
uint64_t balance_decide(const struct balance_settings *set, uint64_t host,
                        const struct balance_reading *mine, const struct balance_reading *sum);

struct balance {
    uint64_t manual; /* ballooned by the user, bytes */
    uint64_t extra;  /* ballooned on top by balancing */
    unsigned settle; /* rounds before more may be taken */
    bool published;  /* the last round was in need as well: the others know of us */
};

/* One round for one machine. Trouble is written to the guest's balance.log. */
void balance_tick(struct guest *g, struct workload *w, struct balance *b);

/* The user has set the balloon by hand: balancing starts anew from there. */
void balance_set_manual(struct balance *b, uint64_t ballooned);

#endif
