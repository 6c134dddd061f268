/* The one table of riscv64 instructions: decoding, disassembly, tests and docs come from it.
 * Encodings: The RISC-V Instruction Set Manual, Volumes I and II. */
#ifndef WIRT_ISA_ISA_H
#define WIRT_ISA_ISA_H

#include <stddef.h>
#include <stdint.h>

/* INSN_add and so on, in the table's order; INSN_illegal is what no entry matches. */
enum insn_id {
    INSN_illegal,
#define INSN(name, mask, match, format, extension) INSN_##name,
#include "isa/table.def"
#undef INSN
    INSN_COUNT
};

/* Where operands are and how they are written. f is a floating-point register, x an integer one. */
enum insn_format {
    FORMAT_NONE,
    FORMAT_U,         /* xd, imm[31:12] */
    FORMAT_J,         /* xd, target */
    FORMAT_JALR,      /* xd, imm(x1) */
    FORMAT_B,         /* x1, x2, target */
    FORMAT_LOAD,      /* xd, imm(x1) */
    FORMAT_STORE,     /* x2, imm(x1) */
    FORMAT_I,         /* xd, x1, imm */
    FORMAT_SHIFT,     /* xd, x1, shift amount */
    FORMAT_R,         /* xd, x1, x2 */
    FORMAT_R1,        /* xd, x1 */
    FORMAT_FENCE,     /* imm = the 12 bits fm, pred, succ */
    FORMAT_CSR,       /* xd, csr, x1: imm = CSR number */
    FORMAT_CSRI,      /* xd, csr, rs1 as a number */
    FORMAT_AMO,       /* xd, x2, (x1); rm = aq << 1 | rl */
    FORMAT_LR,        /* xd, (x1); rm as above */
    FORMAT_FLOAD,     /* fd, imm(x1) */
    FORMAT_FSTORE,    /* f2, imm(x1) */
    FORMAT_FR4,       /* fd, f1, f2, f3, rm */
    FORMAT_FR_RM,     /* fd, f1, f2, rm */
    FORMAT_FR,        /* fd, f1, f2 */
    FORMAT_F1_RM,     /* fd, f1, rm */
    FORMAT_FCMP,      /* xd, f1, f2 */
    FORMAT_F_TO_X,    /* xd, f1 */
    FORMAT_F_TO_X_RM, /* xd, f1, rm */
    FORMAT_X_TO_F,    /* fd, x1 */
    FORMAT_X_TO_F_RM, /* fd, x1, rm */
    FORMAT_CBO,       /* (x1) */
    FORMAT_VMA,       /* x1, x2 */
    FORMAT_HLV,       /* xd, (x1) */
    FORMAT_HSV,       /* x2, (x1) */
};

enum insn_extension {
    EXT_I,
    EXT_ZIFENCEI,
    EXT_ZICSR,
    EXT_M,
    EXT_A,
    EXT_ZACAS,
    EXT_ZABHA,
    EXT_F,
    EXT_D,
    EXT_ZFH,
    EXT_ZBA,
    EXT_ZBB,
    EXT_ZBC,
    EXT_ZBS,
    EXT_ZBKB,
    EXT_ZBKX,
    EXT_ZICOND,
    EXT_ZICBOM,
    EXT_ZICBOZ,
    EXT_ZAWRS,
    EXT_PRIV,
    EXT_SVINVAL,
    EXT_H,
};

struct insn_info {
    const char *name; /* with underscores where the assembler writes dots */
    uint32_t mask, match;
    uint8_t format, extension; /* enum insn_format, enum insn_extension */
};

/* Indexed by enum insn_id. */
extern const struct insn_info insn_table[INSN_COUNT];

/* A decoded instruction. Register fields are filled whether the format has them or not. */
struct decoded {
    uint16_t id; /* enum insn_id */
    uint8_t rd, rs1, rs2, rs3;
    uint8_t rm;  /* funct3: the rounding mode; for AMO and LR: aq << 1 | rl */
    uint8_t len; /* 2 or 4 */
    int32_t imm; /* sign-extended; FORMAT_U: already shifted left by 12 */
};

/* Instruction length in bytes from its first 16 bits: 2 or 4; 0 for the longer, reserved ones. */
unsigned isa_length(uint16_t first);

/* Decodes one instruction, 16 bits or 32 by its low bits; compressed ones as what they expand to.
 * Reserved encodings, reserved static rounding modes too, give INSN_illegal. */
void isa_decode(uint32_t insn, struct decoded *out);

/* Disassembles into buf, as the binutils write it; never fails ("unknown" for what the table has
 * not). */
void isa_disassemble(uint32_t insn, uint64_t pc, char *buf, size_t size);

#endif
