/* The engine: runs riscv64 code by translating it.
 *
 * It knows no wall. A wall gives it, in struct engine_ops, the code bytes, slow paths of memory,
 * and what system instructions do; and calls engine_run, which returns when something happened that
 * only the wall can handle.
 *
 * Threads: each cpu is run by one thread at a time; all cpus of an engine share its translations.
 */
#ifndef WIRT_ENGINE_ENGINE_H
#define WIRT_ENGINE_ENGINE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "engine/cpu.h"

/* A run of readable, executable guest code bytes. */
struct code_span {
    const uint8_t *bytes; /* host address of the byte at the pc that was asked for */
    uint32_t len;         /* bytes valid from there; ends at a page end at the latest when paged */
    uint64_t page; /* machine: guest-physical address of the page (4 KiB aligned); process: the
                      virtual page's address. Names the page for engine_invalidate. */
};

/* What a handler says about how to go on. */
enum step {
    STEP_NEXT, /* done; cpu->pc already points at the next instruction; the mode is as it was */
    STEP_EXIT, /* leave engine_run with EXIT_REQUEST: mode, context or pc changed, or the wall wants
                  control */
    STEP_TRAP, /* cpu->trap is set, cpu->pc is the instruction's: leave engine_run with EXIT_TRAP */
};

struct engine_ops {
    /* Code at pc under the cpu's current mode. false: cpu->trap is set (tval = the pc). */
    bool (*fetch)(struct cpu *cpu, uint64_t pc, struct code_span *out);

    /* Copies code from where fetch said it is. false: it is gone meanwhile, as when a mapped file
     * is cut short. NULL: code stays where fetch says. */
    bool (*copy_code)(void *to, const void *from, size_t n);

    /* Slow paths, for what misses cpu->tlb. size 1, 2, 4 or 8; *value zero-extended; any alignment,
     * page crossing included. They fill the TLB where that is allowed. false: cpu->trap is set.
     * Process: NULL (host faults serve). */
    bool (*load)(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value);
    bool (*store)(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value);
    /* Host address for an atomic of `size` bytes at va (naturally aligned, else a trap); needs read
     * and write permission unless load_only (lr). NULL: cpu->trap is set. */
    void *(*atomic)(struct cpu *cpu, uint64_t va, unsigned size, bool load_only);

    /* ecall, ebreak, CSR instructions other than fcsr's, mret, sret, wfi, sfence.*, hfence.*,
     * hlv/hsv, cbo.*, and every encoding the table does not know. insn: its bytes (16-bit ones
     * zero-extended); cpu->pc: its address. */
    enum step (*system)(struct cpu *cpu, uint32_t insn);

    /* In mode MODE_FS_CLEAN, before the first write of floating-point state: sets the state dirty
     * and clears the mode bit. */
    void (*fs_dirty)(struct cpu *cpu);

    /* fence.i was executed. The engine itself then drops translations whose bytes changed; the wall
     * names the pages that were written (machine: from the second-level table; process: NULL, the
     * engine compares the bytes of writable pages). */
    void (*fence_i)(struct cpu *cpu);

    /* A CSR that is a plain 64-bit field of the cpu structure in this mode, no side effect on
     * access: its byte offset from struct cpu, else -1. Lets sscratch and the like be read and
     * written in line. May be NULL. */
    int (*plain_csr)(const struct cpu *cpu, unsigned csr, bool write);

    /* Code on this page is being translated: later writes must be noticed (see fence_i). May be
     * NULL. */
    void (*code_page)(struct cpu *cpu, uint64_t page);
};

enum engine_exit {
    EXIT_TRAP,    /* cpu->trap is to be raised at cpu->pc */
    EXIT_REQUEST, /* exit_request was set, or a handler answered STEP_EXIT */
};

