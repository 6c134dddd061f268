/* Integer operations. */
#include <stdlib.h>

#include "engine/x86_64/emit.h"

/* The second operand when it is a constant that an immediate can hold; counts the use. */
static bool immediate(struct emit *m, const struct ir_insn *i, int64_t *c)
{
    if (i->b == IR_NONE) {
        *c = i->imm;
        return fits32(*c);
    }
    if (m->v[i->b].reg >= 0 || !value_is_const(m, i->b, c) || !fits32(*c))
        return false;
    use_nothing(m, i->b);
    return true;
}

/* The second operand in a register. */
static enum reg second(struct emit *m, const struct ir_insn *i)
{
    if (i->b != IR_NONE)
        return use_reg(m, i->b);
    enum reg t = scratch(m);
    mov_ri(&m->a, t, (uint64_t)i->imm);
    return t;
}

/* The upper half of a W form's result, which the host made zero: not needed when nobody looks, or
 * when the sign is 0. */
static void sign_extend_word(struct emit *m, const struct ir_insn *i, enum reg d)
{
    bool positive = i->op == IR_SHR && i->b == IR_NONE && i->imm & 31;
    if (i->size == 4 && !(i->flags & IR_LOW32) && !positive)
        movsxd(&m->a, d, d);
}

static void emit_add(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool w = i->size == 8;
    int64_t c;
    struct mem mem;
    if (immediate(m, i, &c)) {
        enum reg x = use_reg(m, i->a), d = def_reg(m, n);
        if (d == x)
            alu_ri(a, w, ALU_ADD, d, (int32_t)c);
        else
            lea(a, w, d, mem_at(x, (int32_t)c));
        sign_extend_word(m, i, d);
        return;
    }
    enum reg x = use_reg(m, i->a);
    if (i->b != IR_NONE && i->b != i->a && use_mem(m, i->b, &mem)) {
        enum reg d = def_reg(m, n);
        mov_rr(a, d, x);
        alu_rm(a, w, ALU_ADD, d, mem);
        sign_extend_word(m, i, d);
        return;
    }
    enum reg y = second(m, i), d = def_reg(m, n);
    if (d == x)
        alu_rr(a, w, ALU_ADD, d, y);
    else if (d == y)
        alu_rr(a, w, ALU_ADD, d, x);
    else
        lea(a, w, d, mem_index(x, y, 0, 0));
    sign_extend_word(m, i, d);
}

/* sub, and, or, xor */
static void emit_alu(struct emit *m, unsigned n, enum alu op)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool w = i->size == 8 || op != ALU_SUB;
    int64_t c;
    struct mem mem;
    enum reg d;
    if (immediate(m, i, &c)) {
        enum reg x = use_reg(m, i->a);
        d = def_reg(m, n);
        mov_rr(a, d, x);
        alu_ri(a, w, op, d, (int32_t)c);
    } else {
        enum reg x = use_reg(m, i->a);
        if (i->b != IR_NONE && i->b != i->a && use_mem(m, i->b, &mem)) {
            d = def_reg(m, n);
            mov_rr(a, d, x);
            alu_rm(a, w, op, d, mem);
        } else {
            enum reg y = second(m, i);
            d = def_reg(m, n);
            if (d == y && d != x) {
                if (op == ALU_SUB) {
                    unary(a, w, UN_NEG, d);
                    alu_rr(a, w, ALU_ADD, d, x);
                } else {
                    alu_rr(a, w, op, d, x);
                }
            } else {
                mov_rr(a, d, x);
                alu_rr(a, w, op, d, y);
            }
        }
    }
    if (op == ALU_SUB)
        sign_extend_word(m, i, d);
}

/* andn, orn, xnor */
static void emit_inverted(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    enum reg x = use_reg(m, i->a), y = second(m, i);
    if (i->op == IR_ANDN && host_has(m, HOST_BMI1)) {
        vex_rrr(a, 2, 0, true, 0xf2, def_reg(m, n), y, x);
        return;
    }
    enum reg d = def_reg_not(m, n, 1u << x);
    mov_rr(a, d, y);
    unary(a, true, UN_NOT, d);
    alu_rr(a, true, i->op == IR_ANDN ? ALU_AND : i->op == IR_ORN ? ALU_OR : ALU_XOR, d, x);
}

