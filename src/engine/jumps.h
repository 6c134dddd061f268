/* The jump cache: guest pc -> translated code, for indirect jumps and jumps to another page. One
 * for each translation context. It has a table for each mode that jumps are made in, so a change of
 * mode empties nothing.
 *
 * A table has two levels. Translated code probes `first`, direct-mapped, in line; what it misses
 * goes to a stub (stubs.jump_second) that looks into `second`, two ways by another part of the
 * address, and moves what it finds there to `first`. Both are filled here: so all that is in
 * `first` was in `second`, and targets that are 8 KiB apart do not cost each other more than that
 * stub.
 *
 * The engine voids tables of an older generation by itself. Whoever changes what addresses mean
 * calls jump_cache_flush. */
#ifndef WIRT_ENGINE_JUMPS_H
#define WIRT_ENGINE_JUMPS_H

#include "engine/cpu.h"

#define JUMP_BITS     12 /* log2 of the entries of `first` */
#define JUMP_SET_BITS 11 /* log2 of the pairs of `second` */
#define JUMP_JOURNAL  1024

/* An entry that has this for pc is empty: guest code is at even addresses. */
#define JUMP_NONE UINT64_C(1)

struct jump_entry {
    uint64_t pc;
    const void *code;
};

struct jump_table {
    struct jump_entry first[1 << JUMP_BITS]; /* at the table's start, as translated code has it */
    struct jump_entry second[1 << JUMP_SET_BITS][2]; /* the later one first */
    uint64_t generation;
    uint32_t mode;
    /* Where entries were made since it was emptied, the first JUMP_JOURNAL of n. */
    uint32_t n;
    struct {
        uint16_t first, second;
    } journal[JUMP_JOURNAL];
};

/* Code has this of a target in it: which is why record_home has these bits. */
static inline unsigned jump_first(uint64_t pc)
{
    return (unsigned)(pc >> 1) & ((1u << JUMP_BITS) - 1);
}

/* Addresses that share an entry of `first` differ here. */
static inline unsigned jump_second(uint64_t pc)
{
    return (unsigned)((pc ^ pc >> JUMP_BITS) >> 1) & ((1u << JUMP_SET_BITS) - 1);
}

/* The table for mode, with nothing of another generation than this one. Good until the next call
 * for the same cache, or jump_cache_free. */
struct jump_table *jump_cache_table(struct jump_cache *j, uint32_t mode, uint64_t generation);

/* The code at pc, or NULL; then it is in `first`. */
const void *jump_table_find(struct jump_table *t, uint64_t pc);
void jump_table_enter(struct jump_table *t, uint64_t pc, const void *code);

/* Empties it. The cpu that uses it must not be in translated code, or be the caller's. */
void jump_cache_flush(struct jump_cache *j);

/* Leaves it as it was at first: all zero. No cpu may use it as its context then. */
void jump_cache_free(struct jump_cache *j);

#endif
