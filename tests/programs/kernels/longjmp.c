/* setjmp and longjmp out of nested calls. */
#include "kernel.h"
#include <setjmp.h>

static jmp_buf out;

static NOINLINE void dive(unsigned depth, unsigned value)
{
    if (!depth)
        longjmp(out, (int)(value & 0xff) + 1);
    if (value != 0)
        dive(depth - 1, value * 3 + 1);
    __asm__ volatile(""); /* no tail call */
}

int main(int argc, char **argv)
{
    volatile uint64_t h = 0;
    for (volatile unsigned s = scale(argc, argv) * 60000; s; s--) {
        int v = setjmp(out);
        if (!v)
            dive(s & 7, s);
        h = mix(h, (uint64_t)v);
    }
    return result("longjmp", h);
}
