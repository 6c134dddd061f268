/* What the jails of a machine cost its start: both processes are made as the launcher makes them,
 * the network's first, again and again, and each step is timed.
 *
 *   jail_cost [ROUNDS]
 *
 * Prints a JSON object of microseconds: for each of both jails and each step the median and the
 * least; "fork": two bare forks, for comparison; "median" of the whole, and "least": the steps'
 * least together, which a host that is busy with something else changes little. The steps are in
 * their order: the next begins where the one before ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "jail/filter.h"
#include "jail/jail.h"

#define MAX_ROUNDS 1000u
#define MAX_STEPS  32u

/* Both processes write here. */
struct times {
    unsigned n;
    struct {
        const char *name; /* in both the same: no process executes anything */
        uint64_t at;
    } list[MAX_STEPS];
};

static void step(void *arg, const char *name)
{
    struct times *t = arg;
    if (t->n < MAX_STEPS) {
        t->list[t->n].name = name;
        t->list[t->n++].at = clock_ns();
    }
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *v, unsigned n)
{
    qsort(v, n, sizeof *v, ascending);
    return v[n / 2];
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Nanoseconds until the process is jailed and filtered; 0: it failed. */
static uint64_t once(bool network, struct times *t)
{
    ERROR_CLEANUP err = NULL;
    pid_t pid;
    int pidfd, p[2];
    char byte;
    t->n = 0;
    uint64_t start = clock_ns();
    if (pipe(p) < 0)
        return 0;
    struct jail_config c = {.name = "cost",
                            .network = network,
                            .console = !network,
                            .keep = &p[1],
                            .n_keep = 1,
                            .threads = 4,
                            .step = step,
                            .step_arg = t};
    int r = jail_fork(&c, &pid, &pidfd, &err);
    if (r == 0) {
        if (jail_filter(network ? JAIL_NETWORK : JAIL_MACHINE, &err) < 0)
            _exit(1);
        step(t, "filter");
        _exit(write(p[1], "", 1) != 1);
    }
    close(p[1]);
    if (r < 0)
        fprintf(stderr, "%s\n", error_text(err));
    bool well = r > 0 && read(p[0], &byte, 1) == 1;
    uint64_t took = clock_ns() - start;
    step(t, "end");
    close(p[0]);
    if (r > 0) {
        close(pidfd);
        reap(pid);
    }
    return well ? took : 0;
}

static uint64_t forks(void)
{
    uint64_t start = clock_ns();
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        reap(pid);
    }
    return clock_ns() - start;
}

int main(int argc, char **argv)
{
    static uint64_t whole[MAX_ROUNDS], bare[MAX_ROUNDS], steps[2][MAX_STEPS][MAX_ROUNDS];
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 50; /* of 1 to MAX_ROUNDS */
    log_init("jail_cost", LOG_WARN);
    struct times *t =
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED || !rounds || rounds > MAX_ROUNDS)
        return 2;
    struct times last[2];
    for (unsigned i = 0; i < rounds; i++) {
        bare[i] = forks();
        whole[i] = 0;
        for (int machine = 0; machine < 2; machine++) {
            uint64_t start = clock_ns(), took = once(!machine, t);
            if (!took)
                return 1;
            whole[i] += took;
            for (unsigned k = 0; k < t->n; k++) {
                steps[machine][k][i] = t->list[k].at - (k ? t->list[k - 1].at : start);
            }
            last[machine] = *t;
        }
    }
    uint64_t least = 0;
    printf("{\"fork\": %.1f", (double)median(bare, rounds) / 1e3);
    for (int machine = 0; machine < 2; machine++)
        for (unsigned k = 0; k < last[machine].n; k++) {
            uint64_t *v = steps[machine][k], middle = median(v, rounds);
            least += v[0];
            printf(", \"%s: %s\": [%.1f, %.1f]", machine ? "machine" : "network",
                   last[machine].list[k].name, (double)middle / 1e3, (double)v[0] / 1e3);
        }
    printf(", \"median\": %.1f, \"least\": %.1f}\n", (double)median(whole, rounds) / 1e3,
           (double)least / 1e3);
    return 0;
}
