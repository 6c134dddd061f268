/* Control and status registers: what each reads as, and which bits a write changes (WARL).
 * Rules: Volume II. */
#include <stddef.h>

#include "machine/board.h"

enum csr {
    CSR_CYCLE = 0xc00,
    CSR_TIME = 0xc01,
    CSR_INSTRET = 0xc02,
    CSR_HPMCOUNTER3 = 0xc03,
    CSR_HPMCOUNTER31 = 0xc1f,

    CSR_SSTATUS = 0x100,
    CSR_SIE = 0x104,
    CSR_STVEC = 0x105,
    CSR_SCOUNTEREN = 0x106,
    CSR_SENVCFG = 0x10a,
    CSR_SSCRATCH = 0x140,
    CSR_SEPC = 0x141,
    CSR_SCAUSE = 0x142,
    CSR_STVAL = 0x143,
    CSR_SIP = 0x144,
    CSR_STIMECMP = 0x14d,
    CSR_SATP = 0x180,

    CSR_MSTATUS = 0x300,
    CSR_MISA = 0x301,
    CSR_MEDELEG = 0x302,
    CSR_MIDELEG = 0x303,
    CSR_MIE = 0x304,
    CSR_MTVEC = 0x305,
    CSR_MCOUNTEREN = 0x306,
    CSR_MENVCFG = 0x30a,
    CSR_MCOUNTINHIBIT = 0x320,
    CSR_MHPMEVENT3 = 0x323,
    CSR_MHPMEVENT31 = 0x33f,
    CSR_MSCRATCH = 0x340,
    CSR_MEPC = 0x341,
    CSR_MCAUSE = 0x342,
    CSR_MTVAL = 0x343,
    CSR_MIP = 0x344,
    CSR_PMPCFG0 = 0x3a0,
    CSR_PMPCFG2 = 0x3a2,
    CSR_PMPADDR0 = 0x3b0,
    CSR_PMPADDR15 = 0x3bf,
    CSR_TSELECT = 0x7a0,
    CSR_TDATA3 = 0x7a3,
    CSR_MCYCLE = 0xb00,
    CSR_MINSTRET = 0xb02,
    CSR_MHPMCOUNTER3 = 0xb03,
    CSR_MHPMCOUNTER31 = 0xb1f,
    CSR_MVENDORID = 0xf11,
    CSR_MARCHID = 0xf12,
    CSR_MIMPID = 0xf13,
    CSR_MHARTID = 0xf14,
    CSR_MCONFIGPTR = 0xf15,
};

/* sstatus is these bits of mstatus. */
#define SSTATUS_READ                                                                     \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR | \
     ((uint64_t)3 << 32))
#define SSTATUS_WRITE \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR)
#define MSTATUS_WRITE                                                                        \
    (SSTATUS_WRITE | MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | \
     MSTATUS_TW | MSTATUS_TSR)

#define MISA_VALUE                                                                \
    ((uint64_t)2 << 62 | 1 << ('A' - 'A') | 1 << ('C' - 'A') | 1 << ('D' - 'A') | \
     1 << ('F' - 'A') | 1 << ('I' - 'A') | 1 << ('M' - 'A') | 1 << ('S' - 'A') | 1 << ('U' - 'A'))

#define MEDELEG_MASK ((uint64_t)0xb3ff) /* all exceptions but ecall from M */
#define COUNTEREN_TM 2u
#define COUNTEREN    7u
#define ENVCFG_FIOM  1u
#define MENVCFG_STCE ((uint64_t)1 << 63)

/* stimecmp drives STIP, which is then read-only. */
static bool has_stimecmp(const struct hart *h)
{
    return h->menvcfg & MENVCFG_STCE;
}

static uint64_t read_status(const struct hart *h, uint64_t mask)
{
    uint64_t v = h->mstatus & mask;
    return (h->mstatus & MSTATUS_FS) == MSTATUS_FS ? v | MSTATUS_SD : v;
}

