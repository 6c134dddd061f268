/* Loads, stores, atomics, fences. Volume I, chapters RV32I, RV64I, A, Zacas, Zabha. */
#include "engine/ir_build.h"

enum {
    SIGN = IR_SIGNED
};

static const struct {
    uint8_t op, size, flags;
} access[INSN_COUNT] = {
    [INSN_lb] = {IR_LOAD, 1, SIGN}, [INSN_lh] = {IR_LOAD, 2, SIGN}, [INSN_lw] = {IR_LOAD, 4, SIGN},
    [INSN_ld] = {IR_LOAD, 8, 0},    [INSN_lbu] = {IR_LOAD, 1, 0},   [INSN_lhu] = {IR_LOAD, 2, 0},
    [INSN_lwu] = {IR_LOAD, 4, 0},   [INSN_sb] = {IR_STORE, 1, 0},   [INSN_sh] = {IR_STORE, 2, 0},
    [INSN_sw] = {IR_STORE, 4, 0},   [INSN_sd] = {IR_STORE, 8, 0},   [INSN_flw] = {IR_LOADF, 4, 0},
    [INSN_fld] = {IR_LOADF, 8, 0},  [INSN_fsw] = {IR_STOREF, 4, 0}, [INSN_fsd] = {IR_STOREF, 8, 0},
};

/* The amo_op of an AMO by funct5. */
static const uint8_t amo_ops[32] = {
    [0] = AMO_ADD,  [1] = AMO_SWAP, [4] = AMO_XOR,   [8] = AMO_OR,    [12] = AMO_AND,
    [16] = AMO_MIN, [20] = AMO_MAX, [24] = AMO_MINU, [28] = AMO_MAXU,
};

static enum lifted lift_access(struct builder *bd, const struct decoded *d)
{
    struct ir_insn i = {.op = access[d->id].op,
                        .size = access[d->id].size,
                        .flags = access[d->id].flags,
                        .b = IR_NONE,
                        .c = IR_NONE};
    if ((i.op == IR_LOADF || i.op == IR_STOREF) && !lift_float_allowed(bd, i.op == IR_LOADF))
        return LIFT_END;
    i.a = build_address(bd, d->rs1, d->imm, &i.imm);
    if (i.op == IR_STORE)
        i.b = build_getx(bd, d->rs2);
    else if (i.op == IR_STOREF)
        i.b = build_getf(bd, d->rs2);
    uint16_t v = build_insn(bd, i);
    if (i.op == IR_LOAD)
        build_setx(bd, d->rd, v);
    else if (i.op == IR_LOADF)
        build_setf(bd, d->rd, v);
    return LIFT_NEXT;
}

static enum lifted lift_atomic(struct builder *bd, const struct decoded *d)
{
    uint32_t match = insn_table[d->id].match;
    unsigned funct5 = match >> 27;
    struct ir_insn i = {.op = IR_AMO,
                        .size = (uint8_t)(1 << (match >> 12 & 7)),
                        .flags = d->rm ? IR_AQRL : 0,
                        .b = IR_NONE,
                        .c = IR_NONE};
    i.a = build_getx(bd, d->rs1);
    if (funct5 == 2) {
        i.op = IR_LR;
    } else {
        i.b = build_getx(bd, d->rs2);
        if (funct5 == 3)
            i.op = IR_SC;
        else if (funct5 == 5)
            i.op = IR_CAS, i.c = build_getx(bd, d->rd);
        else
            i.reg = amo_ops[funct5];
    }
    build_setx(bd, d->rd, build_insn(bd, i));
    return LIFT_NEXT;
}

enum lifted lift_memory(struct builder *bd, const struct decoded *d)
{
    unsigned format = insn_table[d->id].format;
    if (access[d->id].op)
        return lift_access(bd, d);
    if (format == FORMAT_AMO || format == FORMAT_LR)
        return lift_atomic(bd, d);
    if (d->id == INSN_fence) {
        struct ir_insn i = {
            .op = IR_FENCE, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE, .imm = d->imm & 0xff};
        build_insn(bd, i);
        return LIFT_NEXT;
    }
    return LIFT_NOT;
}
