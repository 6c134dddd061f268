/* The validator: whether a block is what ir.h and ir.def say it is. Whatever makes or changes
 * blocks relies on nothing else, and so does the emitter. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/ir.h"

static bool is_class(const struct ir_block *b, unsigned v, unsigned class)
{
    unsigned made = ir_facts[b->insn[v].op].result;
    return class == IR_CLASS_F ? made == IR_CLASS_F : made == IR_CLASS_X;
}

static const char *check_operand(const struct ir_block *b, uint32_t k, uint16_t v, unsigned class)
{
    if (class == IR_CLASS_N)
        return v == IR_NONE ? NULL : "an operand too many";
    if (v == IR_NONE)
        return class == IR_CLASS_K ? NULL : "an operand is missing";
    if (v >= k)
        return "an operand is made after its use";
    return is_class(b, v, class) ? NULL : "an operand is of the wrong class";
}

static const char *check_reg(const struct ir_insn *i)
{
    bool good = true;
    switch (i->op) {
    case IR_GETX:
    case IR_SETX: good = i->reg >= 1 && i->reg <= 31; break;
    case IR_GETF:
    case IR_SETF: good = i->reg <= 31; break;
    case IR_AMO: good = i->reg <= AMO_MAXU; break;
    case IR_FSGNJ: good = i->reg <= SGNJX; break;
    case IR_FCVT_TO_INT:
    case IR_FCVT_FROM_INT: good = i->reg <= INT_LU; break;
    case IR_FCVT_FF: good = (i->reg == 2 || i->reg == 4 || i->reg == 8) && i->reg != i->size; break;
    }
    return good ? NULL : "reg is none that the operation has";
}

static const char *check_insn(const struct ir_block *b, uint32_t k)
{
    const struct ir_insn *i = &b->insn[k];
    const struct ir_facts *f = &ir_facts[i->op];
    const uint16_t operand[3] = {i->a, i->b, i->c};
    const char *wrong = NULL;
    for (unsigned n = 0; n < 3 && !wrong; n++)
        wrong = check_operand(b, k, operand[n], f->operand[n]);
    if (wrong)
        return wrong;
    if (f->sizes && ((i->size & (i->size - 1)) || !(i->size & f->sizes)))
        return "a size that the operation has not";
    /* The emitter encodes it in the host's instruction. */
    if (f->operand[1] == IR_CLASS_K && i->b == IR_NONE && i->op != IR_PURE &&
        i->imm != (int32_t)i->imm && i->op != IR_BR)
        return "a second operand in imm that needs more than 32 bits";
    if (f->traits & IR_COND && i->cond > COND_GEU)
        return "no condition";
    if (f->traits & IR_ROUND && i->cond > 4 && i->cond != 7)
        return "no rounding mode";
    if (i->flags & ~f->flags)
        return "a flag that the operation has not";
    return f->traits & IR_REG ? check_reg(i) : NULL;
}

static bool always_leaves(const struct ir_insn *i)
{
    return ir_facts[i->op].traits & IR_LEAVES || (i->op == IR_SYSTEM && i->flags & IR_LAST);
}

static void broken(const struct ir_block *b, uint32_t k, const char *rule)
{
    fprintf(stderr, "ir: %%%u: %s\n", k, rule);
    ir_print(stderr, b);
    abort();
}

static void check_uses(const struct ir_block *b)
{
    uint16_t uses[IR_LIMIT] = {0};
    for (uint32_t k = 0; k < b->n; k++) {
        const uint16_t operand[3] = {b->insn[k].a, b->insn[k].b, b->insn[k].c};
        for (unsigned n = 0; n < 3; n++)
            if (operand[n] != IR_NONE)
                uses[operand[n]]++;
    }
    for (uint32_t k = 0; k < b->n; k++)
        if (uses[k] != b->uses[k])
            broken(b, k, "its uses are not counted");
}

void ir_check(const struct ir_block *b, bool optimized)
{
    if (!b->n || b->n > IR_LIMIT || !b->n_guest || b->n_guest > BLOCK_MAX_INSNS)
        broken(b, 0, "the block is too short or too long");
    for (uint32_t k = 0, gi = 0; k < b->n; gi = b->insn[k++].gi) {
        const struct ir_insn *i = &b->insn[k];
        if (i->op >= IR_OP_COUNT || (optimized && i->op == IR_NOP))
            broken(b, k, "no operation");
        if (i->gi < gi || i->gi >= b->n_guest)
            broken(b, k, "of no guest instruction, or of an earlier one");
        const char *rule = check_insn(b, k);
        if (rule)
            broken(b, k, rule);
        if (always_leaves(i) != (k == b->n - 1))
            broken(b, k, "the last one leaves, and only that");
    }
    if (optimized)
        check_uses(b);
}
