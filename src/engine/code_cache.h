/* Memory for translated code: bounded, and never writable and executable through the same mapping.
 */
#ifndef WIRT_ENGINE_CODE_CACHE_H
#define WIRT_ENGINE_CODE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct code_cache {
    uint8_t *rw;               /* where the emitter writes */
    uint8_t *rx;               /* the same memory, where it runs */
    size_t size;               /* bytes */
    size_t used;               /* bytes handed out; what follows is free */
    size_t kept;               /* bytes at the start that a reset keeps: the stubs */
    size_t ready_rw, ready_rx; /* see pages_ahead */
};

int code_cache_init(struct code_cache *c, size_t size, struct error **err);
void code_cache_free(struct code_cache *c);

/* Forgets all but the first `kept` bytes. No cpu may be running in it. */
void code_cache_reset(struct code_cache *c);

/* About to write behind what is used. */
void code_cache_ahead(struct code_cache *c);

/* fork: the child needs the code in memory of its own, as it was at that instant; the parent goes
 * on changing its links at once. So the copy is made before, by the parent. */
struct code_copy {
    int fd;          /* of a file that holds it, or -1: none could or should be had */
    uint8_t *memory; /* then this shared mapping does */
};

/* file: a descriptor may be used, which is quicker. */
int code_cache_copy(const struct code_cache *c, bool file, struct code_copy *out,
                    struct error **err);
/* In the child: the cache is now the copy, at the same addresses. */
int code_cache_move(struct code_cache *c, struct code_copy *copy, struct error **err);
void code_copy_free(struct code_copy *copy, size_t size);

static inline uint8_t *code_cache_rx(const struct code_cache *c, const uint8_t *rw)
{
    return c->rx + (rw - c->rw);
}

static inline uint8_t *code_cache_rw(const struct code_cache *c, const uint8_t *rx)
{
    return c->rw + (rx - c->rx);
}

#endif
