/* Random blocks: translated as the reference interprets them, each instruction by itself.
 *
 * usage: random_blocks [--seed N] [--count N] [--seconds N] [--jobs N] [--tier NAME]
 *
 * Programs of the seeds from N on run on harts with and without paging, with all of the host's
 * instructions and with few, alone and beside others, translated and interpreted; registers,
 * memory, flags and traps are compared wherever the program traps or asks for the wall. A program
 * that differs is shortened as long as it does, and printed. --seconds: goes on that long instead.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "trial.h"

#define MAX_JOBS  16u
#define MAX_SHOWN 4u /* differences that are shortened and printed */

/* How far a worker is; it may die at any time. */
struct progress {
    uint64_t seed;
    unsigned tier;
    bool found; /* a difference in that seed on that tier */
    uint64_t programs, dropped, blocks, insns;
};

static uint32_t mask_of(const struct options *o, uint64_t seed)
{
    uint32_t mask = 0;
    for (unsigned t = 0; t < n_tiers; t++)
        if (o->tier < 0 ? scheduled(seed, t)
                        : o->tier == (int)t &&
                              (scheduled(seed, t) || (o->count == 1 && seed_runs(seed, t))))
            mask |= 1u << t;
    return mask;
}

static void start_harts(struct world *w, struct hart **harts)
{
    for (unsigned t = 0; t < n_tiers; t++)
        harts[t] = hart_new(w, &tiers[t]);
}

static void count_blocks(struct progress *g, struct hart **harts)
{
    for (unsigned t = 0; t < n_tiers; t++) {
        struct engine_stats s;
        engine_get_stats(harts[t]->cpu.engine, &s);
        g->blocks += s.blocks;
        g->insns += s.guest_insns;
        hart_free(harts[t]);
    }
}

/* Job number `job`: every jobs-th batch, from its progress on. exits with 1 at a difference. */
static void work(const struct options *o, unsigned job, struct progress *g, uint64_t deadline)
{
    static struct world w;
    struct hart *reference = hart_new(&w, NULL), *harts[16] = {NULL};
    struct program *p = malloc(sizeof *p);
    uint64_t end = deadline ? UINT64_MAX : o->seed + o->count;
    char why[200];
    start_faults();
    start_clock();
    while (p && g->seed < end && (!deadline || now() < deadline)) {
        uint64_t stop = (g->seed / BATCH + 1) * BATCH;
        bool mine = g->seed / BATCH % o->workers == job;
        if (mine) {
            batch_world(&w, g->seed);
            start_harts(&w, harts);
        }
        for (; mine && g->seed < stop && g->seed < end; g->seed++) {
            uint32_t mask = mask_of(o, g->seed);
            if (!mask)
                continue;
            generate(p, g->seed, (struct setting){.arena = w.arena});
            g->programs++;
            enum verdict v = try_program(reference, harts, mask, p, &g->tier, why, sizeof why);
            g->dropped += v == DROPPED;
            g->found = v == DIFFERS;
            if (g->found)
                exit(1); /* not _exit: coverage is written at exit */
        }
        if (mine) {
            count_blocks(g, harts);
            world_free(&w);
        }
        g->seed = stop;
    }
    hart_free(reference);
    free(p);
    exit(0);
}

/* Runs a job until it has no more to do, reporting what it finds. */
static pid_t start(const struct options *o, unsigned job, struct progress *g, uint64_t deadline)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        work(o, job, g, deadline);
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    return pid;
}

/* All jobs; answers how many programs differed. */
static unsigned run(const struct options *o, struct progress *progress)
{
    uint64_t deadline = o->seconds ? now() + o->seconds : 0;
    pid_t pid[MAX_JOBS];
    unsigned left = 0, bad = 0;
    for (; left < o->workers; left++) {
        progress[left].seed = o->seed;
        pid[left] = start(o, left, &progress[left], deadline);
    }
    while (left) {
        int status;
        pid_t ended = waitpid(-1, &status, 0);
        unsigned job = 0;
        while (job < o->workers && pid[job] != ended)
            job++;
        if (ended < 0 || job == o->workers)
            exit(2);
        if (WIFEXITED(status) && !WEXITSTATUS(status)) {
            left--;
            continue;
        }
        struct progress *g = &progress[job];
        printf("# seed %" PRIu64 " differs on %s%s\n", g->seed, tiers[g->tier].name,
               g->found ? "" : ", which died");
        if (bad++ < MAX_SHOWN)
            report(g->seed, g->tier);
        if (bad >= 20) { /* enough */
            left--;
            continue;
        }
        g->seed++;
        pid[job] = start(o, job, g, deadline);
    }
    return bad;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .count = 40000, .workers = 2, .tier = -1};
    parse_options(argc, argv, "--jobs", MAX_JOBS, &o);
    struct progress *progress = shared_memory(MAX_JOBS * sizeof *progress);
    unsigned bad = run(&o, progress);
    struct progress all = {0};
    for (unsigned j = 0; j < o.workers; j++) {
        all.programs += progress[j].programs;
        all.dropped += progress[j].dropped;
        all.blocks += progress[j].blocks;
        all.insns += progress[j].insns;
    }
    printf("# seeds from %" PRIu64 ": %" PRIu64 " programs, %" PRIu64 " dropped; %" PRIu64
           " blocks of %" PRIu64 " instructions translated\n",
           o.seed, all.programs, all.dropped, all.blocks, all.insns);
    const char *name = "random blocks are translated as each instruction alone is interpreted";
    if (!all.programs)
        printf("not ok - %s: that tier is for none of these seeds\n", name);
    else if (bad)
        printf("not ok - %s: %u of %" PRIu64 " programs differ\n", name, bad, all.programs);
    else
        printf("ok - %s (%" PRIu64 " programs from seed %" PRIu64 ")\n", name, all.programs,
               o.seed);
    return bad != 0 || !all.programs;
}
