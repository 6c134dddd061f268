/* The intermediate representation: what every riscv64 instruction means, in one form for the
 * interpreter and the emitter.
 *
 * A block is one array of ir_insn. A value is named by the index of the instruction that made it
 * (static single assignment; operands point backwards). Values are 64-bit integers or 64-bit raw
 * floating-point registers (class F). A block has one entry at the top and may be left at any IR_BR
 * (a side exit); the last instruction always leaves. Guest registers are read by GET and written by
 * SET. All SETs that guest-program order puts before a point that can trap, call out or leave stand
 * before that point in the array, so guest state is exact there. */
#ifndef WIRT_ENGINE_IR_H
#define WIRT_ENGINE_IR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define IR_NONE         0xffff
#define IR_LIMIT        1024 /* instructions in a block */
#define BLOCK_MAX_INSNS 128  /* guest instructions in a block */
#define LIFT_MAX_INSNS  64   /* in one that lift_block makes */

enum ir_op {
#define OP(id, ...) IR_##id,
#include "engine/ir.def"
    IR_OP_COUNT
};

enum ir_cond {
    COND_EQ,
    COND_NE,
    COND_LT,
    COND_GE,
    COND_LTU,
    COND_GEU
};

enum amo_op {
    AMO_SWAP,
    AMO_ADD,
    AMO_XOR,
    AMO_AND,
    AMO_OR,
    AMO_MIN,
    AMO_MAX,
    AMO_MINU,
    AMO_MAXU
};

enum sgnj_kind {
    SGNJ,
    SGNJN,
    SGNJX
};

enum int_kind {
    INT_W,
    INT_WU,
    INT_L,
    INT_LU
};

enum ir_flag {
    IR_SIGNED = 1,
    IR_CALL = 2,
    IR_RELATIVE = 2, /* on CONST: an address that moves with the block: see ir_block.bound */
    IR_RET = 4,
    IR_LAST = 8,
    IR_NEG_PRODUCT = 16,
    IR_NEG_ADDEND = 32,
    IR_AQRL = 64,
    IR_LOW32 = 128, /* by ir_optimize, on W forms: nothing uses the upper half of the result, which
                       need not be the sign then */
    IR_ANY_NAN = 128, /* by ir_optimize, on floating-point arithmetic: nothing can tell which quiet
                         NaN its result is */
};

/* What ir.def says of an operation. */
enum ir_class {
    IR_CLASS_N, /* none */
    IR_CLASS_X, /* integer */
    IR_CLASS_K, /* integer, or absent: then imm */
    IR_CLASS_F  /* raw floating-point register */
};

enum ir_trait {
    IR_EFFECT = 1,
    IR_OBSERVABLE = 2,
    IR_LEAVES = 4,
    IR_COND = 8,
    IR_ROUND = 16,
    IR_REG = 32
};

struct ir_facts {
    const char *name;
    uint8_t result, operand[3]; /* enum ir_class */
    uint8_t sizes;              /* those it has, or'ed */
    uint8_t traits;             /* enum ir_trait */
    uint8_t flags;              /* the enum ir_flag it may have */
};

extern const struct ir_facts ir_facts[IR_OP_COUNT];

struct ir_insn {
    uint8_t op;   /* enum ir_op */
    uint8_t size; /* bytes: 1, 2, 4, 8 */
    uint8_t cond; /* enum ir_cond; rounding mode of floating-point operations */
    uint8_t reg;
    uint16_t a, b, c; /* operand values, or IR_NONE */
    uint8_t flags;    /* enum ir_flag */
    uint8_t gi;       /* which guest instruction of the block this belongs to */
    int64_t imm;
    uint64_t aux;
};

