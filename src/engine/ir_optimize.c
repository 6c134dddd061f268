/* What a translation does not need: values nobody uses, SETs nobody can see, sign extensions
 * nobody looks at. */
#include "engine/ir.h"

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

/* Backwards, so that all users of a value have said what they need when its maker is reached. */
static void find_low(struct ir_block *b)
{
    bool wide[IR_LIMIT] = {false};
    for (uint32_t k = b->n; k-- > 0;) {
        struct ir_insn *i = &b->insn[k];
        const uint16_t operand[3] = {i->a, i->b, i->c};
        unsigned low = low_operands(i, wide[k]);
        for (unsigned n = 0; n < 3; n++)
            if (operand[n] != IR_NONE && !(low >> n & 1))
                wide[operand[n]] = true;
        if (ir_is_word(i) && !wide[k])
            i->flags |= IR_LOW32;
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

/* Backwards, as find_low. */
static void find_any_nan(struct ir_block *b)
{
    bool seen[IR_LIMIT] = {false};
    for (uint32_t k = b->n; k-- > 0;) {
        struct ir_insn *i = &b->insn[k];
        const uint16_t operand[3] = {i->a, i->b, i->c};
        for (unsigned n = 0; n < 3; n++)
            if (operand[n] != IR_NONE && sees_nan(i))
                seen[operand[n]] = true;
        bool arithmetic = (i->op >= IR_FADD && i->op <= IR_FMADD) || i->op == IR_FCVT_FF;
        if (arithmetic && i->size >= 4 && !seen[k])
            i->flags |= IR_ANY_NAN;
    }
}

static void remove_insn(struct ir_insn *i)
{
    *i = (struct ir_insn){.op = IR_NOP, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE, .gi = i->gi};
}

/* One backward walk: operands point backwards, so a value's uses are all counted when its maker is
 * reached. A SET is dead when the same register is set again and nothing between them looks. */
static void remove_dead(struct ir_block *b)
{
    uint32_t x_dead = 0, f_dead = 0;
    for (uint32_t k = 0; k < b->n; k++)
        b->uses[k] = 0;
    for (uint32_t k = b->n; k-- > 0;) {
        struct ir_insn *i = &b->insn[k];
        uint32_t *dead = i->op == IR_SETX ? &x_dead : i->op == IR_SETF ? &f_dead : NULL;
        if (dead) {
            uint32_t bit = UINT32_C(1) << i->reg;
            if (*dead & bit)
                remove_insn(i);
            *dead |= bit;
        } else if (ir_is_observable(i)) {
            x_dead = f_dead = 0;
        } else if (i->op == IR_GETX) {
            x_dead &= ~(UINT32_C(1) << i->reg);
        } else if (i->op == IR_GETF) {
            f_dead &= ~(UINT32_C(1) << i->reg);
        }
        if (!b->uses[k] && !ir_has_effect(i))
            remove_insn(i);
        if (i->a != IR_NONE)
            b->uses[i->a]++;
        if (i->b != IR_NONE)
            b->uses[i->b]++;
        if (i->c != IR_NONE)
            b->uses[i->c]++;
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
    for (uint32_t k = 0; k < b->n; k++) {
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
    remove_dead(b);
    compact(b);
    find_low(b);
    find_any_nan(b);
}
