/* Building IR while lifting: register values are forwarded, constants folded, and the idioms of
 * compilers recognized as the instructions come. For the lifter only. */
#ifndef WIRT_ENGINE_IR_BUILD_H
#define WIRT_ENGINE_IR_BUILD_H

#include "engine/cpu.h"
#include "engine/ir.h"
#include "isa/isa.h"

struct builder {
    struct cpu *cpu;
    struct ir_block *b;
    uint8_t gi;     /* the guest instruction being lifted */
    uint64_t pc;    /* its address */
    uint32_t raw;   /* its bytes */
    uint16_t x[32]; /* the value each register holds now, or IR_NONE when not read yet */
    uint16_t f[32];
    uint16_t unboxed[32]; /* f[], checked for being a NaN-boxed single; or IR_NONE */
    bool frm_checked;
    int uncounted; /* instructions that build_count has yet to count, with the one being lifted */
};

/* What lifting one instruction answers. */
enum lifted {
    LIFT_NOT,  /* not this function's instruction */
    LIFT_NEXT, /* goes on at the next instruction */
    LIFT_JUMP, /* goes on at builder.pc, which was changed to the jump's target */
    LIFT_END,  /* the block has ended */
};

void build_start(struct builder *bd, struct cpu *cpu, struct ir_block *b);

/* Appends; answers the value's name. The gi field is filled in. */
uint16_t build_insn(struct builder *bd, struct ir_insn i);

uint16_t build_const(struct builder *bd, uint64_t value);
/* An address that is as far from the block's wherever that is. */
uint16_t build_relative(struct builder *bd, uint64_t address);
/* Whether v is known. Whoever asks goes by the value: a relative one binds the block to its pc. */
bool build_is_const(struct builder *bd, uint16_t v, uint64_t *value);
/* The same, for who does right by a relative one, as far as can be told from it being none of the
 * small numbers. */
bool build_see_const(const struct builder *bd, uint16_t v, uint64_t *value, bool *relative);
/* The block is good for its pc only. */
void build_bind(struct builder *bd);
/* It is if it has to do with an address that is so far away: see ir_moves. */
void build_reach(struct builder *bd, uint64_t address);

uint16_t build_getx(struct builder *bd, unsigned reg);
void build_setx(struct builder *bd, unsigned reg, uint16_t v);
uint16_t build_getf(struct builder *bd, unsigned reg);
void build_setf(struct builder *bd, unsigned reg, uint16_t v);

/* The register's value as an operand of `size` bytes: unboxed when that is less than 8. */
uint16_t build_getf_sized(struct builder *bd, unsigned reg, unsigned size);

/* C code may have changed the register. */
void build_forget_x(struct builder *bd, unsigned reg);

/* a op b, a op imm, op a; with folding and simplification. */
uint16_t build_op(struct builder *bd, enum ir_op op, unsigned size, uint16_t a, uint16_t b);
uint16_t build_op_imm(struct builder *bd, enum ir_op op, unsigned size, uint16_t a, uint64_t imm);
uint16_t build_unary(struct builder *bd, enum ir_op op, unsigned size, uint16_t a);
uint16_t build_setcond(struct builder *bd, enum ir_cond cond, uint16_t a, uint16_t b);
uint16_t build_setcond_imm(struct builder *bd, enum ir_cond cond, uint16_t a, uint64_t imm);
uint16_t build_select(struct builder *bd, uint16_t test, uint16_t nonzero, uint16_t zero);
uint16_t build_pure(struct builder *bd, uint64_t (*fn)(uint64_t, uint64_t), uint16_t a, uint16_t b);

/* The address rs1 + offset as base value and offset, for memory operations. */
uint16_t build_address(struct builder *bd, unsigned rs1, int64_t offset, int64_t *folded);

/* In MODE_COUNT: cpu.instret grows by the instructions not counted yet. To stand before whatever
 * can trap, call out or leave. */
void build_count(struct builder *bd);

/* The ends of a block. */
void build_jump(struct builder *bd, uint64_t target);
enum lifted build_system(struct builder *bd, bool last);

/* One instruction, by subject (lift_*.c). */
enum lifted lift_integer(struct builder *bd, const struct decoded *d);
enum lifted lift_bits(struct builder *bd, const struct decoded *d);
enum lifted lift_memory(struct builder *bd, const struct decoded *d);
enum lifted lift_control(struct builder *bd, const struct decoded *d);
enum lifted lift_float(struct builder *bd, const struct decoded *d);
enum lifted lift_csr(struct builder *bd, const struct decoded *d);

/* False, and the block has ended, when floating point is off or must be marked dirty first. */
bool lift_float_allowed(struct builder *bd, bool writes);

#endif
