/* SHA-256 (FIPS 180-4): rotates, additions, a table. */
#include "kernel.h"

static uint32_t k[64];

static uint32_t ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The constants are the first 32 bits of the fractional parts of the cube roots of the first 64
 * primes. */
static void make_constants(void)
{
    unsigned n = 0;
    for (unsigned p = 2; n < 64; p++) {
        unsigned d = 2;
        while (d * d <= p && p % d)
            d++;
        if (d * d <= p)
            continue;
        /* floor(cbrt(p) * 2^32) by bits: c^3 <= p * 2^96 */
        __uint128_t lo = 0;
        for (int bit = 34; bit >= 0; bit--) {
            __uint128_t c = lo | (__uint128_t)1 << bit;
            __uint128_t square = c * c; /* < 2^70 */
            /* c^3 <= p << 96  <=>  square * c <= p << 96, with square split to stay in range */
            __uint128_t high = (square >> 32) * c, low = (square & 0xffffffff) * c;
            __uint128_t cube_shifted = high + (low >> 32); /* c^3 >> 32 */
            if (cube_shifted < (__uint128_t)p << 64)
                lo = c;
        }
        k[n++] = (uint32_t)lo;
    }
}

static NOINLINE void compress(uint32_t h[8], const unsigned char *block)
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25);
        uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        uint32_t s0 = ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

int main(int argc, char **argv)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t h[8];
    unsigned char block[64];
    memcpy(h, start, sizeof h);
    make_constants();
    for (unsigned i = 0; i < 64; i++)
        block[i] = (unsigned char)i;
    for (unsigned s = scale(argc, argv) * 10000; s; s--) {
        compress(h, block);
        block[s & 63] ^= (unsigned char)h[0];
    }
    return result("sha256", (uint64_t)h[0] << 32 | h[7]);
}
