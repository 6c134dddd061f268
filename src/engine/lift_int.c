/* I and M: computational instructions. Volume I, chapters RV32I, RV64I, M. */
#include "engine/ir_build.h"

/* Those that are one IR operation on rs1 and rs2, an immediate or nothing more. */
static const struct {
    uint8_t op, size;
} simple[INSN_COUNT] = {
    [INSN_addi] = {IR_ADD, 8},    [INSN_xori] = {IR_XOR, 8},    [INSN_ori] = {IR_OR, 8},
    [INSN_andi] = {IR_AND, 8},    [INSN_slli] = {IR_SHL, 8},    [INSN_srli] = {IR_SHR, 8},
    [INSN_srai] = {IR_SAR, 8},    [INSN_add] = {IR_ADD, 8},     [INSN_sub] = {IR_SUB, 8},
    [INSN_sll] = {IR_SHL, 8},     [INSN_xor] = {IR_XOR, 8},     [INSN_srl] = {IR_SHR, 8},
    [INSN_sra] = {IR_SAR, 8},     [INSN_or] = {IR_OR, 8},       [INSN_and] = {IR_AND, 8},
    [INSN_addiw] = {IR_ADD, 4},   [INSN_slliw] = {IR_SHL, 4},   [INSN_srliw] = {IR_SHR, 4},
    [INSN_sraiw] = {IR_SAR, 4},   [INSN_addw] = {IR_ADD, 4},    [INSN_subw] = {IR_SUB, 4},
    [INSN_sllw] = {IR_SHL, 4},    [INSN_srlw] = {IR_SHR, 4},    [INSN_sraw] = {IR_SAR, 4},
    [INSN_mul] = {IR_MUL, 8},     [INSN_mulh] = {IR_MULH, 8},   [INSN_mulhsu] = {IR_MULHSU, 8},
    [INSN_mulhu] = {IR_MULHU, 8}, [INSN_div] = {IR_DIV, 8},     [INSN_divu] = {IR_DIVU, 8},
    [INSN_rem] = {IR_REM, 8},     [INSN_remu] = {IR_REMU, 8},   [INSN_mulw] = {IR_MUL, 4},
    [INSN_divw] = {IR_DIV, 4},    [INSN_divuw] = {IR_DIVU, 4},  [INSN_remw] = {IR_REM, 4},
    [INSN_remuw] = {IR_REMU, 4},  [INSN_andn] = {IR_ANDN, 8},   [INSN_orn] = {IR_ORN, 8},
    [INSN_xnor] = {IR_XNOR, 8},   [INSN_max] = {IR_MAX, 8},     [INSN_maxu] = {IR_MAXU, 8},
    [INSN_min] = {IR_MIN, 8},     [INSN_minu] = {IR_MINU, 8},   [INSN_rol] = {IR_ROL, 8},
    [INSN_ror] = {IR_ROR, 8},     [INSN_rolw] = {IR_ROL, 4},    [INSN_rorw] = {IR_ROR, 4},
    [INSN_rori] = {IR_ROR, 8},    [INSN_roriw] = {IR_ROR, 4},   [INSN_clz] = {IR_CLZ, 8},
    [INSN_ctz] = {IR_CTZ, 8},     [INSN_cpop] = {IR_CPOP, 8},   [INSN_clzw] = {IR_CLZ, 4},
    [INSN_ctzw] = {IR_CTZ, 4},    [INSN_cpopw] = {IR_CPOP, 4},  [INSN_sext_b] = {IR_SEXT, 1},
    [INSN_sext_h] = {IR_SEXT, 2}, [INSN_zext_h] = {IR_ZEXT, 2}, [INSN_orc_b] = {IR_ORCB, 8},
    [INSN_rev8] = {IR_BSWAP, 8},
};

static uint16_t lift_simple(struct builder *bd, const struct decoded *d)
{
    enum ir_op op = simple[d->id].op;
    unsigned size = simple[d->id].size;
    uint16_t a = build_getx(bd, d->rs1);
    switch (insn_table[d->id].format) {
    case FORMAT_R: return build_op(bd, op, size, a, build_getx(bd, d->rs2));
    case FORMAT_R1: return build_unary(bd, op, size, a);
    default: return build_op_imm(bd, op, size, a, (uint64_t)(int64_t)d->imm);
    }
}

enum lifted lift_integer(struct builder *bd, const struct decoded *d)
{
    uint64_t imm = (uint64_t)(int64_t)d->imm;
    uint16_t a, out;
    if (simple[d->id].op) {
        if (d->rd) /* else a hint */
            build_setx(bd, d->rd, lift_simple(bd, d));
        return LIFT_NEXT;
    }
    switch (d->id) {
    case INSN_lui: out = build_const(bd, imm); break;
    case INSN_auipc: out = build_relative(bd, bd->pc + imm); break;
    case INSN_slt:
    case INSN_sltu:
        a = build_getx(bd, d->rs1);
        out = build_setcond(bd, d->id == INSN_slt ? COND_LT : COND_LTU, a, build_getx(bd, d->rs2));
        break;
    case INSN_slti: out = build_setcond_imm(bd, COND_LT, build_getx(bd, d->rs1), imm); break;
    case INSN_sltiu: out = build_setcond_imm(bd, COND_LTU, build_getx(bd, d->rs1), imm); break;
    default: return LIFT_NOT;
    }
    build_setx(bd, d->rd, out);
    return LIFT_NEXT;
}
