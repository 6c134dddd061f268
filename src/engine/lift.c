/* Lifting: guest code at a pc becomes a superblock of IR. */

#include "engine/engine.h"
#include "engine/guest_access.h"
#include "engine/ir_build.h"

#define IR_ROOM    24 /* more than one guest instruction and the block's end need */
#define PAGE_MASK  (~UINT64_C(0xfff))
#define COPY_BYTES 256u

struct lifter {
    struct builder bd;
    bool paged;
    struct code_span span; /* the bytes fetched last, at span_pc */
    uint64_t span_pc;
    uint8_t copy[COPY_BYTES]; /* of span, where code may vanish */
};

/* Makes the span lie in memory of ours. false: it is gone; the wall has said why. */
static bool copy_span(struct lifter *l)
{
    const struct engine_ops *ops = l->bd.cpu->ops;
    struct code_span again;
    if (l->span.len > COPY_BYTES)
        l->span.len = COPY_BYTES;
    if (!ops->copy_code(l->copy, l->span.bytes, l->span.len)) {
        if (ops->fetch(l->bd.cpu, l->span_pc, &again)) /* and is back */
            l->bd.cpu->trap = (struct trap){CAUSE_FETCH_ACCESS, l->span_pc};
        return false;
    }
    l->span.bytes = l->copy;
    return true;
}

static bool span_at(struct lifter *l, uint64_t pc)
{
    const struct engine_ops *ops = l->bd.cpu->ops;
    if (l->span.bytes && pc - l->span_pc < l->span.len)
        return true;
    l->span_pc = pc;
    if (!ops->fetch(l->bd.cpu, pc, &l->span) || (ops->copy_code && !copy_span(l)))
        l->span.bytes = NULL;
    return l->span.bytes;
}

/* Two bytes at an even pc. */
static bool fetch16(struct lifter *l, uint64_t pc, uint16_t *out, uint64_t *page)
{
    if (!span_at(l, pc))
        return false;
    uint64_t at = pc - l->span_pc;
    if (l->span.len - at < 2) {
        l->bd.cpu->trap = (struct trap){CAUSE_FETCH_ACCESS, pc};
        return false;
    }
    *out = (uint16_t)guest_load(l->span.bytes + at, 2);
    *page = l->paged ? l->span.page : pc & PAGE_MASK;
    return true;
}

static unsigned length_of(uint16_t low)
{
    return isa_length(low) == 2 ? 2 : 4; /* what is longer traps, 4 bytes at a time */
}

bool lift_straddles(uint64_t pc, const struct code_span *span)
{
    uint16_t low;
    if ((pc & 0xfff) != 0xffe || span->len < 2)
        return false;
    low = (uint16_t)guest_load(span->bytes, 2);
    return length_of(low) == 4;
}

/* Appends the bytes at pc to the block as its next guest instruction. false: they cannot be
 * fetched (cpu->trap is set) or belong to another block. */
static bool fetch_insn(struct lifter *l, uint64_t pc)
{
    struct ir_block *b = l->bd.b;
    uint16_t low, high = 0;
    uint64_t page, page_high;
    unsigned len, n = b->n_guest;
    if (l->paged && (pc ^ b->pc) & PAGE_MASK)
        return false;
    if (!fetch16(l, pc, &low, &page))
        return false;
    len = length_of(low);
    page_high = page;
    if (len == 4 && !fetch16(l, pc + 2, &high, &page_high))
        return false;
    if (!n)
        b->page = page;
    bool over = l->paged && len == 4 && (pc & ~PAGE_MASK) == 0xffe;
    if (l->paged && (page != b->page || (over && n)))
        return false;
    if (over) /* be it the same page once more, at another address */
        b->page2 = page_high;
    b->n_guest++;
    b->guest_pc[n] = pc;
    b->guest_raw[n] = low | (uint32_t)high << 16;
    b->guest_len[n] = (uint8_t)len;
    b->n_bytes += len;
    l->bd.gi = (uint8_t)n;
    l->bd.pc = pc;
    l->bd.raw = b->guest_raw[n];
    return true;
}

static bool contains(const struct ir_block *b, uint64_t pc)
{
    for (uint32_t n = 0; n < b->n_guest; n++)
        if (b->guest_pc[n] == pc)
            return true;
    return false;
}

static enum lifted lift_insn(struct builder *bd)
{
    struct decoded d;
    enum lifted r;
    isa_decode(bd->raw, &d);
    bd->uncounted++;
    if ((r = lift_integer(bd, &d)) != LIFT_NOT || (r = lift_bits(bd, &d)) != LIFT_NOT)
        return r;
    build_count(bd); /* all others can trap or leave */
    if ((r = lift_memory(bd, &d)) != LIFT_NOT || (r = lift_float(bd, &d)) != LIFT_NOT ||
        (r = lift_csr(bd, &d)) != LIFT_NOT)
        return r;
    return lift_control(bd, &d);
}

bool lift_block(struct cpu *cpu, bool paged, struct ir_block *out)
{
    return lift_short_block(cpu, paged, LIFT_MAX_INSNS, out);
}

bool lift_short_block(struct cpu *cpu, bool paged, unsigned insns, struct ir_block *out)
{
    struct lifter l = {.paged = paged};
    uint64_t pc = cpu->pc;
    bool jumped = false; /* until then it only goes forward */
    out->pc = pc;
    out->mode = cpu->mode;
    out->page = out->page2 = UINT64_MAX;
    out->n = out->n_guest = out->n_bytes = 0;
    out->bound = !ir_moves(pc);
    build_start(&l.bd, cpu, out);
    if (!fetch_insn(&l, pc))
        return false;
    for (;;) {
        enum lifted r = lift_insn(&l.bd);
        if (r == LIFT_END)
            return true;
        jumped = jumped || r == LIFT_JUMP;
        bool straddles = paged && out->page2 != UINT64_MAX;
        pc = r == LIFT_JUMP ? l.bd.pc : pc + out->guest_len[l.bd.gi];
        if (straddles || out->n_guest >= insns || out->n > IR_LIMIT - IR_ROOM ||
            (jumped && contains(out, pc)) || !fetch_insn(&l, pc)) {
            if (out->n && out->insn[out->n - 1].op == IR_POLL)
                out->n--; /* the jump asks by itself */
            build_count(&l.bd);
            build_jump(&l.bd, pc);
            return true;
        }
    }
}