static void emit_shift(struct emit *m, unsigned n, enum shift op)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool w = i->size == 8;
    int64_t c;
    enum reg d;
    if (immediate(m, i, &c)) {
        enum reg x = use_reg(m, i->a);
        d = def_reg(m, n);
        mov_rr(a, d, x);
        shift_ri(a, w, op, d, (unsigned)c & (w ? 63 : 31));
        sign_extend_word(m, i, d);
        return;
    }
    if (host_has(m, HOST_BMI2) && op >= SH_SHL) {
        enum reg x = use_reg(m, i->a), y = second(m, i);
        d = def_reg(m, n);
        vex_rrr(a, 2, op == SH_SHL ? 1 : op == SH_SAR ? 2 : 3, w, 0xf7, d, y, x);
    } else {
        scratch_this(m, RCX);
        enum reg y = second(m, i);
        mov_rr(a, RCX, y);
        enum reg x = use_reg(m, i->a);
        d = def_reg_not(m, n, 1u << RCX);
        mov_rr(a, d, x);
        shift_cl(a, w, op, d);
    }
    sign_extend_word(m, i, d);
}

static void emit_mul(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool w = i->size == 8;
    int64_t c;
    enum reg d;
    if (immediate(m, i, &c)) {
        enum reg x = use_reg(m, i->a);
        d = def_reg(m, n);
        op_rr(a, w, 0x69, d, x);
        put32(a, (uint32_t)c);
    } else {
        enum reg x = use_reg(m, i->a), y = second(m, i);
        d = def_reg(m, n);
        if (d == y) {
            op_rr(a, w, 0x0faf, d, x);
        } else {
            mov_rr(a, d, x);
            op_rr(a, w, 0x0faf, d, y);
        }
    }
    sign_extend_word(m, i, d);
}

static void emit_mul_high(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    scratch_this(m, RAX);
    scratch_this(m, RDX);
    enum reg x = use_reg(m, i->a), y = second(m, i);
    mov_rr(a, RAX, x);
    unary(a, true, i->op == IR_MULH ? UN_IMUL : UN_MUL, y);
    if (i->op == IR_MULHSU) { /* a negative counted 2^64 too much */
        mov_rr(a, RAX, x);
        shift_ri(a, true, SH_SAR, RAX, 63);
        alu_rr(a, true, ALU_AND, RAX, y);
        alu_rr(a, true, ALU_SUB, RDX, RAX);
    }
    m->locked &= ~(1u << RDX);
    mov_rr(a, def_reg_not(m, n, m->locked & TEMP_MASK), RDX);
}

/* Division by 0 and overflow do not trap but have results: Volume I, chapter M. */
static void emit_divide(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool w = i->size == 8;
    bool is_signed = i->op == IR_DIV || i->op == IR_REM;
    bool rem = i->op == IR_REM || i->op == IR_REMU;
    scratch_this(m, RAX);
    scratch_this(m, RDX);
    enum reg x = use_reg(m, i->a), y = second(m, i);
    m->locked &= ~(1u << RAX); /* where the result is in the end */
    enum reg d = def_reg_not(m, n, 1u << RDX | ((m->dying | m->locked) & TEMP_MASK));
    if (w)
        mov_rr(a, RAX, x);
    else
        mov_rr32(a, RAX, x);
    if (is_signed) {
        lea(a, w, RDX, mem_at(y, 1));
        alu_ri(a, w, ALU_CMP, RDX, 1); /* y is -1 or 0 */
    } else {
        test_rr(a, w, y, y);
    }
    uint8_t *special = jcc_short(a, is_signed ? CC_BE : CC_E);
    if (is_signed) {
        put_rex(a, w, 0, 0, 0, false);
        put8(a, 0x99); /* cqo, cdq */
    } else {
        op_rr(a, false, 0x33, RDX, RDX);
    }
    unary(a, w, is_signed ? UN_IDIV : UN_DIV, y);
    if (rem)
        mov_rr(a, RAX, RDX);
    uint8_t *done = jmp_short(a), *done2 = NULL;
    set_short(a, special);
    if (rem) {
        if (is_signed) { /* x % 0 = x, x % -1 = 0 */
            test_rr(a, w, y, y);
            done2 = jcc_short(a, CC_E);
            op_rr(a, false, 0x33, RAX, RAX);
        }
    } else {
        if (is_signed) { /* x / 0 = -1, x / -1 = -x */
            unary(a, w, UN_NEG, RAX);
            test_rr(a, w, y, y);
            done2 = jcc_short(a, CC_NE);
        }
        alu_ri(a, true, ALU_OR, RAX, -1);
    }
    if (done2)
        set_short(a, done2);
    set_short(a, done);
    if (w)
        mov_rr(a, d, RAX);
    else
        movsxd(a, d, RAX);
}

