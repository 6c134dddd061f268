/* A hart: the privileged architecture around the engine's cpu.
 * Rules: The RISC-V Instruction Set Manual, Volume II, chapters Machine-Level ISA and
 * Supervisor-Level ISA.
 *
 * A hart's thread runs hart_main. Everything here is that thread's own, except the atomic interrupt
 * bits, the timer registers (timer_lock) and what `lock` guards, by which other threads ask it for
 * something: an interrupt, a fence, a pause. A hart that is parked (waiting for an interrupt,
 * stopped, paused, or waiting itself for a fence of another) holds no address translation in use,
 * so that others may flush its TLBs directly, under its lock. */
#ifndef WIRT_MACHINE_HART_H
#define WIRT_MACHINE_HART_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/cpu.h"
#include "engine/engine.h"
#include "machine/slat.h"

#define MAX_HARTS   64
#define TIMEBASE_HZ 10000000u /* qemu virt's */
#define N_CONTEXTS  16        /* address spaces x privilege classes that stay cached in a hart */
#define N_PMP       16

enum priv {
    PRIV_U = 0,
    PRIV_S = 1,
    PRIV_M = 3
};

/* mip and mie bits, and codes of interrupts. */
enum irq {
    IRQ_SSI = 1,
    IRQ_MSI = 3,
    IRQ_STI = 5,
    IRQ_MTI = 7,
    IRQ_SEI = 9,
    IRQ_MEI = 11,
};
#define IP(irq)         ((uint64_t)1 << (irq))
#define IP_S            (IP(IRQ_SSI) | IP(IRQ_STI) | IP(IRQ_SEI))
#define IP_M            (IP(IRQ_MSI) | IP(IRQ_MTI) | IP(IRQ_MEI))
#define CAUSE_INTERRUPT ((uint64_t)1 << 63)

/* mstatus */
#define MSTATUS_SIE  ((uint64_t)1 << 1)
#define MSTATUS_MIE  ((uint64_t)1 << 3)
#define MSTATUS_SPIE ((uint64_t)1 << 5)
#define MSTATUS_MPIE ((uint64_t)1 << 7)
#define MSTATUS_SPP  ((uint64_t)1 << 8)
#define MSTATUS_MPP  ((uint64_t)3 << 11)
#define MSTATUS_FS   ((uint64_t)3 << 13)
#define MSTATUS_MPRV ((uint64_t)1 << 17)
#define MSTATUS_SUM  ((uint64_t)1 << 18)
#define MSTATUS_MXR  ((uint64_t)1 << 19)
#define MSTATUS_TVM  ((uint64_t)1 << 20)
#define MSTATUS_TW   ((uint64_t)1 << 21)
#define MSTATUS_TSR  ((uint64_t)1 << 22)
#define MSTATUS_UXL  ((uint64_t)2 << 32)
#define MSTATUS_SXL  ((uint64_t)2 << 34)
#define MSTATUS_SD   ((uint64_t)1 << 63)

#define SATP_MODE(satp) ((unsigned)((satp) >> 60))
#define SATP_ASID(satp) ((uint16_t)((satp) >> 44))
#define SATP_PPN(satp)  ((satp) & (((uint64_t)1 << 44) - 1))

/* What decides about access rights besides the page table: the context's class. */
enum context_class {
    CLASS_PRIV = 3, /* enum priv */
    CLASS_SUM = 4,
    CLASS_MXR = 8,
    N_CLASSES = 16
};

struct fetch_entry {
    uint64_t tag;        /* virtual page or TLB_INVALID */
    uint64_t page;       /* guest physical page */
    const uint8_t *host; /* host page */
};
#define FETCH_BITS   8
#define JOURNAL_SIZE 1024
#define REGION_BITS  1024 /* bits of the sets below, indexed by address hash */

