/* The allocator's invariants, looked at after each instruction when engine.checked is set: what
 * alloc.c relies on and emit.h promises. A test's engine asks for it; it costs more than emitting.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/x86_64/emit.h"

static void broken(const struct emit *m, const char *rule, unsigned v)
{
    fprintf(stderr, "emitter: after %%%u: value %%%u: %s\n", m->pc_index, v, rule);
    ir_print(stderr, m->ir);
    abort();
}

static bool is_temp(const struct emit *m, unsigned v)
{
    int r = m->v[v].reg;
    return ir_is_float(&m->ir->insn[v]) ? r < (int)TEMP_XMMS : TEMP_MASK >> r & 1;
}

/* What is said of one value agrees with what registers, homes and slots say. */
static void check_value(const struct emit *m, unsigned v, uint64_t *slots)
{
    const struct value *p = &m->v[v];
    const struct ir_insn *i = &m->ir->insn[v];
    bool fp = ir_is_float(i);
    if (p->reg >= 0 && is_temp(m, v)) {
        if ((fp ? m->owner_f : m->owner)[p->reg] != (int16_t)v)
            broken(m, "its register belongs to another", v);
    } else if (p->reg >= 0) {
        int hinted = p->hint < 0 ? -1
                     : fp        ? pinned_f((unsigned)p->hint)
                                 : pinned_x((unsigned)p->hint);
        if (p->reg != hinted)
            broken(m, "it is in a guest register that it is not SET to", v);
        if ((fp ? m->cur_f : m->cur_x)[p->hint] != IR_NONE)
            broken(m, "it is made in the home of another", v);
    }
    if (p->uses && p->home >= 0 && (fp ? m->cur_f : m->cur_x)[p->home] != v)
        broken(m, "its home holds another", v);
    if (p->slot >= 0) {
        uint64_t bit = UINT64_C(1) << p->slot;
        if (!(m->slots & bit) || (*slots & bit))
            broken(m, "its slot is free, or another's too", v);
        *slots |= bit;
    }
    if (p->uses && i->op != IR_CONST && !p->folded && p->reg < 0 && p->home < 0 && p->slot < 0)
        broken(m, "it is nowhere, and needed", v);
}

static void check_owner(const struct emit *m, unsigned r, int v, bool fp)
{
    if (v < 0)
        return;
    const struct ir_insn *i = &m->ir->insn[v];
    if ((unsigned)v > m->pc_index || !ir_has_value(i) || ir_is_float(i) != fp)
        broken(m, "it cannot be in that register", (unsigned)v);
    if (m->v[v].reg != (int)r || !m->v[v].uses)
        broken(m, "a register is said to hold it", (unsigned)v);
}

/* Slow paths of this instruction keep what is in temporaries when it ends. */
static void check_cold(const struct emit *m, const struct cold *c)
{
    uint32_t kept = c->live;
    if (c->kind != COLD_MEMORY && c->kind != COLD_FLOAT && c->kind != COLD_FLOAT2 &&
        c->kind != COLD_FMA)
        return;
    if (c->dest >= 0)
        kept |= UINT32_C(1) << (c->dest_float ? c->dest + 16 : c->dest);
    for (unsigned r = 0; r < 16; r++) {
        if (m->owner[r] >= 0 && !(kept >> r & 1))
            broken(m, "a slow path loses it", (unsigned)m->owner[r]);
        if (m->owner_f[r] >= 0 && !(kept >> (16 + r) & 1))
            broken(m, "a slow path loses it", (unsigned)m->owner_f[r]);
    }
}

void emit_check(const struct emit *m, uint32_t first_cold)
{
    uint64_t slots = 0;
    if (m->cut || m->a.full)
        return;
    for (unsigned v = 0; v <= m->pc_index; v++)
        if (ir_has_value(&m->ir->insn[v]))
            check_value(m, v, &slots);
    for (unsigned r = 0; r < 16; r++) {
        check_owner(m, r, m->owner[r], false);
        check_owner(m, r, m->owner_f[r], true);
    }
    for (uint32_t k = first_cold; k < m->n_cold; k++)
        check_cold(m, &m->cold[k]);
}
