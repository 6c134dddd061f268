/* Translations that belong to bytes and not to an address: a block as it is kept (store.h), to be
 * copied into the code cache wherever the guest has these bytes in this mode again.
 *
 * A record is one run of memory: the fixed part, then its lists, then the guest's bytes, then host
 * code, in which everything that depends on where things are is 0 or a distance (see reloc_kind):
 * so a block has the same record wherever it was made. */
#ifndef WIRT_ENGINE_RECORD_H
#define WIRT_ENGINE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/internal.h"

#define RECORD_ALIGN 16u
#define RECORD_MAX   32768u /* bytes; blocks that need more are not kept */
#define RECORD_HEAD  32u    /* guest bytes that the key is made of, at most */

struct record {
    uint64_t key;  /* see record_key */
    uint64_t sum;  /* XXH3 of all that follows */
    uint64_t home; /* see record_home */
    uint32_t size;
    uint32_t mode;
    uint32_t code_len, reenter, n_bytes;
    uint16_t n_guest, n_segments, n_points, n_links, n_relocs;
    uint8_t alignment; /* of the code: its address modulo 64 */
    uint8_t parallel;  /* engine.parallel */
};

/* The lists, in this order. */
struct record_segment {
    int32_t from; /* the pc, in 2 bytes */
    uint32_t len;
};

struct record_link {
    int32_t target; /* from the pc, in 2 bytes */
    uint32_t site;  /* where in the code its displacement is, */
    uint32_t stub;  /* and that of the call that its number follows */
};

#define RECORD_POINT(offset, gi) ((offset) << 8 | (gi))
#define RECORD_RELOC(at, kind)   ((at) << 4 | (kind))

struct record_parts {
    struct record_segment *segments;
    struct record_link *links;
    uint32_t *relocs; /* RECORD_RELOC */
    uint32_t *points; /* RECORD_POINT */
    uint8_t *bytes, *code;
};

static inline struct reloc record_reloc(uint32_t packed)
{
    return (struct reloc){packed >> 4, packed & 15};
}

/* What must be the same of two pcs for a block of one to be good at the other: all of it, or, when
 * ir_moves(), as many of its low bits as host code can depend on; it is odd then. */
uint64_t record_home(uint64_t pc, bool paged);

/* By what a record is looked for. head: the guest's bytes at the pc, as many as there are on the
 * page, at most RECORD_HEAD. */
uint64_t record_key(const uint8_t *head, size_t len, uint64_t home, uint32_t mode, bool parallel);

/* A name for this very program, and what else is said to matter. 0: the program has none. */
uint64_t record_build(uint64_t more);

/* What the sum of a record with these bytes is, of r->size. */
uint64_t record_sum(const struct record *r);

/* Whether the size bytes at r, anybody's, are one whole record, all of whose offsets are within it;
 * then where its lists are. */
bool record_parse(struct record *r, size_t size, struct record_parts *out);

/* Writes the record of block b, the last that was emitted, from ir, into the RECORD_MAX bytes at
 * out. false: it cannot be kept. */
bool record_make(struct engine *e, const struct block *b, const struct ir_block *ir, uint64_t key,
                 struct record *out);

#endif
