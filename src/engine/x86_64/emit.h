/* Turning one IR block into host code: the state of that, and who does what. */
#ifndef WIRT_ENGINE_X86_64_EMIT_H
#define WIRT_ENGINE_X86_64_EMIT_H

#include "engine/internal.h"
#include "engine/ir.h"
#include "engine/x86_64/asm.h"
#include "engine/x86_64/regs.h"

#define VALUE_SLOTS SPILL_TEMPS

/* Where a value is; several may hold at once. All -1: not made yet, or a constant. */
struct value {
    int8_t reg;    /* temporary, or the pinned register that a coming SET will make its home */
    int8_t home;   /* guest register whose home (pinned register or cpu field) holds it */
    int8_t slot;   /* of cpu.p.spill */
    int8_t hint;   /* guest register that it is SET to right after it is made */
    uint16_t uses; /* left */
    bool folded;   /* a shift that its one user does: see fold_shift */
};

/* What the host's flags tell, as long as nothing has been emitted since `at`. */
struct known_flags {
    const uint8_t *at;
    uint16_t value;  /* an IR value, or IR_NONE: not zero on condition nonzero */
    enum cc nonzero; /* and with sign its sign is the host's sign flag */
    bool sign;
    uint16_t a, b; /* they are those of comparing a, or IR_NONE, with b or imm */
    int64_t imm;
};

/* Code that is seldom run, put behind the block's end. */
struct cold {
    enum {
        COLD_LINK,      /* leave by a link; site: what jumps or calls here */
        COLD_REQUEST,   /* leave by a link because of an exit request */
        COLD_CALL_END,  /* the same, or the shadow stack is full */
        COLD_CALL_FULL, /* empty the shadow stack */
        COLD_MEMORY, /* a load, store or atomic that the TLB does not know, or that is misaligned */
        COLD_CONSTANT, /* load xmm dest with a constant */
        COLD_FMA,      /* the result is NaN: see put_fma */
        COLD_FLOAT,    /* do it in C: operand as it stands, result to dest */
        COLD_FLOAT2,   /* the same with two operands */
        COLD_HALVES,   /* an unsigned integer of 2^63 or more to floating point, by halves */
    } kind;
    uint8_t *site, *site2; /* displacements that lead here; NULL: none */
    uint8_t *back;         /* where to go on */
    uint64_t target;       /* guest pc of a link */
    uint32_t live;         /* temporaries to keep: GPRs, from bit 16 on xmm */
    int8_t dest;           /* result register, or -1 */
    bool dest_float, data_float;
    uint8_t gi;
    int8_t address, data; /* registers with the operands, -1: none */
    int32_t offset;       /* added to the address */
    uint64_t constant;    /* data when there is no register */
    uint64_t what;        /* the helper's last argument */
    const void *fn;
};

enum {
    CONST_BOX,
    CONST_NAN_D,
    CONST_NAN_S,
    CONST_SIGN_D,
    CONST_SIGN_S,
    CONST_REST_D,
    CONST_REST_S,
    N_CONSTANTS
};

struct emit {
    struct assembler a;
    struct engine *e;
    const struct ir_block *ir;
    bool paged;
    unsigned pc_index; /* IR instruction being emitted */
    struct value v[IR_LIMIT];
    int16_t owner[16];   /* value in a temporary, or -1 */
    int16_t owner_f[16]; /* the same for xmm registers */
    uint16_t cur_x[32],
        cur_f[32]; /* the value that the guest register holds, as far as known, or IR_NONE */
    struct known_flags flags;
    uint32_t locked, locked_f; /* registers that the current instruction needs */
    uint32_t dying, dying_f; /* locked ones whose value has no use left: its result may go there */
    uint64_t slots;          /* bit set: value slot in use */
    uint64_t dying_slots;    /* those that the current instruction was the last to use */
    struct cold *cold;
    uint32_t n_cold, cap_cold;
    struct fault_point *points;
    uint32_t n_points, cap_points;
    struct reloc *relocs;
    uint32_t n_relocs, cap_relocs;
    uint32_t first_link;             /* number of its first one */
    uint32_t *link_stubs, cap_links; /* see emit_lists */
    bool cut;                        /* there were not slots enough */
    uint8_t *entry;
    uint32_t hot_length, reenter; /* of the block that was finished last */
};

/* alloc.c: which value is where.
 *
 * One IR instruction is emitted in this order, and each step relies on those before it:
 *   1. scratch_this for each fixed register (RAX, RCX, RDX) that its host instructions write;
 *   2. use_* for each operand, once for each time the instruction names it; scratch for what it
 *      needs besides. They may emit loads, moves and stores to slots;
 *   3. def_* for its result, which may emit moves too: the old value of the register that the
 *      result is made in;
 *   4. host instructions.
 * All that steps 1 to 3 hand out is locked until end_insn: its value stays, it is not handed out
 * again. Two exceptions, both the caller's decision: unlock, when the last read of a register has
 * been emitted; and def_reg and def_xmm, which may answer the register of an operand that has no
 * use left. Operands are intact until the first write to the result, which a function that reads
 * one later must name in `avoid`. Step 4 writes what is locked for it (scratch, result), and no
 * operand but such a one. Values that are not operands are in no register that it may write. */
