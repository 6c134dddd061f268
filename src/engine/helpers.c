/* What translated code calls. Handlers find all guest state in *cpu. */
#include <immintrin.h>
#include <setjmp.h>

#include "engine/fp.h"
#include "engine/internal.h"
#include "engine/interp.h"

uint8_t fflags_of_mxcsr(uint64_t mx)
{
    /* IE 0, ZE 2, OE 3, UE 4, PE 5. The host, too, detects tininess after rounding. */
    return (uint8_t)((mx & 1 ? FP_NV : 0) | (mx & 4 ? FP_DZ : 0) | (mx & 8 ? FP_OF : 0) |
                     (mx & 16 ? FP_UF : 0) | (mx & 32 ? FP_NX : 0));
}

void fp_fold_flags(struct cpu *cpu)
{
    cpu->fflags |= fflags_of_mxcsr(cpu->p.guest_mxcsr);
    cpu->p.guest_mxcsr &= ~UINT64_C(0x3f);
}

void engine_fp_changed(struct cpu *cpu)
{
    cpu->p.guest_mxcsr &= ~UINT64_C(0x3f);
    cpu->mode &= ~(uint32_t)MODE_FP_SLOW;
    if (cpu->frm != FP_RNE)
        cpu->mode |= MODE_FP_SLOW;
}

static uint64_t leave_for(enum step step)
{
    return step == STEP_NEXT ? 0 : step == STEP_EXIT ? LEAVE_REQUEST : LEAVE_TRAP;
}

uint64_t helper_system(struct cpu *cpu, uint64_t insn, uint64_t pc)
{
    fp_fold_flags(cpu);
    cpu->pc = pc;
    return leave_for(cpu->ops->system(cpu, (uint32_t)insn));
}

uint64_t helper_system_last(struct cpu *cpu, uint64_t insn, uint64_t pc)
{
    uint64_t why = helper_system(cpu, insn, pc);
    return why ? why : LEAVE_JUMP;
}

uint64_t helper_fcsr(struct cpu *cpu, uint64_t insn, uint64_t pc)
{
    uint32_t mode = cpu->mode;
    fp_fold_flags(cpu);
    cpu->pc = pc;
    fp_csr(cpu, (uint32_t)insn);
    if (cpu->mode != mode)
        engine_rounding_changed(cpu);
    return 0;
}

uint64_t helper_frm_check(struct cpu *cpu, uint64_t insn, uint64_t pc)
{
    if (cpu->frm <= FP_RMM)
        return 0;
    cpu->pc = pc;
    cpu->trap = (struct trap){CAUSE_ILLEGAL, insn};
    return LEAVE_TRAP;
}

void engine_fence_i(struct cpu *cpu)
{
    if (cpu->ops->fence_i)
        cpu->ops->fence_i(cpu);
    else
        engine_invalidate(cpu->engine, 0, UINT64_MAX, true);
}

uint64_t helper_fence_i(struct cpu *cpu, uint64_t next, uint64_t pc)
{
    engine_fence_i(cpu);
    cpu->pc = next;
    return LEAVE_JUMP;
}

uint64_t helper_fs_dirty(struct cpu *cpu, uint64_t unused, uint64_t pc)
{
    cpu->pc = pc;
    cpu->ops->fs_dirty(cpu);
    return LEAVE_JUMP;
}

uint64_t helper_pure(struct cpu *cpu, uint64_t fn, uint64_t a, uint64_t b)
{
    return ((uint64_t(*)(uint64_t, uint64_t))(uintptr_t)fn)(a, b);
}

/* An instruction from what describe() made of it. */
static struct ir_insn described(uint64_t what)
{
    return (struct ir_insn){.op = (uint8_t)what,
                            .size = (uint8_t)(what >> 8),
                            .cond = (uint8_t)(what >> 16),
                            .reg = (uint8_t)(what >> 24),
                            .flags = (uint8_t)(what >> 32)};
}

uint64_t helper_float(struct cpu *cpu, uint64_t what, uint64_t a, uint64_t b)
{
    return fp_op(cpu, (uint32_t)what, a, b, cpu->p.spill[SPILL_THIRD]);
}

/* A memory helper failed: finds the guest instruction by where the call came from. */
static uint64_t fail(struct cpu *cpu)
{
    const uint8_t *from = (const uint8_t *)(uintptr_t)cpu->p.call_return - 1;
    guest_pc_of(cpu->engine, from, &cpu->pc);
    cpu->p.failed = 1;
    return 0;
}

uint64_t helper_load(struct cpu *cpu, uint64_t va, uint64_t unused, uint64_t what)
{
    struct ir_insn i = described(what);
    uint64_t value = 0;
    if (!cpu->ops->load(cpu, va, i.size, &value))
        return fail(cpu);
    unsigned drop = 64 - 8u * i.size;
    return i.flags & IR_SIGNED ? (uint64_t)((int64_t)(value << drop) >> drop) : value;
}

uint64_t helper_store(struct cpu *cpu, uint64_t va, uint64_t value, uint64_t what)
{
    struct ir_insn i = described(what);
    return cpu->ops->store(cpu, va, i.size, value) ? 0 : fail(cpu);
}

uint64_t helper_atomic(struct cpu *cpu, uint64_t va, uint64_t value, uint64_t what)
{
    struct ir_insn i = described(what);
    uint64_t old = 0;
    jmp_buf fault; /* without a TLB the access is the host's, and comes back here when it faults */
    if (!cpu->tlb) {
        cpu->p.fault_jmp = &fault;
        if (setjmp(fault)) {
            cpu->p.fault_jmp = NULL;
            return fail(cpu);
        }
    }
    bool done = interp_atomic(cpu, &i, va, value, cpu->p.spill[SPILL_THIRD], &old);
    cpu->p.fault_jmp = NULL;
    return done ? old : fail(cpu);
}
