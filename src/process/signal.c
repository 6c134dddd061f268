#include "process/signal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "process/core.h"

#define HOST_SA_RESTORER   0x04000000ul
#define GUEST_SA_RESTART   0x10000000ul
#define GUEST_SA_NODEFER   0x40000000ul
#define GUEST_SA_RESETHAND 0x80000000ul
#define GUEST_SA_NOCLDSTOP 0x00000001ul
#define GUEST_SA_NOCLDWAIT 0x00000002ul
#define FIRST_REALTIME     32 /* the kernel's; libc's SIGRTMIN is behind what it keeps for itself */
#define PAGE_FAULT_WRITE   2  /* bit of x86's page-fault error code */

/* A guest's mask may block these, its host thread's never does: the emulator needs them for memory
 * that is not there. */
#define ALWAYS_OPEN (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS))
#define UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

/* What rt_sigaction of the x86-64 kernel takes. */
struct host_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

__thread struct thread *current_thread;

extern const char safe_syscall_begin[], safe_syscall_insn[], safe_syscall_end[],
    safe_syscall_restart[], safe_syscall_unstarted[];
extern const char guest_copy_insn[], guest_strnlen_insn[], guest_cas32_insn[], guest_fault[],
    host_sigreturn[];

static void host_mask(uint64_t mask)
{
    mask &= ~ALWAYS_OPEN;
    HOST_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof mask);
}

void signal_block_all(void)
{
    host_mask(~0ull);
}

void signal_unblock(struct thread *t)
{
    if (!t->sig_pending)
        host_mask(t->mask);
}

/* --- The host handler --- */

/* A fault in one of the functions of host_x86_64.S that touch guest memory. */
static bool fix_guest_access(greg_t *ip)
{
    const char *at = (const char *)*ip;
    if (at != guest_copy_insn && at != guest_strnlen_insn && at != guest_cas32_insn)
        return false;
    *ip = (greg_t)guest_fault;
    return true;
}

static void keep_signal(struct thread *t, const siginfo_t *info, ucontext_t *uc)
{
    int signo = info->si_signo;
    if ((SIGNAL_BIT(signo) & ALWAYS_OPEN) && ((t->mask & SIGNAL_BIT(signo)) || t->sig_pending)) {
        t->held[signo == SIGBUS] = *info;
        return;
    }
    t->sig_info = *info;
    t->sig_pending = signo;
    uint64_t all = ~ALWAYS_OPEN;
    memcpy(&uc->uc_sigmask, &all, sizeof all); /* until it is delivered */

    greg_t *ip = &uc->uc_mcontext.gregs[REG_RIP];
    const char *at = (const char *)*ip;
    if (at >= safe_syscall_begin && at < safe_syscall_insn)
        *ip = (greg_t)safe_syscall_unstarted;
    else if (at == safe_syscall_insn)
        *ip = (greg_t)(uc->uc_mcontext.gregs[REG_RCX] == (greg_t)safe_syscall_end
                           ? safe_syscall_restart
                           : safe_syscall_unstarted);
    engine_request_exit(&t->cpu);
}

/* Says where, as an offset in this program's own file: that is what tells a developer more. */
static void emulator_fault(const struct thread *t, const siginfo_t *info, const ucontext_t *uc)
{
    int to = t && t->process->messages_fd >= 0 ? t->process->messages_fd : STDERR_FILENO;
    extern const char __ehdr_start[];
    char line[160];
    int n = snprintf(line, sizeof line,
                     "wirt-riscv64: internal error: signal %d at %#llx of the emulator, accessing "
                     "%p\n",
                     info->si_signo,
                     (unsigned long long)uc->uc_mcontext.gregs[REG_RIP] -
                         (unsigned long long)__ehdr_start,
                     info->si_addr);
    if (write(to, line, (size_t)n) < 0)
        n = 0;
    process_die(info->si_signo);
}

/* A host thread that libc is still making, or already ending: it is not the guest's yet, or no
 * more. What was sent to the process goes to another thread, what was sent to this one waits. */
