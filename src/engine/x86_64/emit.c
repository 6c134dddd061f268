/* One block from IR to host code: in one pass forward, cold code last. */
#include "engine/x86_64/emit.h"

#include <cpuid.h>
#include <stdlib.h>

#include "base/str.h"

#define START_ROOM 64u /* alignment, and what each block begins with */

unsigned emit_host_features(void)
{
    unsigned a, b, c, d, host = 0;
    if (__builtin_cpu_supports("popcnt"))
        host |= HOST_POPCNT;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT))
        host |= HOST_LZCNT;
    if (!__builtin_cpu_supports("avx")) /* asks the operating system too */
        return host;                    /* none that is encoded with VEX */
    host |= HOST_AVX;
    if (__builtin_cpu_supports("bmi"))
        host |= HOST_BMI1;
    if (__builtin_cpu_supports("bmi2"))
        host |= HOST_BMI2;
    if (__builtin_cpu_supports("fma"))
        host |= HOST_FMA;
    return host;
}

uint32_t emit_hot_length(const struct engine *e)
{
    return ((const struct emit *)e->emit)->hot_length;
}

/* Makes value v in g's home, and what v is computed from right before and nothing else uses. */
static void hint(struct emit *m, unsigned v, unsigned g)
{
    const struct ir_block *ir = m->ir;
    for (;;) {
        const struct ir_insn *i = &ir->insn[v];
        m->v[v].hint = (int8_t)g;
        if (i->op < IR_ADD || i->op > IR_ORCB || v == 0 || i->a != v - 1 || ir->uses[v - 1] != 1)
            return;
        const struct ir_insn *from = i - 1;
        bool other = i->b != IR_NONE && ir->insn[i->b].op == IR_GETX && ir->insn[i->b].reg == g;
        if (from->op < IR_ADD || from->op > IR_ORCB || m->v[v - 1].hint >= 0 || other)
            return;
        v--;
    }
}

/* A value that the next few instructions only SET may be made in that register's home: nothing in
 * between may look at it, or leave with the old one overwritten. */
static void find_hints(struct emit *m)
{
    const struct ir_block *ir = m->ir;
    for (unsigned k = 0; k < ir->n; k++) {
        const struct ir_insn *i = &ir->insn[k];
        if (i->op != IR_SETX && i->op != IR_SETF)
            continue;
        unsigned v = i->a;
        bool fp = i->op == IR_SETF;
        const struct ir_insn *maker = &ir->insn[v];
        if (k - v > 4 || m->v[v].hint >= 0 || ir_is_float(maker) != fp || maker->op == IR_GETX ||
            maker->op == IR_GETF || maker->op == IR_CONST)
            continue;
        bool clear = true;
        for (unsigned j = v + 1; j < k && clear; j++) {
            const struct ir_insn *between = &ir->insn[j];
            clear = !ir_is_observable(between) &&
                    !(between->reg == i->reg && (between->op == (fp ? IR_GETF : IR_GETX) ||
                                                 between->op == (fp ? IR_SETF : IR_SETX))) &&
                    m->v[j].hint != (int)i->reg;
        }
        if (clear)
            hint(m, v, i->reg);
    }
}

struct emit *emitter(struct engine *e)
{
    if (!e->emit)
        e->emit = xcalloc(1, sizeof(struct emit));
    return e->emit;
}

static void start(struct emit *m, struct engine *e, const struct ir_block *ir)
{
    struct code_cache *c = &e->cache;
    m->e = e;
    m->ir = ir;
    m->paged = e->config.paged;
    m->n_cold = m->n_points = m->n_relocs = 0;
    m->first_link = e->blocks.n_links;
    m->locked = m->locked_f = m->dying = m->dying_f = 0;
    m->slots = m->dying_slots = 0;
    m->flags.at = NULL;
    m->cut = false;
    for (unsigned k = 0; k < ir->n; k++)
        m->v[k] =
            (struct value){.reg = -1, .home = -1, .slot = -1, .hint = -1, .uses = ir->uses[k]};
    memset(m->owner, 0xff, sizeof m->owner);
    memset(m->owner_f, 0xff, sizeof m->owner_f);
    memset(m->cur_x, 0xff, sizeof m->cur_x);
    memset(m->cur_f, 0xff, sizeof m->cur_f);
    m->entry = c->rw + ((c->used + 15) & ~(size_t)15);
    m->a = (struct assembler){.p = m->entry, .end = c->rw + c->size};
}

