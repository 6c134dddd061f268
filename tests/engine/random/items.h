/* Items: what a random program is made of. */
#ifndef WIRT_TESTS_ITEMS_H
#define WIRT_TESTS_ITEMS_H

#include "engine/cpu.h"
#include "isa/isa.h"
#include "program.h"

#define POOL 6u

/* A program in the making. */
struct maker {
    struct random r;
    struct program *p;
    bool alone;
    uint8_t pool[POOL]; /* registers that meet often */
    uint8_t pointer[2]; /* registers that point at data, and are seldom written */
    uint8_t counter;    /* of loops; not written otherwise */
    uint16_t call_at;   /* an item that ends with a return, or 0 */
};

void make_items(struct maker *m);

/* Any instruction of the table, with random operands. */
uint32_t random_insn(struct random *r);
uint64_t random_integer(struct random *r);
uint64_t random_float(struct random *r); /* bits of an f register */
uint32_t random_mode(struct random *r);  /* enum cpu_mode */

#endif
