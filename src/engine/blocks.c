#include "engine/blocks.h"
#include "engine/guest_access.h"

#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "base/pages.h"
#include "base/str.h"
#include "isa/isa.h"

#define CHUNK_BYTES ((size_t)1 << 20)

struct chunk {
    struct chunk *next;
    size_t used, size; /* of all, this header too */
    size_t ready;      /* see pages_ahead */
};

#define HEADER ((sizeof(struct chunk) + 15) & ~(size_t)15)

void *blocks_alloc(struct block_table *t, size_t size)
{
    struct chunk *c = t->chunks;
    size = (size + 15) & ~(size_t)15;
    if (!c || c->size - c->used < size) {
        size_t room = size > CHUNK_BYTES - HEADER ? size + HEADER : CHUNK_BYTES;
        c = pages_alloc(room);
        *c = (struct chunk){.next = t->chunks, .used = HEADER, .size = room};
        t->chunks = c;
        t->bytes += room;
    }
    void *p = (uint8_t *)c + c->used;
    c->used += size;
    pages_ahead(c, c->size, c->used, &c->ready, MADV_POPULATE_WRITE);
    return p;
}

static uint32_t hash_of(uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> (64 - HASH_BITS));
}

static uint32_t block_hash(uint64_t pc, uint64_t page, uint32_t mode)
{
    return hash_of(pc ^ (page << 20) ^ (page >> 44) ^ ((uint64_t)mode << 56));
}

struct block *blocks_find(struct block_table *t, const struct block_key *key, bool stale)
{
    if (stale && !t->n_stale)
        return NULL;
    for (struct block *b = t->hash[block_hash(key->pc, key->page, key->mode)]; b; b = b->hash_next)
        if (b->pc == key->pc && b->page == key->page && b->mode == key->mode &&
            b->page2 == key->page2 && b->stale == stale)
            return b;
    return NULL;
}

void blocks_make_stale(struct block_table *t, struct block *b)
{
    b->stale = true;
    t->n_stale++;
}

void blocks_forget(struct block_table *t, struct block *b)
{
    struct block **at = &t->hash[block_hash(b->pc, b->page, b->mode)];
    while (*at != b)
        at = &(*at)->hash_next;
    *at = b->hash_next;
    t->n_stale--;
    for (uint32_t i = 0; i < b->n_segments; i++) {
        struct segment **link = &t->pages[hash_of(b->segments[i].addr >> 12)];
        while (*link != &b->segments[i])
            link = &(*link)->page_next;
        *link = b->segments[i].page_next;
    }
}

static void index_segments(struct block_table *t, struct block *b)
{
    for (uint32_t i = 0; i < b->n_segments; i++) {
        struct segment *s = &b->segments[i];
        struct segment **head = &t->pages[hash_of(s->addr >> 12)];
        s->block = b;
        s->page_next = *head;
        *head = s;
    }
}

/* Cuts the block's guest instructions into runs of consecutive addresses that stay on one page. */
void blocks_source(const struct ir_block *ir, bool paged, const uint8_t *page_host,
                   const uint8_t *page2_host, struct block_source *out)
{
    uint32_t total = 0, n = 0;
    struct segment *segments = out->segments;
    for (uint32_t i = 0; i < ir->n_guest; i++) {
        unsigned length = ir->guest_len[i], offset = (unsigned)(ir->guest_pc[i] & 0xfff);
        uint64_t start = paged ? ir->page + offset : ir->guest_pc[i];
        if (n && segments[n - 1].addr + segments[n - 1].len == start && offset &&
            offset + length <= 0x1000) { /* nearly all go on in the same segment */
            memcpy(out->copy + total, &ir->guest_raw[i], length);
            segments[n - 1].len += length;
            total += length;
            continue;
        }
        for (uint32_t half = 0; half < length; half += 2) {
            uint64_t pc = ir->guest_pc[i] + half;
            bool second = paged && (pc & ~0xfffull) != (ir->pc & ~0xfffull);
            const uint8_t *host =
                paged ? (second ? page2_host : page_host) + (pc & 0xfff) : (const uint8_t *)pc;
            uint64_t addr = paged ? (second ? ir->page2 : ir->page) + (pc & 0xfff) : pc;
            struct segment *s = n ? &segments[n - 1] : NULL;
            if (!s || s->addr + s->len != addr || (addr & 0xfff) == 0) {
                s = &segments[n++];
                *s = (struct segment){.addr = addr, .host = host, .at = total};
            }
            uint16_t bits = (uint16_t)(ir->guest_raw[i] >> (half * 8));
            memcpy(out->copy + total, &bits, 2);
            s->len += 2;
            total += 2;
        }
    }
    out->n_segments = n;
    out->bytes = out->copy;
}

