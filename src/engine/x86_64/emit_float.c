/* Floating point on the host's SSE and FMA: Volume I, chapters F and D. The host's rounding mode is
 * always to nearest even while translated code runs, and its sticky flags are the guest's; another
 * rounding mode, and what the host does otherwise than RISC-V, goes through C. */
#include <stdlib.h>

#include "engine/fp.h"
#include "engine/x86_64/emit.h"

void op_const(struct emit *m, unsigned prefix, unsigned op, unsigned xmm, unsigned constant)
{
    struct assembler *a = &m->a;
    if (prefix)
        put8(a, prefix);
    put_rex(a, false, xmm, 0, 0, false);
    put_opcode(a, op);
    put8(a, (xmm & 7) << 3 | 5); /* [rip + disp32] */
    put_stub_rel(m, m->e->stubs.constants + 16 * constant);
}

/* d = x op constant; d may be x. */
static void op_const_to(struct emit *m, unsigned op, unsigned d, unsigned x, unsigned constant)
{
    struct assembler *a = &m->a;
    if (d == x || !host_has(m, HOST_AVX)) {
        if (d != x)
            op_rr(a, false, 0x0f28, d, x); /* movaps */
        op_const(m, 0, op, d, constant);
        return;
    }
    put8(a, 0xc5);
    put8(a, (~d & 8) << 4 | (~x & 15) << 3);
    put8(a, op & 0xff);
    put8(a, (d & 7) << 3 | 5); /* [rip + disp32] */
    put_stub_rel(m, m->e->stubs.constants + 16 * constant);
}

static unsigned prefix_of(unsigned size)
{
    return size == 8 ? 0xf2 : 0xf3;
}

static void movaps(struct emit *m, unsigned d, unsigned s)
{
    if (d != s)
        op_rr(&m->a, false, 0x0f28, d, s);
}

static void movq_to_gpr(struct emit *m, enum reg d, unsigned x, unsigned size)
{
    op_rr_full(&m->a, 0x66, size == 8, 0x0f7e, x, d, false);
}

static void movq_to_xmm(struct emit *m, unsigned x, enum reg s, unsigned size)
{
    op_rr_full(&m->a, 0x66, size == 8, 0x0f6e, x, s, false);
}

/* ucomis (quiet) or comis (signaling) */
static void compare(struct emit *m, unsigned size, bool quiet, unsigned x, unsigned y)
{
    op_rr_full(&m->a, size == 8 ? 0x66 : 0, false, quiet ? 0x0f2e : 0x0f2f, x, y, false);
}

static void load_nan_when(struct emit *m, uint8_t *site, unsigned d, unsigned size)
{
    struct cold *c = add_cold(m, COLD_CONSTANT);
    c->site = site;
    c->back = m->a.p;
    c->dest = (int8_t)d;
    c->constant = size == 8 ? CONST_NAN_D : CONST_NAN_S;
}

/* Makes a NaN result the canonical one: Volume I, section NaN Generation and Propagation. */
static void canonicalize(struct emit *m, const struct ir_insn *i, unsigned d)
{
    if (i->flags & IR_ANY_NAN)
        return;
    compare(m, i->size, true, d, d);
    load_nan_when(m, jcc_rel(&m->a, CC_P), d, i->size);
}

/* d = x op y; without AVX d must not be y, unless it is x too. */
static void op_xmm(struct emit *m, unsigned prefix, unsigned op, unsigned d, unsigned x, unsigned y)
{
    if (d == x) {
        op_rr_full(&m->a, prefix, false, op, d, y, false);
    } else if (host_has(m, HOST_AVX)) {
        avx_rrr(&m->a, prefix, op, d, x, y);
    } else {
        movaps(m, d, x);
        op_rr_full(&m->a, prefix, false, op, d, y == x ? d : y, false);
    }
}