/* What one privilege class of one address space has cached. */
struct context {
    struct tlb tlb;
    struct jump_cache jumps;
    struct fetch_entry fetch[1 << FETCH_BITS];
    bool used;
    uint64_t satp; /* 0: not translated; S mode's contexts: the latest one they served */
    unsigned class;
    uint64_t last_used;
    unsigned n_fills; /* since the last flush; the first JOURNAL_SIZE TLB indices filled: */
    uint16_t journal[JOURNAL_SIZE];
    unsigned n_local; /* of those, filled from entries that are not global; in S mode's contexts */
    uint16_t local[JOURNAL_SIZE];
    bool local_code; /* a page fetched from was not global */
    /* Sets, by hash: 2 MiB regions and 1 GiB regions filled from larger pages than 4 KiB, and 4 KiB
     * pages fetched from. They tell how much a fence for one address has to drop. */
    uint64_t mega[REGION_BITS / 64], giga[REGION_BITS / 64], code[REGION_BITS / 64];
    uint64_t mega_code[REGION_BITS / 64]; /* 2 MiB regions fetched from larger pages */
    bool any_code;                        /* jumps or fetch are not empty */
};

enum hsm_state { /* SBI HSM's numbers */
    HSM_STARTED = 0,
    HSM_STOPPED = 1,
    HSM_START_PENDING = 2,
    HSM_STOP_PENDING = 3
};

/* sfence.vma: for one ASID or all, for [start, start + len) or all addresses (len 0). only_code:
 * just that the hart has reached a safe point, for fence.i. */
struct fence {
    uint64_t start, len;
    uint32_t asid;
    bool only_code;
};

#define NO_ASID UINT32_MAX

#define FENCE_QUEUE 32

struct hart_stats {
    uint64_t traps[16]; /* taken, by cause */
    uint64_t interrupts[16];
    uint64_t csr, xret, sfence, wfi, fence_i, sbi, wrs; /* system instructions emulated */
    uint64_t tlb_fills, walks, mmio;
};

/* Only the hart's own thread counts; others read meanwhile, and may see a count a moment later. */
static inline void hart_count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

struct machine;

struct hart {
    struct cpu cpu; /* first */
    struct machine *m;
    unsigned id;

    /* CSRs */
    uint64_t mstatus, medeleg, mideleg, mie;
    uint64_t mtvec, mepc, mcause, mtval, mscratch, mcounteren, mcountinhibit, menvcfg;
    uint64_t stvec, sepc, scause, stval, sscratch, scounteren, senvcfg, satp;
    uint64_t mcycle_offset;
    bool counts_instret; /* somebody has asked for minstret: it is cpu.instret from then on */
    uint64_t pmpaddr[N_PMP];
    uint8_t pmpcfg[N_PMP];
    bool pmp_used;              /* an entry is set, or locked */
    atomic_uint_fast64_t ip;    /* mip, without the line below */
    atomic_uint_fast64_t lines; /* SEI and MEI as the PLIC drives them */

    /* Address translation */
    struct context *contexts;           /* N_CONTEXTS of them */
    struct context *current[N_CLASSES]; /* those of the current satp, looked up before */
    struct context *code, *data;        /* what fetches, and loads and stores, go through */
    /* The engine is told of changes outside of engine_run only, by hart_sync: */
    bool context_stale; /* privilege, satp or access rights changed */
    bool returns_stale; /* return addresses that were pushed may mean other code now */
    uint64_t use_clock;

    /* Timers, in timebase ticks */
    pthread_mutex_t timer_lock;
    uint64_t stimecmp, mtimecmp;
    uint64_t armed; /* what the timer descriptor is set to, or UINT64_MAX */
    int timer_fd;

    /* Requests by others */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool parked;
    struct fence queue[FENCE_QUEUE]; /* fences of address translation */
    unsigned n_queue;
    struct code_change *drops; /* pages that became code: this hart's store entries have to go */
    unsigned n_drops, cap_drops;
    uint64_t fence_posted;
    atomic_uint_fast64_t fence_done;
    atomic_bool flush_wanted; /* everything, soon; nobody waits for it */
    atomic_bool sleeping;     /* in the wait for an interrupt */
    bool wfi;                 /* to wait */

    /* HSM, changed under lock */
    atomic_int hsm; /* enum hsm_state */
    uint64_t start_pc, start_a0, start_a1;

    pthread_t thread;
    bool thread_started, attached;
    struct hart_stats stats;
};

static inline struct hart *hart_of(struct cpu *cpu)
{
    return (struct hart *)cpu;
}

static inline unsigned hart_priv(const struct hart *h)
{
    return h->cpu.mode & MODE_PRIV;
}

#define COUNTINHIBIT_IR 4u

static inline bool hart_counting(const struct hart *h)
{
    return h->counts_instret && !(h->mcountinhibit & COUNTINHIBIT_IR);
}

