#include "engine/ir_build.h"

#include <stddef.h>
#include <string.h>

static bool fits32(uint64_t v)
{
    return v == (uint64_t)(int32_t)v;
}

void build_start(struct builder *bd, struct cpu *cpu, struct ir_block *b)
{
    *bd = (struct builder){.cpu = cpu, .b = b};
    memset(bd->x, 0xff, sizeof bd->x);
    memset(bd->f, 0xff, sizeof bd->f);
    memset(bd->unboxed, 0xff, sizeof bd->unboxed);
}

uint16_t build_insn(struct builder *bd, struct ir_insn i)
{
    i.gi = bd->gi;
    bd->b->insn[bd->b->n] = i;
    return (uint16_t)bd->b->n++;
}

/* An instruction without operands yet. */
static struct ir_insn insn(enum ir_op op, unsigned size)
{
    return (struct ir_insn){
        .op = (uint8_t)op, .size = (uint8_t)size, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
}

static const struct ir_insn *maker(const struct builder *bd, uint16_t v)
{
    return &bd->b->insn[v];
}

uint16_t build_const(struct builder *bd, uint64_t value)
{
    struct ir_insn i = insn(IR_CONST, 8);
    i.imm = (int64_t)value;
    return build_insn(bd, i);
}

uint16_t build_relative(struct builder *bd, uint64_t address)
{
    build_reach(bd, address);
    uint16_t v = build_const(bd, address);
    if (!bd->b->bound)
        bd->b->insn[v].flags = IR_RELATIVE;
    return v;
}

void build_bind(struct builder *bd)
{
    bd->b->bound = true;
}

void build_reach(struct builder *bd, uint64_t address)
{
    const uint64_t reach = UINT64_C(1) << 32;
    if (address - bd->b->pc + reach >= 2 * reach)
        build_bind(bd);
}

bool build_see_const(const struct builder *bd, uint16_t v, uint64_t *value, bool *relative)
{
    if (v == IR_NONE || maker(bd, v)->op != IR_CONST)
        return false;
    *value = (uint64_t)maker(bd, v)->imm;
    *relative = maker(bd, v)->flags & IR_RELATIVE;
    return true;
}

bool build_is_const(struct builder *bd, uint16_t v, uint64_t *value)
{
    bool relative = false;
    bool known = build_see_const(bd, v, value, &relative);
    if (relative)
        build_bind(bd);
    return known;
}

static bool is_known(const struct builder *bd, uint16_t v)
{
    return maker(bd, v)->op == IR_CONST;
}

static bool is_relative(const struct builder *bd, uint16_t v)
{
    return v != IR_NONE && maker(bd, v)->op == IR_CONST && maker(bd, v)->flags & IR_RELATIVE;
}

uint16_t build_getx(struct builder *bd, unsigned reg)
{
    if (bd->x[reg] != IR_NONE)
        return bd->x[reg];
    if (reg == 0)
        return bd->x[0] = build_const(bd, 0);
    struct ir_insn i = insn(IR_GETX, 8);
    i.reg = (uint8_t)reg;
    return bd->x[reg] = build_insn(bd, i);
}

void build_setx(struct builder *bd, unsigned reg, uint16_t v)
{
    if (reg == 0 || bd->x[reg] == v)
        return;
    struct ir_insn i = insn(IR_SETX, 8);
    i.reg = (uint8_t)reg;
    i.a = v;
    build_insn(bd, i);
    bd->x[reg] = v;
}

void build_forget_x(struct builder *bd, unsigned reg)
{
    if (reg)
        bd->x[reg] = IR_NONE;
}

uint16_t build_getf(struct builder *bd, unsigned reg)
{
    if (bd->f[reg] != IR_NONE)
        return bd->f[reg];
    struct ir_insn i = insn(IR_GETF, 8);
    i.reg = (uint8_t)reg;
    return bd->f[reg] = build_insn(bd, i);
}

void build_setf(struct builder *bd, unsigned reg, uint16_t v)
{
    struct ir_insn i = insn(IR_SETF, 8);
    if (bd->f[reg] == v)
        return;
    i.reg = (uint8_t)reg;
    i.a = v;
    build_insn(bd, i);
    bd->f[reg] = v;
    bd->unboxed[reg] = IR_NONE;
}

/* Results of less than 8 bytes are boxed; fsgnj of 8 bytes and the like say nothing. */
static bool is_boxed(const struct ir_insn *i, unsigned size)
{
    return ir_is_float(i) && i->op != IR_GETF && i->size == size;
}

uint16_t build_getf_sized(struct builder *bd, unsigned reg, unsigned size)
{
    uint16_t v = build_getf(bd, reg);
    if (size == 8 || is_boxed(maker(bd, v), size))
        return v;
    uint16_t known = bd->unboxed[reg];
    if (known != IR_NONE && maker(bd, known)->size == size)
        return known;
    struct ir_insn i = insn(IR_UNBOX, size);
    i.a = v;
    return bd->unboxed[reg] = build_insn(bd, i);
}

/* The widest size from whose sign bit the value is known to be sign-extended: 4, or 8 for no
 * knowledge. zero: the same for zero extension. */
static unsigned extended_from(const struct builder *bd, uint16_t v, bool zero)
{
    const struct ir_insn *i = maker(bd, v);
    switch (i->op) {
    case IR_CONST:
        for (unsigned size = 1; size < 8; size *= 2) {
            struct ir_insn ext = insn(zero ? IR_ZEXT : IR_SEXT, size);
            if (ir_eval(&ext, (uint64_t)i->imm, 0, 0) == (uint64_t)i->imm)
                return size;
        }
        return 8;
    case IR_SETCOND: return 1;
    case IR_CLZ:
    case IR_CTZ:
    case IR_CPOP: return 1;
    case IR_SEXT: return zero ? 8 : i->size;
    case IR_ZEXT: return zero ? i->size : i->size * 2;
    case IR_LOAD:
        if (i->flags & IR_SIGNED)
            return zero ? 8 : i->size;
        return zero || i->size == 8 ? i->size : i->size * 2;
    case IR_LR:
    case IR_AMO:
    case IR_CAS:
    case IR_FMV_TO_INT: return zero ? 8 : i->size;
    default: return !zero && i->op >= IR_ADD && i->op <= IR_REMU ? i->size : 8;
    }
}

uint16_t build_unary(struct builder *bd, enum ir_op op, unsigned size, uint16_t a)
{
    uint64_t k;
    struct ir_insn i = insn(op, size);
    if (build_is_const(bd, a, &k))
        return build_const(bd, ir_eval(&i, k, 0, 0));
    if (op == IR_SEXT && extended_from(bd, a, false) <= size)
        return a;
    if (op == IR_ZEXT && extended_from(bd, a, true) <= size)
        return a;
    i.a = a;
    return build_insn(bd, i);
}

static bool commutes(enum ir_op op)
{
    return op == IR_ADD || op == IR_MUL || op == IR_AND || op == IR_OR || op == IR_XOR ||
           op == IR_XNOR || op == IR_MULH || op == IR_MULHU || (op >= IR_MIN && op <= IR_MAXU);
}

/* Shift right of a value that was shifted left: how compilers without Zba and Zbb extend, and scale
 * an index of 32 bits. */
static bool build_extension(struct builder *bd, enum ir_op op, unsigned size, uint16_t a,
                            unsigned n, uint16_t *out)
{
    const struct ir_insn *left = maker(bd, a);
    if (left->op != IR_SHL || left->size < size || left->b != IR_NONE)
        return false;
    enum ir_op extend = op == IR_SHR ? IR_ZEXT : IR_SEXT;
    unsigned bits = 8 * size - n, by = (unsigned)left->imm;
    uint16_t from = left->a;
    if (by == n && (bits == 8 || bits == 16 || bits == 32))
        *out = build_unary(bd, extend, bits / 8, from);
    else if (by == n && op == IR_SHR && bits < 32)
        *out = build_op_imm(bd, IR_AND, 8, from, (UINT64_C(1) << bits) - 1);
    else if (size == 8 && by == 32 && n < 32)
        *out = build_op_imm(bd, IR_SHL, 8, build_unary(bd, extend, 4, from), 32 - n);
    else
        return false;
    return true;
}

/* a op imm where the result is a itself, a constant or a cheaper operation. */
static bool simplify_imm(struct builder *bd, enum ir_op op, unsigned size, uint16_t a, uint64_t imm,
                         uint16_t *out)
{
    bool zero_is_identity =
        op == IR_ADD || (op >= IR_SHL && op <= IR_ROR) || op == IR_OR || op == IR_XOR;
    unsigned log2 = (unsigned)__builtin_ctzll(imm | UINT64_C(1) << 63);
    bool power = imm && !(imm & (imm - 1)) && log2 < 8 * size - 1;
    if (imm == 0 && zero_is_identity)
        *out = size == 4 ? build_unary(bd, IR_SEXT, 4, a) : a;
    else if (imm == 0 && (op == IR_AND || op == IR_MUL))
        *out = build_const(bd, 0);
    else if (op == IR_AND && imm == UINT64_MAX)
        *out = a;
    else if (op == IR_AND && (imm == 0xff || imm == 0xffff || imm == 0xffffffff))
        *out = build_unary(bd, IR_ZEXT, imm == 0xff ? 1 : imm == 0xffff ? 2 : 4, a);
    else if (op == IR_MUL && power)
        *out = build_op_imm(bd, IR_SHL, size, a, log2);
    else if (op == IR_DIVU && power)
        *out = build_op_imm(bd, IR_SHR, size, a, log2);
    else if (op == IR_REMU && power && size == 8)
        *out = build_op_imm(bd, IR_AND, size, a, imm - 1);
    else if (op == IR_SHR || op == IR_SAR)
        return build_extension(bd, op, size, a, (unsigned)imm, out);
    else
        return false;
    return true;
}

uint16_t build_op_imm(struct builder *bd, enum ir_op op, unsigned size, uint16_t a, uint64_t imm)
{
    uint64_t k;
    uint16_t out;
    struct ir_insn i = insn(op, size);
    if (op >= IR_SHL && op <= IR_ROR)
        imm &= 8 * size - 1;
    switch (op) {
    case IR_SUB: return build_op_imm(bd, IR_ADD, size, a, 0 - imm);
    case IR_ANDN: return build_op_imm(bd, IR_AND, size, a, ~imm);
    case IR_ORN: return build_op_imm(bd, IR_OR, size, a, ~imm);
    case IR_XNOR: return build_op_imm(bd, IR_XOR, size, a, ~imm);
    default: break;
    }
    if (op == IR_ADD && size == 8 && is_relative(bd, a))
        return imm ? build_relative(bd, (uint64_t)maker(bd, a)->imm + imm) : a;
    if (build_is_const(bd, a, &k)) {
        i.imm = (int64_t)imm;
        return build_const(bd, ir_eval(&i, k, imm, 0));
    }
    if (simplify_imm(bd, op, size, a, imm, &out))
        return out;
    i.a = a;
    if (fits32(imm))
        i.imm = (int64_t)imm;
    else
        i.b = build_const(bd, imm);
    return build_insn(bd, i);
}

/* a << n | a >> (width - n): how code without Zbb rotates. */
static bool build_rotation(struct builder *bd, uint16_t a, uint16_t b, uint16_t *out)
{
    const struct ir_insn *left = maker(bd, a), *right = maker(bd, b);
    if (left->op == IR_SHR) {
        const struct ir_insn *swap = left;
        left = right;
        right = swap;
    }
    if (left->op != IR_SHL || right->op != IR_SHR || left->size != right->size ||
        left->b != IR_NONE || right->b != IR_NONE || left->a != right->a ||
        left->imm + right->imm != 8 * left->size)
        return false;
    struct ir_insn i = insn(IR_ROL, left->size);
    i.a = left->a;
    i.imm = left->imm;
    *out = build_insn(bd, i);
    return true;
}

uint16_t build_op(struct builder *bd, enum ir_op op, unsigned size, uint16_t a, uint16_t b)
{
    uint16_t rotated;
    uint64_t k;
    struct ir_insn i = insn(op, size);
    bool relative = is_relative(bd, a) ? !is_known(bd, b) : is_relative(bd, b) && is_known(bd, a);
    if (relative && commutes(op)) {
        uint16_t swap = a;
        a = b;
        b = swap;
    }
    if (is_relative(bd, b) && !is_known(bd, a)) { /* no immediate can hold it */
        i.a = a;
        i.b = b;
        return build_insn(bd, i);
    }
    if (build_is_const(bd, b, &k))
        return build_op_imm(bd, op, size, a, k);
    if (commutes(op) && build_is_const(bd, a, &k))
        return build_op_imm(bd, op, size, b, k);
    if (a == b && (op == IR_XOR || op == IR_SUB || op == IR_ANDN))
        return build_const(bd, 0);
    if (a == b && (op == IR_AND || op == IR_OR))
        return a;
    if (op == IR_OR && build_rotation(bd, a, b, &rotated))
        return rotated;
    i.a = a;
    i.b = b;
    return build_insn(bd, i);
}

uint16_t build_setcond_imm(struct builder *bd, enum ir_cond cond, uint16_t a, uint64_t imm)
{
    uint64_t k;
    struct ir_insn i = insn(IR_SETCOND, 8);
    if (build_is_const(bd, a, &k))
        return build_const(bd, ir_compare(cond, k, imm));
    if (cond == COND_LTU && imm <= 1) { /* sltiu x, 1: x == 0 */
        if (imm == 0)
            return build_const(bd, 0);
        cond = COND_EQ;
        imm = 0;
    }
    i.cond = (uint8_t)cond;
    i.a = a;
    if (fits32(imm))
        i.imm = (int64_t)imm;
    else
        i.b = build_const(bd, imm);
    return build_insn(bd, i);
}

uint16_t build_setcond(struct builder *bd, enum ir_cond cond, uint16_t a, uint16_t b)
{
    uint64_t k;
    struct ir_insn i = insn(IR_SETCOND, 8);
    if (build_is_const(bd, b, &k))
        return build_setcond_imm(bd, cond, a, k);
    if (build_is_const(bd, a, &k)) { /* k < b is b >= k + 1 */
        if (cond == COND_LTU && k == 0)
            return build_setcond_imm(bd, COND_NE, b, 0);
        if (cond == COND_LTU && k != UINT64_MAX)
            return build_setcond_imm(bd, COND_GEU, b, k + 1);
        if (cond == COND_LT && k != INT64_MAX)
            return build_setcond_imm(bd, COND_GE, b, k + 1);
    }
    i.cond = (uint8_t)cond;
    i.a = a;
    i.b = b;
    return build_insn(bd, i);
}

uint16_t build_select(struct builder *bd, uint16_t test, uint16_t nonzero, uint16_t zero)
{
    uint64_t k;
    struct ir_insn i = insn(IR_SELECT, 8);
    if (build_is_const(bd, test, &k))
        return k ? nonzero : zero;
    if (nonzero == zero)
        return nonzero;
    i.a = test;
    i.b = nonzero;
    i.c = zero;
    return build_insn(bd, i);
}

uint16_t build_pure(struct builder *bd, uint64_t (*fn)(uint64_t, uint64_t), uint16_t a, uint16_t b)
{
    struct ir_insn i = insn(IR_PURE, 8);
    i.imm = (int64_t)(uintptr_t)fn;
    i.a = a;
    i.b = b;
    return build_insn(bd, i);
}

/* Whether some register still holds v: using v then costs no copy. */
static bool is_in_register(const struct builder *bd, uint16_t v)
{
    for (unsigned r = 1; r < 32; r++)
        if (bd->x[r] == v)
            return true;
    return false;
}

uint16_t build_address(struct builder *bd, unsigned rs1, int64_t offset, int64_t *folded)
{
    uint16_t base = build_getx(bd, rs1);
    const struct ir_insn *i = maker(bd, base);
    *folded = offset;
    if (i->op == IR_ADD && i->size == 8 && i->b == IR_NONE &&
        fits32((uint64_t)i->imm + (uint64_t)offset) && is_in_register(bd, i->a)) {
        *folded = i->imm + offset;
        return i->a;
    }
    return base;
}

void build_count(struct builder *bd)
{
    if (!(bd->b->mode & MODE_COUNT) || !bd->uncounted)
        return;
    struct ir_insn get = insn(IR_GETS, 8), set = insn(IR_SETS, 8);
    get.imm = set.imm = offsetof(struct cpu, instret);
    set.a = build_op_imm(bd, IR_ADD, 8, build_insn(bd, get), (uint64_t)bd->uncounted);
    build_insn(bd, set);
    bd->uncounted = 0;
}

void build_jump(struct builder *bd, uint64_t target)
{
    struct ir_insn i = insn(IR_JUMP, 8);
    i.imm = (int64_t)target;
    build_insn(bd, i);
}

enum lifted build_system(struct builder *bd, bool last)
{
    struct ir_insn i = insn(IR_SYSTEM, 8);
    i.imm = (int64_t)bd->raw;
    i.flags = last ? IR_LAST : 0;
    build_insn(bd, i);
    return last ? LIFT_END : LIFT_NEXT;
}
