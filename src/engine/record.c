#include "engine/record.h"

#include <elf.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/guest_access.h"
#include "engine/internal.h"
#include "engine/jumps.h"
#include "isa/isa.h"

_Static_assert(sizeof(struct record) == 56, "as in files; without holes, which the sum would see");

/* With paging, jumps over a page's end name their entry of the jump cache. */
uint64_t record_home(uint64_t pc, bool paged)
{
    const uint64_t page = 0xfff, entries = (UINT64_C(2) << JUMP_BITS) - 1;
    return ir_moves(pc) ? (pc & (paged ? page | entries : page)) | 1 : pc;
}

uint64_t record_key(const uint8_t *head, size_t len, uint64_t home, uint32_t mode, bool parallel)
{
    uint64_t seed = (home << 20 | home >> 44) ^ mode ^ (uint64_t)parallel << 19;
    return XXH3_64bits_withSeed(head, len, seed);
}

/* The note that the linker makes of all that it links (--build-id). */
static const Elf64_Nhdr *find_build_id(void)
{
    extern const uint8_t __ehdr_start[]; /* of the whole image */
    const Elf64_Ehdr *eh = (const void *)__ehdr_start;
    const Elf64_Phdr *ph = (const void *)(__ehdr_start + eh->e_phoff);
    for (unsigned k = 0; k < eh->e_phnum; k++) {
        if (ph[k].p_type != PT_NOTE)
            continue;
        const uint8_t *at = eh->e_type == ET_DYN ? __ehdr_start + ph[k].p_vaddr
                                                 : (const uint8_t *)(uintptr_t)ph[k].p_vaddr;
        const uint8_t *end = at + ph[k].p_memsz;
        while (end - at >= (ptrdiff_t)sizeof(Elf64_Nhdr)) {
            const Elf64_Nhdr *note = (const void *)at;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
                memcmp(note + 1, "GNU", 4) == 0)
                return note;
            at += sizeof *note + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
        }
    }
    return NULL;
}

uint64_t record_build(uint64_t more)
{
    const Elf64_Nhdr *note = find_build_id();
    return note ? XXH3_64bits_withSeed((const uint8_t *)(note + 1) + 4, note->n_descsz, more) : 0;
}

uint64_t record_sum(const struct record *r)
{
    const uint8_t *from = (const uint8_t *)&r->home;
    return XXH3_64bits(from, (size_t)((const uint8_t *)r + r->size - from));
}

/* Where its parts are, by its counts; how far they reach. */
static size_t lay_out(struct record *r, struct record_parts *out)
{
    uint8_t *at = (uint8_t *)(r + 1);
    out->segments = (void *)at;
    at += r->n_segments * sizeof *out->segments;
    out->links = (void *)at;
    at += r->n_links * sizeof *out->links;
    out->relocs = (void *)at;
    at += r->n_relocs * sizeof *out->relocs;
    out->points = (void *)at;
    at += r->n_points * sizeof *out->points;
    out->bytes = at;
    out->code = at + r->n_bytes;
    return (size_t)(out->code + r->code_len - (uint8_t *)r);
}

