/* Traps and returns from them, and interrupts.
 * Rules: Volume II, chapters Machine-Level ISA and Supervisor-Level ISA. */
#include "machine/board.h"

void hart_update_mode(struct hart *h)
{
    uint32_t mode = h->cpu.mode & (MODE_PRIV | MODE_FP_SLOW);
    if (!(h->mstatus & MSTATUS_FS))
        mode |= MODE_FS_OFF;
    if (hart_counting(h))
        mode |= MODE_COUNT;
    h->cpu.mode = mode;
    h->context_stale = true;
}

void hart_set_priv(struct hart *h, unsigned priv)
{
    h->cpu.mode = (h->cpu.mode & ~(uint32_t)MODE_PRIV) | priv;
    hart_update_mode(h);
}

/* Where a trap goes: a vectored mode sends interrupts to base + 4 * code. */
static uint64_t vector(uint64_t tvec, uint64_t cause)
{
    uint64_t base = tvec & ~(uint64_t)3;
    return (tvec & 1) && (cause & CAUSE_INTERRUPT) ? base + 4 * (cause & 63) : base;
}

static void trap_to_s(struct hart *h, uint64_t cause, uint64_t tval)
{
    h->scause = cause;
    h->stval = tval;
    h->sepc = h->cpu.pc;
    uint64_t s = h->mstatus & ~(MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE);
    if (hart_priv(h) == PRIV_S)
        s |= MSTATUS_SPP;
    if (h->mstatus & MSTATUS_SIE)
        s |= MSTATUS_SPIE;
    h->mstatus = s;
    h->cpu.pc = vector(h->stvec, cause);
    hart_set_priv(h, PRIV_S);
}

static void trap_to_m(struct hart *h, uint64_t cause, uint64_t tval)
{
    h->mcause = cause;
    h->mtval = tval;
    h->mepc = h->cpu.pc;
    uint64_t s = h->mstatus & ~(MSTATUS_MPP | MSTATUS_MPIE | MSTATUS_MIE);
    s |= (uint64_t)hart_priv(h) << 11;
    if (h->mstatus & MSTATUS_MIE)
        s |= MSTATUS_MPIE;
    h->mstatus = s;
    h->cpu.pc = vector(h->mtvec, cause);
    hart_set_priv(h, PRIV_M);
}

void hart_trap(struct hart *h, uint64_t cause, uint64_t tval)
{
    uint64_t code = cause & 63;
    uint64_t delegated = cause & CAUSE_INTERRUPT ? h->mideleg : h->medeleg;
    if (cause & CAUSE_INTERRUPT)
        hart_count(&h->stats.interrupts[code & 15]);
    else
        hart_count(&h->stats.traps[code & 15]);
    if (hart_priv(h) != PRIV_M && delegated >> code & 1)
        trap_to_s(h, cause, tval);
    else
        trap_to_m(h, cause, tval);
}

/* The interrupts that would be taken now. */
static uint64_t enabled_interrupts(const struct hart *h)
{
    uint64_t pending = hart_pending(h) & h->mie;
    if (!pending)
        return 0;
    unsigned priv = hart_priv(h);
    uint64_t to_m = pending & ~h->mideleg, to_s = pending & h->mideleg;
    if (to_m && (priv < PRIV_M || h->mstatus & MSTATUS_MIE))
        return to_m;
    if (to_s && (priv < PRIV_S || (priv == PRIV_S && h->mstatus & MSTATUS_SIE)))
        return to_s;
    return 0;
}

bool hart_interrupt_ready(const struct hart *h)
{
    return enabled_interrupts(h) != 0;
}

bool hart_take_interrupt(struct hart *h)
{
    static const uint8_t order[] = {IRQ_MEI, IRQ_MSI, IRQ_MTI, IRQ_SEI, IRQ_SSI, IRQ_STI};
    uint64_t ready = enabled_interrupts(h);
    if (!ready)
        return false;
    for (unsigned i = 0; i < sizeof order; i++) {
        if (ready >> order[i] & 1) {
            hart_trap(h, CAUSE_INTERRUPT | order[i], 0);
            return true;
        }
    }
    return false;
}

enum step hart_mret(struct hart *h)
{
    uint64_t s = h->mstatus;
    unsigned to = (unsigned)(s >> 11 & 3);
    h->mstatus = (s & ~(MSTATUS_MIE | MSTATUS_MPP)) | MSTATUS_MPIE;
    if (s & MSTATUS_MPIE)
        h->mstatus |= MSTATUS_MIE;
    if (to != PRIV_M)
        h->mstatus &= ~MSTATUS_MPRV;
    h->cpu.pc = h->mepc;
    hart_count(&h->stats.xret);
    hart_set_priv(h, to);
    return STEP_EXIT;
}

enum step hart_sret(struct hart *h)
{
    uint64_t s = h->mstatus;
    h->mstatus = (s & ~(MSTATUS_SIE | MSTATUS_SPP | MSTATUS_MPRV)) | MSTATUS_SPIE;
    if (s & MSTATUS_SPIE)
        h->mstatus |= MSTATUS_SIE;
    h->cpu.pc = h->sepc;
    hart_count(&h->stats.xret);
    hart_set_priv(h, s & MSTATUS_SPP ? PRIV_S : PRIV_U);
    return STEP_EXIT;
}
