/* Counting, finding, rotating and reversing bits. */
#include "kernel.h"

int main(int argc, char **argv)
{
    uint64_t h = 1, seed = 17;
    for (unsigned s = scale(argc, argv) * 300000; s; s--) {
        uint64_t a = next_random(&seed) >> (s & 31) | 1;
        h += (uint64_t)__builtin_popcountll(a) + (uint64_t)__builtin_ctzll(a);
        h = h << 7 | h >> 57;
        h ^= (uint64_t)__builtin_clzll(a) + __builtin_bswap64(a) + __builtin_bswap32((uint32_t)a);
    }
    return result("bits", h);
}
