/* Atomic additions, exchanges and compare-and-swap loops by one thread. */
#include "kernel.h"
#include <stdatomic.h>

static atomic_ullong counter, high;
static atomic_uint word;

int main(int argc, char **argv)
{
    uint64_t h = 0, seed = 11;
    for (unsigned s = scale(argc, argv) * 200000; s; s--) {
        atomic_fetch_add(&counter, s);
        atomic_fetch_xor(&word, (unsigned)s);
        if (!(s & 3))
            h += atomic_exchange(&word, (unsigned)h);
        unsigned long long v = next_random(&seed), old = atomic_load(&high);
        while (v > old && !atomic_compare_exchange_weak(&high, &old, v))
            ;
    }
    return result("atomics", mix(mix(h, counter), high));
}
