/* Signals: actions, masks, stacks. What they mean is in process/signal.c. */
#include "process/signal.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/syscall.h"

#define GUEST_SS_ONSTACK    1
#define GUEST_SS_DISABLE    2
#define GUEST_SS_AUTODISARM ((int32_t)(1u << 31))
#define SMALLEST_ALTSTACK   2048 /* MINSIGSTKSZ of asm-generic */

long sys_rt_sigaction(struct thread *t, const uint64_t a[6])
{
    struct guest_sigaction new, old;
    if (a[3] != sizeof new.mask)
        return -EINVAL;
    if (a[1] && guest_read(&new, a[1], sizeof new))
        return -EFAULT;
    long r = signal_action(t, (int)a[0], a[1] ? &new : NULL, &old);
    if (r)
        return r;
    return a[2] && guest_write(a[2], &old, sizeof old) ? -EFAULT : 0;
}

long sys_rt_sigprocmask(struct thread *t, const uint64_t a[6])
{
    uint64_t old = t->mask, set;
    if (a[3] != sizeof set)
        return -EINVAL;
    if (a[1]) {
        if (guest_read(&set, a[1], sizeof set))
            return -EFAULT;
        switch ((int)a[0]) {
        case SIG_BLOCK: set = old | set; break;
        case SIG_UNBLOCK: set = old & ~set; break;
        case SIG_SETMASK: break;
        default: return -EINVAL;
        }
        long r = signal_set_mask(t, set);
        if (r)
            return r;
    }
    return a[2] && guest_write(a[2], &old, sizeof old) ? -EFAULT : 0;
}

long sys_rt_sigsuspend(struct thread *t, const uint64_t a[6])
{
    uint64_t mask;
    if (a[1] != sizeof mask)
        return -EINVAL;
    if (guest_read(&mask, a[0], sizeof mask))
        return -EFAULT;
    long r = host_wait(t, SYS_rt_sigsuspend, (uint64_t)&mask, sizeof mask, 0, 0, 0, 0);
    if (r == -EINTR && t->sig_pending) {
        t->suspend_mask = mask;
        t->suspended = true;
    }
    return r;
}

long sys_rt_sigpending(struct thread *t, const uint64_t a[6])
{
    uint64_t set;
    if (a[1] > sizeof set)
        return -EINVAL;
    long r = HOST_CALL(SYS_rt_sigpending, &set, sizeof set);
    if (r)
        return r;
    set |= signal_held(t) & t->mask;
    return guest_write(a[0], &set, a[1]) ? -EFAULT : 0;
}

long sys_rt_sigtimedwait(struct thread *t, const uint64_t a[6])
{
    uint64_t set;
    siginfo_t info;
    if (a[3] != sizeof set)
        return -EINVAL;
    if (guest_read(&set, a[0], sizeof set))
        return -EFAULT;
    long r = -EINTR;
    if (!(signal_held(t) & set))
        r = host_wait(t, SYS_rt_sigtimedwait, a[0], a[1], a[2], a[3], 0, 0);
    if (r == -EINTR && !t->sig_pending && signal_take_held(t, set, &info)) {
        if (a[1] && guest_write(a[1], &info, sizeof info))
            return -EFAULT;
        return info.si_signo;
    }
    return r;
}

long sys_kill(struct thread *t, const uint64_t a[6])
{
    if ((pid_t)a[0] == getpid())
        signal_before_send(t, (int)a[1]);
    return host_wait(t, SYS_kill, a[0], a[1], 0, 0, 0, 0);
}

long sys_tkill(struct thread *t, const uint64_t a[6])
{
    if ((pid_t)a[0] == t->tid)
        signal_before_send(t, (int)a[1]);
    return host_wait(t, SYS_tkill, a[0], a[1], 0, 0, 0, 0);
}

long sys_tgkill(struct thread *t, const uint64_t a[6])
{
    if ((pid_t)a[0] == getpid() && (pid_t)a[1] == t->tid)
        signal_before_send(t, (int)a[2]);
    return host_wait(t, SYS_tgkill, a[0], a[1], a[2], 0, 0, 0);
}

long sys_rt_sigreturn(struct thread *t, const uint64_t a[6])
{
    signal_return(t);
    return -ESTATE_SET;
}

long sys_restart_syscall(struct thread *t, const uint64_t a[6])
{
    return -EINTR; /* what the kernel answers when there is nothing to restart */
}

long sys_sigaltstack(struct thread *t, const uint64_t a[6])
{
    uint64_t sp = t->cpu.x[2];
    bool on = t->altstack.size && on_altstack(t, sp);
    struct guest_stack old = t->altstack, new;
    if (a[0] && guest_read(&new, a[0], sizeof new))
        return -EFAULT;
    if (a[1]) {
        if (!old.size)
            old.flags = GUEST_SS_DISABLE;
        else if (on)
            old.flags |= GUEST_SS_ONSTACK;
        if (guest_write(a[1], &old, sizeof old))
            return -EFAULT;
    }
    if (!a[0])
        return 0;
    if (on)
        return -EPERM;
    int32_t mode = new.flags & ~GUEST_SS_AUTODISARM;
    if (mode != 0 && mode != GUEST_SS_ONSTACK && mode != GUEST_SS_DISABLE)
        return -EINVAL;
    if (mode == GUEST_SS_DISABLE) {
        t->altstack = (struct guest_stack){0};
        return 0;
    }
    if (new.size < SMALLEST_ALTSTACK)
        return -ENOMEM;
    t->altstack = (struct guest_stack){new.sp, new.flags &GUEST_SS_AUTODISARM, 0, new.size};
    return 0;
}
