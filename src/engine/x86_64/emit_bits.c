/* Counting and rearranging bits, and what is done in C. */
#include <stdlib.h>

#include "engine/x86_64/emit.h"

static uint64_t count_leading(uint64_t x, uint64_t bits)
{
    x <<= 64 - bits;
    return x ? (uint64_t)__builtin_clzll(x) : bits;
}

static uint64_t count_trailing(uint64_t x, uint64_t bits)
{
    if (bits < 64)
        x |= 1ull << bits;
    return x ? (uint64_t)__builtin_ctzll(x) : bits;
}

static uint64_t count_ones(uint64_t x, uint64_t bits)
{
    return (uint64_t)__builtin_popcountll(x << (64 - bits));
}

/* Calls fn(a, b) in C. The second operand is a value, or a constant when b is IR_NONE. */
static void emit_pure(struct emit *m, unsigned n, uint64_t fn, unsigned b, uint64_t constant)
{
    const struct ir_insn *i = &m->ir->insn[n];
    save_all(m);
    load_argument(m, RDX, i->a);
    if (b != IR_NONE)
        load_argument(m, RCX, b);
    else
        mov_ri(&m->a, RCX, constant);
    mov_host(m, RSI, (const void *)(uintptr_t)fn);
    call_helper(m, (const void *)helper_pure);
    mov_rr(&m->a, def_reg(m, n), RAX); /* nothing is in the temporaries now */
}

/* clz, ctz, cpop */
static void emit_count(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    bool native = i->op == IR_CLZ   ? host_has(m, HOST_LZCNT)
                  : i->op == IR_CTZ ? host_has(m, HOST_BMI1)
                                    : host_has(m, HOST_POPCNT);
    unsigned opcode = i->op == IR_CLZ ? 0x0fbd : i->op == IR_CTZ ? 0x0fbc : 0x0fb8;
    if (native) {
        enum reg x = use_reg(m, i->a);
        op_rr_full(&m->a, 0xf3, i->size == 8, opcode, def_reg(m, n), x, false);
        return;
    }
    uint64_t (*fn)(uint64_t, uint64_t) = i->op == IR_CLZ   ? count_leading
                                         : i->op == IR_CTZ ? count_trailing
                                                           : count_ones;
    emit_pure(m, n, (uint64_t)(uintptr_t)fn, IR_NONE, i->size * 8u);
}

static void emit_bswap(struct emit *m, unsigned n)
{
    enum reg x = use_reg(m, m->ir->insn[n].a), d = def_reg(m, n);
    mov_rr(&m->a, d, x);
    put_rex(&m->a, true, 0, 0, d, false);
    put8(&m->a, 0x0f);
    put8(&m->a, 0xc8 + (d & 7));
}

/* Each byte that is not 0 becomes 0xff. */
static void emit_orc(struct emit *m, unsigned n)
{
    struct assembler *a = &m->a;
    unsigned t = scratch_xmm(m), zero = scratch_xmm(m);
    enum reg x = use_reg(m, m->ir->insn[n].a), d = def_reg(m, n);
    op_rr_full(a, 0x66, true, 0x0f6e, t, x, false);        /* movq */
    op_rr_full(a, 0x66, false, 0x0fef, zero, zero, false); /* pxor */
    op_rr_full(a, 0x66, false, 0x0f74, t, zero, false);    /* pcmpeqb: those that are 0 */
    op_rr_full(a, 0x66, false, 0x0f74, t, zero, false);    /* and those that are not */
    op_rr_full(a, 0x66, true, 0x0f7e, t, d, false);
}

void emit_bits(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    switch (i->op) {
    case IR_CLZ:
    case IR_CTZ:
    case IR_CPOP: emit_count(m, n); break;
    case IR_BSWAP: emit_bswap(m, n); break;
    case IR_ORCB: emit_orc(m, n); break;
    case IR_PURE: emit_pure(m, n, (uint64_t)i->imm, i->b, 0); break;
    default: abort();
    }
}
