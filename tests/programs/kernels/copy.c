/* memcpy, memset, memcmp, memmove of the C library: large and small. */
#include "kernel.h"

static unsigned char a[1 << 18], b[1 << 18];

int main(int argc, char **argv)
{
    uint64_t h = 0, seed = 5;
    for (unsigned i = 0; i < sizeof a; i++)
        a[i] = (unsigned char)next_random(&seed);
    for (unsigned s = scale(argc, argv) * 6; s; s--) {
        for (unsigned i = 0; i < 8; i++) {
            memcpy(b, a, sizeof b);
            memmove(a + 64 + i, b, sizeof b - 128);
        }
        for (unsigned i = 0; i < 20000; i++) {
            unsigned from = (i * 61) & 0xffff, size = i % 61;
            memcpy(b + from, a + i, size);
            h += (uint64_t)(memcmp(b + from, a + i + 1, size) > 0);
        }
        memset(b, (int)s, sizeof b / 2);
        h = mix(h, b[s] + a[sizeof a / 2 + s]);
    }
    return result("copy", h);
}
