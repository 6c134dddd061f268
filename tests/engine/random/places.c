#include "places.h"

#include "program.h"

#define BIT(n) (UINT64_C(1) << (n))

static uint64_t some_page(struct random *r, unsigned bits)
{
    uint64_t any = (uint64_t)random32(r) << 32 | random32(r);
    return (any & (BIT(bits) - 1)) & ~UINT64_C(0xfff);
}

/* Without paging a guest address is the host's, and a program's wild ones must lead to nothing. So
 * the upper bits are such that no power of two, added or taken away, and no small factor makes them
 * those of a host's programs (0x55 and 0x56), libraries and stacks (0x7e and 0x7f). */
static uint64_t far_up(struct random *r)
{
    static const uint8_t upper[] = {0x08, 0x11, 0x23, 0x62};
    uint64_t low = some_page(r, 40);
    return (uint64_t)upper[below(r, sizeof upper)] << 40 | low;
}

/* A page of code, or maybe of data, begins at the edge. */
static uint64_t at_edge(struct random *r, uint64_t edge)
{
    return edge - PAGE * (uint64_t)(CODE_FIRST + below(r, chance(r, 60) ? 4 : PAGES));
}

static struct place draw(struct random *r)
{
    static const uint64_t upper_half[] = {
        UINT64_C(0xffffffff80000000), /* the kernel's code: within reach of a lui */
        UINT64_C(0xffffffff00000000), /* its modules */
        UINT64_C(0xffffffd600000000), /* its memory, by the number of levels of its tables */
        UINT64_C(0xffffaf8000000000), UINT64_C(0xff60000000000000)};
    static const uint64_t edges[] = {BIT(31), BIT(32), BIT(33)};
    static const uint64_t far_edges[] = {
        BIT(38),  BIT(47),  BIT(47) - BIT(33), BIT(56), BIT(63),
        -BIT(47), -BIT(32), -BIT(31),          0 /* the end, where the beginning follows */};
    switch (below(r, 20)) {
    case 0:
    case 1:
    case 2: return (struct place){BIT(33) + some_page(r, 33 + below(r, 6)), false};
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8: return (struct place){far_up(r), false};
    case 9: return (struct place){UINT64_C(0x7e) << 40 | some_page(r, 40), true};
    case 10:
    case 11: return (struct place){UINT64_C(0x20000000), false};
    case 12: return (struct place){UINT64_C(0x10000000) + some_page(r, 30), false};
    case 13: return (struct place){UINT64_C(0xa0000000) + some_page(r, 30), false};
    case 14: return (struct place){at_edge(r, edges[below(r, 3)]), false};
    case 15: return (struct place){at_edge(r, far_edges[below(r, 9)]), true};
    case 16: return (struct place){0 - PAGES * (uint64_t)PAGE, true}; /* to the very end */
    default:
        return (struct place){upper_half[below(r, 5)] + some_page(r, chance(r, 50) ? 30 : 24),
                              true};
    }
}

struct place place_of(uint64_t n, bool flat)
{
    struct random r = random_from(n ^ UINT64_C(0x706c616365)); /* no program's numbers */
    struct place p = draw(&r);
    while (flat && p.paged_only)
        p = draw(&r);
    return p;
}