static void write_status(struct hart *h, uint64_t value, uint64_t mask)
{
    uint64_t new = (h->mstatus & ~mask) | (value & mask);
    /* Dirtiness of floating-point state is not tracked: FS is Off or Dirty. */
    if (new &MSTATUS_FS)
        new |= MSTATUS_FS;
    if ((new &MSTATUS_MPP) == (uint64_t)2 << 11) /* no such mode */
        new = (new & ~MSTATUS_MPP) | (h->mstatus & MSTATUS_MPP);
    uint64_t changed = h->mstatus ^ new;
    h->mstatus = new;
    if (changed & (MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_MPRV | MSTATUS_MPP))
        hart_update_mode(h);
}

static bool counter_allowed(const struct hart *h, unsigned n)
{
    unsigned priv = hart_priv(h);
    return (priv == PRIV_M || h->mcounteren >> n & 1) && (priv >= PRIV_S || h->scounteren >> n & 1);
}

/* Sstc: below M mode, stimecmp needs both enables. */
static bool stimecmp_allowed(const struct hart *h)
{
    return hart_priv(h) == PRIV_M || (has_stimecmp(h) && h->mcounteren & COUNTEREN_TM);
}

static bool satp_allowed(const struct hart *h)
{
    return !(hart_priv(h) == PRIV_S && h->mstatus & MSTATUS_TVM);
}

static bool read_s(const struct hart *h, unsigned csr, uint64_t *v)
{
    switch (csr) {
    case CSR_SSTATUS: *v = read_status(h, SSTATUS_READ); return true;
    case CSR_SIE: *v = h->mie & h->mideleg; return true;
    case CSR_SIP: *v = hart_pending(h) & h->mideleg; return true;
    case CSR_STVEC: *v = h->stvec; return true;
    case CSR_SCOUNTEREN: *v = h->scounteren; return true;
    case CSR_SENVCFG: *v = h->senvcfg; return true;
    case CSR_SSCRATCH: *v = h->sscratch; return true;
    case CSR_SEPC: *v = h->sepc; return true;
    case CSR_SCAUSE: *v = h->scause; return true;
    case CSR_STVAL: *v = h->stval; return true;
    case CSR_STIMECMP: *v = h->stimecmp; return stimecmp_allowed(h);
    case CSR_SATP: *v = h->satp; return satp_allowed(h);
    default: return false;
    }
}

static uint64_t cycles(void)
{
    return clock_ns();
}

/* Counting costs time in every block: it begins when somebody asks. What ran before is not known.
 */
static void count_instret(struct hart *h)
{
    if (h->counts_instret)
        return;
    h->counts_instret = true;
    h->cpu.instret = hart_counting(h); /* the instruction that asks */
    hart_update_mode(h);
}

static uint64_t read_instret(struct hart *h)
{
    count_instret(h);
    return h->cpu.instret - hart_counting(h); /* itself has not retired yet */
}

static bool read_m(struct hart *h, unsigned csr, uint64_t *v)
{
    *v = 0;
    if ((csr >= CSR_MHPMCOUNTER3 && csr <= CSR_MHPMCOUNTER31) ||
        (csr >= CSR_MHPMEVENT3 && csr <= CSR_MHPMEVENT31))
        return true; /* hardwired to 0 */
    if (csr >= CSR_TSELECT && csr <= CSR_TDATA3)
        return true; /* 0: there is no debug trigger */
    if (csr >= CSR_PMPADDR0 && csr <= CSR_PMPADDR15) {
        *v = pmp_read_addr(h, csr - CSR_PMPADDR0);
        return true;
    }
    switch (csr) {
    case CSR_MSTATUS: *v = read_status(h, ~(uint64_t)0); return true;
    case CSR_MISA: *v = MISA_VALUE; return true;
    case CSR_MEDELEG: *v = h->medeleg; return true;
    case CSR_MIDELEG: *v = h->mideleg; return true;
    case CSR_MIE: *v = h->mie; return true;
    case CSR_MIP: *v = hart_pending(h); return true;
    case CSR_MTVEC: *v = h->mtvec; return true;
    case CSR_MCOUNTEREN: *v = h->mcounteren; return true;
    case CSR_MENVCFG: *v = h->menvcfg; return true;
    case CSR_MCOUNTINHIBIT: *v = h->mcountinhibit; return true;
    case CSR_MSCRATCH: *v = h->mscratch; return true;
    case CSR_MEPC: *v = h->mepc; return true;
    case CSR_MCAUSE: *v = h->mcause; return true;
    case CSR_MTVAL: *v = h->mtval; return true;
    case CSR_PMPCFG0:
    case CSR_PMPCFG2:
        for (unsigned i = 0; i < 8; i++)
            *v |= (uint64_t)h->pmpcfg[(csr - CSR_PMPCFG0) * 4 + i] << 8 * i;
        return true;
    case CSR_MCYCLE: *v = cycles() + h->mcycle_offset; return true;
    case CSR_MINSTRET: *v = read_instret(h); return true;
    case CSR_MHARTID: *v = h->id; return true;
    case CSR_MVENDORID:
    case CSR_MARCHID:
    case CSR_MIMPID:
    case CSR_MCONFIGPTR: return true; /* 0: not given */
    default: return false;
    }
}

