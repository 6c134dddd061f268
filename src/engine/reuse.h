/* Looking for a block's translation among those that are kept, by its bytes; and keeping new ones.
 */
#ifndef WIRT_ENGINE_REUSE_H
#define WIRT_ENGINE_REUSE_H

#include "engine/internal.h"
#include "engine/record.h"

/* Which block the cpu is at, and the host addresses of its pages. */
struct place {
    struct block_key key;
    const uint8_t *host, *host2;
    uint32_t len;       /* bytes at the pc that fetch gave */
    struct drops drops; /* before its bytes were read */
    uint32_t n_blocks;  /* then */
    uint64_t generation;
    bool parallel; /* the engine then: a record for the other is not to be used, nor kept */
    bool keep;     /* what is made for it, by this key: */
    uint64_t home, record_key;
};

/* Of an engine that keeps translations: copies to cpu->p.record the record that has the guest's
 * bytes of now, and says what block it makes. Its pages have been announced. false: there is none.
 */
bool reuse_find(struct cpu *cpu, struct place *at, struct block_source *source,
                struct record_parts *parts);

/* Keeps what was emitted last, as b, from ir. The lock is held. Answers whether it is to be made
 * again, see engine.reread. */
bool reuse_keep(struct cpu *cpu, const struct place *at, const struct block *b,
                const struct ir_block *ir);

#endif
