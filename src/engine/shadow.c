/* The shadow return stack: while translated code runs, the host's stack pointer walks it. A guest
 * call pushes the guest's return address and, by the host's call instruction, the host address to
 * go on at; a guest return compares and does a host ret. Entries are only hints: each is compared
 * before use, so a stack may be emptied at any time. What is compared is the guest's address alone:
 * that it means the same code, translated for the same mode, is for whoever changes either to see
 * to (engine_forget_returns, shadow_check_mode).
 *
 * U mode has a stack of its own, so that system calls and interrupts do not cost a program its
 * return addresses. */
#include <errno.h>
#include <sys/mman.h>

#include "engine/internal.h"

#define SHADOW_BYTES (64u << 10)
#define SHADOW_ROOM  256 /* below the limit: what is pushed between two checks */

/* No guest address: return addresses are even. */
#define EMPTY_MARK UINT64_C(1)

static struct shadow_stack *current(struct cpu *cpu)
{
    return &cpu->p.shadow[cpu->engine->config.paged && (cpu->mode & MODE_PRIV) != 0];
}

static void reset(struct cpu *cpu, struct shadow_stack *s)
{
    s->top = s->base;
    if (s == current(cpu))
        cpu->p.shadow_rsp = s->base;
}

int shadow_init(struct cpu *cpu, struct error **err)
{
    for (int i = 0; i < 2; i++) {
        struct shadow_stack *s = &cpu->p.shadow[i];
        void *map =
            mmap(NULL, SHADOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED) {
            shadow_free(cpu);
            return error_set(err, errno, "map a shadow stack");
        }
        s->map = map;
        /* The bottom entry is one that no return matches: [base] host address, [base + 8] guest
         * address. */
        s->base = (uint64_t)(uintptr_t)map + SHADOW_BYTES - 64;
        s->limit = (uint64_t)(uintptr_t)map + SHADOW_ROOM;
        *(uint64_t *)(uintptr_t)(s->base + 8) = EMPTY_MARK;
        s->top = s->base;
    }
    cpu->p.shadow_rsp = current(cpu)->base;
    return 0;
}

void shadow_free(struct cpu *cpu)
{
    for (int i = 0; i < 2; i++) {
        if (cpu->p.shadow[i].map)
            munmap(cpu->p.shadow[i].map, SHADOW_BYTES);
        cpu->p.shadow[i].map = NULL;
    }
}

void shadow_reset_all(struct cpu *cpu)
{
    reset(cpu, &cpu->p.shadow[0]);
    reset(cpu, &cpu->p.shadow[1]);
}

void shadow_switch(struct cpu *cpu)
{
    struct shadow_stack *to = current(cpu);
    uint64_t now = cpu->p.shadow_rsp;
    for (int i = 0; i < 2; i++) {
        struct shadow_stack *s = &cpu->p.shadow[i];
        if (s != to && now > s->limit - SHADOW_ROOM && now <= s->base)
            s->top = now;
        else if (s == to && now > s->limit - SHADOW_ROOM && now <= s->base)
            to->top = now; /* already on it */
    }
    cpu->p.shadow_rsp = to->top;
    if (to == &cpu->p.shadow[0] && cpu->p.user_tlb != cpu->tlb) {
        /* another address space: its return addresses may have the same numbers */
        reset(cpu, to);
        cpu->p.user_tlb = cpu->tlb;
    }
}

void shadow_check_mode(struct cpu *cpu)
{
    struct shadow_stack *s = current(cpu);
    if (s->mode == cpu->mode)
        return;
    reset(cpu, s);
    s->mode = cpu->mode;
}

void shadow_arm(struct cpu *cpu)
{
    cpu->p.shadow_base = current(cpu)->base;
    __atomic_store_n(&cpu->p.shadow_limit, current(cpu)->limit, __ATOMIC_SEQ_CST);
}