struct ir_block {
    uint64_t pc;
    uint32_t mode;
    uint64_t page;    /* code_span.page of its first byte; when paged, that of all its bytes, */
    uint64_t page2;   /* unless it is one instruction over the page's end: the second page;
                         else UINT64_MAX */
    uint32_t n;       /* IR instructions */
    uint32_t n_guest; /* guest instructions */
    uint32_t n_bytes; /* guest bytes, summed */
    bool bound; /* The same bytes at another pc would not do the same but for what moves along:
                   constants that are IR_RELATIVE, guest_pc, the imm of BR, POLL, JUMP,
                   FENCE_I and FS_DIRTY, the aux of JUMP and JUMPR. Only a block whose pc
                   ir_moves(). */
    struct ir_insn insn[IR_LIMIT];
    uint64_t guest_pc[BLOCK_MAX_INSNS];  /* address of each guest instruction */
    uint32_t guest_raw[BLOCK_MAX_INSNS]; /* its bytes (16-bit ones zero-extended) */
    uint8_t guest_len[BLOCK_MAX_INSNS];
    uint16_t uses[IR_LIMIT]; /* filled by ir_optimize: how often each value is used */
};

/* Pcs that a block may move between: no address within 4 GiB of one has a shorter encoding than
 * another, or is 0, negative, or a small number. */
static inline bool ir_moves(uint64_t pc)
{
    return pc >> 33 && pc < (UINT64_C(1) << 47) - (UINT64_C(1) << 33);
}

struct cpu;

/* Lifts a superblock at cpu->pc under cpu->mode: goes on across direct jumps and not-taken branches
 * while code stays on one page (when paged) and limits allow. false: fetching the very first
 * instruction trapped; cpu->trap is set. A fetch that would trap later ends the block before that
 * instruction. */
bool lift_block(struct cpu *cpu, bool paged, struct ir_block *out);

/* The same, of at most `insns` guest instructions. */
bool lift_short_block(struct cpu *cpu, bool paged, unsigned insns, struct ir_block *out);

/* Whether the instruction at pc, whose bytes begin in span, reaches into the next page. */
struct code_span;
bool lift_straddles(uint64_t pc, const struct code_span *span);

/* Removes what nothing uses and SETs that are overwritten before anybody can look; counts uses. */
void ir_optimize(struct ir_block *b);

/* Whether it may trap, call out or leave: guest state must be exact there. */
static inline bool ir_is_observable(const struct ir_insn *i)
{
    return ir_facts[i->op].traits & IR_OBSERVABLE;
}

/* Whether it makes a value, and of class F. */
static inline bool ir_has_value(const struct ir_insn *i)
{
    return ir_facts[i->op].result != IR_CLASS_N;
}

static inline bool ir_is_float(const struct ir_insn *i)
{
    return ir_facts[i->op].result == IR_CLASS_F;
}

/* Whether it must stay even when nobody uses its value. */
static inline bool ir_has_effect(const struct ir_insn *i)
{
    return ir_facts[i->op].traits & IR_EFFECT;
}

/* Whether it is of those that have a W form, and in that form: its result is sign-extended from
 * bit 31, and only the low 32 bits of its operands matter. */
static inline bool ir_is_word(const struct ir_insn *i)
{
    return i->size == 4 && i->op >= IR_ADD && i->op <= IR_REMU;
}

/* Whether it is a floating-point operation: of fp_op(). */
static inline bool ir_is_fp(const struct ir_insn *i)
{
    return i->op >= IR_FADD && i->op <= IR_UNBOX;
}

/* Ends the program, with words, unless the block is as this file and ir.def say. optimized:
 * ir_optimize() made it so. For tests, and engines that look after themselves. */
void ir_check(const struct ir_block *b, bool optimized);

void ir_print(FILE *f, const struct ir_block *b);

/* The result of a pure integer operation (not of memory, state, floating point or control): what
 * the interpreter computes and the lifter folds. b and c are ignored where the operation has none;
 * an absent b is replaced by imm. */
uint64_t ir_eval(const struct ir_insn *i, uint64_t a, uint64_t b, uint64_t c);
bool ir_compare(unsigned cond, uint64_t a, uint64_t b);

/* Beside enum step, what ir_interpret answers when the block ended in fence.i: the engine calls
 * ops->fence_i, drops translations whose bytes changed, and goes on. */
#define STEP_FENCE_I 3

/* The reference engine: runs one block and leaves cpu->pc at the next one. Answers as a handler
 * does: STEP_NEXT to go on (checking exit_request), STEP_EXIT, STEP_TRAP; or STEP_FENCE_I. Without
 * cpu->tlb guest addresses are host addresses: cpu->pc is the instruction's before each access, for
 * the signal handler that leaves this function. */
int ir_interpret(struct cpu *cpu, const struct ir_block *b);

#endif