bool csr_read(struct hart *h, unsigned csr, uint64_t *v)
{
    if (csr >= CSR_CYCLE && csr <= CSR_HPMCOUNTER31) {
        if (!counter_allowed(h, csr - CSR_CYCLE))
            return false;
        switch (csr) {
        case CSR_TIME: *v = machine_time(h->m); break;
        case CSR_CYCLE: *v = cycles() + h->mcycle_offset; break;
        case CSR_INSTRET: *v = read_instret(h); break;
        default: *v = 0; break;
        }
        return true;
    }
    return csr >> 8 == 1 ? read_s(h, csr, v) : read_m(h, csr, v);
}

/* Changes the software-writable bits of mip in mask. */
static void write_ip(struct hart *h, uint64_t value, uint64_t mask)
{
    hart_set_ip(h, value & mask, true);
    hart_set_ip(h, ~value & mask, false);
}

bool csr_rmw_base(const struct hart *h, unsigned csr, uint64_t *v)
{
    /* The PLIC's line shows in SEIP, but a read-modify-write must not make it sticky. */
    if (csr != CSR_MIP && csr != CSR_SIP)
        return false;
    *v = atomic_load(&h->ip);
    return true;
}

static uint64_t legal_tvec(uint64_t value)
{
    return value & ~(uint64_t)2;
}

static void write_satp(struct hart *h, uint64_t value)
{
    unsigned mode = SATP_MODE(value);
    if (mode != 0 && (mode < 8 || mode > 10))
        return; /* an unsupported mode: the write has no effect at all */
    if (!mode)
        value = 0;
    if (value == h->satp)
        return;
    h->satp = value;
    for (unsigned i = 0; i < N_CLASSES; i++)
        h->current[i] = NULL;
    h->context_stale = true;
    h->returns_stale = true;
}

static bool write_s(struct hart *h, unsigned csr, uint64_t v)
{
    switch (csr) {
    case CSR_SSTATUS: write_status(h, v, SSTATUS_WRITE); return true;
    case CSR_SIE: h->mie = (h->mie & ~h->mideleg) | (v & h->mideleg & IP_S); return true;
    case CSR_SIP: write_ip(h, v, IP(IRQ_SSI) & h->mideleg); return true;
    case CSR_STVEC: h->stvec = legal_tvec(v); return true;
    case CSR_SCOUNTEREN: h->scounteren = v & COUNTEREN; return true;
    case CSR_SENVCFG: h->senvcfg = v & ENVCFG_FIOM; return true;
    case CSR_SSCRATCH: h->sscratch = v; return true;
    case CSR_SEPC: h->sepc = v & ~(uint64_t)1; return true;
    case CSR_SCAUSE: h->scause = v; return true;
    case CSR_STVAL: h->stval = v; return true;
    case CSR_STIMECMP:
        if (!stimecmp_allowed(h))
            return false;
        hart_set_timer(h, &h->stimecmp, v);
        return true;
    case CSR_SATP:
        if (!satp_allowed(h))
            return false;
        write_satp(h, v);
        return true;
    default: return false;
    }
}

