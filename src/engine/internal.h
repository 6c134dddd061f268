/* What the engine's own files share. */
#ifndef WIRT_ENGINE_INTERNAL_H
#define WIRT_ENGINE_INTERNAL_H

#include <pthread.h>

#include "engine/blocks.h"
#include "engine/code_cache.h"
#include "engine/engine.h"

/* Why translated code was left. */
enum leave {
    LEAVE_LINK,         /* through link number p.exit_arg, whose target has no code yet */
    LEAVE_JUMP,         /* to cpu->pc, which the jump cache did not know */
    LEAVE_REQUEST,      /* an exit is requested; cpu->pc is where to go on */
    LEAVE_REQUEST_LINK, /* the same, at the target of link number p.exit_arg */
    LEAVE_TRAP,         /* cpu->trap at cpu->pc */
    LEAVE_AGAIN,        /* the code is void: look cpu->pc up again */
};

/* What the host has beyond the first x86-64. */
enum host_feature {
    HOST_POPCNT = 1 << 0,
    HOST_LZCNT = 1 << 1,
    HOST_AVX = 1 << 2,
    HOST_BMI1 = 1 << 3,
    HOST_BMI2 = 1 << 4,
    HOST_FMA = 1 << 5,
    HOST_ALL = (1 << 6) - 1
};

/* Calls of engine_invalidate. */
struct drops {
    uint64_t all, changed; /* without and with changed_only */
};

struct engine {
    struct engine_config config;
    unsigned
        host;     /* enum host_feature: what emitted code uses; detected, tests set it themselves */
    bool reread;  /* what is translated and kept is made again, from its record: for tests */
    bool checked; /* the emitter looks after itself at each instruction: for tests */
    bool flushing;
    bool parallel;        /* others may use guest memory while a cpu runs: atomics must be atomic */
    pthread_mutex_t lock; /* guards all below; never held while an engine_ops function runs */
    struct code_cache cache;
    struct block_table blocks;
    struct drops drops; /* so far: what was lifted before one and is added after it may be void */
    struct cpu *cpus;
    struct engine_stats stats;
    struct code_copy fork_copy; /* between engine_fork_prepare and _parent or _child */
    void *emit;                 /* the emitter's scratch memory */
    atomic_uint_fast64_t
        generation; /* counts whole flushes: shadow stacks and jump caches of older ones are void */
    struct {
        const uint8_t *enter; /* enum leave (struct cpu *, const uint8_t *code) */
        const uint8_t *leave_link,
            *leave_request_link; /* called; the link's number follows the call */
        const uint8_t *leave_jump, *leave_again, *leave_request; /* rax: guest pc */
        const uint8_t *jump;        /* rax: guest pc; probes the jump cache */
        const uint8_t *jump_second; /* the same, jumped to or called: not its first entry */
        const uint8_t *return_miss; /* the same, and the shadow stack is void */
        const uint8_t *leave_trap;  /* cpu->pc, cpu->trap are set */
        const uint8_t *leave;       /* eax: enum leave; cpu->pc is set */
        const uint8_t *call;        /* calls rax(cpu, rsi, rdx, rcx) with all guest state in *cpu */
        const uint8_t *call_memory; /* the same, for memory helpers: leaves on p.failed */
        const uint8_t *call_end;    /* called; the link's number follows: see stubs.c */
        const uint8_t *constants;
    } stubs;
};

/* cpu.p.spill: where values of a block are kept, temporaries around slow paths, and a helper's
 * further operand. */
enum {
    SPILL_VALUES = 0,
    SPILL_TEMPS = 56,
    SPILL_THIRD = 64,
    SPILL_MOVE = 65
};

/* What of a block's host code depends on where it is, or what else is. */
enum reloc_kind {
    RELOC_PC,    /* 8 bytes: an address of the guest that moves with the block's */
    RELOC_IMAGE, /* 8 bytes: an address within this program */
    RELOC_STUB,  /* 4 bytes: the distance to the stubs, from behind these */
    N_RELOC_KINDS
};

struct reloc {
    uint32_t at; /* offset in the code */
    uint32_t kind;
};

/* How far things have moved. */
struct reloc_move {
    uint64_t pc, image;
    uint32_t code; /* offset in the code cache */
};

/* x86_64/relocate.c */
uint32_t reloc_size(unsigned kind);
uint64_t reloc_image(void); /* an address in this program, for RELOC_IMAGE to be counted from */
void reloc_apply(uint8_t *code, struct reloc r, const struct reloc_move *move);

/* x86_64/: fills cache with the stubs. */
void emit_stubs(struct engine *e);

enum emitted {
    EMIT_DONE,
    EMIT_FULL, /* the code cache has no room for it: not before a flush */
    EMIT_CUT,  /* it needs more than a block can have: lift a shorter one */
};

