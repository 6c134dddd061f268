/* The frame of a signal handler as a riscv64 kernel lays it out: struct rt_sigframe, ucontext and
 * sigcontext of arch/riscv. */
#include <errno.h>
#include <string.h>

#include "process/signal.h"

#define GUEST_SA_ONSTACK 0x08000000
#define GUEST_SS_ONSTACK 1
#define GUEST_SS_DISABLE 2
#define SS_AUTODISARM_32 ((int32_t)(1u << 31))

struct guest_sigcontext {
    uint64_t regs[32]; /* pc, then x1 to x31 */
    uint64_t f[32];    /* __riscv_d_ext_state */
    uint32_t fcsr;
    /* What is left of the union with the state of a Q extension. Its last 12 bytes being zero says
     * that no further extension's state follows. */
    uint8_t reserved[528 - 260];
} __attribute__((aligned(16)));

struct guest_ucontext {
    uint64_t flags, link;
    struct guest_stack stack;
    uint64_t sigmask;
    uint8_t unused[1024 / 8 - 8];
    struct guest_sigcontext mcontext;
};

struct guest_frame {
    siginfo_t info;
    struct guest_ucontext uc;
};

_Static_assert(sizeof(siginfo_t) == 128, "siginfo is 128 bytes on riscv64 too");
_Static_assert(sizeof(struct guest_frame) == GUEST_MINSIGSTKSZ, "what programs are told");
_Static_assert(offsetof(struct guest_ucontext, mcontext) == 176, "as in arch/riscv");
_Static_assert(sizeof(struct guest_sigcontext) == 784, "as in arch/riscv");

bool on_altstack(const struct thread *t, uint64_t sp)
{
    if (t->altstack.flags & SS_AUTODISARM_32)
        return false;
    return sp > t->altstack.sp && sp - t->altstack.sp <= t->altstack.size;
}

static void save_context(const struct thread *t, struct guest_sigcontext *c)
{
    c->regs[0] = t->cpu.pc;
    memcpy(c->regs + 1, t->cpu.x + 1, 31 * sizeof(uint64_t));
    memcpy(c->f, t->cpu.f, sizeof c->f);
    c->fcsr = (uint32_t)t->cpu.frm << 5 | t->cpu.fflags;
}

static struct guest_stack altstack_state(const struct thread *t)
{
    struct guest_stack s = t->altstack;
    if (!s.size)
        s.flags |= GUEST_SS_DISABLE;
    else if (on_altstack(t, t->cpu.x[2]))
        s.flags |= GUEST_SS_ONSTACK;
    return s;
}

int frame_push(struct thread *t, const siginfo_t *info, const struct guest_sigaction *action,
               uint64_t saved)
{
    struct guest_frame frame = {.info = *info};
    uint64_t sp = t->cpu.x[2];
    if ((action->flags & GUEST_SA_ONSTACK) && t->altstack.size && !on_altstack(t, sp))
        sp = t->altstack.sp + t->altstack.size;
    else if (on_altstack(t, sp) && !on_altstack(t, sp - sizeof frame))
        return -EFAULT; /* would run off the alternate stack */
    sp = (sp - sizeof frame) & ~15ull;

    frame.uc.stack = altstack_state(t);
    frame.uc.sigmask = saved;
    save_context(t, &frame.uc.mcontext);
    if (guest_write(sp, &frame, sizeof frame))
        return -EFAULT;
    if (t->altstack.flags & SS_AUTODISARM_32)
        t->altstack = (struct guest_stack){.flags = GUEST_SS_DISABLE};

    t->cpu.x[1] = t->process->signal_return;
    t->cpu.x[2] = sp;
    t->cpu.x[10] = (uint64_t)info->si_signo;
    t->cpu.x[11] = sp + offsetof(struct guest_frame, info);
    t->cpu.x[12] = sp + offsetof(struct guest_frame, uc);
    t->cpu.pc = action->handler;
    return 0;
}

int frame_pop(struct thread *t, uint64_t *mask)
{
    struct guest_frame frame;
    if (guest_read(&frame, t->cpu.x[2], sizeof frame))
        return -EFAULT;
    const struct guest_sigcontext *c = &frame.uc.mcontext;
    for (size_t i = sizeof c->reserved - 12; i < sizeof c->reserved; i++)
        if (c->reserved[i])
            return -EFAULT;
    t->cpu.pc = c->regs[0];
    memcpy(t->cpu.x + 1, c->regs + 1, 31 * sizeof(uint64_t));
    memcpy(t->cpu.f, c->f, sizeof c->f);
    t->cpu.frm = c->fcsr >> 5 & 7;
    t->cpu.fflags = c->fcsr & 31;
    engine_fp_changed(&t->cpu);
    *mask = frame.uc.sigmask;
    if (!on_altstack(t, t->cpu.x[2])) {
        t->altstack = frame.uc.stack;
        t->altstack.flags &= SS_AUTODISARM_32;
        if (frame.uc.stack.flags & GUEST_SS_DISABLE)
            t->altstack = (struct guest_stack){0};
    }
    return 0;
}