static size_t rounded(size_t size)
{
    return (size + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
}

static bool good_segments(const struct record *r, const struct record_parts *p)
{
    uint64_t total = 0;
    for (unsigned n = 0; n < r->n_segments; n++) {
        uint32_t len = p->segments[n].len;
        if (!len || len > 0x1000 || len & 1)
            return false;
        total += len;
    }
    return r->n_segments && p->segments[0].from == 0 && total == r->n_bytes &&
           total <= 4 * BLOCK_MAX_INSNS;
}

/* As block_guest_pc counts them. */
static bool good_bytes(const struct record *r, const struct record_parts *p)
{
    unsigned n = 0;
    uint32_t at = 0;
    for (; at < r->n_bytes; n++)
        at += isa_length((uint16_t)guest_load(p->bytes + at, 2)) == 2 ? 2 : 4;
    return at == r->n_bytes && n == r->n_guest;
}

static bool good_code(const struct record *r, const struct record_parts *p)
{
    for (unsigned n = 0; n < r->n_links; n++)
        if (p->links[n].site > r->code_len - 4 || p->links[n].stub > r->code_len - 8)
            return false;
    for (unsigned n = 0; n < r->n_relocs; n++) {
        struct reloc reloc = record_reloc(p->relocs[n]);
        if (reloc.kind >= N_RELOC_KINDS || reloc.at > r->code_len - reloc_size(reloc.kind))
            return false;
    }
    for (unsigned n = 0; n < r->n_points; n++)
        if (p->points[n] >> 8 >= r->code_len || (p->points[n] & 0xff) >= r->n_guest)
            return false;
    return r->reenter < r->code_len;
}

bool record_parse(struct record *r, size_t size, struct record_parts *out)
{
    if (size < sizeof *r || r->size != size || size % RECORD_ALIGN || size > RECORD_MAX ||
        r->code_len < 8 || r->code_len > size || r->n_bytes > size || r->alignment % 16 ||
        r->alignment >= 64)
        return false;
    return rounded(lay_out(r, out)) == size && record_sum(r) == r->sum && good_segments(r, out) &&
           good_bytes(r, out) && good_code(r, out);
}

static bool put_segments(const struct engine *e, const struct block *b, struct record_segment *out)
{
    for (unsigned n = 0; n < b->n_segments; n++) {
        uint64_t va = b->segments[n].addr;
        if (e->config.paged) /* one that is over the page's end has its second half behind it */
            va = ((b->pc + (n && b->page2 != NO_PAGE ? 2 : 0)) & ~UINT64_C(0xfff)) | (va & 0xfff);
        int64_t from = (int64_t)(va - b->pc) >> 1;
        if (from != (int32_t)from)
            return false;
        out[n] = (struct record_segment){(int32_t)from, b->segments[n].len};
    }
    return true;
}

static bool put_links(struct engine *e, const struct block *b, const struct emitted_lists *lists,
                      struct record_link *out)
{
    uint32_t at = (uint32_t)(b->code - e->cache.rx);
    for (unsigned n = 0; n < lists->n_links; n++) {
        const struct link *l = blocks_link(&e->blocks, lists->first_link + n);
        int64_t target = (int64_t)(l->target - b->pc) >> 1;
        if (target != (int32_t)target || (l->target ^ b->pc) & 1)
            return false;
        out[n] = (struct record_link){(int32_t)target, l->site - at, lists->link_stubs[n]};
    }
    return true;
}

/* Takes out of the code what is different wherever it stands. */
static void normalize(const struct engine *e, const struct record *r, const struct block *b,
                      const struct record_parts *p)
{
    const struct reloc_move nowhere = {
        .pc = 0 - b->pc, .image = 0 - reloc_image(), .code = (uint32_t)(e->cache.rx - b->code)};
    for (unsigned n = 0; n < r->n_relocs; n++)
        reloc_apply(p->code, record_reloc(p->relocs[n]), &nowhere);
    for (unsigned n = 0; n < r->n_links; n++) {
        reloc_apply(p->code, (struct reloc){p->links[n].stub, RELOC_STUB}, &nowhere);
        memset(p->code + p->links[n].stub + 4, 0, 4);
    }
}

bool record_make(struct engine *e, const struct block *b, const struct ir_block *ir, uint64_t key,
                 struct record *out)
{
    struct record_parts p;
    struct emitted_lists lists;
    const struct segment *last = &b->segments[b->n_segments - 1];
    emit_lists(e, &lists);
    if ((ir_moves(b->pc) && ir->bound) || lists.n_relocs > UINT16_MAX || b->n_points > UINT16_MAX)
        return false;
    *out = (struct record){.key = key,
                           .home = record_home(b->pc, e->config.paged),
                           .mode = b->mode,
                           .code_len = b->code_len,
                           .reenter = b->reenter,
                           .n_bytes = last->at + last->len,
                           .n_guest = (uint16_t)ir->n_guest,
                           .n_segments = (uint16_t)b->n_segments,
                           .n_points = (uint16_t)b->n_points,
                           .n_links = (uint16_t)lists.n_links,
                           .n_relocs = (uint16_t)lists.n_relocs,
                           .alignment = (uint8_t)((uintptr_t)b->code & 63),
                           .parallel = e->parallel};
    size_t used = lay_out(out, &p), size = rounded(used);
    if (size > RECORD_MAX || !put_segments(e, b, p.segments) || !put_links(e, b, &lists, p.links))
        return false;
    out->size = (uint32_t)size;
    for (unsigned n = 0; n < lists.n_relocs; n++)
        p.relocs[n] = RECORD_RELOC(lists.relocs[n].at, lists.relocs[n].kind);
    for (unsigned n = 0; n < b->n_points; n++)
        p.points[n] = RECORD_POINT(b->points[n].offset, b->points[n].gi);
    memcpy(p.bytes, b->bytes, out->n_bytes);
    memcpy(p.code, b->code, b->code_len);
    memset((uint8_t *)out + used, 0, size - used);
    normalize(e, out, b, &p);
    out->sum = record_sum(out);
    return true;
}
