/* Random programs on several harts of one engine at once: each computes what the reference says of
 * it alone, and all together do to shared data what the references did.
 *
 * usage: random_threads [--seed N] [--count N] [--seconds N] [--threads N] [--tier NAME]
 *
 * Teams of harts share an engine. Each hart runs programs of its own, which rewrite, remap and
 * unmap their code, and ones whose code others run at the same time; both call functions that all
 * share: atomics, lr and sc, locks, and code that is written anew meanwhile. Somebody drops and
 * flushes translations all the time. --count: programs in all; --seconds: goes on that long
 * instead.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "team.h"

#define TEAM_SECONDS 120u /* more: it does not end */
#define MAX_BAD      5u

/* What a team's process says. */
struct answer {
    uint64_t programs, dropped, twins;
    struct engine_stats stats;
};

static void team_process(uint64_t seed, unsigned tier, unsigned threads, struct answer *a)
{
    static struct team t;
    alarm(TEAM_SECONDS);
    bool good = team_run(&t, seed, tier, threads);
    for (unsigned k = 0; k < threads; k++) {
        a->programs += t.members[k].programs;
        a->dropped += t.members[k].dropped;
    }
    a->twins += t.twins;
    a->stats.blocks += t.stats.blocks;
    a->stats.invalidated += t.stats.invalidated;
    a->stats.flushes += t.stats.flushes;
    a->stats.links += t.stats.links;
    exit(good ? 0 : 1); /* not _exit: coverage is written at exit */
}

static bool team(uint64_t seed, unsigned tier, unsigned threads, struct answer *a)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        team_process(seed, tier, threads, a);
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("team");
        exit(2);
    }
    if (WIFSIGNALED(status))
        printf("# seed %" PRIu64 ", %u members, %s: it %s\n", seed, threads, tiers[tier].name,
               WTERMSIG(status) == SIGALRM ? "does not end" : strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static unsigned next_tier(const struct options *o, unsigned n)
{
    if (o->tier >= 0)
        return (unsigned)o->tier;
    while (!tier_runs(n % n_tiers))
        n++;
    return n % n_tiers;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .count = 4000, .workers = 4, .tier = -1};
    parse_options(argc, argv, "--threads", MAX_MEMBERS, &o);
    struct answer *a = shared_memory(sizeof *a);
    uint64_t deadline = o.seconds ? now() + o.seconds : 0;
    unsigned bad = 0, n = 0;
    while (bad < MAX_BAD && (deadline ? now() < deadline : a->programs < o.count)) {
        bad += !team(o.seed + n * TEAM_SEEDS, next_tier(&o, n), (unsigned)o.workers, a);
        n++;
    }
    const struct engine_stats *s = &a->stats;
    printf("# seeds from %" PRIu64 ": %u teams, %" PRIu64 " programs, %" PRIu64 " dropped; %" PRIu64
           " blocks translated, %" PRIu64 " links, %" PRIu64 " dropped, %" PRIu64 " flushes\n",
           o.seed, n, a->programs, a->dropped, s->blocks, s->links, s->invalidated, s->flushes);
    printf("# %" PRIu64 " pairs of blocks that their page alone tells apart\n", a->twins);
    const char *name = "several harts of one engine compute what each does alone";
    bool weak = !a->twins && n >= 2 * n_tiers; /* the table's hash is another now: shared_name */
    if (weak)
        printf("not ok - %s: no two blocks in a bucket differ in their page alone\n", name);
    else if (bad)
        printf("not ok - %s: %u of %u teams differ\n", name, bad, n);
    else
        printf("ok - %s (%" PRIu64 " programs from seed %" PRIu64 ")\n", name, a->programs, o.seed);
    return bad != 0 || weak;
}
