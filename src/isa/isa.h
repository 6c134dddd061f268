/* The one table of riscv64 instructions: decoding, disassembly, tests and docs come from it.
 * Encodings: The RISC-V Instruction Set Manual, Volumes I and II. */
#ifndef WIRT_ISA_ISA_H
#define WIRT_ISA_ISA_H

#include <stddef.h>
#include <stdint.h>

/* Instruction length in bytes from its first 16 bits: 2 or 4; 0 for the longer, reserved ones. */
unsigned isa_length(uint16_t first);

/* Disassembles into buf, as the binutils write it; never fails ("unknown" for what the table has
 * not). */
void isa_disassemble(uint32_t insn, uint64_t pc, char *buf, size_t size);

#endif
