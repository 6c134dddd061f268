/* Recursive Fibonacci: calls and returns. */
#include "kernel.h"

static NOINLINE uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv)
{
    uint64_t h = 0;
    for (unsigned s = scale(argc, argv); s; s--)
        h = mix(h, fib(26 + (s & 1)));
    return result("fib", h);
}