static void send_on(const siginfo_t *info, ucontext_t *uc)
{
    uint64_t all = ~ALWAYS_OPEN;
    memcpy(&uc->uc_sigmask, &all, sizeof all);
    host_mask(all);
    if (info->si_code == SI_TKILL)
        HOST_CALL(SYS_rt_tgsigqueueinfo, getpid(), HOST_CALL(SYS_gettid), info->si_signo, info);
    else
        HOST_CALL(SYS_rt_sigqueueinfo, getpid(), info->si_signo, info);
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct thread *t = current_thread;
    int saved = errno;
    bool fault = (SIGNAL_BIT(signo) & ALWAYS_OPEN) && info->si_code > 0;
    if (fault) {
        if (fix_guest_access(&uc->uc_mcontext.gregs[REG_RIP]))
            return;
        uint64_t cause =
            uc->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE ? CAUSE_STORE_PAGE : CAUSE_LOAD_PAGE;
        if (!t || !engine_host_fault(&t->cpu, info, context, cause))
            emulator_fault(t, info, uc);
        t->fault_signo = signo;
        t->fault_code = info->si_code;
    } else if (t) {
        keep_signal(t, info, uc);
    } else {
        send_on(info, uc);
    }
    errno = saved;
}

/* --- Host actions --- */

static long set_host_action(int signo, void *handler, uint64_t guest_flags)
{
    struct host_sigaction a = {.handler = handler};
    if (handler != SIG_DFL && handler != SIG_IGN) {
        /* SA_RESTART always: whether the guest wants it is decided at delivery. */
        a.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | HOST_SA_RESTORER;
        a.restorer = (void *)host_sigreturn;
        a.mask = ~ALWAYS_OPEN;
    }
    a.flags |= guest_flags & (GUEST_SA_NOCLDSTOP | GUEST_SA_NOCLDWAIT);
    return HOST_CALL(SYS_rt_sigaction, signo, &a, 0, 8);
}

/* The host's action for what the guest has set. */
static long mirror_action(int signo, const struct guest_sigaction *g)
{
    void *h = (void *)on_signal;
    if (!(SIGNAL_BIT(signo) & ALWAYS_OPEN) &&
        (g->handler == (uint64_t)SIG_DFL || g->handler == (uint64_t)SIG_IGN))
        h = (void *)g->handler;
    return set_host_action(signo, h, g->flags);
}

void signal_reclaim(struct thread *t)
{
    signal_block_all();
    pthread_mutex_lock(&t->sighand->lock);
    for (int n = FIRST_REALTIME; n < SIGRTMIN; n++)
        mirror_action(n, &t->sighand->action[n]);
    pthread_mutex_unlock(&t->sighand->lock);
}

void signal_init_process(struct process *p, struct thread *t)
{
    pthread_mutex_init(&p->sighand.lock, NULL);
    for (int n = 1; n <= N_SIGNALS; n++) {
        struct host_sigaction a;
        if (HOST_CALL(SYS_rt_sigaction, n, 0, &a, 8) == 0 && a.handler == SIG_IGN)
            p->sighand.action[n].handler = (uint64_t)SIG_IGN;
    }
    HOST_CALL(SYS_rt_sigprocmask, SIG_SETMASK, 0, &t->mask, 8);
    signal_init_thread(t);
    mirror_action(SIGSEGV, &p->sighand.action[SIGSEGV]);
    mirror_action(SIGBUS, &p->sighand.action[SIGBUS]);
    host_mask(t->mask);
}

void signal_init_thread(struct thread *t)
{
    stack_t s = {.ss_sp = t->host_altstack, .ss_size = sizeof t->host_altstack};
    HOST_CALL(SYS_sigaltstack, &s, 0);
    current_thread = t;
}

void signal_leave_thread(struct thread *t)
{
    stack_t s = {.ss_flags = SS_DISABLE};
    HOST_CALL(SYS_sigaltstack, &s, 0);
    current_thread = NULL;
}

void signal_clear_handlers(struct sighand *s)
{
    for (int n = 1; n <= N_SIGNALS; n++) {
        if (s->action[n].handler == (uint64_t)SIG_IGN)
            continue;
        bool handled = s->action[n].handler != (uint64_t)SIG_DFL;
        s->action[n] = (struct guest_sigaction){0};
        if (handled)
            mirror_action(n, &s->action[n]);
    }
}

