/* What world.c and hart.c share. */
#ifndef WIRT_TESTS_HART_H
#define WIRT_TESTS_HART_H

#include "engine/jumps.h"
#include "engine/tlb.h"
#include "world.h"

extern const struct engine_ops paged_ops, flat_ops;

static inline struct hart *hart_of(struct cpu *cpu)
{
    return (struct hart *)cpu; /* its first member */
}

/* Keeps a record. false: there are enough, and the program is over. */
bool note(struct hart *h, bool is_trap, uint64_t insn);

void begin_world(struct hart *h, const struct program *p);
void happen(struct hart *h, const struct event *e);

/* All translations of changed bytes are given up. */
void compare_code(struct hart *h);

#endif
