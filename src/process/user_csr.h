/* Control and status registers that user code may read: the counters of Zicntr. */
#ifndef WIRT_PROCESS_USER_CSR_H
#define WIRT_PROCESS_USER_CSR_H

#include "engine/engine.h"

/* Executes insn if it reads such a register, and moves pc on. STEP_TRAP: it is illegal here. Time
 * is CLOCK_MONOTONIC's, cycles are the host's, and instructions are counted from the thread's first
 * question on. */
enum step user_csr(struct cpu *cpu, uint32_t insn);

#endif
