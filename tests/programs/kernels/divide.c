/* Division, remainder, high halves of products. */
#include "kernel.h"

int main(int argc, char **argv)
{
    uint64_t h = 1, seed = 13;
    for (unsigned s = scale(argc, argv) * 300000; s; s--) {
        uint64_t a = next_random(&seed), b = (next_random(&seed) >> (s & 31)) | 1;
        h += a / b + (uint64_t)((int64_t)a % (int64_t)b) + (uint32_t)a / (uint32_t)b;
        h ^= (uint64_t)((__uint128_t)a * h >> 64);
        h += (uint64_t)((__int128_t)(int64_t)a * (int64_t)b >> 64);
    }
    return result("divide", h);
}