/* The registers that the result of an operation on x and y must not be made in, for op_xmm. */
static uint32_t not_second(const struct emit *m, unsigned x, unsigned y)
{
    return x == y || host_has(m, HOST_AVX) ? 0 : 1u << y;
}

/* Whether the host, which rounds to nearest even, rounds as i asks. */
static bool rounds_as_host(const struct emit *m, const struct ir_insn *i)
{
    return i->cond == 0 || (i->cond == 7 && !(m->ir->mode & MODE_FP_SLOW));
}

static void float_in_c(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    save_all(m);
    if (i->c != IR_NONE) {
        load_argument(m, RAX, i->c);
        store64(&m->a, CPU(p.spill[SPILL_THIRD]), RAX);
    }
    load_argument(m, RDX, i->a);
    if (i->b != IR_NONE)
        load_argument(m, RCX, i->b);
    mov_ri(&m->a, RSI, fp_how(i));
    call_helper(m, (const void *)helper_float);
    if (ir_is_float(i))
        movq_to_xmm(m, def_xmm(m, n, 0), RAX, 8);
    else
        mov_rr(&m->a, def_reg(m, n), RAX);
}

/* fadd, fsub, fmul, fdiv: the upper half of a single's register comes from the first operand, which
 * is boxed. */
static void emit_arithmetic(struct emit *m, unsigned n, unsigned op)
{
    const struct ir_insn *i = &m->ir->insn[n];
    unsigned x = use_xmm(m, i->a), y = use_xmm(m, i->b);
    unsigned d = def_xmm(m, n, not_second(m, x, y));
    op_xmm(m, prefix_of(i->size), op, d, x, y);
    canonicalize(m, i, d);
}

static void emit_sqrt(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    unsigned x = use_xmm(m, i->a), d = def_xmm(m, n, 0);
    op_xmm(m, prefix_of(i->size), 0x0f51, d, x, x);
    canonicalize(m, i, d);
}

static void emit_fma(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    static const unsigned char forms[] = {0xb9, 0xbb, 0xbd,
                                          0xbf}; /* addend negated; product; both */
    unsigned form = (i->flags & IR_NEG_ADDEND ? 1u : 0) | (i->flags & IR_NEG_PRODUCT ? 2u : 0);
    unsigned x = use_xmm(m, i->a), y = use_xmm(m, i->b), z = use_xmm(m, i->c);
    unsigned d = def_xmm(m, n, 1u << x | 1u << y);
    movaps(m, d, z);
    uint32_t live = live_temps(m) & ~(1u << (d + 16));
    vex_rrr(&m->a, 2, 1, i->size == 8, forms[form], d, x, y);
    compare(m, i->size, true, d, d);
    struct cold *c = add_cold(m, COLD_FMA);
    c->site = jcc_rel(&m->a, CC_P);
    c->back = m->a.p;
    c->data = (int8_t)x;
    c->address = (int8_t)y;
    c->dest = (int8_t)d;
    c->dest_float = true;
    c->live = live;
    c->what = fp_how(i);
    c->constant = i->size == 8 ? 0x7ff8000000000000u : 0xffffffff7fc00000u;
}

/* The box is compared in memory when the operand is only there. */
static void emit_unbox(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    const struct value *v = &m->v[i->a];
    enum reg t = NO_REG;
    if (v->reg < 0 && v->home >= 0 && pinned_f((unsigned)v->home) < 0) {
        struct mem box = CPU_F(v->home);
        box.disp += 4;
        alu_mi(&m->a, false, ALU_CMP, box, -1);
    } else {
        t = scratch(m);
    }
    unsigned x = use_xmm(m, i->a), d = def_xmm(m, n, 0); /* loads and moves: no flags change */
    if (t != NO_REG)
        movq_to_gpr(m, t, x, 8);
    movaps(m, d, x);
    if (t != NO_REG) {
        shift_ri(&m->a, true, SH_SAR, t, 32);
        alu_ri(&m->a, false, ALU_CMP, t, -1);
    }
    load_nan_when(m, jcc_rel(&m->a, CC_NE), d, i->size);
}