struct block *blocks_add(struct block_table *t, const struct block_key *key,
                         const struct block_source *from)
{
    struct block *b = blocks_alloc(t, sizeof *b);
    const struct segment *last = &from->segments[from->n_segments - 1];
    b->pc = key->pc;
    b->page = key->page;
    b->page2 = key->page2;
    b->mode = key->mode;
    b->n_segments = from->n_segments;
    b->segments = blocks_alloc(t, from->n_segments * sizeof *b->segments);
    memcpy(b->segments, from->segments, from->n_segments * sizeof *b->segments);
    b->bytes = blocks_alloc(t, last->at + last->len);
    memcpy(b->bytes, from->bytes, last->at + last->len);
    struct block **head = &t->hash[block_hash(b->pc, b->page, b->mode)];
    b->hash_next = *head;
    *head = b;
    index_segments(t, b);
    if (t->n >> PIECE_BITS == t->n_pieces) {
        t->all = xrealloc(t->all, (t->n_pieces + 1) * sizeof *t->all);
        t->all[t->n_pieces++] = blocks_alloc(t, sizeof **t->all << PIECE_BITS);
    }
    *blocks_nth(t, t->n++) = b;
    return b;
}

uint32_t blocks_add_link(struct block_table *t, uint64_t target, uint32_t site)
{
    if (t->n_links >> PIECE_BITS == t->n_link_pieces) {
        t->links = xrealloc(t->links, (t->n_link_pieces + 1) * sizeof *t->links);
        t->links[t->n_link_pieces++] = blocks_alloc(t, sizeof **t->links << PIECE_BITS);
    }
    *blocks_link(t, t->n_links) = (struct link){.target = target, .site = site, .block = t->n};
    return t->n_links++;
}

uint64_t block_guest_pc(const struct block *b, unsigned gi, bool paged)
{
    const struct segment *s = b->segments;
    uint32_t at = 0;
    for (;;) {
        uint16_t low;
        while (at - s->at >= s->len)
            s++;
        if (!gi--)
            break;
        memcpy(&low, b->bytes + at, 2);
        at += isa_length(low) == 2 ? 2 : 4; /* as it was lifted */
    }
    uint64_t addr = s->addr + (at - s->at);
    return paged ? (b->pc & ~UINT64_C(0xfff)) | (addr & 0xfff) : addr;
}

struct block *blocks_by_code(struct block_table *t, const uint8_t *rx)
{
    uint32_t lo = 0, hi = t->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if ((*blocks_nth(t, mid))->code <= rx)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return NULL;
    struct block *b = *blocks_nth(t, lo - 1);
    return b->code && rx < b->code + b->code_len ? b : NULL;
}

static bool overlaps(const struct segment *s, uint64_t start, uint64_t len)
{
    return s->addr < start ? start - s->addr < s->len : s->addr - start < len;
}

void blocks_in_range(struct block_table *t, uint64_t start, uint64_t len,
                     void (*fn)(void *arg, struct block *b), void *arg)
{
    if (!len)
        return;
    uint64_t first = start >> 12, last = (start + (len - 1)) >> 12;
    if (last - first > t->n) { /* fewer blocks than pages */
        for (uint32_t i = 0; i < t->n; i++) {
            struct block *b = *blocks_nth(t, i);
            for (uint32_t k = 0; k < b->n_segments && !b->stale; k++)
                if (overlaps(&b->segments[k], start, len))
                    fn(arg, b);
        }
        return;
    }
    for (uint64_t page = first; page <= last; page++)
        for (struct segment *s = t->pages[hash_of(page)]; s; s = s->page_next)
            if (s->addr >> 12 == page && !s->block->stale && overlaps(s, start, len))
                fn(arg, s->block);
}

bool block_unchanged(const struct block *b, bool (*copy)(void *, const void *, size_t))
{
    uint8_t now[4 * BLOCK_MAX_INSNS];
    for (uint32_t i = 0; i < b->n_segments; i++) {
        const struct segment *s = &b->segments[i];
        const uint8_t *bytes = s->host;
        if (copy) {
            if (!copy(now, s->host, s->len))
                return false;
            bytes = now;
        }
        if (!guest_equal(bytes, b->bytes + s->at, s->len))
            return false;
    }
    return true;
}

size_t blocks_bytes(const struct block_table *t)
{
    return t->bytes + t->n_pieces * sizeof *t->all + t->n_link_pieces * sizeof *t->links;
}

void blocks_clear(struct block_table *t)
{
    while (t->chunks) {
        struct chunk *next = t->chunks->next;
        munmap(t->chunks, t->chunks->size);
        t->chunks = next;
    }
    free(t->all);
    free(t->links);
    memset(t, 0, sizeof *t);
}
