/* One program on one tier, in a process of its own: so that what kills the engine is only a
 * difference like others; and making a program that shows one shorter. */
#ifndef WIRT_TESTS_TRIAL_H
#define WIRT_TESTS_TRIAL_H

#include "world.h"

#define BATCH 256u /* programs that one engine runs before it is emptied */

extern const struct tier tiers[];
extern const unsigned n_tiers;

/* Whether a build can run programs on a tier; whether it can that of a seed. */
bool tier_runs(unsigned tier);
bool seed_runs(uint64_t seed, unsigned tier);

/* A world for the batch that a seed is in: one place for each. exits with a message. */
void batch_world(struct world *w, uint64_t seed);

/* Whether the program of a seed is for that tier, when nobody asks for one. */
bool scheduled(uint64_t seed, unsigned tier);

enum verdict {
    SAME,
    DIFFERS,
    DROPPED, /* the reference did not end, or ran what was written without fence.i */
};

/* Runs p by the reference and by the harts of the tiers in mask. which: the tier that differs. */
enum verdict try_program(struct hart *reference, struct hart **harts, uint32_t mask,
                         const struct program *p, unsigned *which, char *why, size_t size);

/* Prints what is left of the program of a seed that differs on a tier, and how to see it again. */
void report(uint64_t seed, unsigned tier);

#endif
