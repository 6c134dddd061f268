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

/* Leaves a shift left by 1 to 3 bits to the addition that alone uses it, a lea: when nothing is
 * emitted between the two. */
static bool fold_shift(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n], *user = i + 1;
    if (i->op != IR_SHL || i->b != IR_NONE || i->imm < 1 || i->imm > 3 || m->v[n].uses != 1)
        return false;
    while (user->op == IR_GETX || user->op == IR_CONST)
        user++;
    bool first = user->a == n, second = user->b == n;
    if (user->op != IR_ADD || user->b == IR_NONE || first == second || user->size > i->size)
        return false;
    m->v[n].folded = true;
    return true;
}

/* An addition with a shift folded into it. */
static void emit_scaled_add(struct emit *m, unsigned n, unsigned shifted, unsigned other)
{
    const struct ir_insn *i = &m->ir->insn[n], *shift = &m->ir->insn[shifted];
    use_nothing(m, shifted);
    enum reg y = use_reg(m, other), x = use_reg(m, shift->a), d = def_reg(m, n);
    lea(&m->a, i->size == 8, d, mem_index(y, x, (int)shift->imm, 0));
    sign_extend_word(m, i, d);
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
        if (d != x) {
            lea(a, w, d, mem_at(x, (int32_t)c));
            sign_extend_word(m, i, d);
            return;
        }
        alu_ri(a, w, ALU_ADD, d, (int32_t)c);
        sign_extend_word(m, i, d);
        note_flags(m, n);
        return;
    }
    if (m->v[i->a].folded || (i->b != IR_NONE && m->v[i->b].folded)) {
        bool first = m->v[i->a].folded;
        emit_scaled_add(m, n, first ? i->a : i->b, first ? i->b : i->a);
        return;
    }
    enum reg x = use_reg(m, i->a);
    if (i->b != IR_NONE && i->b != i->a && use_mem(m, i->b, &mem)) {
        enum reg d = def_reg(m, n);
        mov_rr(a, d, x);
        alu_rm(a, w, ALU_ADD, d, mem);
        sign_extend_word(m, i, d);
        note_flags(m, n);
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
    if (d == x || d == y)
        note_flags(m, n);
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
    } else if (op == ALU_SUB && m->v[i->a].reg < 0 && value_is_const(m, i->a, &c) && c == 0) {
        use_nothing(m, i->a);
        enum reg y = use_reg(m, i->b);
        d = def_reg(m, n);
        mov_rr(a, d, y);
        unary(a, w, UN_NEG, d);
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
    note_flags(m, n);
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

/* d = x shifted by a constant. */
static void shift_constant(struct emit *m, unsigned n, enum shift op, enum reg d, enum reg x,
                           unsigned by)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    bool w = i->size == 8;
    if (d != x && op == SH_SHL && by == 1) {
        lea(a, w, d, mem_index(x, x, 0, 0));
    } else if (d != x && op < SH_SHL && host_has(m, HOST_BMI2)) {
        vex_rrr(a, 3, 3, w, 0xf0, d, 0, x); /* rorx */
        put8(a, op == SH_ROR ? by : (8u * i->size - by));
    } else {
        mov_rr(a, d, x);
        shift_ri(a, w, op, d, by);
    }
    sign_extend_word(m, i, d);
    if (op >= SH_SHL && by && (d == x || by != 1))
        note_flags(m, n);
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
        shift_constant(m, n, op, d, x, (unsigned)c & (w ? 63 : 31));
        return;
    }
    if (host_has(m, HOST_BMI2) && op >= SH_SHL) {
        enum reg x = use_reg(m, i->a), y = second(m, i);
        d = def_reg(m, n);
        vex_rrr(a, 2, op == SH_SHL ? 1 : op == SH_SAR ? 2 : 3, w, 0xf7, d, y, x);
    } else {
        scratch_this(m, RCX);
        enum reg y = second(m, i), x = use_reg(m, i->a);
        d = def_reg(m, n);
        mov_rr(a, RCX, y);
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
    enum reg x = use_reg(m, i->a), y = second(m, i), d = def_reg_from(m, n, RDX);
    mov_rr(a, RAX, x);
    unary(a, true, i->op == IR_MULH ? UN_IMUL : UN_MUL, y);
    if (i->op == IR_MULHSU) { /* a negative counted 2^64 too much */
        mov_rr(a, RAX, x);
        shift_ri(a, true, SH_SAR, RAX, 63);
        alu_rr(a, true, ALU_AND, RAX, y);
        alu_rr(a, true, ALU_SUB, RDX, RAX);
    }
    mov_rr(a, d, RDX);
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
    enum reg x = use_reg(m, i->a), y = second(m, i), d = def_reg_from(m, n, RAX);
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
    const struct ir_insn *i = &m->ir->insn[n];
    bool clear = false;
    enum cc cc;
    enum reg d;
    if (emit_compared(m, n, &cc)) {
        d = def_reg(m, n);
    } else {
        struct comparison k = read_comparison(m, i);
        d = def_reg(m, n);
        clear = d != k.a && d != k.b;
        if (clear)
            op_rr(&m->a, false, 0x33, d, d); /* xor */
        put_comparison(m, &k);
        cc = cc_of(i->cond);
        m->flags = (struct known_flags){.a = i->a, .b = i->b, .imm = i->imm};
    }
    setcc(&m->a, cc, d);
    if (!clear)
        movzx8(&m->a, d, d);
    m->flags.at = m->a.p;
    m->flags.value = (uint16_t)n;
    m->flags.nonzero = cc;
    m->flags.sign = false;
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
    case IR_SHL:
        if (!fold_shift(m, n))
            emit_shift(m, n, SH_SHL);
        break;
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
    case IR_CPOP:
    case IR_BSWAP:
    case IR_ORCB:
    case IR_PURE: emit_bits(m, n); break;
    default: abort();
    }
}
