/* CSR instructions. Volume I, chapter Zicsr. */
#include "engine/engine.h"
#include "engine/ir_build.h"

#define CSR_FFLAGS 1

/* frflags and fsflags, which compilers put around quiet comparisons. */
static bool flags_in_line(struct builder *bd, const struct decoded *d, bool writes)
{
    bool immediate = insn_table[d->id].format == FORMAT_CSRI;
    bool swap = d->id == INSN_csrrw || d->id == INSN_csrrwi;
    if (d->imm != CSR_FFLAGS || (writes && !swap))
        return false;
    struct ir_insn i = {.op = IR_GETFF, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
    uint16_t operand = IR_NONE, old = IR_NONE;
    if (writes)
        operand = immediate ? build_const(bd, d->rs1) : build_getx(bd, d->rs1);
    if (d->rd)
        old = build_insn(bd, i);
    if (writes) {
        i.op = IR_SETFF;
        i.a = operand;
        build_insn(bd, i);
    }
    if (d->rd)
        build_setx(bd, d->rd, old);
    return true;
}

static enum lifted float_csr(struct builder *bd, const struct decoded *d, bool writes)
{
    if (!lift_float_allowed(bd, writes))
        return LIFT_END;
    if (flags_in_line(bd, d, writes))
        return LIFT_NEXT;
    struct ir_insn i = {.op = IR_FCSR, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
    i.imm = (int64_t)bd->raw;
    i.flags = IR_LAST;
    build_insn(bd, i);
    return LIFT_END;
}

static int plain(const struct builder *bd, unsigned csr, bool write)
{
    const struct engine_ops *ops = bd->cpu->ops;
    return ops->plain_csr ? ops->plain_csr(bd->cpu, csr, write) : -1;
}

/* A CSR that is a field of the cpu: read, combined and written in line. */
static void field(struct builder *bd, const struct decoded *d, int offset, bool reads, bool writes)
{
    bool immediate = insn_table[d->id].format == FORMAT_CSRI;
    struct ir_insn get = {.op = IR_GETS, .size = 8, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
    get.imm = offset;
    uint16_t operand = immediate ? build_const(bd, d->rs1) : build_getx(bd, d->rs1);
    uint16_t old = reads ? build_insn(bd, get) : IR_NONE;
    if (writes) {
        struct ir_insn set = get;
        set.op = IR_SETS;
        set.a = operand;
        if (d->id == INSN_csrrs || d->id == INSN_csrrsi)
            set.a = build_op(bd, IR_OR, 8, old, operand);
        else if (d->id == INSN_csrrc || d->id == INSN_csrrci)
            set.a = build_op(bd, IR_ANDN, 8, old, operand);
        build_insn(bd, set);
    }
    if (reads)
        build_setx(bd, d->rd, old);
}

enum lifted lift_csr(struct builder *bd, const struct decoded *d)
{
    unsigned format = insn_table[d->id].format, csr = (unsigned)d->imm;
    if (format != FORMAT_CSR && format != FORMAT_CSRI)
        return LIFT_NOT;
    bool swap = d->id == INSN_csrrw || d->id == INSN_csrrwi;
    bool writes = swap || d->rs1, reads = !swap || d->rd;
    if (csr >= 1 && csr <= 3)
        return float_csr(bd, d, writes);
    int offset = plain(bd, csr, writes);
    if (offset >= 0 && reads && writes && plain(bd, csr, false) != offset)
        offset = -1;
    if (offset >= 0) {
        field(bd, d, offset, reads, writes);
        return LIFT_NEXT;
    }
    build_system(bd, writes);
    build_forget_x(bd, d->rd);
    return writes ? LIFT_END : LIFT_NEXT;
}
