/* Translated blocks: found by (pc, page, mode), dropped by page or by bytes, and tied to each other
 * by links. */
#ifndef WIRT_ENGINE_BLOCKS_H
#define WIRT_ENGINE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/ir.h"

#define NO_PAGE UINT64_MAX

/* A run of guest bytes that a block was made from. */
struct segment {
    uint64_t addr;       /* as engine_invalidate names it */
    const uint8_t *host; /* where these bytes are */
    uint32_t len;
    uint32_t at; /* where their copy starts in block.bytes */
    struct block *block;
    struct segment *page_next; /* others in the same bucket of pages */
};

/* A host code offset at which guest instruction `pc` may fault. */
struct fault_point {
    uint32_t offset;
    uint32_t gi;
};

struct block {
    /* What a search looks at comes first, in one cache line. */
    uint64_t pc, page;
    uint32_t mode;
    bool stale; /* its bytes have changed; kept because links may still lead to its code */
    struct block *hash_next;
    uint64_t page2;
    uint8_t *code;       /* where it runs (code_cache.rx) */
    struct ir_block *ir; /* interpreter only */
    uint32_t code_len;
    uint32_t reenter; /* offset in code of what leaves to look pc up again */
    uint32_t n_segments, n_points;
    struct segment *segments;
    uint8_t *bytes; /* copy of the guest code */
    struct fault_point *points;
};

/* A place in translated code that leaves to a fixed guest pc, and is patched once that is
 * translated. */
struct link {
    uint64_t target;
    uint32_t site;  /* offset in the code cache of the 4-byte displacement */
    uint32_t block; /* number of the block it is in */
};

#define HASH_BITS 15

struct block_table {
    struct block *hash[1 << HASH_BITS];
    struct segment *pages[1 << HASH_BITS]; /* by address >> 12; a segment stays on one page */
    struct block ***all;                   /* see blocks_nth */
    uint32_t n, n_pieces;
    uint32_t n_stale;
    struct chunk *chunks; /* of memory for blocks and what belongs to them: freed all at once */
    size_t bytes;         /* of these */
    struct link **links;  /* see blocks_link */
    uint32_t n_links, n_link_pieces;
};

/* Lists that grow by pieces which stay where they are: this many elements each. */
#define PIECE_BITS 10

/* Of all blocks, in the order of translation, and so of code address. */
static inline struct block **blocks_nth(const struct block_table *t, uint32_t n)
{
    return &t->all[n >> PIECE_BITS][n & ((1u << PIECE_BITS) - 1)];
}

static inline struct link *blocks_link(const struct block_table *t, uint32_t n)
{
    return &t->links[n >> PIECE_BITS][n & ((1u << PIECE_BITS) - 1)];
}

/* Zeroed memory that lives until blocks_clear. */
void *blocks_alloc(struct block_table *t, size_t size);

/* What makes a translation the one that is wanted: the same pc in the same mode, its bytes on the
 * same pages. page2 is NO_PAGE but for an instruction over a page's end, when paged. */
struct block_key {
    uint64_t pc, page, page2;
    uint32_t mode;
};

struct block *blocks_find(struct block_table *t, const struct block_key *key, bool stale);

void blocks_make_stale(struct block_table *t, struct block *b);

/* Takes a stale block, whose code leads to its successor's now, out of all searches but
 * blocks_by_code. */
void blocks_forget(struct block_table *t, struct block *b);

/* The guest's code that a block is made from: its bytes, and the runs of them that lie together. */
struct block_source {
    const uint8_t *bytes;
    uint32_t n_segments;
    struct segment segments[2 * BLOCK_MAX_INSNS];
    uint8_t copy[4 * BLOCK_MAX_INSNS]; /* where blocks_source puts the bytes */
};

/* That of ir, whose pages are at page_host and page2_host when paged. */
void blocks_source(const struct ir_block *ir, bool paged, const uint8_t *page_host,
                   const uint8_t *page2_host, struct block_source *out);

/* Makes a block, with a copy of what it is made from. */
struct block *blocks_add(struct block_table *t, const struct block_key *key,
                         const struct block_source *from);

/* A link of the block that is added next. */
uint32_t blocks_add_link(struct block_table *t, uint64_t target, uint32_t site);

/* The address of its guest instruction number gi. */
uint64_t block_guest_pc(const struct block *b, unsigned gi, bool paged);

/* The block whose code contains the host address, or NULL. */
struct block *blocks_by_code(struct block_table *t, const uint8_t *rx);

/* Calls fn for each block, not stale, that has bytes in [start, start + len). */
void blocks_in_range(struct block_table *t, uint64_t start, uint64_t len,
                     void (*fn)(void *arg, struct block *b), void *arg);

/* Whether the guest's bytes are still those it was made from. copy: see engine_ops.copy_code. */
bool block_unchanged(const struct block *b, bool (*copy)(void *, const void *, size_t));

/* Memory that the table uses. */
size_t blocks_bytes(const struct block_table *t);

void blocks_clear(struct block_table *t);

#endif