static void emit_sign(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    bool wide = i->size == 8;
    unsigned sign = wide ? CONST_SIGN_D : CONST_SIGN_S, rest = wide ? CONST_REST_D : CONST_REST_S;
    bool same = i->a == i->b;
    unsigned x = use_xmm(m, i->a), y = use_xmm(m, i->b);
    if (same) {
        unsigned d = def_xmm(m, n, 0);
        if (i->reg == SGNJN)
            op_const_to(m, 0x0f57, d, x, sign); /* xorps */
        else if (i->reg == SGNJX)
            op_const_to(m, 0x0f54, d, x, rest); /* andps */
        else
            movaps(m, d, x);
        return;
    }
    unsigned t = scratch_xmm(m), d = def_xmm(m, n, 1u << y);
    op_const_to(m, i->reg == SGNJN ? 0x0f55 : 0x0f54, t, y, sign); /* andnps, andps */
    if (i->reg == SGNJX) {
        op_xmm(m, 0, 0x0f57, d, x, t); /* xorps */
        return;
    }
    op_const_to(m, 0x0f54, d, x, rest);
    op_rr(&m->a, false, 0x0f56, d, t); /* orps */
}

/* The host's minss answers its second operand when both are zeros; both ways around together have
 * the right sign. NaNs go through C; whether one signals is said by the comparison. */
static void emit_extremum(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    bool min = i->op == IR_FMIN;
    unsigned op = min ? 0x0f5d : 0x0f5f;
    unsigned x = use_xmm(m, i->a), y = use_xmm(m, i->b);
    unsigned t = scratch_xmm(m), d = def_xmm(m, n, not_second(m, x, y));
    struct cold *c = add_cold(m, COLD_FLOAT2);
    c->live = live_temps(m) & ~(1u << (d + 16));
    c->data = (int8_t)x;
    c->address = (int8_t)y;
    c->dest = (int8_t)d;
    c->dest_float = true;
    c->what = fp_how(i);
    compare(m, i->size, true, x, y);
    c->site = jcc_rel(&m->a, CC_P);
    op_xmm(m, prefix_of(i->size), op, t, y, x);
    op_xmm(m, prefix_of(i->size), op, d, x, y);
    op_rr(&m->a, false, min ? 0x0f56 : 0x0f54, d, t); /* orps, andps */
    c->back = m->a.p;
}

static void emit_comparison(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    unsigned x = use_xmm(m, i->a), y = use_xmm(m, i->b);
    enum reg t = i->op == IR_FEQ ? scratch(m) : NO_REG, d = def_reg(m, n);
    op_rr(a, false, 0x33, d, d); /* xor: the upper bits of what setcc leaves */
    if (i->op == IR_FEQ) {
        compare(m, i->size, true, x, y);
        setcc(a, CC_NP, t);
        setcc(a, CC_E, d);
        alu_rr(a, false, ALU_AND, d, t);
        note_flags(m, n);
    } else {
        enum cc cc = i->op == IR_FLT ? CC_A : CC_AE;
        compare(m, i->size, false, y, x);
        setcc(a, cc, d);
        note_flags(m, n);
        m->flags.nonzero = cc;
        m->flags.sign = false;
    }
}

/* Redoes i in C when the host's conversion did not fit. */
static void redo_when(struct emit *m, const struct ir_insn *i, uint8_t *site, unsigned x,
                      enum reg d)
{
    struct cold *c = add_cold(m, COLD_FLOAT);
    c->site = site;
    c->data = (int8_t)x;
    c->dest = (int8_t)d;
    c->live = live_temps(m) & ~(1u << d);
    c->what = fp_how(i);
}

/* The largest value, as raw bits, that an unsigned conversion by way of a signed 64-bit one gets
 * right in any rounding. */