extern const struct engine_ops hart_ops;

/* hart.c: life */
int hart_init(struct hart *h, struct machine *m, unsigned id, struct error **err);
void hart_destroy(struct hart *h);
void hart_reset(struct hart *h, bool firmware); /* power-on state, stopped */
void *hart_main(void *hart);                    /* thread */

/* Own thread, outside of engine_run: makes the engine see what changed. */
void hart_sync(struct hart *h);

/* hart.c: interrupts and timers; any thread */
void hart_set_ip(struct hart *h, uint64_t bits, bool level);
void hart_set_line(struct hart *h, enum irq irq, bool level);
void hart_kick(struct hart *h);              /* makes it look at its requests */
uint64_t hart_pending(const struct hart *h); /* mip as read */
void hart_set_timer(struct hart *h, uint64_t *compare, uint64_t value); /* a field of h */
void hart_timer_fired(struct hart *h);

/* fence.c: requests between harts */
void hart_park(struct hart *h);   /* own thread; lock held */
void hart_unpark(struct hart *h); /* own thread; lock held */
void hart_serve(struct hart *h);  /* own thread: does what others asked for */
/* Own thread. */
void hart_sfence(struct hart *h, const struct fence *f);
/* Applies f to the harts of the mask, and waits until all have. Own thread, outside engine_run. */
void hart_remote_fence(struct hart *h, uint64_t mask, const struct fence *f);
void hart_code_page(struct cpu *cpu, uint64_t page);
void hart_fence_i(struct cpu *cpu);
void hart_request_flush(struct hart *h); /* any thread: drop all soon */

/* mmu.c */
bool mmu_fetch(struct cpu *cpu, uint64_t pc, struct code_span *out);
bool mmu_load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value);
bool mmu_store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value);
void *mmu_atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only);

/* context.c */
void context_select(struct hart *h);   /* after privilege, satp, SUM, MXR or MPRV changed */
bool context_flush(struct context *c); /* answers whether code was cached */
void context_note_fill(struct context *c, uint64_t va, unsigned page_shift, bool global);
void context_mark_code(struct context *c, uint64_t va, unsigned page_shift,
                       bool global); /* the page is fetched from */
/* The hart's own thread; or any, when it is parked and its lock is held. */
bool context_fence(struct hart *h, const struct fence *f); /* answers whether code was dropped */
/* Drops store entries that lead to guest physical page `page`: at va, or with NO_VA wherever they
 * are. Answers whether there were any. */
bool context_drop_store(struct hart *h, uint64_t page, uint64_t va);

/* trap.c */
void hart_trap(struct hart *h, uint64_t cause, uint64_t tval);
bool hart_take_interrupt(struct hart *h); /* the most urgent one, if any is enabled */
bool hart_interrupt_ready(const struct hart *h);
void hart_set_priv(struct hart *h, unsigned priv);
void hart_update_mode(struct hart *h); /* cpu.mode after mstatus changed */
enum step hart_mret(struct hart *h);
enum step hart_sret(struct hart *h);

/* csr.c. false: no such CSR, or not allowed. */
bool csr_read(struct hart *h, unsigned csr, uint64_t *value);
bool csr_write(struct hart *h, unsigned csr, uint64_t value);
/* mip and sip: what csrrs and csrrc start from, which is not all that is read. */
bool csr_rmw_base(const struct hart *h, unsigned csr, uint64_t *value);
int csr_plain(const struct cpu *cpu, unsigned csr, bool write);

/* pmp.c: whether PMP lets `priv` do it. access: PMP_R, PMP_W, PMP_X or'ed. */
enum pmp_access {
    PMP_R = 1,
    PMP_W = 2,
    PMP_X = 4
};
bool pmp_check(const struct hart *h, uint64_t pa, unsigned access, unsigned priv);
void pmp_write_cfg(struct hart *h, unsigned reg, uint64_t value);
void pmp_write_addr(struct hart *h, unsigned i, uint64_t value);
uint64_t pmp_read_addr(const struct hart *h, unsigned i);
void pmp_changed(struct hart *h); /* after writes: TLBs have to forget */

/* system.c */
enum step hart_system(struct cpu *cpu, uint32_t insn);

/* sbi.c: an ecall from S mode without firmware. */
void sbi_call(struct hart *h);

#endif
