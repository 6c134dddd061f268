/* The parts of the reference interpreter, for each other only. */
#ifndef WIRT_ENGINE_INTERP_H
#define WIRT_ENGINE_INTERP_H

#include "engine/cpu.h"
#include "engine/ir.h"

/* lr, sc, amo, amocas at address a. false: cpu->trap is set. */
bool interp_atomic(struct cpu *cpu, const struct ir_insn *i, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t *out);

#endif