static uint64_t unsigned_bound(const struct ir_insn *i)
{
    if (i->reg == INT_WU)
        return i->size == 8 ? 0x41efffffffe00000u : 0x4f800000u; /* 2^32 - 1; 2^32 */
    return i->size == 8 ? 0x43e0000000000000u : 0x5f000000u;     /* 2^63 */
}

static void emit_to_int(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    unsigned x = use_xmm(m, i->a);
    enum reg t = scratch(m), t2 = scratch(m), d = def_reg(m, n);
    unsigned op = i->cond == 1 ? 0x0f2c : 0x0f2d; /* cvtt truncates, cvt rounds */
    uint8_t *unfit = NULL;
    if (i->reg == INT_WU || i->reg == INT_LU) {
        movq_to_gpr(m, t, x, i->size);
        mov_ri(a, t2, unsigned_bound(i));
        alu_rr(a, i->size == 8, ALU_CMP, t, t2); /* the negative ones look larger still */
        unfit = jcc_rel(a, CC_AE);
        redo_when(m, i, unfit, x, d);
    }
    bool wide = i->reg != INT_W;
    op_rr_full(a, prefix_of(i->size), wide, op, t, x, false);
    if (!unfit) { /* what does not fit is made INT_MIN by the host */
        alu_ri(a, wide, ALU_CMP, t, 1);
        redo_when(m, i, jcc_rel(a, CC_O), x, d);
    }
    if (i->reg == INT_W || i->reg == INT_WU)
        movsxd(a, d, t);
    else
        mov_rr(a, d, t);
    m->cold[m->n_cold - 1].back = a->p;
}

static void emit_from_int(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    enum reg x = use_reg(m, i->a);
    if (i->reg == INT_WU) {
        enum reg t = scratch(m);
        mov_rr32(a, t, x);
        x = t;
    }
    enum reg half = i->reg == INT_LU ? scratch(m) : x;
    unsigned d = def_xmm(m, n, 0);
    if (i->size == 8)
        op_rr(a, false, 0x0f57, d, d); /* xorps: no dependency on what was there */
    else
        op_rr_full(a, 0x66, false, 0x0f76, d, d, false); /* pcmpeqd: all ones, boxed */
    struct cold *c = NULL;
    if (i->reg == INT_LU) {
        test_rr(a, true, x, x);
        c = add_cold(m, COLD_HALVES);
        c->site = jcc_rel(a, CC_S);
        c->data = (int8_t)x;
        c->address = (int8_t)half;
        c->dest = (int8_t)d;
        c->what = i->size;
    }
    op_rr_full(a, prefix_of(i->size), i->reg != INT_W, 0x0f2a, d, x, false);
    if (c)
        c->back = a->p;
}

static void emit_between_formats(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool wider = i->size == 8, avx = host_has(m, HOST_AVX);
    unsigned x = use_xmm(m, i->a), d = def_xmm(m, n, wider && avx ? 0 : 1u << x);
    if (wider && avx) {
        avx_rrr(a, 0xf3, 0x0f5a, d, x, x);
        canonicalize(m, i, d);
        return;
    }
    if (wider)
        op_rr(a, false, 0x0f57, d, d);
    else
        op_rr_full(a, 0x66, false, 0x0f76, d, d, false);
    op_rr_full(a, prefix_of(i->reg), false, 0x0f5a, d, x, false);
    canonicalize(m, i, d);
}

static void emit_move(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    if (i->op == IR_FMV_TO_INT) {
        unsigned x = use_xmm(m, i->a);
        enum reg d = def_reg(m, n);
        movq_to_gpr(m, d, x, i->size);
        if (i->size == 4)
            movsxd(&m->a, d, d);
        return;
    }
    enum reg x = use_reg(m, i->a);
    unsigned d = def_xmm(m, n, 0);
    movq_to_xmm(m, d, x, i->size);
    if (i->size == 4)
        op_const(m, 0, 0x0f56, d, CONST_BOX);
}

