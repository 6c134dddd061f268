/* Common to the kernels: each does the same work `scale` times and prints one line that depends on
 * all of it, so that native, qemu's and wirt's output can be compared and the time be measured. */
#ifndef KERNEL_H
#define KERNEL_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often: the first argument, or 1 (some milliseconds of native time). */
static inline unsigned scale(int argc, char **argv)
{
    return argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
}

static inline int result(const char *name, uint64_t value)
{
    printf("%s %016" PRIx64 "\n", name, value);
    return 0;
}

static inline uint64_t bits_of(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

/* xorshift64*: the same numbers everywhere. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static inline uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * 0x100000001b3ull;
}

#define NOINLINE __attribute__((noinline))

#endif
