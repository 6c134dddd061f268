/* A block as text: the guest's instructions, each followed by its IR. */
#include <inttypes.h>

#include "engine/ir.h"
#include "isa/isa.h"

static const char *const names[IR_OP_COUNT] = {
    [IR_NOP] = "nop",
    [IR_CONST] = "const",
    [IR_GETX] = "getx",
    [IR_SETX] = "setx",
    [IR_GETF] = "getf",
    [IR_SETF] = "setf",
    [IR_GETS] = "gets",
    [IR_SETS] = "sets",
    [IR_GETFF] = "getff",
    [IR_SETFF] = "setff",
    [IR_ADD] = "add",
    [IR_SUB] = "sub",
    [IR_SHL] = "shl",
    [IR_SHR] = "shr",
    [IR_SAR] = "sar",
    [IR_ROL] = "rol",
    [IR_ROR] = "ror",
    [IR_MUL] = "mul",
    [IR_DIV] = "div",
    [IR_DIVU] = "divu",
    [IR_REM] = "rem",
    [IR_REMU] = "remu",
    [IR_AND] = "and",
    [IR_OR] = "or",
    [IR_XOR] = "xor",
    [IR_ANDN] = "andn",
    [IR_ORN] = "orn",
    [IR_XNOR] = "xnor",
    [IR_MULH] = "mulh",
    [IR_MULHU] = "mulhu",
    [IR_MULHSU] = "mulhsu",
    [IR_MIN] = "min",
    [IR_MAX] = "max",
    [IR_MINU] = "minu",
    [IR_MAXU] = "maxu",
    [IR_SETCOND] = "setcond",
    [IR_SELECT] = "select",
    [IR_SEXT] = "sext",
    [IR_ZEXT] = "zext",
    [IR_CLZ] = "clz",
    [IR_CTZ] = "ctz",
    [IR_CPOP] = "cpop",
    [IR_BSWAP] = "bswap",
    [IR_ORCB] = "orcb",
    [IR_PURE] = "pure",
    [IR_LOAD] = "load",
    [IR_STORE] = "store",
    [IR_LOADF] = "loadf",
    [IR_STOREF] = "storef",
    [IR_LR] = "lr",
    [IR_SC] = "sc",
    [IR_AMO] = "amo",
    [IR_CAS] = "cas",
    [IR_FENCE] = "fence",
    [IR_FADD] = "fadd",
    [IR_FSUB] = "fsub",
    [IR_FMUL] = "fmul",
    [IR_FDIV] = "fdiv",
    [IR_FSQRT] = "fsqrt",
    [IR_FMADD] = "fmadd",
    [IR_FMIN] = "fmin",
    [IR_FMAX] = "fmax",
    [IR_FSGNJ] = "fsgnj",
    [IR_FEQ] = "feq",
    [IR_FLT] = "flt",
    [IR_FLE] = "fle",
    [IR_FCLASS] = "fclass",
    [IR_FCVT_TO_INT] = "fcvt_to_int",
    [IR_FCVT_FROM_INT] = "fcvt_from_int",
    [IR_FCVT_FF] = "fcvt_ff",
    [IR_FMV_TO_INT] = "fmv_to_int",
    [IR_FMV_FROM_INT] = "fmv_from_int",
    [IR_UNBOX] = "unbox",
    [IR_BR] = "br",
    [IR_POLL] = "poll",
    [IR_JUMP] = "jump",
    [IR_JUMPR] = "jumpr",
    [IR_SYSTEM] = "system",
    [IR_FCSR] = "fcsr",
    [IR_FENCE_I] = "fence_i",
    [IR_FS_DIRTY] = "fs_dirty",
    [IR_FRM_CHECK] = "frm_check",
};

static bool has_cond(const struct ir_insn *i)
{
    return i->op == IR_BR || i->op == IR_SETCOND;
}

static bool has_reg(const struct ir_insn *i)
{
    return i->op == IR_GETX || i->op == IR_SETX || i->op == IR_GETF || i->op == IR_SETF ||
           i->op == IR_AMO || i->op == IR_FSGNJ || i->op == IR_FCVT_TO_INT ||
           i->op == IR_FCVT_FROM_INT || i->op == IR_FCVT_FF;
}

static void print_flags(FILE *f, unsigned flags)
{
    static const char *const flag[] = {"signed",  "call",      "ret",  "last",
                                       "negprod", "negaddend", "aqrl", "low32"};
    for (unsigned n = 0; n < sizeof flag / sizeof flag[0]; n++)
        if (flags >> n & 1)
            fprintf(f, " %s", flag[n]);
}

static void print_insn(FILE *f, const struct ir_block *b, uint32_t k)
{
    static const char *const cond[] = {"eq", "ne", "lt", "ge", "ltu", "geu"};
    const struct ir_insn *i = &b->insn[k];
    const uint16_t operand[3] = {i->a, i->b, i->c};
    fputs("    ", f);
    if (ir_has_value(i))
        fprintf(f, "%%%" PRIu32 " = ", k);
    fputs(names[i->op], f);
    if (i->size && i->size != 8)
        fprintf(f, ".%u", i->size);
    if (has_cond(i))
        fprintf(f, ".%s", cond[i->cond]);
    else if (i->op >= IR_FADD && i->op <= IR_UNBOX)
        fprintf(f, ".rm%u", i->cond);
    if (has_reg(i))
        fprintf(f, " r%u", i->reg);
    for (unsigned n = 0; n < 3; n++)
        if (operand[n] != IR_NONE)
            fprintf(f, " %%%u", operand[n]);
    if (i->imm || i->op == IR_CONST)
        fprintf(f, " 0x%" PRIx64, (uint64_t)i->imm);
    bool fp = i->op >= IR_FADD && i->op <= IR_UNBOX;
    print_flags(f, i->flags & (fp ? ~IR_ANY_NAN : 0xff));
    if (fp && i->flags & IR_ANY_NAN)
        fputs(" anynan", f);
    if (i->aux)
        fprintf(f, " aux=0x%" PRIx64, i->aux);
    fputc('\n', f);
}

void ir_print(FILE *f, const struct ir_block *b)
{
    char text[96];
    unsigned shown = 0;
    fprintf(f,
            "block 0x%" PRIx64 " mode %" PRIu32 ": %" PRIu32 " guest instructions, %" PRIu32
            " bytes\n",
            b->pc, b->mode, b->n_guest, b->n_bytes);
    for (uint32_t k = 0; k <= b->n; k++) {
        for (; shown < b->n_guest && (k == b->n || b->insn[k].gi >= shown); shown++) {
            isa_disassemble(b->guest_raw[shown], b->guest_pc[shown], text, sizeof text);
            fprintf(f, "  0x%" PRIx64 ": %0*" PRIx32 "  %s\n", b->guest_pc[shown],
                    2 * b->guest_len[shown], b->guest_raw[shown], text);
        }
        if (k < b->n)
            print_insn(f, b, k);
    }
}
