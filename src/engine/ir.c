/* Facts about IR operations, and what the pure integer ones compute. */
#include "engine/ir.h"

enum {
    VALUE = 1,      /* makes a value */
    FLOAT = 2,      /* of class F */
    OBSERVABLE = 4, /* may trap, call out or leave */
    EFFECT = 8,     /* does something besides making its value */
};

static const uint8_t traits[IR_OP_COUNT] = {
    [IR_NOP] = 0,
    [IR_CONST... IR_GETX] = VALUE,
    [IR_SETX] = EFFECT,
    [IR_GETF] = VALUE | FLOAT,
    [IR_SETF] = EFFECT,
    [IR_GETS] = VALUE,
    [IR_SETS] = EFFECT,
    [IR_GETFF] = VALUE,
    [IR_SETFF] = EFFECT,
    [IR_ADD... IR_PURE] = VALUE,
    [IR_LOAD] = VALUE | OBSERVABLE | EFFECT,
    [IR_STORE] = OBSERVABLE | EFFECT,
    [IR_LOADF] = VALUE | FLOAT | OBSERVABLE | EFFECT,
    [IR_STOREF] = OBSERVABLE | EFFECT,
    [IR_LR... IR_CAS] = VALUE | OBSERVABLE | EFFECT,
    [IR_FENCE] = EFFECT,
    /* Floating-point operations set flags; sign injection, classification and moves do not. */
    [IR_FADD... IR_FMAX] = VALUE | FLOAT | EFFECT,
    [IR_FSGNJ] = VALUE | FLOAT,
    [IR_FEQ... IR_FLE] = VALUE | EFFECT,
    [IR_FCLASS] = VALUE,
    [IR_FCVT_TO_INT] = VALUE | EFFECT,
    [IR_FCVT_FROM_INT... IR_FCVT_FF] = VALUE | FLOAT | EFFECT,
    [IR_FMV_TO_INT] = VALUE,
    [IR_FMV_FROM_INT... IR_UNBOX] = VALUE | FLOAT,
    [IR_BR... IR_FRM_CHECK] = OBSERVABLE | EFFECT,
};

bool ir_is_observable(const struct ir_insn *i)
{
    return traits[i->op] & OBSERVABLE;
}

bool ir_has_value(const struct ir_insn *i)
{
    return traits[i->op] & VALUE;
}

bool ir_is_float(const struct ir_insn *i)
{
    return traits[i->op] & FLOAT;
}

bool ir_has_effect(const struct ir_insn *i)
{
    return traits[i->op] & EFFECT;
}

bool ir_compare(unsigned cond, uint64_t a, uint64_t b)
{
    switch (cond) {
    case COND_EQ: return a == b;
    case COND_NE: return a != b;
    case COND_LT: return (int64_t)a < (int64_t)b;
    case COND_GE: return (int64_t)a >= (int64_t)b;
    case COND_LTU: return a < b;
    default: return a >= b;
    }
}

/* Volume I, chapter M: division by zero and signed overflow have defined results, no trap. */
static uint64_t divide(unsigned op, uint64_t a, uint64_t b)
{
    switch (op) {
    case IR_DIVU: return b ? a / b : UINT64_MAX;
    case IR_REMU: return b ? a % b : a;
    case IR_DIV:
        if (!b)
            return UINT64_MAX;
        return b == UINT64_MAX ? 0 - a : (uint64_t)((int64_t)a / (int64_t)b);
    default:
        if (!b)
            return a;
        return b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
    }
}

static uint64_t rotate_left(uint64_t a, unsigned n)
{
    return n ? a << n | a >> (64 - n) : a;
}

/* The low 32 bits of the W forms' results; sign-extended by the caller. */
static uint32_t eval32(unsigned op, uint32_t a, uint32_t b)
{
    unsigned n = b & 31;
    switch (op) {
    case IR_ADD: return a + b;
    case IR_SUB: return a - b;
    case IR_SHL: return a << n;
    case IR_SHR: return a >> n;
    case IR_SAR: return (uint32_t)((int32_t)a >> n);
    case IR_ROL: return n ? a << n | a >> (32 - n) : a;
    case IR_ROR: return n ? a >> n | a << (32 - n) : a;
    case IR_MUL: return a * b;
    case IR_DIV:
    case IR_REM: return (uint32_t)divide(op, (uint64_t)(int32_t)a, (uint64_t)(int32_t)b);
    case IR_DIVU: return b ? a / b : UINT32_MAX;
    default: return b ? a % b : a;
    }
}

static uint64_t or_combine(uint64_t a)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i += 8)
        if (a >> i & 0xff)
            out |= (uint64_t)0xff << i;
    return out;
}

static uint64_t eval_unary(const struct ir_insn *i, uint64_t a)
{
    unsigned drop = 64 - 8 * i->size;
    switch (i->op) {
    case IR_SEXT: return (uint64_t)((int64_t)(a << drop) >> drop);
    case IR_ZEXT: return a << drop >> drop;
    case IR_CLZ: a <<= drop; return a ? (uint64_t)__builtin_clzll(a) : 8 * i->size;
    case IR_CTZ: a = a << drop >> drop; return a ? (uint64_t)__builtin_ctzll(a) : 8 * i->size;
    case IR_CPOP: return (uint64_t)__builtin_popcountll(a << drop);
    case IR_BSWAP: return __builtin_bswap64(a);
    default: return or_combine(a);
    }
}

uint64_t ir_eval(const struct ir_insn *i, uint64_t a, uint64_t b, uint64_t c)
{
    if (i->b == IR_NONE && i->op != IR_SELECT)
        b = (uint64_t)i->imm;
    if (i->op >= IR_ADD && i->op <= IR_REMU && i->size == 4)
        return (uint64_t)(int32_t)eval32(i->op, (uint32_t)a, (uint32_t)b);
    switch (i->op) {
    case IR_CONST: return (uint64_t)i->imm;
    case IR_ADD: return a + b;
    case IR_SUB: return a - b;
    case IR_SHL: return a << (b & 63);
    case IR_SHR: return a >> (b & 63);
    case IR_SAR: return (uint64_t)((int64_t)a >> (b & 63));
    case IR_ROL: return rotate_left(a, b & 63);
    case IR_ROR: return rotate_left(a, (0 - b) & 63);
    case IR_MUL: return a * b;
    case IR_DIV:
    case IR_DIVU:
    case IR_REM:
    case IR_REMU: return divide(i->op, a, b);
    case IR_AND: return a & b;
    case IR_OR: return a | b;
    case IR_XOR: return a ^ b;
    case IR_ANDN: return a & ~b;
    case IR_ORN: return a | ~b;
    case IR_XNOR: return ~(a ^ b);
    case IR_MULH: return (uint64_t)((__int128)(int64_t)a * (int64_t)b >> 64);
    case IR_MULHU: return (uint64_t)((unsigned __int128)a * b >> 64);
    case IR_MULHSU: return (uint64_t)((__int128)(int64_t)a * (__int128)b >> 64);
    case IR_MIN: return (int64_t)a < (int64_t)b ? a : b;
    case IR_MAX: return (int64_t)a > (int64_t)b ? a : b;
    case IR_MINU: return a < b ? a : b;
    case IR_MAXU: return a > b ? a : b;
    case IR_SETCOND: return ir_compare(i->cond, a, b);
    case IR_SELECT: return a ? b : c;
    default: return eval_unary(i, a);
    }
}
