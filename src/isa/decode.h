/* The parts of the decoder, for each other only. */
#ifndef WIRT_ISA_DECODE_H
#define WIRT_ISA_DECODE_H

#include <stdbool.h>

#include "isa/isa.h"

/* The 16-bit instruction as the 32-bit one it expands to. */
void decode_compressed(uint16_t insn, struct decoded *out);

/* The name of a CSR, or NULL. */
const char *csr_name(unsigned number);

#endif