static void stmxcsr(struct emit *m)
{
    op_rm(&m->a, false, 0x0fae, 3, CPU(p.guest_mxcsr));
}

/* The flags are those in cpu->fflags and those that the host has gathered since. */
void emit_get_flags(struct emit *m, unsigned n)
{
    struct assembler *a = &m->a;
    enum reg t = scratch(m), table = scratch(m), d = def_reg(m, n);
    stmxcsr(m);
    load32(a, t, CPU(p.guest_mxcsr));
    alu_ri(a, false, ALU_AND, t, 0x3f);
    put_rex(a, true, table, 0, 0, false);
    put8(a, 0x8d); /* lea table, [rip + disp32] */
    put8(a, (table & 7) << 3 | 5);
    put_stub_rel(m, m->e->stubs.constants + 16 * N_CONSTANTS);
    op_rm(a, false, 0x0fb6, t, mem_index(table, t, 0, 0));
    op_rm(a, false, 0x0fb6, d, CPU(fflags));
    alu_rr(a, false, ALU_OR, d, t);
}

void emit_set_flags(struct emit *m, unsigned n)
{
    struct assembler *a = &m->a;
    enum reg x = use_reg(m, m->ir->insn[n].a), t = scratch(m);
    mov_rr32(a, t, x);
    alu_ri(a, false, ALU_AND, t, 0x1f);
    op_rm_full(a, 0, false, 0x88, t, CPU(fflags), true);
    stmxcsr(m);
    op_rm(a, false, 0xf7, 0, CPU(p.guest_mxcsr)); /* test */
    put32(a, 0x3f);
    uint8_t *clear = jcc_short(a, CC_E);
    alu_mi(a, false, ALU_AND, CPU(p.guest_mxcsr), ~0x3f);
    op_rm(a, false, 0x0fae, 2, CPU(p.guest_mxcsr)); /* ldmxcsr */
    set_short(a, clear);
}

/* Whether the host does i as RISC-V wants it, flags included. */
static bool in_line(const struct emit *m, const struct ir_insn *i)
{
    if (i->size < 4 || (i->op == IR_FCVT_FF && i->reg < 4))
        return false;
    switch (i->op) {
    case IR_FADD:
    case IR_FSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT: return rounds_as_host(m, i);
    case IR_FMADD: return host_has(m, HOST_FMA) && rounds_as_host(m, i);
    case IR_FCVT_FF: return i->size == 8 || rounds_as_host(m, i);
    case IR_FCVT_TO_INT: return i->cond == 1 || rounds_as_host(m, i);
    case IR_FCVT_FROM_INT:
        return rounds_as_host(m, i) || (i->size == 8 && (i->reg == INT_W || i->reg == INT_WU));
    case IR_FCLASS: return false;
    default: return true;
    }
}

void emit_float(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    if (!in_line(m, i)) {
        float_in_c(m, n);
        return;
    }
    switch (i->op) {
    case IR_FADD: emit_arithmetic(m, n, 0x0f58); break;
    case IR_FSUB: emit_arithmetic(m, n, 0x0f5c); break;
    case IR_FMUL: emit_arithmetic(m, n, 0x0f59); break;
    case IR_FDIV: emit_arithmetic(m, n, 0x0f5e); break;
    case IR_FSQRT: emit_sqrt(m, n); break;
    case IR_FMADD: emit_fma(m, n); break;
    case IR_FMIN:
    case IR_FMAX: emit_extremum(m, n); break;
    case IR_FSGNJ: emit_sign(m, n); break;
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE: emit_comparison(m, n); break;
    case IR_FCVT_TO_INT: emit_to_int(m, n); break;
    case IR_FCVT_FROM_INT: emit_from_int(m, n); break;
    case IR_FCVT_FF: emit_between_formats(m, n); break;
    case IR_FMV_TO_INT:
    case IR_FMV_FROM_INT: emit_move(m, n); break;
    case IR_UNBOX: emit_unbox(m, n); break;
    default: abort();
    }
}
