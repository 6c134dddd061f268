/* Following a random cycle of pointers through half a mebibyte. */
#include "kernel.h"

#define N 65536
static uint32_t next[N];
static uint32_t order[N];

int main(int argc, char **argv)
{
    uint64_t seed = 23, h = 0;
    for (uint32_t i = 0; i < N; i++)
        order[i] = i;
    for (uint32_t i = N - 1; i; i--) {
        uint32_t j = (uint32_t)(next_random(&seed) % (i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < N; i++)
        next[order[i]] = order[(i + 1) % N];
    uint32_t at = 0;
    for (unsigned s = scale(argc, argv) * 10; s; s--) {
        for (unsigned i = 0; i < N; i++)
            at = next[at];
        h = mix(h, at + s);
        at = (at + s) % N;
    }
    return result("chase", h);
}
