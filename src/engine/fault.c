/* Faults of the host that are the guest's: from the host's pc back to the guest's instruction. */
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include "engine/internal.h"

bool guest_pc_of(struct engine *e, const uint8_t *rx, uint64_t *pc)
{
    pthread_mutex_lock(&e->lock);
    struct block *b = blocks_by_code(&e->blocks, rx);
    bool found = false;
    if (b) {
        uint32_t offset = (uint32_t)(rx - b->code);
        for (uint32_t i = 0; i < b->n_points && !found; i++) {
            if (b->points[i].offset == offset) {
                *pc = block_guest_pc(b, b->points[i].gi, e->config.paged);
                found = true;
            }
        }
    }
    pthread_mutex_unlock(&e->lock);
    return found;
}

static bool in_cache(const struct engine *e, uint64_t rip)
{
    return rip >= (uint64_t)(uintptr_t)e->cache.rx &&
           rip < (uint64_t)(uintptr_t)e->cache.rx + e->cache.used;
}

/* Where the interpreter, or a helper, goes on after a host fault. */
static void leave_c(struct cpu *cpu)
{
    longjmp(*(jmp_buf *)cpu->p.fault_jmp, 1);
}

bool engine_host_fault(struct cpu *cpu, siginfo_t *info, void *ucontext, uint64_t cause)
{
    struct engine *e = cpu->engine;
    greg_t *regs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[REG_RIP];
    if (!atomic_load(&cpu->p.in_code))
        return false;
    if (e->config.interpret || !in_cache(e, rip)) {
        if (!cpu->p.fault_jmp)
            return false;
        regs[REG_RDI] = (greg_t)(uintptr_t)cpu;
        regs[REG_RSP] =
            ((regs[REG_RSP] - 256) & ~(greg_t)15) - 8; /* as after a call; below the red zone */
        regs[REG_RIP] = (greg_t)(uintptr_t)leave_c;
    } else {
        /* Translated code holds no lock, so guest_pc_of may take it. Registers are where the
         * convention has them: leave stores them as on any exit. */
        if (!guest_pc_of(e, (const uint8_t *)(uintptr_t)rip, &cpu->pc))
            return false;
        regs[REG_RIP] = (greg_t)(uintptr_t)e->stubs.leave_trap;
    }
    cpu->trap = (struct trap){cause, (uint64_t)(uintptr_t)info->si_addr};
    return true;
}
