/* What a block's code says about where things are: noted as it is emitted, changed when a copy of
 * it is put somewhere else. */
#include "engine/x86_64/emit.h"

#include "base/str.h"
#include "engine/record.h"

void add_reloc(struct emit *m, enum reloc_kind kind, const uint8_t *at)
{
    if (m->n_relocs == m->cap_relocs) {
        m->cap_relocs = m->cap_relocs ? m->cap_relocs * 2 : 64;
        m->relocs = xrealloc(m->relocs, m->cap_relocs * sizeof *m->relocs);
    }
    m->relocs[m->n_relocs++] = (struct reloc){(uint32_t)(at - m->entry), kind};
}

void note_link(struct emit *m, uint32_t number, const uint8_t *stub)
{
    uint32_t n = number - m->first_link;
    if (n >= m->cap_links) {
        m->cap_links = m->cap_links ? m->cap_links * 2 : 64;
        m->link_stubs = xrealloc(m->link_stubs, m->cap_links * sizeof *m->link_stubs);
    }
    m->link_stubs[n] = (uint32_t)(stub - m->entry);
}

void mov_guest(struct emit *m, enum reg d, uint64_t address)
{
    if (m->ir->bound)
        mov_ri(&m->a, d, address);
    else
        add_reloc(m, RELOC_PC, mov_ri64(&m->a, d, address));
}

void mov_host(struct emit *m, enum reg d, const void *address)
{
    add_reloc(m, RELOC_IMAGE, mov_ri64(&m->a, d, (uint64_t)(uintptr_t)address));
}

void mov_value(struct emit *m, enum reg d, unsigned v)
{
    const struct ir_insn *i = &m->ir->insn[v];
    if (i->flags & IR_RELATIVE)
        mov_guest(m, d, (uint64_t)i->imm);
    else
        mov_ri(&m->a, d, (uint64_t)i->imm);
}

static void stub_rel(struct emit *m, uint8_t *site, const uint8_t *rx)
{
    set_rel(site, code_cache_rw(&m->e->cache, rx));
    add_reloc(m, RELOC_STUB, site);
}

void put_stub_rel(struct emit *m, const uint8_t *rx)
{
    stub_rel(m, take(&m->a, 4), rx);
}

void call_stub(struct emit *m, const uint8_t *rx)
{
    stub_rel(m, call_rel(&m->a), rx);
}

void jmp_stub(struct emit *m, const uint8_t *rx)
{
    stub_rel(m, jmp_rel(&m->a), rx);
}

void jcc_stub(struct emit *m, enum cc cc, const uint8_t *rx)
{
    stub_rel(m, jcc_rel(&m->a, cc), rx);
}

uint32_t reloc_size(unsigned kind)
{
    return kind == RELOC_PC || kind == RELOC_IMAGE ? 8 : 4;
}

uint64_t reloc_image(void)
{
    return (uint64_t)(uintptr_t)&reloc_image;
}

void reloc_apply(uint8_t *code, struct reloc r, const struct reloc_move *move)
{
    uint64_t field = 0;
    uint32_t size = reloc_size(r.kind);
    memcpy(&field, code + r.at, size);
    switch (r.kind) {
    case RELOC_PC: field += move->pc; break;
    case RELOC_IMAGE: field += move->image; break;
    case RELOC_STUB: field -= move->code; break;
    }
    memcpy(code + r.at, &field, size);
}

void emit_lists(const struct engine *e, struct emitted_lists *out)
{
    const struct emit *m = e->emit;
    *out = (struct emitted_lists){m->relocs, m->link_stubs, m->n_relocs, m->first_link,
                                  e->blocks.n_links - m->first_link};
}

static void copy_points(struct emit *m, const struct record *r, const struct record_parts *p)
{
    if (m->cap_points < r->n_points) {
        m->cap_points = r->n_points;
        m->points = xrealloc(m->points, m->cap_points * sizeof *m->points);
    }
    m->n_points = r->n_points;
    for (unsigned n = 0; n < r->n_points; n++)
        m->points[n] = (struct fault_point){p->points[n] >> 8, p->points[n] & 0xff};
}

enum emitted emit_record(struct engine *e, const struct record *r, const struct record_parts *p,
                         uint64_t pc)
{
    struct emit *m = emitter(e);
    struct code_cache *c = &e->cache;
    size_t at = (c->used & ~(size_t)63) + r->alignment; /* see align_site */
    if (at < c->used)
        at += 64;
    if (at > c->size || c->size - at < r->code_len)
        return EMIT_FULL;
    code_cache_ahead(c);
    m->entry = c->rw + at;
    m->a = (struct assembler){.p = m->entry + r->code_len, .end = c->rw + c->size};
    m->reenter = r->reenter;
    copy_points(m, r, p);
    memcpy(m->entry, p->code, r->code_len);
    const struct reloc_move here = {.pc = pc, .image = reloc_image(), .code = (uint32_t)at};
    for (unsigned n = 0; n < r->n_relocs; n++)
        reloc_apply(m->entry, record_reloc(p->relocs[n]), &here);
    for (unsigned n = 0; n < r->n_links; n++) {
        const struct record_link *l = &p->links[n];
        uint64_t target = pc + 2 * (uint64_t)(int64_t)l->target;
        uint32_t number = blocks_add_link(&e->blocks, target, (uint32_t)at + l->site);
        reloc_apply(m->entry, (struct reloc){l->stub, RELOC_STUB}, &here);
        memcpy(m->entry + l->stub + 4, &number, sizeof number);
    }
    return EMIT_DONE;
}
