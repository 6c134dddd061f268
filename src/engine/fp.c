/* RISC-V's rules around IEEE 754: NaNs, flags, comparisons, conversions. Volume I, chapter F. */
#include "engine/fp.h"

#include "engine/fp_format.h"

struct op {
    unsigned op, size, rm, reg, flags; /* as in struct ir_insn; rm resolved */
};

uint32_t fp_how(const struct ir_insn *i)
{
    return i->op | (uint32_t)i->size << 8 | (uint32_t)i->cond << 12 | (uint32_t)i->reg << 16 |
           (uint32_t)i->flags << 24;
}

static bool is_invalid(const struct op *o, const struct fp_number *a, const struct fp_number *b,
                       const struct fp_number *c)
{
    bool inf_a = a->class == FP_CLASS_INF, inf_b = b->class == FP_CLASS_INF;
    bool zero_a = a->class == FP_CLASS_ZERO, zero_b = b->class == FP_CLASS_ZERO;
    switch (o->op) {
    case IR_FADD: return inf_a && inf_b && a->sign != b->sign;
    case IR_FSUB: return inf_a && inf_b && a->sign == b->sign;
    case IR_FMUL: return (inf_a && zero_b) || (zero_a && inf_b);
    case IR_FDIV: return (inf_a && inf_b) || (zero_a && zero_b);
    case IR_FSQRT: return a->sign && !zero_a;
    default: /* also when the addend is a NaN */
        if ((inf_a && zero_b) || (zero_a && inf_b))
            return true;
        return (inf_a || inf_b) && c->class == FP_CLASS_INF && (a->sign != b->sign) != c->sign;
    }
}

static uint64_t soft(const struct op *o, struct fp_number a, struct fp_number b, struct fp_number c,
                     uint8_t *flags)
{
    const struct fp_number one = {.class = FP_CLASS_FINITE, .sig = UINT64_C(1) << 63};
    switch (o->op) {
    case IR_FADD: return fp_soft_mul_add(o->size, o->rm, a, one, b, flags);
    case IR_FSUB: b.sign = !b.sign; return fp_soft_mul_add(o->size, o->rm, a, one, b, flags);
    case IR_FMUL: return fp_soft_mul(o->size, o->rm, a, b, flags);
    case IR_FDIV:
        if (b.class == FP_CLASS_ZERO) {
            *flags |= a.class == FP_CLASS_FINITE ? FP_DZ : 0;
            return fp_infinity(o->size) | (a.sign != b.sign ? fp_sign_bit(o->size) : 0);
        }
        return fp_soft_div(o->size, o->rm, a, b, flags);
    case IR_FSQRT: return fp_soft_sqrt(o->size, o->rm, a, flags);
    default: return fp_soft_mul_add(o->size, o->rm, a, b, c, flags);
    }
}

/* add, sub, mul, div, sqrt, fused multiply-add. */
static uint64_t arithmetic(const struct op *o, uint64_t a, uint64_t b, uint64_t c, uint8_t *flags)
{
    if (o->op == IR_FMADD && o->flags & IR_NEG_PRODUCT)
        a ^= fp_sign_bit(o->size);
    if (o->op == IR_FMADD && o->flags & IR_NEG_ADDEND)
        c ^= fp_sign_bit(o->size);
    struct fp_number x = fp_unpack(a, o->size), y = fp_unpack(b, o->size),
                     z = fp_unpack(c, o->size);
    bool nan = x.class >= FP_CLASS_QNAN, signaling = x.class == FP_CLASS_SNAN;
    if (o->op != IR_FSQRT) {
        nan |= y.class >= FP_CLASS_QNAN;
        signaling |= y.class == FP_CLASS_SNAN;
    }
    bool invalid = !nan && is_invalid(o, &x, &y, &z);
    if (o->op == IR_FMADD) {
        nan |= z.class >= FP_CLASS_QNAN;
        signaling |= z.class == FP_CLASS_SNAN;
    }
    if (nan || invalid) {
        *flags |= signaling || invalid ? FP_NV : 0;
        return fp_canonical_nan(o->size);
    }
    if (o->rm == FP_RMM || o->size == 2)
        return soft(o, x, y, z, flags);
    return fp_host(o->op, o->size, o->rm, a, b, c, flags);
}

static bool both_zero(uint64_t a, uint64_t b, unsigned size)
{
    return !((a | b) & (fp_sign_bit(size) - 1));
}

/* Of numbers; -0 < +0 when `zeros`, else they are equal. */
static bool less(uint64_t a, uint64_t b, unsigned size, bool zeros)
{
    uint64_t sign = fp_sign_bit(size);
    if (!zeros && both_zero(a, b, size))
        return false;
    if ((a ^ b) & sign)
        return a & sign;
    return a & sign ? a > b : a < b;
}

static uint64_t min_max(const struct op *o, uint64_t a, uint64_t b, uint8_t *flags)
{
    unsigned size = o->size;
    if (fp_is_signaling(a, size) || fp_is_signaling(b, size))
        *flags |= FP_NV;
    if (fp_is_nan(a, size))
        return fp_is_nan(b, size) ? fp_canonical_nan(size) : b;
    if (fp_is_nan(b, size))
        return a;
    return less(a, b, size, true) == (o->op == IR_FMIN) ? a : b;
}

static uint64_t compare(const struct op *o, uint64_t a, uint64_t b, uint8_t *flags)
{
    unsigned size = o->size;
    bool equal = a == b || both_zero(a, b, size);
    if (fp_is_nan(a, size) || fp_is_nan(b, size)) {
        if (o->op != IR_FEQ || fp_is_signaling(a, size) || fp_is_signaling(b, size))
            *flags |= FP_NV;
        return 0;
    }
    if (o->op == IR_FEQ)
        return equal;
    return less(a, b, size, false) || (o->op == IR_FLE && equal);
}

