/* The reference engine: runs a block of IR instruction by instruction. */
#include <string.h>

#include "engine/engine.h"
#include "engine/fp.h"
#include "engine/guest_access.h"
#include "engine/interp.h"
#include "engine/ir.h"

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    if (cpu->tlb)
        return cpu->ops->load(cpu, va, size, value);
    *value = guest_load((const void *)(uintptr_t)va, size);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    if (cpu->tlb)
        return cpu->ops->store(cpu, va, size, value);
    guest_store((void *)(uintptr_t)va, size, value);
    return true;
}

static uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned drop = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << drop) >> drop);
}

/* A single or half in a 64-bit register: the bits above it are ones. */
static uint64_t box(uint64_t value, unsigned size)
{
    return size == 8 ? value : value | UINT64_MAX << 8 * size;
}

/* The memory operations, which may trap. false: cpu->trap is set. */
static bool memory(struct cpu *cpu, const struct ir_insn *i, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t *out)
{
    uint64_t va = a + (uint64_t)i->imm;
    switch (i->op) {
    case IR_LOAD:
        if (!load(cpu, va, i->size, out))
            return false;
        if (i->flags & IR_SIGNED)
            *out = sign_extend(*out, i->size);
        return true;
    case IR_LOADF:
        if (!load(cpu, va, i->size, out))
            return false;
        *out = box(*out, i->size);
        return true;
    case IR_STORE:
    case IR_STOREF: return store(cpu, va, i->size, b);
    default: return interp_atomic(cpu, i, a, b, c, out);
    }
}

/* What may be any quiet NaN is an unlikely one here, so that who looks at it is found out; one that
 * looks like a boxed single, whatever it is. */
static uint64_t any_nan(const struct ir_insn *i, uint64_t v)
{
    uint64_t canonical = i->size == 8 ? UINT64_C(0x7ff8000000000000) : UINT64_C(0xffffffff7fc00000);
    return i->flags & IR_ANY_NAN && v == canonical ? UINT64_C(0xffffffffffc0beef) : v;
}

/* State, pure integer and floating-point operations, which cannot trap. */
static uint64_t compute(struct cpu *cpu, const struct ir_insn *i, uint64_t a, uint64_t b,
                        uint64_t c)
{
    switch (i->op) {
    case IR_GETX: return cpu->x[i->reg];
    case IR_SETX: return cpu->x[i->reg] = a;
    case IR_GETF: return cpu->f[i->reg];
    case IR_SETF: return cpu->f[i->reg] = a;
    case IR_GETS: memcpy(&a, (char *)cpu + i->imm, 8); return a;
    case IR_SETS: memcpy((char *)cpu + i->imm, &a, 8); return a;
    case IR_GETFF: return cpu->fflags;
    case IR_SETFF: return cpu->fflags = a & 0x1f;
    case IR_NOP: return 0;
    case IR_FENCE: __atomic_thread_fence(__ATOMIC_SEQ_CST); return 0;
    case IR_PURE: return ((uint64_t(*)(uint64_t, uint64_t))(uintptr_t)i->imm)(a, b);
    default:
        if (ir_is_fp(i))
            return any_nan(i, fp_op(cpu, fp_how(i), a, b, c));
        a = ir_eval(i, a, b, c);
        /* What may be anything is something unlikely here, so that who uses it is found out. */
        return i->flags & IR_LOW32 ? a ^ UINT64_C(0x5a5a5a5a00000000) : a;
    }
}

static int raise_trap(struct cpu *cpu, uint64_t cause, uint64_t tval)
{
    cpu->trap = (struct trap){cause, tval};
    return STEP_TRAP;
}

/* The operations other than branches that leave, or may. */
static int control(struct cpu *cpu, const struct ir_insn *i, uint64_t a)
{
    switch (i->op) {
    case IR_JUMP: cpu->pc = (uint64_t)i->imm; return STEP_NEXT;
    case IR_JUMPR: cpu->pc = a; return STEP_NEXT;
    case IR_SYSTEM: return (int)cpu->ops->system(cpu, (uint32_t)i->imm);
    case IR_FCSR: fp_csr(cpu, (uint32_t)i->imm); return STEP_NEXT;
    case IR_FENCE_I: cpu->pc = (uint64_t)i->imm; return STEP_FENCE_I;
    case IR_FS_DIRTY: cpu->ops->fs_dirty(cpu); return STEP_NEXT;
    default: /* IR_FRM_CHECK */
        return cpu->frm > 4 ? raise_trap(cpu, CAUSE_ILLEGAL, (uint64_t)i->imm) : STEP_NEXT;
    }
}

int ir_interpret(struct cpu *cpu, const struct ir_block *block)
{
    uint64_t v[IR_LIMIT];
    for (uint32_t k = 0; k < block->n; k++) {
        const struct ir_insn *i = &block->insn[k];
        uint64_t a = i->a == IR_NONE ? 0 : v[i->a];
        uint64_t b = i->b == IR_NONE ? 0 : v[i->b];
        uint64_t c = i->c == IR_NONE ? 0 : v[i->c];
        if (!ir_is_observable(i)) {
            v[k] = compute(cpu, i, a, b, c);
            continue;
        }
        cpu->pc = block->guest_pc[i->gi];
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* a handler of SIGSEGV reads pc and x */
        if (i->op < IR_BR) {
            if (!memory(cpu, i, a, b, c, &v[k]))
                return STEP_TRAP;
            continue;
        }
        if (i->op == IR_BR) {
            if (!ir_compare(i->cond, a, b))
                continue;
            cpu->pc = (uint64_t)i->imm;
            return STEP_NEXT;
        }
        if (i->op == IR_POLL) /* asked for between blocks */
            continue;
        int step = control(cpu, i, a);
        if (step != STEP_NEXT)
            return step;
    }
    return STEP_NEXT;
}
