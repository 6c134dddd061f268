/* Jumps, branches, and what the wall has to do. Volume I, chapters RV32I, Zifencei; Volume II. */
#include "engine/ir_build.h"

/* Volume I, section Unconditional Jumps, table of return-address stack hints: ra and t0 link. */
static bool is_link(unsigned reg)
{
    return reg == 1 || reg == 5;
}

static enum lifted end_direct(struct builder *bd, uint64_t target, uint64_t link)
{
    struct ir_insn i = {.op = IR_JUMP, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
    i.imm = (int64_t)target;
    i.flags = IR_CALL;
    i.aux = link;
    build_insn(bd, i);
    return LIFT_END;
}

/* The block goes on at target. */
static enum lifted follow(struct builder *bd, uint64_t target)
{
    if (target <= bd->pc) {
        struct ir_insn i = {.op = IR_POLL, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
        i.imm = (int64_t)target;
        build_insn(bd, i);
    }
    bd->pc = target;
    return LIFT_JUMP;
}

/* To a known place: a call ends the block, a jump does not. */
static enum lifted direct(struct builder *bd, const struct decoded *d, uint64_t target)
{
    uint64_t link = bd->pc + d->len;
    build_reach(bd, target);
    if (d->rd)
        build_setx(bd, d->rd, build_relative(bd, link));
    if (is_link(d->rd))
        return end_direct(bd, target, link);
    return follow(bd, target);
}

static enum lifted indirect(struct builder *bd, const struct decoded *d)
{
    uint64_t target, link = bd->pc + d->len;
    bool relative;
    uint16_t to = build_op_imm(bd, IR_ADD, 8, build_getx(bd, d->rs1), (uint64_t)(int64_t)d->imm);
    if (build_see_const(bd, to, &target, &relative)) {
        if (!relative)
            build_bind(bd); /* to a place that does not move along */
        return direct(bd, d, target & ~UINT64_C(1));
    }
    struct ir_insn i = {.op = IR_JUMPR, .b = IR_NONE, .c = IR_NONE};
    i.a = build_op_imm(bd, IR_AND, 8, to, ~UINT64_C(1));
    if (d->rd)
        build_setx(bd, d->rd, build_relative(bd, link));
    if (is_link(d->rd) && (!is_link(d->rs1) || d->rd == d->rs1)) {
        i.flags = IR_CALL;
        i.aux = link;
    } else if (!d->rd && is_link(d->rs1)) {
        i.flags = IR_RET;
    }
    build_insn(bd, i);
    return LIFT_END;
}

/* A branch on a comparison's result compares itself. */
static void fuse_compare(struct builder *bd, struct ir_insn *br)
{
    static const uint8_t inverse[6] = {COND_NE, COND_EQ, COND_GE, COND_LT, COND_GEU, COND_LTU};
    const struct ir_insn *a = &bd->b->insn[br->a];
    if (br->b != IR_NONE || br->cond > COND_NE || a->op != IR_SETCOND)
        return;
    if (a->b == IR_NONE && a->imm != 0)
        return;
    br->cond = br->cond == COND_NE ? a->cond : inverse[a->cond];
    br->b = a->b;
    br->a = a->a;
}

static enum lifted branch(struct builder *bd, const struct decoded *d, enum ir_cond cond)
{
    uint64_t target = bd->pc + (uint64_t)(int64_t)d->imm, ka, kb;
    uint16_t a = build_getx(bd, d->rs1), b = build_getx(bd, d->rs2);
    bool relative_a = false, relative_b = false;
    bool const_a = build_see_const(bd, a, &ka, &relative_a);
    bool const_b = build_see_const(bd, b, &kb, &relative_b);
    bool known = a == b || (const_a && const_b);
    if (known && a != b && (relative_a || relative_b))
        build_bind(bd);
    if (known && ir_compare(cond, a == b ? 0 : ka, a == b ? 0 : kb))
        return follow(bd, target);
    if (known)
        return LIFT_NEXT;
    if (const_a && cond <= COND_NE) {
        uint16_t swap = a;
        a = b;
        b = swap;
        const_b = true;
        kb = ka;
    }
    struct ir_insn i = {.op = IR_BR, .cond = (uint8_t)cond, .a = a, .b = b, .c = IR_NONE};
    if (const_b && kb == 0)
        i.b = IR_NONE;
    fuse_compare(bd, &i);
    i.imm = (int64_t)target;
    build_insn(bd, i);
    if (d->imm > 0)
        return LIFT_NEXT;
    build_jump(bd, bd->pc + d->len); /* the end of a loop: what follows is another block */
    return LIFT_END;
}

static enum lifted leave(struct builder *bd, enum ir_op op, uint64_t to)
{
    struct ir_insn i = {.op = (uint8_t)op, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
    i.imm = (int64_t)to;
    build_insn(bd, i);
    return LIFT_END;
}

/* Handled by the wall without a change of mode or mapping: the block goes on. */
static enum lifted system_and_on(struct builder *bd, const struct decoded *d)
{
    build_system(bd, false);
    build_forget_x(bd, d->rd);
    return LIFT_NEXT;
}

enum lifted lift_control(struct builder *bd, const struct decoded *d)
{
    switch (d->id) {
    case INSN_jal: return direct(bd, d, bd->pc + (uint64_t)(int64_t)d->imm);
    case INSN_jalr: return indirect(bd, d);
    case INSN_beq: return branch(bd, d, COND_EQ);
    case INSN_bne: return branch(bd, d, COND_NE);
    case INSN_blt: return branch(bd, d, COND_LT);
    case INSN_bge: return branch(bd, d, COND_GE);
    case INSN_bltu: return branch(bd, d, COND_LTU);
    case INSN_bgeu: return branch(bd, d, COND_GEU);
    case INSN_fence_i: return leave(bd, IR_FENCE_I, bd->pc + d->len);
    default: break;
    }
    switch (insn_table[d->id].format) {
    case FORMAT_HLV:
    case FORMAT_HSV:
    case FORMAT_CBO: return system_and_on(bd, d);
    default: return build_system(bd, true);
    }
}

bool lift_float_allowed(struct builder *bd, bool writes)
{
    if (bd->b->mode & MODE_FS_OFF) {
        build_system(bd, true);
        return false;
    }
    if (writes && bd->b->mode & MODE_FS_CLEAN) {
        bd->uncounted = -1; /* it comes once more */
        build_count(bd);
        leave(bd, IR_FS_DIRTY, bd->pc);
        return false;
    }
    return true;
}
