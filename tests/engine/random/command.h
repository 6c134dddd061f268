/* What the programs of random tests have in common: their command line, time, and memory that their
 * processes share. */
#ifndef WIRT_TESTS_COMMAND_H
#define WIRT_TESTS_COMMAND_H

#include <stddef.h>
#include <stdint.h>

struct options {
    uint64_t seed, count, seconds, workers;
    int tier; /* -1: as they come */
};

/* Reads --seed, --count, --seconds, --tier, and `workers`, whose number is 1 .. most. The options'
 * values so far are the defaults. A command line that is none: prints what would be one, and exits
 * with 2. */
void parse_options(int argc, char **argv, const char *workers, uint64_t most, struct options *o);

/* Seconds since some moment. */
uint64_t now(void);

/* Zeroed memory that children have too. exits with a message. */
void *shared_memory(size_t size);

#endif