bool value_is_const(const struct emit *m, unsigned v, int64_t *out);
enum reg use_reg(struct emit *m, unsigned v);
unsigned use_xmm(struct emit *m, unsigned v);
/* As memory operand, when it is only in memory and this is its last use. */
bool use_mem(struct emit *m, unsigned v, struct mem *out);
void use_nothing(struct emit *m, unsigned v); /* the operand was dealt with otherwise */
enum reg def_reg(struct emit *m, unsigned i);
enum reg def_reg_not(struct emit *m, unsigned i, uint32_t avoid); /* in none of these */
/* For a result that comes to be in the locked register `from`, which holds no value: there it
 * stays, unless it belongs in a pinned register, where the caller moves it last. */
enum reg def_reg_from(struct emit *m, unsigned i, enum reg from);
unsigned def_xmm(struct emit *m, unsigned i, uint32_t avoid);
enum reg scratch(struct emit *m);                  /* a temporary for the current instruction */
enum reg scratch_this(struct emit *m, enum reg r); /* this one; its value moves away */
unsigned scratch_xmm(struct emit *m);
void unlock(struct emit *m, enum reg r); /* the current instruction needs it no more */
void end_insn(struct emit *m);
void set_home(struct emit *m, unsigned g, unsigned v, bool is_float);
void get_home(struct emit *m, unsigned g, unsigned v, bool is_float);
void save_all(struct emit *m); /* before a call that keeps nothing: every live value into a slot */
/* After save_all: an operand, of either class, into an argument register. */
void load_argument(struct emit *m, enum reg r, unsigned v);
uint32_t live_temps(const struct emit *m); /* mask as in cold.live; less what the instruction itself
                                              needs no more */

/* check.c: aborts when what alloc.c knows is not consistent after the instruction at pc_index,
 * whose cold pieces begin with number first_cold. */
void emit_check(const struct emit *m, uint32_t first_cold);

/* emit_int.c, emit_bits.c, emit_mem.c, emit_float.c, emit_control.c */
void emit_integer(struct emit *m, unsigned i);
void emit_bits(struct emit *m, unsigned i);
void emit_memory(struct emit *m, unsigned i);
void emit_float(struct emit *m, unsigned i);
void emit_get_flags(struct emit *m, unsigned i);
void emit_set_flags(struct emit *m, unsigned i);
void emit_control(struct emit *m, unsigned i);
void emit_cold(struct emit *m);

void emit_jump_probe(struct assembler *a);
uint64_t
describe(const struct ir_insn *i); /* what helpers are told: the instruction less its operands */
/* An SSE instruction with a 16-byte constant as its memory operand. */
void op_const(struct emit *m, unsigned prefix, unsigned op, unsigned xmm, unsigned constant);
struct cold *add_cold(struct emit *m, int kind);
void add_point(struct emit *m, const uint8_t *at, unsigned gi);
/* The same for the call that was just emitted: found by the call's last byte, as what follows it
 * may have a point of its own. */
void add_call_point(struct emit *m, unsigned gi);
/* The operands of a comparison, read but not compared yet. */
struct comparison {
    enum reg a, b; /* b: NO_REG: mem, or with mem.base NO_REG too the constant */
    struct mem mem;
    int32_t constant;
};
struct comparison read_comparison(struct emit *m, const struct ir_insn *i);
void put_comparison(struct emit *m, const struct comparison *k);
enum cc cc_of(unsigned cond);
/* Compares the operands of instruction i; the condition that means they fulfil its cond. */
enum cc emit_compare(struct emit *m, unsigned i);
/* The same from flags that are there; false: they are not. */
bool emit_compared(struct emit *m, unsigned i, enum cc *cc);
/* Value i has just been computed by an instruction that sets flags by its result. */
void note_flags(struct emit *m, unsigned i);
void call_helper(struct emit *m,
                 const void *fn); /* arguments are in rsi, rdx, rcx; nothing is live */

struct emit *emitter(struct engine *e); /* e->emit, made when it is first asked for */

/* relocate.c: what is somewhere else when the block is. */
void add_reloc(struct emit *m, enum reloc_kind kind, const uint8_t *at);
void note_link(struct emit *m, uint32_t number, const uint8_t *stub);
void mov_guest(struct emit *m, enum reg d, uint64_t address);   /* one that moves with the block */
void mov_host(struct emit *m, enum reg d, const void *address); /* of something of this program */
void mov_value(struct emit *m, enum reg d, unsigned v);         /* v: a constant */
void call_stub(struct emit *m, const uint8_t *rx);
void jmp_stub(struct emit *m, const uint8_t *rx);
void jcc_stub(struct emit *m, enum cc cc, const uint8_t *rx);
/* A displacement of 4 bytes, the instruction's last, to what is at rx in the stubs. */
void put_stub_rel(struct emit *m, const uint8_t *rx);

static inline bool host_has(const struct emit *m, unsigned features)
{
    return (m->e->host & features) == features;
}

#endif
