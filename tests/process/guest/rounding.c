/* The rounding mode that a function sets is its caller's after it has returned, however often the
 * caller ran before in another one; and that of whoever is called. */
#include <fenv.h>

#include "check.h"

static volatile double one = 1, three = 3;

__attribute__((noinline)) static void set(int mode, int depth)
{
    if (depth) {
        set(mode, depth - 1);
        one = one + 0; /* so that the call above is no jump */
        return;
    }
    fesetround(mode);
}

__attribute__((noinline)) static double third(void)
{
    return one / three;
}

/* 1/3 computed here, and in a function called from here, with the mode that one more call has set.
 */
__attribute__((noinline)) static int as_set(int mode, int depth, double want)
{
    set(mode, depth);
    volatile double here = one / three, there = third(); /* not moved over calls */
    set(FE_TONEAREST, depth);
    volatile double after = one / three;
    return here == want && there == want && after == one * 0x1.5555555555555p-2;
}

int main(void)
{
    int good = 1;
    for (int round = 0; round < 100; round++) {
        int depth = round % 4;
        good &= as_set(FE_TONEAREST, depth, 0x1.5555555555555p-2);
        good &= as_set(FE_UPWARD, depth, 0x1.5555555555556p-2);
        good &= as_set(FE_DOWNWARD, depth, 0x1.5555555555555p-2);
        good &= as_set(FE_TOWARDZERO, depth, 0x1.5555555555555p-2);
        one = -1;
        good &= as_set(FE_UPWARD, depth, -0x1.5555555555555p-2);
        good &= as_set(FE_DOWNWARD, depth, -0x1.5555555555556p-2);
        one = 1;
    }
    CHECK("a rounding mode set in a function holds after it has returned", good);
    return check_failed;
}
