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
    IR_NOP,
    /* Values and state */
    IR_CONST, /* imm */
    IR_GETX,  /* x[reg]; never x0 */
    IR_SETX,  /* x[reg] = a; never x0 */
    IR_GETF,  /* f[reg], raw */
    IR_SETF,  /* f[reg] = a (class F) */
    IR_GETS,  /* the 8-byte field at byte offset imm of struct cpu (plain CSRs) */
    IR_SETS,  /* that field = a */
    IR_GETFF, /* fflags */
    IR_SETFF, /* fflags = the low 5 bits of a */

    /* Integer. With size 4 (the W forms): operates on the low 32 bits and sign-extends the result
     * from bit 31; else size 8. b may be absent (IR_NONE): then imm is the second operand. Shift
     * amounts are taken mod the width. */
    IR_ADD,
    IR_SUB,
    IR_SHL,
    IR_SHR,
    IR_SAR,
    IR_ROL,
    IR_ROR,
    IR_MUL,
    IR_DIV, /* RISC-V's results for x/0 and overflow: Volume I, chapter M */
    IR_DIVU,
    IR_REM,
    IR_REMU,
    IR_AND, /* from here on 64 bits only */
    IR_OR,
    IR_XOR,
    IR_ANDN, /* a & ~b */
    IR_ORN,
    IR_XNOR,
    IR_MULH,
    IR_MULHU,
    IR_MULHSU, /* signed a, unsigned b */
    IR_MIN,
    IR_MAX,
    IR_MINU,
    IR_MAXU,
    IR_SETCOND, /* (a cond b) ? 1 : 0 */
    IR_SELECT,  /* a != 0 ? b : c */
    /* One operand */
    IR_SEXT, /* sign-extend the low `size` bytes of a */
    IR_ZEXT, /* zero-extend the low `size` bytes of a */
    IR_CLZ,  /* size 4 or 8; of zero: the width; result not sign-extended (it is small) */
    IR_CTZ,
    IR_CPOP,
    IR_BSWAP, /* rev8 */
    IR_ORCB,
    IR_PURE, /* imm = address of uint64_t fn(uint64_t a, uint64_t b): rare operations without side
                effects */

    /* Memory. Address is a + imm. May trap. */
    IR_LOAD,   /* size 1, 2, 4, 8; flag IR_SIGNED */
    IR_STORE,  /* b */
    IR_LOADF,  /* class F: size 4 (NaN-boxed) or 8 */
    IR_STOREF, /* b class F: the low `size` bytes */
    IR_LR,  /* sign-extended; sets the reservation. imm is 0 for this and all below; size 4 or 8 */
    IR_SC,  /* b; 0 on success, 1 on failure */
    IR_AMO, /* reg = enum amo_op; b; old value sign-extended. size 1, 2 for Zabha */
    IR_CAS, /* compare with c (low size bytes), store b; old value sign-extended */
    IR_FENCE, /* imm: the fence's pred << 4 | succ bits */

    /* Floating point: size 8, 4 or 2 (double, single, half). Operands and results are raw 64-bit,
     * class F. Operands of less than 8 bytes are taken as the low bits: the lifter puts IR_UNBOX in
     * front. Results of less than 8 bytes are NaN-boxed. NaN results are canonical. Flags accrue.
     * rm: 0..4 static rounding mode, 7 dynamic. */
    IR_FADD,
    IR_FSUB,
    IR_FMUL,
    IR_FDIV,
    IR_FSQRT,
    IR_FMADD, /* a * b + c, rounded once; flags IR_NEG_PRODUCT, IR_NEG_ADDEND */
    IR_FMIN,  /* IEEE 754-2019 minimumNumber; -0 < +0 */
    IR_FMAX,
    IR_FSGNJ, /* reg: enum sgnj_kind */
    IR_FEQ,   /* -> integer 0/1; quiet */
    IR_FLT,   /* signaling */
    IR_FLE,
    IR_FCLASS,
    IR_FCVT_TO_INT,   /* a (F of size) -> integer; reg: enum int_kind */
    IR_FCVT_FROM_INT, /* a (integer) -> F of size; reg: enum int_kind */
    IR_FCVT_FF,       /* between formats: from a's `reg` bytes (2, 4, 8) to `size` bytes */
    IR_FMV_TO_INT,    /* raw bits of a, sign-extended from `size` bytes */
    IR_FMV_FROM_INT,  /* integer to raw bits, NaN-boxed when size < 8 */
    IR_UNBOX, /* a if it is a properly NaN-boxed value of `size` bytes, else the canonical NaN
                 (boxed) */

    /* Control */
    IR_BR,    /* leave to guest pc imm when (a cond b); b IR_NONE: compare with 0 */
    IR_POLL,  /* leave to guest pc imm if cpu->exit_request is set: on the way along a jump backward
                 that the block follows, so that no circle of blocks goes round unasked */
    IR_JUMP,  /* leave to guest pc imm; the last instruction. flag IR_CALL: a direct call, whose
                 return address  (just set in ra) is aux */
    IR_JUMPR, /* leave to guest pc in a (bit 0 already cleared); flags IR_CALL (return address aux),
                 IR_RET */
    IR_SYSTEM, /* ops->system(cpu, imm). flag IR_LAST: leaves afterwards in any case (the next block
                  may have another mode); without it the block goes on at the next guest instruction
                  when the answer is STEP_NEXT */
    IR_FCSR,   /* a CSR instruction on fflags, frm or fcsr: imm = its bytes; like IR_SYSTEM with
                  IR_LAST */
    IR_FENCE_I,   /* leaves to guest pc imm, the next instruction */
    IR_FS_DIRTY,  /* calls ops->fs_dirty, then leaves to this same guest instruction; the last
                     instruction */
    IR_FRM_CHECK, /* in MODE_FP_SLOW, before operations with dynamic rounding: cpu->frm > 4 raises
                     CAUSE_ILLEGAL with tval imm (the instruction's bytes); else goes on */
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
    struct ir_insn insn[IR_LIMIT];
    uint64_t guest_pc[BLOCK_MAX_INSNS];  /* address of each guest instruction */
    uint32_t guest_raw[BLOCK_MAX_INSNS]; /* its bytes (16-bit ones zero-extended) */
    uint8_t guest_len[BLOCK_MAX_INSNS];
    uint16_t uses[IR_LIMIT]; /* filled by ir_optimize: how often each value is used */
};

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

/* Whether op may trap, call out or leave: guest state must be exact there. */
bool ir_is_observable(const struct ir_insn *i);

/* Whether it makes a value, and of class F. */
bool ir_has_value(const struct ir_insn *i);
bool ir_is_float(const struct ir_insn *i);

/* Whether it must stay even when nobody uses its value. */
bool ir_has_effect(const struct ir_insn *i);

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
