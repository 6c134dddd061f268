/* What a translation does not need: values nobody uses, SETs nobody can see, sign extensions
 * nobody looks at. */
#include "engine/ir.h"

#include <string.h>

#define BIT(op) (UINT64_C(1) << (op))

/* Which operands of i matter by their low 32 bits only: bit 0 a, bit 1 b, bit 2 c. wide: somebody
 * uses the upper half of its result. */
static unsigned low_operands(const struct ir_insn *i, bool wide)
{
    /* The low half of the result comes from the low halves of the operands. */
    const uint64_t upward = BIT(IR_ADD) | BIT(IR_SUB) | BIT(IR_MUL) | BIT(IR_AND) | BIT(IR_OR) |
                            BIT(IR_XOR) | BIT(IR_ANDN) | BIT(IR_ORN) | BIT(IR_XNOR) | BIT(IR_SHL);
    if (ir_is_word(i))
        return 7;
    if (i->op == IR_AND && i->b == IR_NONE && i->imm >= 0 && i->imm <= INT32_MAX)
        return 7;
    if (i->op <= IR_ORCB && BIT(i->op) & upward && !wide)
        return 7;
    switch (i->op) {
    case IR_SEXT:
    case IR_ZEXT:
    case IR_CLZ:
    case IR_CTZ:
    case IR_CPOP: return i->size <= 4 ? 1 : 0;
    case IR_STORE: return i->size <= 4 ? 2 : 0;
    case IR_FMV_FROM_INT: return i->size <= 4 ? 1 : 0;
    case IR_FCVT_FROM_INT: return i->reg == INT_W || i->reg == INT_WU ? 1 : 0;
    default: return 0;
    }
}

/* Whether op tells one quiet NaN operand from another. Arithmetic, comparison and conversion do
 * not: their NaN results are made canonical themselves. */
static bool sees_nan(const struct ir_insn *i)
{
    switch (i->op) {
    case IR_FADD:
    case IR_FSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT:
    case IR_FMADD:
    case IR_FMIN:
    case IR_FMAX:
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE:
    case IR_FCLASS:
    case IR_FCVT_TO_INT:
    case IR_FCVT_FF: return false;
    default: return true; /* IR_UNBOX too: NaNs of doubles may look like boxed singles */
    }
}

/* Arithmetic whose NaN results are made canonical, unless nobody can tell. */
static bool can_be_any_nan(const struct ir_insn *i)
{
    return ((i->op >= IR_FADD && i->op <= IR_FMADD) || i->op == IR_FCVT_FF) && i->size >= 4;
}

static void remove_insn(struct ir_insn *i)
{
    *i = (struct ir_insn){.op = IR_NOP, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE, .gi = i->gi};
}

/* What the users of a value, those seen so far, want of it. */
enum {
    WIDE = 1,    /* more than the low 32 bits */
    SEES_NAN = 2 /* which NaN it is */
};

struct walk {
    struct ir_block *b;
    uint32_t x_dead, f_dead; /* registers that are set before anybody looks */
    uint8_t wanted[IR_LIMIT];
};

/* Whether nobody looks at the register before the next SET of it. */
static bool is_overwritten(struct walk *w, const struct ir_insn *i)
{
    uint32_t *dead = i->op == IR_SETX ? &w->x_dead : i->op == IR_SETF ? &w->f_dead : NULL;
    uint32_t bit = UINT32_C(1) << (i->reg & 31);
    if (dead) {
        bool overwritten = *dead & bit;
        *dead |= bit;
        return overwritten;
    }
    if (ir_is_observable(i))
        w->x_dead = w->f_dead = 0;
    else if (i->op == IR_GETX)
        w->x_dead &= ~bit;
    else if (i->op == IR_GETF)
        w->f_dead &= ~bit;
    return false;
}

static void use(struct walk *w, uint16_t value, unsigned wanted)
{
    if (value == IR_NONE)
        return;
    w->b->uses[value]++;
    w->wanted[value] |= (uint8_t)wanted;
}

/* One walk backward: operands point backward, so all users of a value have been seen when its maker
 * is reached. */
static void mark(struct ir_block *b)
{
    struct walk w;
    w.b = b;
    w.x_dead = w.f_dead = 0;
    memset(w.wanted, 0, b->n);
    memset(b->uses, 0, b->n * sizeof *b->uses);
    for (uint32_t k = b->n; k-- > 0;) {
        struct ir_insn *i = &b->insn[k];
        if (is_overwritten(&w, i) || (!b->uses[k] && !ir_has_effect(i))) {
            remove_insn(i);
            continue;
        }
        bool wide = w.wanted[k] & WIDE;
        if (ir_is_word(i) && !wide)
            i->flags |= IR_LOW32;
        if (can_be_any_nan(i) && !(w.wanted[k] & SEES_NAN))
            i->flags |= IR_ANY_NAN;
        unsigned low = low_operands(i, wide), nan = sees_nan(i) ? SEES_NAN : 0;
        use(&w, i->a, nan | (low & 1 ? 0 : WIDE));
        use(&w, i->b, nan | (low & 2 ? 0 : WIDE));
        use(&w, i->c, nan | (low & 4 ? 0 : WIDE));
    }
}

static uint16_t renamed(const uint16_t *map, uint16_t value)
{
    return value == IR_NONE ? IR_NONE : map[value];
}

static void compact(struct ir_block *b)
{
    uint16_t map[IR_LIMIT];
    uint32_t n = 0;
    for (; n < b->n && b->insn[n].op != IR_NOP; n++)
        map[n] = (uint16_t)n; /* is where it belongs, and so are its operands */
    for (uint32_t k = n; k < b->n; k++) {
        struct ir_insn i = b->insn[k];
        if (i.op == IR_NOP)
            continue;
        i.a = renamed(map, i.a);
        i.b = renamed(map, i.b);
        i.c = renamed(map, i.c);
        map[k] = (uint16_t)n;
        b->uses[n] = b->uses[k];
        b->insn[n++] = i;
    }
    b->n = n;
}

void ir_optimize(struct ir_block *b)
{
    mark(b);
    compact(b);
}