/* Translates ir, behind what the cache holds. When it answers anything but EMIT_DONE, nothing has
 * changed. Then emit_place makes it b's code, the block added to e->blocks next. */
enum emitted emit_block(struct engine *e, const struct ir_block *ir);
void emit_place(struct engine *e, struct block *b);

/* The same with a copy of r, checked by record_parse, for a block at pc. */
struct record;
struct record_parts;
enum emitted emit_record(struct engine *e, const struct record *r, const struct record_parts *p,
                         uint64_t pc);

/* Of the block that was emitted last. */
struct emitted_lists {
    const struct reloc *relocs;
    const uint32_t *link_stubs; /* where each link's call of its stub has its displacement */
    uint32_t n_relocs, first_link, n_links;
};
void emit_lists(const struct engine *e, struct emitted_lists *out);

/* What this host has: enum host_feature. */
unsigned emit_host_features(void);

void emit_free(struct engine *e);

/* Of the block that was emitted last: bytes before its cold code. */
uint32_t emit_hot_length(const struct engine *e);

/* Makes the place of link lead to code. */
void emit_patch_link(struct engine *e, const struct link *l, const uint8_t *code);

/* Makes everybody who arrives at b's code go to `code` instead, or with NULL leave and look b->pc
 * up. */
void emit_redirect(struct engine *e, struct block *b, const uint8_t *code);

/* The flags of MXCSR's low 6 bits, as fflags. */
uint8_t fflags_of_mxcsr(uint64_t mxcsr);

/* Moves the exception flags that the host has gathered for the guest into cpu->fflags. */
void fp_fold_flags(struct cpu *cpu);

/* shadow.c: the shadow return stacks. */
int shadow_init(struct cpu *cpu, struct error **err);
void shadow_free(struct cpu *cpu);
void shadow_reset_all(struct cpu *cpu);
void shadow_switch(struct cpu *cpu);     /* to the one of cpu->mode and cpu->tlb */
void shadow_check_mode(struct cpu *cpu); /* empties it if its entries are of another mode */
void shadow_arm(struct cpu *cpu);        /* takes back the limit that a request has raised */

/* What a search for a block came to. Its pointers are good as long as the engine's generation is
 * `generation`. */
struct found {
    enum found_what {
        FOUND,
        TRAPPED,
        AGAIN,
        TOO_LONG /* within translate: a shorter block fits, at the latest one of one instruction */
    } what;
    const uint8_t *code;
    const struct ir_block *ir;
    uint64_t page;
};

/* The block at cpu->pc, translated if need be. */
struct found find_block(struct cpu *cpu);

/* Empties the whole cache. Called and left with the lock held, by a cpu (self) that is not in
 * translated code, or by nobody. The lock is dropped while waiting: a cpu on its way out may need
 * it, in a handler that invalidates. */
void engine_flush_locked(struct engine *e, struct cpu *self);

void engine_fence_i(struct cpu *cpu);

/* Of cpu->mode only MODE_FP_SLOW has changed, or maybe nothing: what translated code jumps by is
 * that of the mode. */
void engine_rounding_changed(struct cpu *cpu);

/* helpers.c: what translated code calls. The steps answer 0 to go on, or an enum leave. */
uint64_t helper_system(struct cpu *cpu, uint64_t insn, uint64_t pc);
uint64_t helper_system_last(struct cpu *cpu, uint64_t insn, uint64_t pc);
uint64_t helper_fcsr(struct cpu *cpu, uint64_t insn, uint64_t pc);
uint64_t helper_fence_i(struct cpu *cpu, uint64_t insn, uint64_t pc);
uint64_t helper_frm_check(struct cpu *cpu, uint64_t insn, uint64_t pc);
uint64_t helper_fs_dirty(struct cpu *cpu, uint64_t insn, uint64_t pc);
uint64_t helper_pure(struct cpu *cpu, uint64_t fn, uint64_t a, uint64_t b);
uint64_t helper_float(struct cpu *cpu, uint64_t insn, uint64_t a, uint64_t b);
/* Memory: size and signedness in what; on failure p.failed is set, and pc is the instruction's. */
uint64_t helper_load(struct cpu *cpu, uint64_t va, uint64_t unused, uint64_t what);
uint64_t helper_store(struct cpu *cpu, uint64_t va, uint64_t value, uint64_t what);
uint64_t helper_atomic(struct cpu *cpu, uint64_t va, uint64_t value, uint64_t what);

/* fault.c: the guest pc of the instruction that the host code before or at rx belongs to. */
bool guest_pc_of(struct engine *e, const uint8_t *rx, uint64_t *pc);

#endif
