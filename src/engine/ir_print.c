/* A block as text: the guest's instructions, each followed by its IR. */
#include <inttypes.h>

#include "engine/ir.h"
#include "isa/isa.h"

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
    const struct ir_facts *facts = &ir_facts[i->op];
    const uint16_t operand[3] = {i->a, i->b, i->c};
    fputs("    ", f);
    if (ir_has_value(i))
        fprintf(f, "%%%" PRIu32 " = ", k);
    fputs(facts->name, f);
    if (i->size && i->size != 8)
        fprintf(f, ".%u", i->size);
    if (facts->traits & IR_COND)
        fprintf(f, ".%s", cond[i->cond]);
    else if (facts->traits & IR_ROUND)
        fprintf(f, ".rm%u", i->cond);
    if (facts->traits & IR_REG)
        fprintf(f, " r%u", i->reg);
    for (unsigned n = 0; n < 3; n++)
        if (operand[n] != IR_NONE)
            fprintf(f, " %%%u", operand[n]);
    if (i->imm || i->op == IR_CONST)
        fprintf(f, " 0x%" PRIx64, (uint64_t)i->imm);
    bool fp = ir_is_fp(i);
    bool constant = i->op == IR_CONST;
    print_flags(f, i->flags & (fp ? ~IR_ANY_NAN : constant ? ~IR_RELATIVE : 0xff));
    if (fp && i->flags & IR_ANY_NAN)
        fputs(" anynan", f);
    if (constant && i->flags & IR_RELATIVE)
        fputs(" relative", f);
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
