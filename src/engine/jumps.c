#include "engine/jumps.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"

/* A fresh table is all zero, and few of its pages are ever touched in a short program: an entry of
 * zeroes is as good as empty but where pc 0 is looked up. */
static struct jump_table *new_table(void)
{
    struct jump_table *t = pages_alloc(sizeof *t);
    t->first[jump_first(0)].pc = JUMP_NONE;
    t->second[jump_second(0)][0].pc = t->second[jump_second(0)][1].pc = JUMP_NONE;
    return t;
}

static void clear(struct jump_table *t)
{
    if (t->n > JUMP_JOURNAL) {
        memset(t, 0xff, offsetof(struct jump_table, generation)); /* odd, so empty */
        t->n = 0;
    }
    for (; t->n; t->n--) {
        unsigned first = t->journal[t->n - 1].first, second = t->journal[t->n - 1].second;
        t->first[first].pc = JUMP_NONE;
        t->second[second][0].pc = t->second[second][1].pc = JUMP_NONE;
    }
}

/* A guest has few modes in one context: user code has one for each way that floating point is
 * rounded or off. One that makes more of them pays for it by itself. */
static struct jump_table *table_of(struct jump_cache *j, uint32_t mode)
{
    for (unsigned i = 0; i < N_JUMP_TABLES; i++) {
        struct jump_table *t = j->table[i];
        if (t && t->mode == mode)
            return t;
        if (!t) {
            t = j->table[i] = new_table();
            t->mode = mode;
            return t;
        }
    }
    struct jump_table *t = j->table[j->next_victim++ % N_JUMP_TABLES];
    clear(t);
    t->mode = mode;
    return t;
}

struct jump_table *jump_cache_table(struct jump_cache *j, uint32_t mode, uint64_t generation)
{
    struct jump_table *t = table_of(j, mode);
    if (t->generation != generation) {
        clear(t);
        t->generation = generation;
    }
    return t;
}

const void *jump_table_find(struct jump_table *t, uint64_t pc)
{
    struct jump_entry *first = &t->first[jump_first(pc)];
    if (first->pc == pc)
        return first->code;
    const struct jump_entry *set = t->second[jump_second(pc)];
    for (unsigned way = 0; way < 2; way++) {
        if (set[way].pc == pc) {
            *first = set[way];
            return first->code;
        }
    }
    return NULL;
}

void jump_table_enter(struct jump_table *t, uint64_t pc, const void *code)
{
    struct jump_entry *set = t->second[jump_second(pc)];
    struct jump_entry entry = {.pc = pc, .code = code};
    t->first[jump_first(pc)] = entry;
    for (unsigned way = 0; way < 2; way++) {
        if (set[way].pc == pc) {
            set[way] = entry;
            return;
        }
    }
    set[1] = set[0];
    set[0] = entry;
    if (t->n < JUMP_JOURNAL) {
        t->journal[t->n].first = (uint16_t)jump_first(pc);
        t->journal[t->n].second = (uint16_t)jump_second(pc);
    }
    if (t->n <= JUMP_JOURNAL)
        t->n++;
}

void jump_cache_flush(struct jump_cache *j)
{
    for (unsigned i = 0; i < N_JUMP_TABLES && j->table[i]; i++)
        clear(j->table[i]);
}

void jump_cache_free(struct jump_cache *j)
{
    for (unsigned i = 0; i < N_JUMP_TABLES && j->table[i]; i++)
        munmap(j->table[i], sizeof *j->table[i]);
    *j = (struct jump_cache){.next_victim = 0};
}
