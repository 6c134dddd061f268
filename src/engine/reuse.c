#include "engine/reuse.h"

#include <string.h>

#include "engine/guest_access.h"
#include "engine/store.h"

/* Records that begin with the same bytes, of which at most so many are looked at, and kept: of code
 * that is written anew again and again, there is no end of them. */
#define MAX_ALIKE 16

/* Guest code to memory of ours. false: it is gone. */
static bool copy_code(const struct cpu *cpu, uint8_t *to, const uint8_t *from, size_t n)
{
    if (cpu->ops->copy_code)
        return cpu->ops->copy_code(to, from, n);
    for (size_t i = 0; i < n; i += 2)
        memcpy(to + i, &(uint16_t){(uint16_t)guest_load(from + i, 2)}, 2);
    return true;
}

static bool make_key(struct cpu *cpu, struct place *at)
{
    uint8_t head[RECORD_HEAD];
    uint64_t pc = at->key.pc;
    at->home = record_home(pc, cpu->engine->config.paged);
    size_t len = 0x1000 - (pc & 0xfff);
    len = len < at->len ? len : at->len & ~1u;
    len = len < sizeof head ? len : sizeof head;
    if (!copy_code(cpu, head, at->host + (pc & 0xfff), len))
        return false;
    at->record_key = record_key(head, len, at->home, at->key.mode, at->parallel);
    return true;
}

/* Where the segment is that begins at va, now. false: not where the block may be. */
static bool locate_segment(struct cpu *cpu, const struct place *at, uint64_t va, uint64_t len,
                           bool second, struct segment *out)
{
    struct code_span span;
    if (cpu->engine->config.paged) {
        uint64_t page = second ? at->key.page2 : at->key.page;
        const uint8_t *host = second ? at->host2 : at->host;
        if ((va ^ (second ? at->key.pc + 2 : at->key.pc)) >> 12)
            return false;
        *out = (struct segment){.addr = page | (va & 0xfff), .host = host + (va & 0xfff)};
    } else {
        if (!cpu->ops->fetch(cpu, va, &span) || span.len < len)
            return false;
        *out = (struct segment){.addr = va, .host = span.bytes};
    }
    out->len = (uint32_t)len;
    return (va & 0xfff) + len <= 0x1000;
}

/* Whether the guest has the record's bytes. */
static bool has_bytes(struct cpu *cpu, const struct place *at, const struct record *r,
                      const struct record_parts *parts, struct block_source *source)
{
    uint8_t now[4 * BLOCK_MAX_INSNS];
    uint32_t total = 0;
    bool straddles = at->key.page2 != NO_PAGE;
    if (r->n_segments > sizeof source->segments / sizeof source->segments[0] ||
        (straddles && r->n_segments != 2))
        return false;
    for (unsigned n = 0; n < r->n_segments; n++) {
        const struct record_segment *s = &parts->segments[n];
        struct segment *to = &source->segments[n];
        uint64_t va = at->key.pc + 2 * (uint64_t)(int64_t)s->from;
        if (!locate_segment(cpu, at, va, s->len, straddles && n, to) ||
            !copy_code(cpu, now, to->host, to->len) ||
            memcmp(now, parts->bytes + total, to->len) != 0)
            return false;
        to->at = total;
        total += to->len;
    }
    source->n_segments = r->n_segments;
    source->bytes = parts->bytes;
    return true;
}

static bool next_record(struct cpu *cpu, uint64_t key, uint32_t *state, struct record_parts *parts)
{
    struct engine *e = cpu->engine;
    pthread_mutex_lock(&e->lock);
    bool found = store_next(e->config.store, key, state, cpu->p.record, parts);
    pthread_mutex_unlock(&e->lock);
    return found;
}

bool reuse_find(struct cpu *cpu, struct place *at, struct block_source *source,
                struct record_parts *parts)
{
    const struct record *r = cpu->p.record;
    uint32_t state = 0;
    if (!make_key(cpu, at))
        return false;
    for (unsigned n = 0; n < MAX_ALIKE; n++) {
        if (!next_record(cpu, at->record_key, &state, parts)) {
            at->keep = true;
            return false;
        }
        if (r->home == at->home && r->mode == at->key.mode && r->parallel == at->parallel &&
            has_bytes(cpu, at, r, parts, source))
            return true;
    }
    return false;
}

bool reuse_keep(struct cpu *cpu, const struct place *at, const struct block *b,
                const struct ir_block *ir)
{
    struct engine *e = cpu->engine;
    return at->keep && record_make(e, b, ir, at->record_key, cpu->p.record) &&
           store_add(e->config.store, cpu->p.record) && e->reread;
}