static void write_menvcfg(struct hart *h, uint64_t v)
{
    h->menvcfg = v & (ENVCFG_FIOM | MENVCFG_STCE);
    if (!has_stimecmp(h))
        hart_set_ip(h, IP(IRQ_STI), false);
    hart_set_timer(h, &h->stimecmp, h->stimecmp);
}

static bool write_m(struct hart *h, unsigned csr, uint64_t v)
{
    if ((csr >= CSR_MHPMCOUNTER3 && csr <= CSR_MHPMCOUNTER31) ||
        (csr >= CSR_MHPMEVENT3 && csr <= CSR_MHPMEVENT31) ||
        (csr >= CSR_TSELECT && csr <= CSR_TDATA3))
        return true;
    if (csr >= CSR_PMPADDR0 && csr <= CSR_PMPADDR15) {
        pmp_write_addr(h, csr - CSR_PMPADDR0, v);
        pmp_changed(h);
        return true;
    }
    switch (csr) {
    case CSR_MSTATUS: write_status(h, v, MSTATUS_WRITE); return true;
    case CSR_MISA: return true; /* fixed */
    case CSR_MCOUNTINHIBIT:
        h->mcountinhibit = v & COUNTINHIBIT_IR;
        hart_update_mode(h);
        return true;
    case CSR_MEDELEG: h->medeleg = v & MEDELEG_MASK; return true;
    case CSR_MIDELEG: h->mideleg = v & IP_S; return true;
    case CSR_MIE: h->mie = v & (IP_S | IP_M); return true;
    case CSR_MIP: write_ip(h, v, has_stimecmp(h) ? IP_S & ~IP(IRQ_STI) : IP_S); return true;
    case CSR_MTVEC: h->mtvec = legal_tvec(v); return true;
    case CSR_MCOUNTEREN: h->mcounteren = v & COUNTEREN; return true;
    case CSR_MENVCFG: write_menvcfg(h, v); return true;
    case CSR_MSCRATCH: h->mscratch = v; return true;
    case CSR_MEPC: h->mepc = v & ~(uint64_t)1; return true;
    case CSR_MCAUSE: h->mcause = v; return true;
    case CSR_MTVAL: h->mtval = v; return true;
    case CSR_PMPCFG0:
    case CSR_PMPCFG2:
        pmp_write_cfg(h, csr - CSR_PMPCFG0, v);
        pmp_changed(h);
        return true;
    case CSR_MCYCLE: h->mcycle_offset = v - cycles(); return true;
    case CSR_MINSTRET:
        /* Volume II, Hardware Performance Monitor: a write has precedence over the increment */
        count_instret(h);
        h->cpu.instret = v;
        return true;
    default: return false;
    }
}

bool csr_write(struct hart *h, unsigned csr, uint64_t v)
{
    return csr >> 8 == 1 ? write_s(h, csr, v) : write_m(h, csr, v);
}

int csr_plain(const struct cpu *cpu, unsigned csr, bool write)
{
    unsigned priv = cpu->mode & MODE_PRIV;
    if (priv < (csr >> 8 & 3))
        return -1;
    switch (csr) {
    case CSR_SSCRATCH: return offsetof(struct hart, sscratch);
    case CSR_SCAUSE: return offsetof(struct hart, scause);
    case CSR_STVAL: return offsetof(struct hart, stval);
    case CSR_MSCRATCH: return offsetof(struct hart, mscratch);
    case CSR_MCAUSE: return offsetof(struct hart, mcause);
    case CSR_MTVAL: return offsetof(struct hart, mtval);
    /* Writes have bits to clear. */
    case CSR_SEPC: return write ? -1 : (int)offsetof(struct hart, sepc);
    case CSR_MEPC: return write ? -1 : (int)offsetof(struct hart, mepc);
    default: return -1;
    }
}
