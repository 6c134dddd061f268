/* Quicksort of 64-bit numbers: unpredictable branches, recursion. */
#include "kernel.h"

#define N 50000
static uint64_t a[N];

static void sort(uint64_t *lo, uint64_t *hi)
{
    while (hi - lo > 1) {
        uint64_t pivot = lo[(hi - lo) / 2], *i = lo, *j = hi - 1;
        while (i <= j) {
            while (*i < pivot)
                i++;
            while (*j > pivot)
                j--;
            if (i <= j) {
                uint64_t t = *i;
                *i++ = *j;
                *j-- = t;
            }
        }
        if (j + 1 - lo < hi - i) {
            sort(lo, j + 1);
            lo = i;
        } else {
            sort(i, hi);
            hi = j + 1;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t h = 0, seed = 42;
    for (unsigned s = scale(argc, argv); s; s--) {
        for (unsigned i = 0; i < N; i++)
            a[i] = next_random(&seed);
        sort(a, a + N);
        for (unsigned i = 0; i < N; i += 97)
            h = mix(h, a[i]);
    }
    return result("quicksort", h);
}
