/* Control and status registers that user code may read: the counters of Zicntr. */
#ifndef WIRT_PROCESS_USER_CSR_H
#define WIRT_PROCESS_USER_CSR_H

#include "engine/cpu.h"

/* Executes insn if it reads such a register, and moves pc on. false: it is illegal here. */
bool user_csr(struct cpu *cpu, uint32_t insn);

#endif
