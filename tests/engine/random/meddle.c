/* Who gets in the way of harts that run: translations are flushed and dropped, the code that all
 * share is written anew or mapped over, harts are interrupted. By the engine's rules no hart may
 * tell. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "team.h"

/* Of the shared code, and of what the members alone have. */
static void drop_some(struct team *t, struct random *r, bool changed_only)
{
    const struct world *w = &t->members[below(r, t->n)].world;
    uint64_t start = t->tier->flat ? w->arena : w->name, size = PAGES * PAGE;
    if (chance(r, 40)) {
        unsigned page = below(r, SHARED_COPIES * SHARED_CODE_PAGES);
        start = t->tier->flat ? t->shared.at + page % SHARED_CODE_PAGES * PAGE
                              : shared_name(&t->shared, page);
        size = PAGE;
    } else if (!t->tier->flat && chance(r, 40)) {
        start = COMMON_NAME;
        size = COMMON_COUNT * COMMON_PAGES * PAGE;
    }
    uint64_t at = below(r, (uint32_t)size);
    engine_invalidate(t->engine, start + at, 1 + below(r, (uint32_t)(size - at)), changed_only);
}

/* As mmap over code that others run. */
static void map_copy(struct team *t, unsigned copy)
{
    void *at = (void *)(uintptr_t)t->shared.at;
    size_t size = SHARED_CODE_PAGES * PAGE;
    if (mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, t->shared.fd, (off_t)(copy * size)) !=
        at) {
        perror("map the other copy");
        exit(2);
    }
    t->copy = copy;
    drop_shared(t->engine, &t->shared, true, false);
}

static void new_number(struct team *t, struct random *r, enum publish how)
{
    unsigned other = t->copy ^ 1;
    bool by_map = t->tier->flat && how == BY_WALL && chance(r, 50);
    shared_write_number(&t->shared, other, how);
    if (by_map)
        map_copy(t, other);
    else
        shared_write_number(&t->shared, t->copy, how);
    if (how == BY_WALL && !by_map)
        drop_shared(t->engine, &t->shared, t->tier->flat, true);
    if (by_map)
        shared_write_number(&t->shared, other ^ 1, how);
    shared_publish(&t->shared, how);
}

void meddle(struct team *t)
{
    struct random r = random_from(t->seed);
    while (atomic_load(&t->left)) {
        switch (below(&r, 16)) {
        case 0: engine_flush(t->engine); break;
        case 1:
        case 2: drop_some(t, &r, false); break;
        case 3: drop_some(t, &r, true); break;
        case 4:
            for (unsigned k = 0; k < t->n; k++)
                hart_tick(t->members[k].hart);
            break;
        case 5:
        case 6:
        case 7:
        case 8:
            for (unsigned k = 1 + below(&r, 8); k; k--)
                shared_rewrite(&t->shared, &r);
            break;
        default:
            for (unsigned k = 1 + below(&r, 6); k; k--) {
                new_number(t, &r, chance(&r, 60) ? BY_WALL : BY_FENCE_I);
                if (chance(&r, 50))
                    usleep(below(&r, 40));
            }
        }
        usleep(below(&r, 200));
    }
}