void signal_before_exec(struct thread *t)
{
    for (int n = SIGBUS; n <= SIGSEGV; n += SIGSEGV - SIGBUS)
        if (t->sighand->action[n].handler == (uint64_t)SIG_IGN)
            set_host_action(n, SIG_IGN, 0);
    uint64_t open = t->mask & ALWAYS_OPEN;
    if (open) /* only where it differs: the rest is as it should be */
        HOST_CALL(SYS_rt_sigprocmask, SIG_BLOCK, &open, 0, 8);
}

void signal_after_exec(struct thread *t)
{
    mirror_action(SIGSEGV, &t->sighand->action[SIGSEGV]);
    mirror_action(SIGBUS, &t->sighand->action[SIGBUS]);
    uint64_t open = ALWAYS_OPEN;
    HOST_CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, &open, 0, 8);
}

/* --- Delivery --- */

static bool ignored_by_default(int signo)
{
    return signo == SIGCHLD || signo == SIGCONT || signo == SIGURG || signo == SIGWINCH;
}

static bool stops_by_default(int signo)
{
    return signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU || signo == SIGSTOP;
}

static bool dumps_by_default(int signo)
{
    return signo == SIGQUIT || signo == SIGILL || signo == SIGTRAP || signo == SIGABRT ||
           signo == SIGBUS || signo == SIGFPE || signo == SIGSEGV || signo == SIGXCPU ||
           signo == SIGXFSZ || signo == SIGSYS;
}

_Noreturn static void die_of(struct thread *t, const siginfo_t *info)
{
    signal_block_all();
    if (dumps_by_default(info->si_signo))
        core_write(t, info, false);
    process_die(info->si_signo);
}

void signal_before_send(struct thread *t, int signo)
{
    if (signo < 1 || signo > N_SIGNALS || !dumps_by_default(signo) ||
        (t->mask & SIGNAL_BIT(signo)) || t->sighand->action[signo].handler != (uint64_t)SIG_DFL)
        return;
    siginfo_t info = {.si_signo = signo, .si_code = SI_TKILL};
    info.si_pid = getpid();
    info.si_uid = getuid();
    core_write(t, &info, true);
}

/* The interrupted system call, if any, is made again or ends with EINTR. */
static void settle_restart(struct thread *t, bool again)
{
    if (t->restart && !again) {
        t->cpu.x[10] = (uint64_t)-EINTR;
        t->cpu.pc += 4;
    }
    t->restart = false;
}

static void run_handler(struct thread *t, const siginfo_t *info, struct guest_sigaction *action)
{
    uint64_t saved = t->mask;
    uint64_t base = t->suspended ? t->suspend_mask : t->mask;
    settle_restart(t, action->flags & GUEST_SA_RESTART);
    if (frame_push(t, info, action, saved)) {
        /* No room for the frame: a SIGSEGV that cannot have a handler on that stack either. */
        if (info->si_signo == SIGSEGV)
            process_die(SIGSEGV);
        signal_force(t, SIGSEGV, SI_KERNEL, 0);
        return;
    }
    uint64_t mask = base | action->mask;
    if (!(action->flags & GUEST_SA_NODEFER))
        mask |= SIGNAL_BIT(info->si_signo);
    t->mask = mask & ~UNBLOCKABLE;
}

/* The action for signo, taken (reset if it is for one time only). */
static struct guest_sigaction take_action(struct thread *t, int signo)
{
    struct sighand *s = t->sighand;
    pthread_mutex_lock(&s->lock);
    struct guest_sigaction a = s->action[signo];
    if ((a.flags & GUEST_SA_RESETHAND) && a.handler != (uint64_t)SIG_DFL &&
        a.handler != (uint64_t)SIG_IGN) {
        s->action[signo].handler = (uint64_t)SIG_DFL;
        mirror_action(signo, &s->action[signo]);
    }
    pthread_mutex_unlock(&s->lock);
    return a;
}

static void deliver_one(struct thread *t, const siginfo_t *info)
{
    int signo = info->si_signo;
    struct guest_sigaction a = take_action(t, signo);
    if (a.handler == (uint64_t)SIG_IGN ||
        (a.handler == (uint64_t)SIG_DFL && ignored_by_default(signo)))
        return;
    if (a.handler == (uint64_t)SIG_DFL) {
        if (!stops_by_default(signo))
            die_of(t, info);
        HOST_CALL(SYS_kill, getpid(), SIGSTOP);
        return;
    }
    run_handler(t, info, &a);
}

