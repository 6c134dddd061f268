/* F and D: computation, comparison, conversion, moves. Volume I, chapters F and D. */
#include "engine/fp.h"
#include "engine/ir_build.h"

#define S_D(name, op, reg) [INSN_##name##_s] = {op, 4, reg}, [INSN_##name##_d] = {op, 8, reg}

static const struct {
    uint8_t op, size, reg, flags;
} table[INSN_COUNT] = {
    S_D(fadd, IR_FADD, 0),
    S_D(fsub, IR_FSUB, 0),
    S_D(fmul, IR_FMUL, 0),
    S_D(fdiv, IR_FDIV, 0),
    S_D(fsqrt, IR_FSQRT, 0),
    S_D(fmin, IR_FMIN, 0),
    S_D(fmax, IR_FMAX, 0),
    S_D(fsgnj, IR_FSGNJ, SGNJ),
    S_D(fsgnjn, IR_FSGNJ, SGNJN),
    S_D(fsgnjx, IR_FSGNJ, SGNJX),
    S_D(feq, IR_FEQ, 0),
    S_D(flt, IR_FLT, 0),
    S_D(fle, IR_FLE, 0),
    S_D(fclass, IR_FCLASS, 0),
    S_D(fcvt_w, IR_FCVT_TO_INT, INT_W),
    S_D(fcvt_wu, IR_FCVT_TO_INT, INT_WU),
    S_D(fcvt_l, IR_FCVT_TO_INT, INT_L),
    S_D(fcvt_lu, IR_FCVT_TO_INT, INT_LU),
    [INSN_fcvt_s_w] = {IR_FCVT_FROM_INT, 4, INT_W},
    [INSN_fcvt_s_wu] = {IR_FCVT_FROM_INT, 4, INT_WU},
    [INSN_fcvt_s_l] = {IR_FCVT_FROM_INT, 4, INT_L},
    [INSN_fcvt_s_lu] = {IR_FCVT_FROM_INT, 4, INT_LU},
    [INSN_fcvt_d_w] = {IR_FCVT_FROM_INT, 8, INT_W},
    [INSN_fcvt_d_wu] = {IR_FCVT_FROM_INT, 8, INT_WU},
    [INSN_fcvt_d_l] = {IR_FCVT_FROM_INT, 8, INT_L},
    [INSN_fcvt_d_lu] = {IR_FCVT_FROM_INT, 8, INT_LU},
    [INSN_fcvt_s_d] = {IR_FCVT_FF, 4, 8},
    [INSN_fcvt_d_s] = {IR_FCVT_FF, 8, 4},
    [INSN_fmv_x_w] = {IR_FMV_TO_INT, 4},
    [INSN_fmv_x_d] = {IR_FMV_TO_INT, 8},
    [INSN_fmv_w_x] = {IR_FMV_FROM_INT, 4},
    [INSN_fmv_d_x] = {IR_FMV_FROM_INT, 8},
    [INSN_fmadd_s] = {IR_FMADD, 4},
    [INSN_fmadd_d] = {IR_FMADD, 8},
    [INSN_fmsub_s] = {IR_FMADD, 4, 0, IR_NEG_ADDEND},
    [INSN_fmsub_d] = {IR_FMADD, 8, 0, IR_NEG_ADDEND},
    [INSN_fnmsub_s] = {IR_FMADD, 4, 0, IR_NEG_PRODUCT},
    [INSN_fnmsub_d] = {IR_FMADD, 8, 0, IR_NEG_PRODUCT},
    [INSN_fnmadd_s] = {IR_FMADD, 4, 0, IR_NEG_PRODUCT | IR_NEG_ADDEND},
    [INSN_fnmadd_d] = {IR_FMADD, 8, 0, IR_NEG_PRODUCT | IR_NEG_ADDEND},
};

static bool has_rounding_mode(unsigned format)
{
    return format == FORMAT_FR4 || format == FORMAT_FR_RM || format == FORMAT_F1_RM ||
           format == FORMAT_F_TO_X_RM || format == FORMAT_X_TO_F_RM;
}

/* A reserved frm makes instructions with dynamic rounding illegal. A write of frm ends the block,
 * so one check serves all of it. */
static void check_frm(struct builder *bd)
{
    if (bd->frm_checked || !(bd->b->mode & MODE_FP_SLOW))
        return;
    struct ir_insn i = {.op = IR_FRM_CHECK, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
    i.imm = (int64_t)bd->raw;
    build_insn(bd, i);
    bd->frm_checked = true;
}

/* What the operands are: f registers, boxed or raw, or an x register. */
static void operands(struct builder *bd, const struct decoded *d, unsigned format,
                     struct ir_insn *i)
{
    if (format == FORMAT_X_TO_F || format == FORMAT_X_TO_F_RM)
        i->a = build_getx(bd, d->rs1);
    else if (i->op == IR_FMV_TO_INT)
        i->a = build_getf(bd, d->rs1);
    else
        i->a = build_getf_sized(bd, d->rs1, i->op == IR_FCVT_FF ? i->reg : i->size);
    if (format == FORMAT_FR || format == FORMAT_FR_RM || format == FORMAT_FCMP ||
        format == FORMAT_FR4)
        i->b = build_getf_sized(bd, d->rs2, i->size);
    if (format == FORMAT_FR4)
        i->c = build_getf_sized(bd, d->rs3, i->size);
}

enum lifted lift_float(struct builder *bd, const struct decoded *d)
{
    unsigned format = insn_table[d->id].format;
    struct ir_insn i = {.op = table[d->id].op,
                        .size = table[d->id].size,
                        .reg = table[d->id].reg,
                        .flags = table[d->id].flags,
                        .a = IR_NONE,
                        .b = IR_NONE,
                        .c = IR_NONE};
    if (!i.op)
        return LIFT_NOT;
    if (!lift_float_allowed(bd, i.op != IR_FMV_TO_INT && i.op != IR_FCLASS))
        return LIFT_END;
    if (has_rounding_mode(format)) {
        i.cond = d->rm;
        if (d->rm == FP_DYN)
            check_frm(bd);
    }
    operands(bd, d, format, &i);
    bool move = i.op == IR_FSGNJ && i.reg == SGNJ && i.a == i.b;
    uint16_t v = move ? i.a : build_insn(bd, i);
    if (ir_is_float(&i))
        build_setf(bd, d->rd, v);
    else
        build_setx(bd, d->rd, v);
    return LIFT_NEXT;
}
