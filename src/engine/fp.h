/* RISC-V floating point in C: the reference, and the slow path of translated code. Volume I,
 * chapters F and D. */
#ifndef WIRT_ENGINE_FP_H
#define WIRT_ENGINE_FP_H

#include "engine/cpu.h"

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

/* A CSR instruction (its bytes) on fflags, frm or fcsr: does it, keeps MODE_FP_SLOW in cpu->mode
 * true to frm, advances cpu->pc. The caller tells the engine (engine_fp_changed). */
void fp_csr(struct cpu *cpu, uint32_t insn);

#endif
