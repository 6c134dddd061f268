/* Facts about IR operations, and what the pure integer ones compute. */
#include "engine/ir.h"

#define N          IR_CLASS_N
#define X          IR_CLASS_X
#define K          IR_CLASS_K
#define F          IR_CLASS_F
#define EFFECT     IR_EFFECT
#define OBSERVABLE IR_OBSERVABLE
#define LEAVES     IR_LEAVES
#define COND       IR_COND
#define ROUND      IR_ROUND
#define REG        IR_REG
#define OP(id, name, result, a, b, c, sizes, traits, flags) \
    [IR_##id] = {name, result, {a, b, c}, sizes, traits, flags},

const struct ir_facts ir_facts[IR_OP_COUNT] = {
#include "engine/ir.def"
};

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

static uint64_t or_combine(uint64_t a)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i += 8)
        if (a >> i & 0xff)
            out |= (uint64_t)0xff << i;
    return out;
}

#define RETURN(id, result) \
    case IR_##id: return (result);

/* The low 32 bits of the W forms' results; sign-extended by the caller. */
static uint32_t eval_word(unsigned op, uint32_t a, uint32_t b)
{
    typedef uint32_t T;
    typedef int32_t S;
    enum {
        BITS = 32
    };
    unsigned n = b % BITS;
    switch (op) {
#define WIDTH(id, name, result) RETURN(id, result)
#define PURE(...)
#define OP(...)
#include "engine/ir.def"
    default: return 0;
    }
}

uint64_t ir_eval(const struct ir_insn *i, uint64_t a, uint64_t b, uint64_t c)
{
    typedef uint64_t T;
    typedef int64_t S;
    enum {
        BITS = 64
    };
    if (i->b == IR_NONE && i->op != IR_SELECT)
        b = (uint64_t)i->imm;
    if (ir_is_word(i))
        return (uint64_t)(int32_t)eval_word(i->op, (uint32_t)a, (uint32_t)b);
    unsigned n = b % BITS, bits = 8 * i->size;
    switch (i->op) {
#define WIDTH(id, name, result)                   RETURN(id, result)
#define PURE(id, name, ca, cb, cc, sizes, result) RETURN(id, result)
#define OP(...)
#include "engine/ir.def"
    case IR_CONST: return (uint64_t)i->imm;
    case IR_SETCOND: return ir_compare(i->cond, a, b);
    default: return 0; /* not a pure operation */
    }
}
