/* System instructions: what translated code hands to the hypervisor. Each is checked against the
 * hart's privilege before it has an effect. */
#include <sched.h>

#include "engine/engine.h"
#include "machine/board.h"

static enum step illegal(struct hart *h, uint32_t insn)
{
    h->cpu.trap = (struct trap){.cause = CAUSE_ILLEGAL, .tval = insn};
    return STEP_TRAP;
}

static enum step trap(struct hart *h, uint64_t cause, uint64_t tval)
{
    h->cpu.trap = (struct trap){.cause = cause, .tval = tval};
    return STEP_TRAP;
}

enum { /* funct3 of SYSTEM */
    CSRRW = 1,
    CSRRS = 2,
    CSRRC = 3,
    CSR_IMM = 4
};

static enum step csr_insn(struct hart *h, uint32_t insn)
{
    unsigned csr = insn >> 20, rd = insn >> 7 & 31, rs1 = insn >> 15 & 31, f3 = insn >> 12 & 7;
    unsigned op = f3 & 3;
    uint64_t operand = f3 & CSR_IMM ? rs1 : h->cpu.x[rs1];
    bool writes = op == CSRRW || rs1, reads = op != CSRRW || rd;
    bool read_only = csr >> 10 == 3;
    hart_count(&h->stats.csr);
    if (!op || hart_priv(h) < (csr >> 8 & 3) || (writes && read_only))
        return illegal(h, insn);
    uint64_t old = 0;
    if (reads && !csr_read(h, csr, &old))
        return illegal(h, insn);
    if (writes) {
        uint64_t value = operand;
        uint64_t base = old;
        /* A read-modify-write of interrupt bits works on the software-writable ones only. */
        if (op != CSRRW && !csr_rmw_base(h, csr, &base))
            base = old;
        if (op == CSRRS)
            value = base | operand;
        else if (op == CSRRC)
            value = base & ~operand;
        if (!csr_write(h, csr, value))
            return illegal(h, insn);
    }
    if (rd)
        h->cpu.x[rd] = old;
    h->cpu.pc += 4;
    bool stale = h->context_stale || h->returns_stale;
    return stale || (writes && hart_interrupt_ready(h)) ? STEP_EXIT : STEP_NEXT;
}

static enum step sfence_vma(struct hart *h, uint32_t insn)
{
    unsigned rs1 = insn >> 15 & 31, rs2 = insn >> 20 & 31;
    if (hart_priv(h) == PRIV_U || (hart_priv(h) == PRIV_S && h->mstatus & MSTATUS_TVM))
        return illegal(h, insn);
    struct fence f = {.asid = rs2 ? (uint16_t)h->cpu.x[rs2] : NO_ASID};
    if (rs1) {
        f.start = h->cpu.x[rs1] & ~(uint64_t)(PAGE_SIZE - 1);
        f.len = PAGE_SIZE;
    }
    hart_count(&h->stats.sfence);
    hart_sfence(h, &f);
    h->cpu.pc += 4;
    return STEP_EXIT;
}

static enum step wfi(struct hart *h, uint32_t insn)
{
    unsigned priv = hart_priv(h);
    if (priv == PRIV_U || (priv == PRIV_S && h->mstatus & MSTATUS_TW))
        return illegal(h, insn);
    hart_count(&h->stats.wfi);
    h->wfi = true;
    h->cpu.pc += 4;
    return STEP_EXIT;
}

/* Zawrs: waits for another hart's store to the reservation set, or ends early. What is waited for
 * may well need the host CPU that this thread is on. */
static enum step wait_on_reservation(struct hart *h)
{
    hart_count(&h->stats.wrs);
    if (h->m->n_harts > 1)
        sched_yield();
    h->cpu.pc += 4;
    return STEP_NEXT;
}

#define INSN_ECALL   0x00000073u
#define INSN_EBREAK  0x00100073u
#define INSN_CEBREAK 0x9002u
#define INSN_SRET    0x10200073u
#define INSN_MRET    0x30200073u
#define INSN_WFI     0x10500073u
#define INSN_WRS_NTO 0x00d00073u
#define INSN_WRS_STO 0x01d00073u

enum step hart_system(struct cpu *cpu, uint32_t insn)
{
    struct hart *h = hart_of(cpu);
    unsigned priv = hart_priv(h);
    switch (insn) {
    case INSN_ECALL: return trap(h, CAUSE_ECALL_U + priv, 0);
    case INSN_EBREAK:
    case INSN_CEBREAK: return trap(h, CAUSE_BREAKPOINT, cpu->pc);
    case INSN_SRET:
        if (priv == PRIV_U || (priv == PRIV_S && h->mstatus & MSTATUS_TSR))
            return illegal(h, insn);
        return hart_sret(h);
    case INSN_MRET: return priv == PRIV_M ? hart_mret(h) : illegal(h, insn);
    case INSN_WFI: return wfi(h, insn);
    case INSN_WRS_NTO:
    case INSN_WRS_STO: return wait_on_reservation(h);
    }
    if ((insn & 0x7f) != 0x73)
        return illegal(h, insn);
    unsigned f3 = insn >> 12 & 7;
    if (f3 & 3)
        return csr_insn(h, insn);
    if (!f3 && insn >> 25 == 9 && !(insn >> 7 & 31))
        return sfence_vma(h, insn);
    return illegal(h, insn);
}

const struct engine_ops hart_ops = {
    .fetch = mmu_fetch,
    .load = mmu_load,
    .store = mmu_store,
    .atomic = mmu_atomic,
    .system = hart_system,
    .fence_i = hart_fence_i,
    .plain_csr = csr_plain,
    .code_page = hart_code_page,
};