static void emit_insn(struct emit *m, unsigned n)
{
    unsigned op = m->ir->insn[n].op;
    m->pc_index = n;
    if (op == IR_NOP || op == IR_CONST)
        return;
    if (op >= IR_GETX && op <= IR_SETF) {
        bool kept = m->flags.at == m->a.p &&
                    !(op == IR_SETX && m->ir->insn[m->ir->insn[n].a].op == IR_CONST);
        emit_integer(m, n);
        end_insn(m);
        if (kept) /* moves leave the flags alone */
            m->flags.at = m->a.p;
        return;
    }
    if (op < IR_LOAD)
        emit_integer(m, n);
    else if (op <= IR_FENCE)
        emit_memory(m, n);
    else if (op < IR_BR)
        emit_float(m, n);
    else
        emit_control(m, n);
    end_insn(m);
}

static void finish(struct emit *m)
{
    m->hot_length = (uint32_t)(m->a.p - m->entry);
    emit_cold(m);
    m->reenter = (uint32_t)(m->a.p - m->entry);
    mov_guest(m, RAX, m->ir->pc);
    jmp_stub(m, m->e->stubs.leave_again);
}

enum emitted emit_block(struct engine *e, const struct ir_block *ir)
{
    struct emit *m = emitter(e);
    if (e->cache.size - e->cache.used < START_ROOM)
        return EMIT_FULL;
    code_cache_ahead(&e->cache);
    start(m, e, ir);
    /* what emit_redirect overwrites: one instruction, within 8 aligned bytes */
    static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
    memcpy(take(&m->a, sizeof nop5), nop5, sizeof nop5);
    find_hints(m);
    for (unsigned n = 0; n < ir->n && !m->a.full && !m->cut; n++) {
        uint32_t first_cold = m->n_cold;
        emit_insn(m, n);
        if (e->checked)
            emit_check(m, first_cold);
    }
    if (!m->cut)
        finish(m);
    if (!m->cut && !m->a.full)
        return EMIT_DONE;
    e->blocks.n_links = m->first_link;
    return m->cut ? EMIT_CUT : EMIT_FULL;
}

void emit_place(struct engine *e, struct block *b)
{
    struct emit *m = e->emit;
    struct code_cache *c = &e->cache;
    b->code = code_cache_rx(c, m->entry);
    b->code_len = (uint32_t)(m->a.p - m->entry);
    b->reenter = m->reenter;
    c->used = (size_t)(m->a.p - c->rw);
    b->n_points = m->n_points;
    b->points = blocks_alloc(&e->blocks, m->n_points * sizeof *b->points);
    if (m->n_points)
        memcpy(b->points, m->points, m->n_points * sizeof *b->points);
}

void emit_free(struct engine *e)
{
    struct emit *m = e->emit;
    if (!m)
        return;
    free(m->cold);
    free(m->points);
    free(m->relocs);
    free(m->link_stubs);
    free(m);
    e->emit = NULL;
}

void emit_patch_link(struct engine *e, const struct link *l, const uint8_t *code)
{
    uint8_t *site = e->cache.rw + l->site;
    int32_t d = (int32_t)(code - (e->cache.rx + l->site + 4));
    /* Another thread may be fetching this instruction. Not every site is aligned, but none crosses
     * a cache line (align_site), within which a store of 4 bytes is seen whole. */
    __atomic_store_n((int32_t *)(void *)site, d, __ATOMIC_RELEASE);
}

void emit_redirect(struct engine *e, struct block *b, const uint8_t *code)
{
    uint8_t *entry = code_cache_rw(&e->cache, b->code);
    const uint8_t *to = code ? code : b->code + b->reenter;
    int32_t d = (int32_t)(to - (b->code + 5));
    uint64_t word;
    memcpy(&word, entry, 8);
    word &= ~UINT64_C(0xffffffffff);
    word |= 0xe9 | (uint64_t)(uint32_t)d << 8;
    __atomic_store_n((uint64_t *)(void *)entry, word, __ATOMIC_RELEASE);
}