static void emit_minmax(struct emit *m, unsigned n)
{
    static const unsigned char take_second[] = {CC_G, CC_L, CC_A, CC_B}; /* min, max, minu, maxu */
    const struct ir_insn *i = &m->ir->insn[n];
    enum reg x = use_reg(m, i->a), y = second(m, i);
    enum reg d = def_reg_not(m, n, 1u << y);
    alu_rr(&m->a, true, ALU_CMP, x, y);
    mov_rr(&m->a, d, x);
    cmov(&m->a, (enum cc)take_second[i->op - IR_MIN], d, y);
}

static void emit_setcond(struct emit *m, unsigned n)
{
    enum cc cc = emit_compare(m, &m->ir->insn[n]);
    enum reg d = def_reg(m, n);
    setcc(&m->a, cc, d);
    movzx8(&m->a, d, d);
}

static void emit_select(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    enum reg c = use_reg(m, i->a), x = use_reg(m, i->b), y = use_reg(m, i->c);
    enum reg d = def_reg_not(m, n, 1u << x | 1u << c);
    mov_rr(&m->a, d, y);
    test_rr(&m->a, true, c, c);
    cmov(&m->a, CC_NE, d, x);
}

static void emit_extend(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    enum reg x = use_reg(m, i->a), d = def_reg(m, n);
    bool sext = i->op == IR_SEXT;
    switch (i->size) {
    case 1: op_rr_full(a, 0, sext, sext ? 0x0fbe : 0x0fb6, d, x, true); break;
    case 2: op_rr(a, sext, sext ? 0x0fbf : 0x0fb7, d, x); break;
    case 4:
        if (sext)
            movsxd(a, d, x);
        else
            mov_rr32(a, d, x);
        break;
    default: mov_rr(a, d, x);
    }
}

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

static uint64_t orc_b(uint64_t x, uint64_t unused)
{
    uint64_t low = 0x7f7f7f7f7f7f7f7full;
    uint64_t set = (((x & low) + low) | x) & ~low; /* bit 7 of each byte that is not 0 */
    return (set >> 7) * 0xff;
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
    mov_ri(&m->a, RSI, fn);
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

static struct mem state_field(const struct ir_insn *i)
{
    return mem_at(RBP, (int32_t)i->imm - CPU_BIAS);
}

void emit_integer(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    switch (i->op) {
    case IR_GETX: get_home(m, i->reg, n, false); break;
    case IR_SETX: set_home(m, i->reg, i->a, false); break;
    case IR_GETF: get_home(m, i->reg, n, true); break;
    case IR_SETF: set_home(m, i->reg, i->a, true); break;
    case IR_GETS: load64(&m->a, def_reg(m, n), state_field(i)); break;
    case IR_SETS: store64(&m->a, state_field(i), use_reg(m, i->a)); break;
    case IR_GETFF: emit_get_flags(m, n); break;
    case IR_SETFF: emit_set_flags(m, n); break;
    case IR_ADD: emit_add(m, n); break;
    case IR_SUB: emit_alu(m, n, ALU_SUB); break;
    case IR_AND: emit_alu(m, n, ALU_AND); break;
    case IR_OR: emit_alu(m, n, ALU_OR); break;
    case IR_XOR: emit_alu(m, n, ALU_XOR); break;
    case IR_ANDN:
    case IR_ORN:
    case IR_XNOR: emit_inverted(m, n); break;
    case IR_SHL: emit_shift(m, n, SH_SHL); break;
    case IR_SHR: emit_shift(m, n, SH_SHR); break;
    case IR_SAR: emit_shift(m, n, SH_SAR); break;
    case IR_ROL: emit_shift(m, n, SH_ROL); break;
    case IR_ROR: emit_shift(m, n, SH_ROR); break;
    case IR_MUL: emit_mul(m, n); break;
    case IR_MULH:
    case IR_MULHU:
    case IR_MULHSU: emit_mul_high(m, n); break;
    case IR_DIV:
    case IR_DIVU:
    case IR_REM:
    case IR_REMU: emit_divide(m, n); break;
    case IR_MIN:
    case IR_MAX:
    case IR_MINU:
    case IR_MAXU: emit_minmax(m, n); break;
    case IR_SETCOND: emit_setcond(m, n); break;
    case IR_SELECT: emit_select(m, n); break;
    case IR_SEXT:
    case IR_ZEXT: emit_extend(m, n); break;
    case IR_CLZ:
    case IR_CTZ:
    case IR_CPOP: emit_count(m, n); break;
    case IR_BSWAP: emit_bswap(m, n); break;
    case IR_ORCB: emit_pure(m, n, (uint64_t)(uintptr_t)orc_b, IR_NONE, 0); break;
    case IR_PURE: emit_pure(m, n, (uint64_t)i->imm, i->b, 0); break;
    default: abort();
    }
}
