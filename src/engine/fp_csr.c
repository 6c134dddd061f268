/* fflags, frm and fcsr. Volume I, chapter F, section Floating-Point Control and Status Register. */
#include "engine/fp.h"
#include "isa/isa.h"

#define CSR_FFLAGS 1
#define CSR_FRM    2

void fp_csr(struct cpu *cpu, uint32_t insn)
{
    struct decoded d;
    isa_decode(insn, &d);
    bool immediate = insn_table[d.id].format == FORMAT_CSRI;
    bool swap = d.id == INSN_csrrw || d.id == INSN_csrrwi;
    uint64_t operand = immediate ? d.rs1 : cpu->x[d.rs1];
    unsigned fcsr = (unsigned)cpu->frm << 5 | cpu->fflags;
    unsigned shift = d.imm == CSR_FRM ? 5 : 0;
    unsigned mask = d.imm == CSR_FFLAGS ? 0x1f : d.imm == CSR_FRM ? 7 : 0xff;
    uint64_t old = fcsr >> shift & mask, value = operand;
    if (d.id == INSN_csrrs || d.id == INSN_csrrsi)
        value = old | operand;
    else if (d.id == INSN_csrrc || d.id == INSN_csrrci)
        value = old & ~operand;
    if (swap || d.rs1) {
        fcsr = (fcsr & ~(mask << shift)) | (unsigned)(value & mask) << shift;
        cpu->fflags = fcsr & 0x1f;
        cpu->frm = (uint8_t)(fcsr >> 5 & 7);
        cpu->mode &= ~(uint32_t)MODE_FP_SLOW;
        if (cpu->frm != FP_RNE)
            cpu->mode |= MODE_FP_SLOW;
    }
    if (d.rd)
        cpu->x[d.rd] = old;
    cpu->pc += d.len;
}