/* A SIGSEGV or SIGBUS that was held back and no longer has to be takes the slot. */
static void release_held(struct thread *t)
{
    for (int i = 0; i < 2; i++) {
        int held = t->held[i].si_signo;
        if (!held || (t->mask & SIGNAL_BIT(held)))
            continue;
        signal_block_all();
        if (!t->sig_pending) {
            t->sig_info = t->held[i];
            t->held[i].si_signo = 0;
            t->sig_pending = held;
            engine_request_exit(&t->cpu);
        }
        return;
    }
}

uint64_t signal_held(const struct thread *t)
{
    uint64_t held = 0;
    for (int i = 0; i < 2; i++)
        if (t->held[i].si_signo)
            held |= SIGNAL_BIT(t->held[i].si_signo);
    return held;
}

bool signal_take_held(struct thread *t, uint64_t set, siginfo_t *out)
{
    for (int i = 0; i < 2; i++) {
        int signo = t->held[i].si_signo;
        if (!signo || !(set & SIGNAL_BIT(signo)))
            continue;
        *out = t->held[i];
        t->held[i].si_signo = 0;
        return true;
    }
    return false;
}

/* With everything blocked: a signal that came in before the mask changed, and that the new mask
 * blocks, goes back to the kernel's queue. */
static void requeue_blocked(struct thread *t)
{
    int signo = t->sig_pending;
    if (!signo || !(t->mask & SIGNAL_BIT(signo)))
        return;
    if (HOST_CALL(SYS_rt_tgsigqueueinfo, getpid(), t->tid, signo, &t->sig_info) == 0)
        t->sig_pending = 0;
}

void signal_deliver(struct thread *t)
{
    while (t->sig_pending) {
        siginfo_t info = t->sig_info;
        t->sig_pending = 0; /* all is blocked: nothing fills it before the mask is set below */
        deliver_one(t, &info);
        t->suspended = false;
        signal_unblock(t);
        release_held(t);
    }
    t->suspended = false;
    settle_restart(t, true);
}

void signal_force(struct thread *t, int signo, int code, uint64_t addr)
{
    siginfo_t info = {.si_signo = signo, .si_code = code};
    info.si_addr = (void *)addr;
    signal_force_info(t, &info);
}

void signal_force_info(struct thread *t, const siginfo_t *info)
{
    int signo = info->si_signo;
    struct guest_sigaction a = take_action(t, signo);
    if ((t->mask & SIGNAL_BIT(signo)) || a.handler == (uint64_t)SIG_IGN ||
        a.handler == (uint64_t)SIG_DFL)
        die_of(t, info);
    signal_block_all();
    t->suspended = false;
    run_handler(t, info, &a);
    requeue_blocked(t);
    signal_unblock(t);
}

void signal_return(struct thread *t)
{
    uint64_t mask;
    if (frame_pop(t, &mask)) {
        signal_force(t, SIGSEGV, SI_KERNEL, 0);
        return;
    }
    signal_block_all();
    t->mask = mask & ~UNBLOCKABLE;
    requeue_blocked(t);
    signal_unblock(t);
    release_held(t);
}

/* --- The guest's calls --- */

long signal_set_mask(struct thread *t, uint64_t mask)
{
    mask &= ~UNBLOCKABLE;
    uint64_t host = mask & ~ALWAYS_OPEN;
    long r = host_wait(t, SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&host, 0, 8, 0, 0);
    if (r == -ERESTARTSYS)
        r = -ERESTARTNOINTR;
    if (r)
        return r;
    t->mask = mask;
    release_held(t);
    return 0;
}

long signal_action(struct thread *t, int signo, const struct guest_sigaction *new,
                   struct guest_sigaction *old)
{
    if (signo < 1 || signo > N_SIGNALS || (new && (SIGNAL_BIT(signo) & UNBLOCKABLE)))
        return -EINVAL;
    struct sighand *s = t->sighand;
    signal_block_all(); /* the lock is not to be held while a handler of this thread looks */
    pthread_mutex_lock(&s->lock);
    if (old)
        *old = s->action[signo];
    long r = 0;
    if (new) {
        s->action[signo] = *new;
        s->action[signo].mask &= ~UNBLOCKABLE;
        r = mirror_action(signo, &s->action[signo]);
    }
    pthread_mutex_unlock(&s->lock);
    signal_unblock(t);
    return r;
}
