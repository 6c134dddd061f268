#include "command.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "trial.h"

static bool parse_tier(const char *value, int *tier)
{
    for (unsigned t = 0; t < n_tiers; t++) {
        if (!strcmp(value, tiers[t].name)) {
            *tier = (int)t;
            return true;
        }
    }
    return false;
}

static bool parse(int argc, char **argv, const char *workers, struct options *o)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        uint64_t *to = !strcmp(name, "--seed")      ? &o->seed
                       : !strcmp(name, "--count")   ? &o->count
                       : !strcmp(name, "--seconds") ? &o->seconds
                       : !strcmp(name, workers)     ? &o->workers
                                                    : NULL;
        char *end = NULL;
        if (!value)
            return false;
        if (!strcmp(name, "--tier")) {
            if (!parse_tier(value, &o->tier))
                return false;
            continue;
        }
        uint64_t n = strtoull(value, &end, 0);
        if (!to || end == value || *end)
            return false;
        *to = n;
    }
    return true;
}

void parse_options(int argc, char **argv, const char *workers, uint64_t most, struct options *o)
{
    if (parse(argc, argv, workers, o) && o->count && o->workers && o->workers <= most)
        return;
    fprintf(stderr,
            "usage: %s [--seed N] [--count N] [--seconds N] [%s N] [--tier NAME]\n"
            "N: a number, %s at most %llu; NAME: one of",
            argv[0], workers, workers, (unsigned long long)most);
    for (unsigned t = 0; t < n_tiers; t++)
        fprintf(stderr, " %s", tiers[t].name);
    fputc('\n', stderr);
    exit(2);
}

uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec;
}

void *shared_memory(size_t size)
{
    void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        perror("memory that processes share");
        exit(2);
    }
    return m;
}
