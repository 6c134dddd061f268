/* Several harts of one engine at a time, and who gets in their way. */
#ifndef WIRT_TESTS_TEAM_H
#define WIRT_TESTS_TEAM_H

#include <pthread.h>

#include "trial.h"

#define MAX_MEMBERS   8u
#define COMMON_COUNT  3u /* programs that members run at the same time */
#define COMMON_PAGES  (CODE_END - CODE_FIRST)
#define TEAM_PROGRAMS 48u /* of each member */
#define MEMBER_SEEDS  UINT64_C(1000)
#define TEAM_SEEDS    (MEMBER_SEEDS * MAX_MEMBERS)

struct team;

struct member {
    struct team *team;
    unsigned number;
    pthread_t thread;
    struct world world;
    struct shared shared; /* the reference's own */
    struct hart *reference, *hart;
    unsigned programs, dropped;
};

struct team {
    uint64_t seed; /* of the first program of the first member; the others have other seeds */
    const struct tier *tier;
    struct engine *engine;
    uint64_t arena; /* the members' when there is paging, else the first one's */
    struct shared shared;
    unsigned copy;   /* flat: the one that is mapped */
    uint8_t *common; /* the code of `commons` */
    struct program commons[COMMON_COUNT];
    unsigned n;
    struct member members[MAX_MEMBERS];
    atomic_uint left;   /* members that are not done */
    atomic_uint met;    /* members that were about to begin a storm */
    atomic_bool failed; /* somebody has printed a difference */
    struct engine_stats stats;
    atomic_uint twins; /* pairs of blocks, seen at times, that only their page tells apart */
};

/* Runs a team of n members to its end. true: all was as the references say. */
bool team_run(struct team *t, uint64_t seed, unsigned tier, unsigned n);

/* Until no member is left: flushes, drops and rewrites what they run. */
void meddle(struct team *t);

#endif
