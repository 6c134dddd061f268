/* Sieve of Eratosthenes: byte stores with growing strides. */
#include "kernel.h"

#define N 400000
static unsigned char composite[N];

int main(int argc, char **argv)
{
    uint64_t h = 0;
    for (unsigned s = scale(argc, argv) * 4; s; s--) {
        memset(composite, 0, sizeof composite);
        for (unsigned i = 2; i * i < N; i++)
            if (!composite[i])
                for (unsigned j = i * i; j < N; j += i)
                    composite[j] = 1;
        unsigned count = 0;
        for (unsigned i = 2; i < N; i++)
            count += !composite[i];
        h = mix(h, count);
    }
    return result("sieve", h);
}
