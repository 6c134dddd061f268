/* Items: what a random program is made of. */
#ifndef WIRT_TESTS_ITEMS_H
#define WIRT_TESTS_ITEMS_H

#include "engine/cpu.h"
#include "isa/isa.h"
#include "program.h"

#define POOL 6u

/* One of several instructions. */
#define ONE_OF(m, ...)                                                                 \
    ({                                                                                 \
        static const uint16_t ids_[] = {__VA_ARGS__};                                  \
        (enum insn_id) ids_[below(&(m)->r, (uint32_t)(sizeof ids_ / sizeof ids_[0]))]; \
    })

/* A program in the making. */
struct maker {
    struct random r;
    struct program *p;
    struct setting setting;
    uint8_t pool[POOL]; /* registers that meet often */
    uint8_t pointer[2]; /* registers that point at data, and are seldom written */
    uint8_t counter;    /* of loops; not written otherwise */
    uint16_t call_at;   /* an item that ends with a return, or 0 */
};

void make_items(struct maker *m);

/* A new item of m's program, without instructions; one more instruction; an item of one. */
struct item *new_item(struct maker *m);
void add(struct item *it, uint32_t insn);
void one(struct maker *m, uint32_t insn);

/* An item to jump to. */
uint16_t some_target(struct maker *m, bool forward);

/* addresses.c: kinds of items. The last two are for programs beside others. */
void address_item(struct maker *m);
void global_item(struct maker *m);
void refresh_item(struct maker *m);
void pointer_call_item(struct maker *m);
void change_upper_bits(struct maker *m, unsigned d);
void shared_item(struct maker *m, unsigned function);
void mapped_item(struct maker *m);

/* A register to read, one to write, one that points at data. */
unsigned read_x(struct maker *m);
unsigned write_x(struct maker *m);
unsigned pick_pointer(struct maker *m);
unsigned pick_f(struct maker *m);
bool is_reserved(const struct maker *m, unsigned x); /* pointers and counter */

/* Encodings: with three registers, with an immediate of 12 bits, of a store. */
uint32_t put_r(enum insn_id id, unsigned d, unsigned s1, unsigned s2);
uint32_t put_imm(enum insn_id id, unsigned d, unsigned s1, int32_t imm);
uint32_t put_store(enum insn_id id, unsigned s1, unsigned s2, int32_t imm);
int32_t imm12(struct random *r);
int32_t random_offset(struct random *r); /* from a pointer: aligned mostly, seldom far */

enum insn_id of_format(struct maker *m, enum insn_format format);

/* An instruction of the table whose operands are chosen with care. */
uint32_t chosen_insn(struct maker *m, enum insn_id id);

/* Any instruction of the table, with random operands. */
uint32_t random_insn(struct random *r);
uint64_t random_integer(struct random *r);
uint64_t random_float(struct random *r); /* bits of an f register */
uint32_t random_mode(struct random *r);  /* enum cpu_mode */

#endif
