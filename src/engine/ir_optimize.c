/* What a translation does not need: values nobody uses, SETs nobody can see. */
#include "engine/ir.h"

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
}
