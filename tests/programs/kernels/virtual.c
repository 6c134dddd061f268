/* Calls through tables of function pointers, as methods of objects are. */
#include "kernel.h"

struct shape {
    const struct methods *methods;
    uint64_t a, b;
};
struct methods {
    uint64_t (*area)(const struct shape *);
    void (*grow)(struct shape *, uint64_t);
};

static uint64_t area_box(const struct shape *s)
{
    return s->a * s->b;
}
static uint64_t area_frame(const struct shape *s)
{
    return 2 * (s->a + s->b);
}
static uint64_t area_dot(const struct shape *s)
{
    return s->a ^ s->b;
}
static void grow_a(struct shape *s, uint64_t n)
{
    s->a += n;
}
static void grow_b(struct shape *s, uint64_t n)
{
    s->b += n & 15;
}
static const struct methods kinds[] = {
    {area_box, grow_a}, {area_frame, grow_b}, {area_dot, grow_a}, {area_box, grow_b}};

#define N 256
static struct shape shapes[N];

int main(int argc, char **argv)
{
    uint64_t h = 0, seed = 3;
    for (unsigned i = 0; i < N; i++)
        shapes[i] = (struct shape){&kinds[next_random(&seed) & 3], i, i + 1};
    for (unsigned s = scale(argc, argv) * 2500; s; s--)
        for (unsigned i = 0; i < N; i++) {
            struct shape *p = &shapes[i];
            h += p->methods->area(p);
            p->methods->grow(p, h);
        }
    return result("virtual", h);
}
