/* Code that is seldom run, behind the block's end: exits that are not linked yet, slow paths. */
#include "engine/x86_64/emit.h"

static struct mem spill_mem(unsigned slot)
{
    return mem_at(RBP, (int32_t)(offsetof(struct cpu, p.spill) + 8 * (size_t)slot) - CPU_BIAS);
}

/* Saves or restores the live temporaries. */
static void move_temps(struct emit *m, uint32_t live, bool save)
{
    static const enum reg temps[] = {RAX, RCX, RDX, RSI};
    for (unsigned k = 0; k < 4; k++) {
        if (!(live >> temps[k] & 1))
            continue;
        if (save)
            store64(&m->a, spill_mem(SPILL_TEMPS + k), temps[k]);
        else
            load64(&m->a, temps[k], spill_mem(SPILL_TEMPS + k));
    }
    for (unsigned x = 0; x < TEMP_XMMS; x++)
        if (live >> (16 + x) & 1)
            op_rm_full(&m->a, 0xf2, false, save ? 0x0f11 : 0x0f10, x,
                       spill_mem(SPILL_TEMPS + 4 + x), false);
}

static void put_link(struct emit *m, struct cold *c, const uint8_t *stub_rx)
{
    uint32_t site = (uint32_t)(c->site - m->e->cache.rw);
    uint32_t number = blocks_add_link(&m->e->blocks, c->target, site);
    uint8_t *call = call_rel(&m->a);
    set_rel(call, code_cache_rw(&m->e->cache, stub_rx));
    put32(&m->a, number);
    note_link(m, number, call);
}

/* The result is in rax. */
static void take_result(struct emit *m, const struct cold *c)
{
    struct assembler *a = &m->a;
    if (c->dest < 0)
        return;
    if (!c->dest_float) {
        mov_rr(a, (enum reg)c->dest, RAX);
        return;
    }
    op_rr_full(a, 0x66, true, 0x0f6e, (unsigned)c->dest, RAX, false); /* movq */
    if (c->kind == COLD_MEMORY && (c->what >> 8 & 0xff) == 4)
        op_const(m, 0, 0x0f56, (unsigned)c->dest, CONST_BOX);
}

static void put_memory(struct emit *m, const struct cold *c)
{
    struct assembler *a = &m->a;
    move_temps(m, c->live, true);
    /* the operands may be in each other's argument registers: the data goes by way of memory */
    if (c->data >= 0 && c->data_float)
        op_rm_full(a, 0xf2, false, 0x0f11, (unsigned)c->data, spill_mem(SPILL_MOVE), false);
    else if (c->data >= 0)
        store64(a, spill_mem(SPILL_MOVE), (enum reg)c->data);
    lea(a, true, RSI, mem_at((enum reg)c->address, c->offset));
    if (c->data >= 0)
        load64(a, RDX, spill_mem(SPILL_MOVE));
    else
        mov_ri(a, RDX, c->constant);
    mov_ri(a, RCX, c->what);
    mov_host(m, RAX, c->fn);
    call_stub(m, m->e->stubs.call_memory);
    add_call_point(m, c->gi);
    take_result(m, c);
    move_temps(m, c->live, false);
    jmp_to(a, c->back);
}

static void put_float(struct emit *m, const struct cold *c)
{
    struct assembler *a = &m->a;
    move_temps(m, c->live, true);
    op_rr_full(a, 0x66, true, 0x0f7e, (unsigned)c->data, RDX, false); /* movq */
    mov_ri(a, RSI, c->what);
    call_helper(m, (const void *)helper_float);
    take_result(m, c);
    move_temps(m, c->live, false);
    jmp_to(a, c->back);
}

/* Half of it, with the bit that is lost kept where rounding sees it, and then doubled. */
static void put_halves(struct emit *m, const struct cold *c)
{
    struct assembler *a = &m->a;
    enum reg t = (enum reg)c->address;
    unsigned d = (unsigned)c->dest, prefix = c->what == 8 ? 0xf2 : 0xf3;
    mov_rr(a, t, (enum reg)c->data);
    shift_ri(a, true, SH_SHR, t, 1);
    uint8_t *even = jcc_short(a, CC_AE);
    alu_ri(a, true, ALU_OR, t, 1);
    set_short(a, even);
    op_rr_full(a, prefix, true, 0x0f2a, d, t, false); /* cvtsi2s */
    op_rr_full(a, prefix, false, 0x0f58, d, d, false);
    jmp_to(a, c->back);
}

/* Two operands. A NaN result of a fused multiplication: infinity times zero is invalid even when a
 * quiet NaN is added (Volume I, section Single-Precision Floating-Point Computational
 * Instructions), which the host does not say: the operation is done again, in C, with such a NaN.
 */
static void put_float2(struct emit *m, const struct cold *c)
{
    struct assembler *a = &m->a;
    move_temps(m, c->live, true);
    op_rr_full(a, 0x66, true, 0x0f7e, (unsigned)c->data, RDX, false);
    op_rr_full(a, 0x66, true, 0x0f7e, (unsigned)c->address, RCX, false);
    if (c->kind == COLD_FMA) {
        mov_ri(a, RAX, c->constant);
        store64(a, spill_mem(SPILL_THIRD), RAX);
    }
    mov_ri(a, RSI, c->what);
    call_helper(m, (const void *)helper_float);
    take_result(m, c);
    move_temps(m, c->live, false);
    jmp_to(a, c->back);
}

void emit_cold(struct emit *m)
{
    struct assembler *a = &m->a;
    for (uint32_t k = 0; k < m->n_cold && !a->full; k++) {
        struct cold c = m->cold[k];
        set_rel_here(a, c.site);
        switch (c.kind) {
        case COLD_LINK: put_link(m, &c, m->e->stubs.leave_link); break;
        case COLD_REQUEST: put_link(m, &c, m->e->stubs.leave_request_link); break;
        case COLD_CALL_END:
            put_link(m, &c, m->e->stubs.call_end);
            jmp_to(a, c.back);
            break;
        case COLD_CALL_FULL:
            load64(a, RSP, CPU(p.shadow_base));
            jmp_to(a, c.back);
            break;
        case COLD_MEMORY: put_memory(m, &c); break;
        case COLD_CONSTANT:
            op_const(m, 0, 0x0f28, (unsigned)c.dest, (unsigned)c.constant); /* movaps */
            jmp_to(a, c.back);
            break;
        case COLD_HALVES: put_halves(m, &c); break;
        case COLD_FLOAT2:
        case COLD_FMA: put_float2(m, &c); break;
        case COLD_FLOAT: put_float(m, &c); break;
        }
    }
}
