/* Atomics of the reference interpreter: the host's own, sequentially consistent. */
#include "engine/engine.h"
#include "engine/interp.h"

/* Without a TLB the host's address 0 is one like others: the access to it faults. */
static bool locate(struct cpu *cpu, uint64_t va, unsigned size, bool load_only, void **out)
{
    if (cpu->tlb) {
        *out = cpu->ops->atomic(cpu, va, size, load_only);
        return *out;
    }
    *out = (void *)(uintptr_t)va;
    if ((va & (size - 1)) == 0)
        return true;
    cpu->trap.cause = load_only ? CAUSE_LOAD_MISALIGNED : CAUSE_STORE_MISALIGNED;
    cpu->trap.tval = va;
    return false;
}

static uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned drop = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << drop) >> drop);
}

static uint64_t load_atomic(void *p, unsigned size)
{
    switch (size) {
    case 1: return __atomic_load_n((uint8_t *)p, __ATOMIC_SEQ_CST);
    case 2: return __atomic_load_n((uint16_t *)p, __ATOMIC_SEQ_CST);
    case 4: return __atomic_load_n((uint32_t *)p, __ATOMIC_SEQ_CST);
    default: return __atomic_load_n((uint64_t *)p, __ATOMIC_SEQ_CST);
    }
}

/* Stores desired when *p is expected; answers what was there. */
#define EXCHANGE(type)                                                                         \
    ({                                                                                         \
        type seen_ = (type)expected;                                                           \
        __atomic_compare_exchange_n((type *)p, &seen_, (type)desired, false, __ATOMIC_SEQ_CST, \
                                    __ATOMIC_SEQ_CST);                                         \
        (uint64_t) seen_;                                                                      \
    })

static uint64_t exchange(void *p, unsigned size, uint64_t expected, uint64_t desired)
{
    switch (size) {
    case 1: return EXCHANGE(uint8_t);
    case 2: return EXCHANGE(uint16_t);
    case 4: return EXCHANGE(uint32_t);
    default: return EXCHANGE(uint64_t);
    }
}

static uint64_t combine(unsigned op, unsigned size, uint64_t old, uint64_t b)
{
    unsigned drop = 64 - 8 * size;
    uint64_t old_u = old << drop, b_u = b << drop;
    switch (op) {
    case AMO_SWAP: return b;
    case AMO_ADD: return old + b;
    case AMO_XOR: return old ^ b;
    case AMO_AND: return old & b;
    case AMO_OR: return old | b;
    case AMO_MIN: return (int64_t)old_u < (int64_t)b_u ? old : b;
    case AMO_MAX: return (int64_t)old_u > (int64_t)b_u ? old : b;
    case AMO_MINU: return old_u < b_u ? old : b;
    default: return old_u > b_u ? old : b;
    }
}

static uint64_t low_bytes(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

/* Volume I, chapter A: sc succeeds only while the reservation holds. Here it holds while the
 * location still has the value that lr read. */
static bool store_conditional(struct cpu *cpu, uint64_t va, unsigned size, uint64_t b,
                              uint64_t *out)
{
    uint64_t reserved = cpu->res_addr;
    if (va & (size - 1)) {
        cpu->trap = (struct trap){CAUSE_STORE_MISALIGNED, va};
        return false;
    }
    cpu->res_addr = UINT64_MAX;
    *out = 1;
    if (reserved != va)
        return true;
    void *p;
    if (!locate(cpu, va, size, false, &p))
        return false;
    uint64_t expected = low_bytes(cpu->res_value, size);
    *out = exchange(p, size, expected, b) != expected;
    return true;
}

bool interp_atomic(struct cpu *cpu, const struct ir_insn *i, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t *out)
{
    unsigned size = i->size;
    if (i->op == IR_SC)
        return store_conditional(cpu, a, size, b, out);
    void *p;
    if (!locate(cpu, a, size, i->op == IR_LR, &p))
        return false;
    uint64_t old = load_atomic(p, size);
    if (i->op == IR_LR) {
        cpu->res_addr = a;
        cpu->res_value = sign_extend(old, size);
    } else if (i->op == IR_CAS) {
        old = exchange(p, size, c, b);
    } else {
        for (uint64_t seen;; old = seen) {
            seen = exchange(p, size, old, combine(i->reg, size, old, b));
            if (seen == old)
                break;
        }
    }
    *out = sign_extend(old, size);
    return true;
}