struct engine_config {
    const struct engine_ops *ops;
    bool paged;     /* machine: addresses go through cpu->tlb; process: they are host addresses */
    bool interpret; /* run the IR by the reference interpreter */
    size_t code_bytes;   /* size of the code cache; 0: a default */
    struct store *store; /* see engine_keep; NULL: translations are not kept */
    FILE *trace;         /* each new block's guest code, IR and host code go here; NULL: nowhere */
};

struct engine_stats {
    uint64_t blocks, guest_insns, guest_bytes, host_bytes; /* translated so far */
    uint64_t reused;               /* blocks that were not, as a translation of the same was kept */
    uint64_t lookups, lookup_hits; /* block table, after the jump cache missed */
    uint64_t links;                /* direct jumps patched into each other */
    uint64_t invalidated, flushes; /* blocks dropped; times the whole cache was emptied */
    uint64_t cache_used, cache_size;
};

struct engine *engine_new(const struct engine_config *config, struct error **err);
void engine_free(struct engine *e); /* no cpu may be attached */

/* Makes cpu one of the engine's. The caller has zeroed it, and sets x, pc, mode afterwards. */
int engine_attach(struct engine *e, struct cpu *cpu, struct error **err);
void engine_detach(struct cpu *cpu);

/* Guest memory is shared with another process from now on: atomics must be the host's. (A second
 * cpu makes them so by itself; until then they need not be.) Not from a handler. */
void engine_set_parallel(struct engine *e);

/* Runs guest code from cpu->pc until something needs the wall. All guest state is in *cpu on
 * return. */
enum engine_exit engine_run(struct cpu *cpu);

/* Makes a running engine_run return EXIT_REQUEST soon. Any thread, and signal handlers. The wall
 * clears cpu->exit_request before it looks at what it was woken for. */
void engine_request_exit(struct cpu *cpu);

/* The cpu's own thread: the translation context, or part of it, changed. */
void engine_set_context(struct cpu *cpu, struct tlb *tlb, struct jump_cache *jumps);
void engine_forget_returns(struct cpu *cpu); /* return addresses may mean other code now */

/* After cpu->frm, fflags or mode changed from outside translated code (signal return, a debugger,
 * CSR writes). */
void engine_fp_changed(struct cpu *cpu);

/* Drops translations of code in [start, start + len): guest-physical (machine) or virtual (process)
 * addresses. With changed_only, those whose bytes are still the same stay. Any cpu's thread or one
 * that is none. */
void engine_invalidate(struct engine *e, uint64_t start, uint64_t len, bool changed_only);

/* Drops everything. Any thread, but not from what translated code calls: of the handlers, only from
 * fetch. */
void engine_flush(struct engine *e);

/* Process wall: called by the SIGSEGV/SIGBUS handler. When the fault is translated code's own, sets
 * cpu->pc to the guest instruction, moves all guest registers into *cpu, arranges that returning
 * from the handler makes engine_run return EXIT_TRAP with trap.cause = cause and trap.tval = the
 * address, and answers true. */
bool engine_host_fault(struct cpu *cpu, siginfo_t *info, void *ucontext, uint64_t cause);

/* fork() in a process wall: lock before it, then unlock in the parent and in the child, where only
 * the calling cpu lives on and translations move to memory of the child's own. shared_files: parent
 * and child will have one table of descriptors. */
int engine_fork_prepare(struct engine *e, bool shared_files, struct error **err);
void engine_fork_parent(struct engine *e);
int engine_fork_child(struct engine *e, struct cpu *self, struct error **err);

/* From now on translations are kept in the store, which is the caller's and for this engine alone,
 * to be used again, in this process and others. No cpu is attached yet. */
void engine_keep(struct engine *e, struct store *s);

/* Whether enough was translated to be saved in the store's file; saving it (store_save). */
bool engine_has_new(struct engine *e);
void engine_save(struct engine *e, int fd);

/* What a translation of this engine is good for: this very program, on a host that has the same
 * instructions, with or without paging. 0: it cannot be told. */
uint64_t engine_build(const struct engine *e);

void engine_get_stats(struct engine *e, struct engine_stats *out);

#endif