static uint64_t classify(const struct op *o, uint64_t a)
{
    struct fp_number n = fp_unpack(a, o->size);
    switch (n.class) {
    case FP_CLASS_SNAN: return 1 << 8;
    case FP_CLASS_QNAN: return 1 << 9;
    case FP_CLASS_INF: return n.sign ? 1 << 0 : 1 << 7;
    case FP_CLASS_ZERO: return n.sign ? 1 << 3 : 1 << 4;
    default:
        if (n.subnormal)
            return n.sign ? 1 << 2 : 1 << 5;
        return n.sign ? 1 << 1 : 1 << 6;
    }
}

static uint64_t inject_sign(const struct op *o, uint64_t a, uint64_t b)
{
    uint64_t sign = fp_sign_bit(o->size);
    if (o->reg == SGNJN)
        b = ~b;
    else if (o->reg == SGNJX)
        b ^= a;
    return (a & ~sign) | (b & sign);
}

/* The nearest integer, or the limit of its type on the value's side (the upper one for NaN). */
static uint64_t to_integer(const struct op *o, uint64_t a, uint8_t *flags)
{
    static const struct {
        uint64_t above, below; /* magnitudes of the largest and the smallest */
    } limit[4] = {
        [INT_W] = {INT32_MAX, UINT64_C(1) << 31},
        [INT_WU] = {UINT32_MAX, 0},
        [INT_L] = {INT64_MAX, UINT64_C(1) << 63},
        [INT_LU] = {UINT64_MAX, 0},
    };
    struct fp_number n = fp_unpack(a, o->size);
    uint64_t out, bound;
    uint8_t rounding = 0;
    bool nan = n.class >= FP_CLASS_QNAN;
    n.sign &= !nan;
    bound = n.sign ? limit[o->reg].below : limit[o->reg].above;
    if (n.class == FP_CLASS_ZERO)
        return 0;
    unsigned __int128 magnitude =
        n.class == FP_CLASS_FINITE ? fp_round_to_integer(&n, o->rm, &rounding) : UINT64_MAX;
    if (n.class != FP_CLASS_FINITE || magnitude > bound) {
        *flags |= FP_NV;
        out = bound;
    } else {
        *flags |= rounding;
        out = (uint64_t)magnitude;
    }
    if (n.sign)
        out = 0 - out;
    return o->reg == INT_W || o->reg == INT_WU ? (uint64_t)(int32_t)out : out;
}

static uint64_t from_integer(const struct op *o, uint64_t a, uint8_t *flags)
{
    bool sign = false;
    if (o->reg == INT_W)
        a = (uint64_t)(int32_t)a;
    else if (o->reg == INT_WU)
        a = (uint32_t)a;
    if ((o->reg == INT_W || o->reg == INT_L) && (int64_t)a < 0) {
        sign = true;
        a = 0 - a;
    }
    return fp_round_pack(o->size, o->rm, sign, 63, (unsigned __int128)a << 64, flags);
}

static uint64_t change_format(const struct op *o, uint64_t a, uint8_t *flags)
{
    struct fp_number n = fp_unpack(a, o->reg);
    uint64_t sign = n.sign ? fp_sign_bit(o->size) : 0;
    switch (n.class) {
    case FP_CLASS_SNAN: *flags |= FP_NV; return fp_canonical_nan(o->size);
    case FP_CLASS_QNAN: return fp_canonical_nan(o->size);
    case FP_CLASS_INF: return sign | fp_infinity(o->size);
    case FP_CLASS_ZERO: return sign;
    default:
        return fp_round_pack(o->size, o->rm, n.sign, n.exp, (unsigned __int128)n.sig << 64, flags);
    }
}

static uint64_t unbox(uint64_t a, unsigned size)
{
    return fp_box(a, size) == a ? fp_low(a, size) : fp_canonical_nan(size);
}

static uint64_t sign_extend(uint64_t a, unsigned size)
{
    unsigned drop = 64 - 8 * size;
    return (uint64_t)((int64_t)(a << drop) >> drop);
}

uint64_t fp_op(struct cpu *cpu, uint32_t how, uint64_t a, uint64_t b, uint64_t c)
{
    struct op o = {how & 0xff, how >> 8 & 15, how >> 12 & 15, how >> 16 & 0xff, how >> 24};
    uint64_t out;
    if (o.rm == FP_DYN)
        o.rm = cpu->frm;
    /* Integer operands and raw register contents are whole; values are their low bytes. */
    if (o.op < IR_FCVT_FROM_INT) {
        a = fp_low(a, o.size);
        b = fp_low(b, o.size);
        c = fp_low(c, o.size);
    }
    switch (o.op) {
    case IR_FMIN:
    case IR_FMAX: out = min_max(&o, a, b, &cpu->fflags); break;
    case IR_FSGNJ: out = inject_sign(&o, a, b); break;
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE: return compare(&o, a, b, &cpu->fflags);
    case IR_FCLASS: return classify(&o, a);
    case IR_FCVT_TO_INT: return to_integer(&o, a, &cpu->fflags);
    case IR_FCVT_FROM_INT: out = from_integer(&o, a, &cpu->fflags); break;
    case IR_FCVT_FF: out = change_format(&o, fp_low(a, o.reg), &cpu->fflags); break;
    case IR_FMV_TO_INT: return sign_extend(a, o.size);
    case IR_FMV_FROM_INT: out = fp_low(a, o.size); break;
    case IR_UNBOX: out = unbox(a, o.size); break;
    default: out = arithmetic(&o, a, b, c, &cpu->fflags); break;
    }
    return fp_box(out, o.size);
}
