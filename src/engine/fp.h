/* RISC-V floating point in C: the reference, and the slow path of translated code. Volume I,
 * chapters F and D. */
#ifndef WIRT_ENGINE_FP_H
#define WIRT_ENGINE_FP_H

#include "engine/cpu.h"
#include "engine/ir.h"

/* Flags in fflags. */
enum {
    FP_NX = 1,
    FP_UF = 2,
    FP_OF = 4,
    FP_DZ = 8,
    FP_NV = 16
};

/* Rounding modes, in instructions and in frm. */
enum {
    FP_RNE,
    FP_RTZ,
    FP_RDN,
    FP_RUP,
    FP_RMM,
    FP_DYN = 7
};

/* One floating-point operation of the IR, IR_FADD to IR_UNBOX, packed into a constant. */
uint32_t fp_how(const struct ir_insn *i);

/* Does it: operands and result as ir.h says, flags into cpu->fflags, dynamic rounding by cpu->frm
 * (which must not be a reserved one). May be called with any host rounding mode and flags, and
 * leaves them as they were. */
uint64_t fp_op(struct cpu *cpu, uint32_t how, uint64_t a, uint64_t b, uint64_t c);

/* A CSR instruction (its bytes) on fflags, frm or fcsr: does it, keeps MODE_FP_SLOW in cpu->mode
 * true to frm, advances cpu->pc. The caller tells the engine (engine_fp_changed). */
void fp_csr(struct cpu *cpu, uint32_t insn);

#endif
