/* The state of one hart as the engine sees it.
 *
 * A wall embeds struct cpu as the first member of its own hart (machine) or thread (process). While
 * translated code runs, part of this state lives in host registers; whenever C code of a wall is
 * called, all of it is here. */
#ifndef WIRT_ENGINE_CPU_H
#define WIRT_ENGINE_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;
struct engine_ops;

/* Exception codes: The RISC-V Instruction Set Manual, Volume II, table of scause/mcause values. */
enum cause {
    CAUSE_FETCH_MISALIGNED = 0,
    CAUSE_FETCH_ACCESS = 1,
    CAUSE_ILLEGAL = 2,
    CAUSE_BREAKPOINT = 3,
    CAUSE_LOAD_MISALIGNED = 4,
    CAUSE_LOAD_ACCESS = 5,
    CAUSE_STORE_MISALIGNED = 6,
    CAUSE_STORE_ACCESS = 7,
    CAUSE_ECALL_U = 8,
    CAUSE_ECALL_S = 9,
    CAUSE_ECALL_VS = 10,
    CAUSE_ECALL_M = 11,
    CAUSE_FETCH_PAGE = 12,
    CAUSE_LOAD_PAGE = 13,
    CAUSE_STORE_PAGE = 15,
};

struct trap {
    uint64_t cause; /* enum cause */
    uint64_t tval;
};

/* What a block's translation depends on besides its bytes. Blocks are looked up by (pc, page,
 * mode). */
enum cpu_mode {
    MODE_PRIV = 3,          /* bits 1:0: 0 U, 1 S, 3 M */
    MODE_VIRT = 1 << 2,     /* V = 1: VS or VU */
    MODE_FS_OFF = 1 << 3,   /* floating-point instructions are illegal (mstatus.FS = 0) */
    MODE_FS_CLEAN = 1 << 4, /* the first write of an f register or fcsr must call ops->fs_dirty */
    MODE_FP_SLOW = 1 << 5,  /* frm is not round-to-nearest-even, the mode translated code runs in:
                               operations with dynamic rounding go through C */
    MODE_COUNT = 1 << 6,    /* retired instructions are counted in cpu.instret: somebody asked */
};

/* One entry of a software TLB. A load, store or fetch of `size` bytes at va hits when the entry at
 * index (va >> 12) & (n - 1) has tag == ((va + size - 1) & ~0xfff): so accesses that cross a page
 * always miss. host = va + addend. */
struct tlb_entry {
    uint64_t tag; /* the page's virtual address, or TLB_INVALID */
    uint64_t addend;
};

#define TLB_INVALID UINT64_MAX
#define TLB_BITS    12 /* log2 of the entries of each table */

/* One translation context: what one privilege mode of one address space sees. The wall chooses
 * which one a hart uses by setting cpu->tlb (through engine_set_tlb), and fills and flushes it
 * (tlb.h). Loads and stores have tables of their own, so permission is part of a hit, and pages
 * whose stores have to be seen (translated code, dirty logging) are just not entered in `store`. */
struct tlb {
    struct tlb_entry load[1 << TLB_BITS];
    struct tlb_entry store[1 << TLB_BITS];
};

#define N_JUMP_TABLES 4

/* Where jumps of one context lead: jumps.h. All zero is an empty one; free it with jump_cache_free.
 */
struct jump_cache {
    struct jump_table *table[N_JUMP_TABLES]; /* one a mode, made when it is first used */
    unsigned next_victim;
};

struct cpu {
    uint64_t x[32]; /* x[0] stays 0 */
    uint64_t f[32]; /* raw bits; a single is NaN-boxed */
    uint64_t pc;
    uint32_t mode; /* enum cpu_mode */
    uint8_t frm,
        fflags; /* fcsr; the engine folds the host's flags in before C code of a wall runs */
    atomic_uint exit_request; /* nonzero: leave translated code at the next check */
    struct trap trap;         /* set by whoever makes an instruction fail */
    uint64_t instret; /* in MODE_COUNT, where the wall can look: the instructions begun so far, so
                         the one that looks is among them; what trapped is not (engine_run) */
    uint64_t res_addr,
        res_value; /* the reservation of lr: address (or UINT64_MAX) and value loaded */

    struct engine *engine;
    const struct engine_ops *ops;

    /* Context: set through engine_set_context only. NULL tlb: addresses are host addresses (process
     * wall). */
    struct tlb *tlb;
    struct jump_cache *jumps;

    /* The rest belongs to the engine. */
    struct cpu_private {
        uint64_t guest_mxcsr, host_mxcsr; /* low 32 bits used */
        uint64_t host_rsp;                /* C stack while translated code runs */
        uint64_t shadow_rsp;              /* top of the shadow return stack while C code runs */
        uint64_t shadow_limit; /* calls below it leave; UINT64_MAX when an exit is requested */
        uint64_t shadow_base;  /* where it is empty */
        uint64_t call_return;  /* where translated code called C from */
        struct jump_table *jump_table; /* that of cpu->jumps for cpu->mode */
        uint64_t exit_arg;             /* number of the link that translated code was left by */
        uint64_t failed;               /* a memory helper failed: cpu->trap is set */
        uint64_t spill[72];
        struct shadow_stack {
            void *map; /* with room below for what is pushed before a check */
            uint64_t base, limit, top;
            uint32_t mode;    /* that of the code that its entries lead to */
        } shadow[2];          /* U mode's; that of S and M */
        struct tlb *user_tlb; /* whose return addresses shadow[0] holds */
        uint64_t generation;  /* the engine's, when the shadow stacks were last emptied */
        struct jump_cache own_jumps;
        void *ir;         /* scratch for lifting */
        void *record;     /* the same for a record, where the engine keeps translations */
        void *fault_jmp;  /* interpreter, helpers: where a host fault goes */
        struct cpu *next; /* list of the engine's cpus */
        atomic_uint in_code;
        atomic_uint stop; /* the engine wants this cpu out of translated code for a moment */
    } p;
};

#endif
