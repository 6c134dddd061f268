#include "process/thread.h"

#include <errno.h>
#include <limits.h>
#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "process/robust.h"
#include "process/signal.h"

#define HOST_STACK_SIZE ((size_t)512 << 10)
#define REG_SP          2
#define REG_TP          4
#define REG_A0          10

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull
#endif

struct thread *thread_new(struct process *p, struct error **err)
{
    struct thread *t = aligned_alloc(64, (sizeof *t + 63) & ~63ul);
    if (!t) {
        error_set(err, ENOMEM, "a thread's state");
        return NULL;
    }
    memset(t, 0, sizeof *t - sizeof t->host_altstack);
    t->process = p;
    t->sighand = &p->sighand;
    if (engine_attach(p->engine, &t->cpu, err) < 0) {
        free(t);
        return NULL;
    }
    return t;
}

void thread_enlist(struct thread *t)
{
    struct process *p = t->process;
    pthread_mutex_lock(&p->threads_lock);
    t->next = p->threads;
    if (t->next)
        t->next->prev = t;
    p->threads = t;
    p->n_threads++;
    pthread_mutex_unlock(&p->threads_lock);
}

/* Frees what a thread has; t is not the running one. */
static void thread_free(struct thread *t)
{
    if (t->host_stack) {
        ASAN_UNPOISON_MEMORY_REGION(t->host_stack,
                                    HOST_STACK_SIZE); /* the guest's may come there */
        munmap(t->host_stack, HOST_STACK_SIZE);
    }
    if (t->scratch)
        munmap(t->scratch, t->scratch_size);
    free(t);
}

/* The state a new thread starts with: its maker's, and what the request says. */
static struct thread *thread_copy(struct thread *t, const struct clone_request *r)
{
    ERROR_CLEANUP err = NULL;
    struct thread *n = thread_new(t->process, &err);
    if (!n)
        return NULL;
    memcpy(n->cpu.x, t->cpu.x, sizeof n->cpu.x);
    memcpy(n->cpu.f, t->cpu.f, sizeof n->cpu.f);
    n->cpu.frm = t->cpu.frm;
    n->cpu.fflags = t->cpu.fflags;
    n->cpu.mode = t->cpu.mode;
    n->cpu.pc = t->cpu.pc + 4;
    n->cpu.x[REG_A0] = 0;
    if (r->stack)
        n->cpu.x[REG_SP] = r->stack;
    if (r->flags & CLONE_SETTLS)
        n->cpu.x[REG_TP] = r->tls;
    n->mask = t->mask;
    atomic_store(&n->filters, atomic_load(&t->filters));
    n->strict = t->strict;
    if (r->flags & CLONE_CHILD_CLEARTID)
        n->clear_tid = r->child_tid;
    engine_fp_changed(&n->cpu);
    return n;
}

/* --- Threads --- */

struct start {
    struct thread *thread;
    const struct clone_request *request;
    atomic_int tid;
};

static void *thread_main(void *arg)
{
    struct start *s = arg;
    struct thread *t = s->thread;
    const struct clone_request *r = s->request;
    t->tid = (pid_t)HOST_CALL(SYS_gettid);
    signal_init_thread(t);
    uint64_t unshared = 0;
    if (!(r->flags & CLONE_FS))
        unshared |= CLONE_FS;
    if (!(r->flags & CLONE_FILES))
        unshared |= CLONE_FILES;
    if (unshared)
        HOST_CALL(SYS_unshare, unshared);
    if (r->flags & CLONE_PARENT_SETTID)
        guest_write(r->parent_tid, &t->tid, sizeof t->tid);
    if (r->flags & CLONE_CHILD_SETTID)
        guest_write(r->child_tid, &t->tid, sizeof t->tid);
    thread_enlist(t);
    atomic_store(&s->tid, t->tid); /* from here on s and r may be gone */
    HOST_CALL(SYS_futex, &s->tid, FUTEX_WAKE_PRIVATE, 1);
    signal_unblock(t);
    thread_loop(t);
    return NULL;
}

/* A host thread that runs fn, with everything blocked. 0, or an error number. */
static int host_thread(struct thread *t, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t id;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, HOST_STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int e = pthread_create(&id, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    signal_reclaim(t);
    return e;
}

static long make_thread(struct thread *t, const struct clone_request *r)
{
    struct start s = {.thread = thread_copy(t, r), .request = r};
    if (!s.thread)
        return -EAGAIN;
    if (host_thread(t, thread_main, &s)) {
        engine_detach(&s.thread->cpu);
        thread_free(s.thread);
        return -EAGAIN;
    }
    while (!atomic_load(&s.tid))
        HOST_CALL(SYS_futex, &s.tid, FUTEX_WAIT_PRIVATE, 0, 0);
    return atomic_load(&s.tid);
}

/* --- Processes --- */

/* In the child: of all threads only t is left. */
static void only_survivor(struct thread *t)
{
    struct process *p = t->process;
    pthread_mutex_init(&p->threads_lock, NULL);
    pthread_mutex_init(&p->space.lock, NULL);
    pthread_mutex_init(&p->sighand.lock, NULL);
    ERROR_CLEANUP err = NULL;
    if (engine_fork_child(p->engine, &t->cpu, &err) < 0) {
        log_error("fork: %s", error_text(err));
        HOST_CALL(SYS_exit_group, 127);
    }
    for (struct thread *o = p->threads, *next; o; o = next) {
        next = o->next;
        if (o != t)
            thread_free(o);
    }
    p->threads = t;
    p->n_threads = 1;
    atomic_store(&p->stopper, NULL); /* it was the parent that stopped */
    t->prev = t->next = NULL;
    t->leader = true;
    t->vfork_child = false;
    if (t->sighand != &p->sighand) { /* a vfork child's child has all memory to itself */
        memcpy(p->sighand.action, t->sighand->action, sizeof p->sighand.action);
        t->sighand = &p->sighand;
    }
}

static void child_setup(struct thread *t, const struct clone_request *r)
{
    t->tid = (pid_t)HOST_CALL(SYS_gettid);
    t->cpu.x[REG_SP] = r->stack ? r->stack : t->cpu.x[REG_SP];
    if (r->flags & CLONE_SETTLS)
        t->cpu.x[REG_TP] = r->tls;
    t->clear_tid = r->flags & CLONE_CHILD_CLEARTID ? r->child_tid : 0;
    if (r->flags & CLONE_CHILD_SETTID)
        guest_write(r->child_tid, &t->tid, sizeof t->tid);
    if (r->flags & CLONE_CLEAR_SIGHAND)
        signal_clear_handlers(t->sighand);
}

/* The raw call for what libc's fork() cannot do: namespaces, pidfds, other exit signals. */
static long host_fork(const struct clone_request *r)
{
    uint64_t plain = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |
                     CLONE_SETTLS | CLONE_CLEAR_SIGHAND;
    if (!(r->flags & ~plain) && r->exit_signal == SIGCHLD && !r->set_tid_size) {
        pid_t pid = fork();
        return pid < 0 ? -errno : pid;
    }
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
            set_tid_size, cgroup;
    } args = {
        .flags = r->flags & ~plain,
        .pidfd = r->pidfd,
        .exit_signal = r->exit_signal,
        .set_tid = r->set_tid,
        .set_tid_size = r->set_tid_size,
        .cgroup = r->cgroup,
    };
    if ((args.flags & (CSIGNAL | CLONE_INTO_CGROUP)) || r->set_tid_size)
        return HOST_CALL(SYS_clone3, &args, sizeof args);
    /* clone3 refuses an exit signal with CLONE_PARENT, which ignores it */
    return HOST_CALL(SYS_clone, args.flags | r->exit_signal, 0, r->pidfd);
}

static long make_process(struct thread *t, const struct clone_request *r)
{
    struct process *p = t->process;
    ERROR_CLEANUP err = NULL;
    long pid = -ENOMEM;
    pthread_mutex_lock(&p->threads_lock);
    pthread_mutex_lock(&p->space.lock);
    if (engine_fork_prepare(p->engine, r->flags & CLONE_FILES, &err) == 0) {
        pid = host_fork(r);
        if (pid == 0) {
            only_survivor(t);
            child_setup(t, r);
            return 0;
        }
        engine_fork_parent(p->engine);
    }
    pthread_mutex_unlock(&p->space.lock);
    pthread_mutex_unlock(&p->threads_lock);
    if (pid > 0 && (r->flags & CLONE_PARENT_SETTID)) {
        pid_t tid = (pid_t)pid;
        guest_write(r->parent_tid, &tid, sizeof tid);
    }
    return pid;
}

/* --- Processes in the same memory --- */

struct vm_start {
    struct thread *thread;
    const struct clone_request *request;
    pid_t pid;       /* as the parent sees it */
    atomic_int told; /* 1: it runs; below: -errno, it does not. From then on all this may be gone */
};

static void tell_parent(struct vm_start *s, int what)
{
    atomic_store(&s->told, what);
    HOST_CALL(SYS_futex, &s->told, FUTEX_WAKE_PRIVATE, 1);
}

static int vm_child_main(void *arg)
{
    struct vm_start *s = arg;
    struct thread *t = s->thread;
    const struct clone_request *r = s->request;
    signal_init_thread(t);
    child_setup(t, r);
    t->clear_tid = 0; /* the host's kernel does it, whatever the child ends by */
    pid_t pid = r->flags & CLONE_PIDFD ? t->tid : s->pid;
    if (r->flags & CLONE_PARENT_SETTID)
        guest_write(r->parent_tid, &pid, sizeof pid);
    s->pid = pid;
    if (!(r->flags & CLONE_VFORK))
        tell_parent(s, 1);
    signal_unblock(t);
    thread_loop(t);
    return 0;
}

static void vm_child_free(struct thread *n)
{
    engine_detach(&n->cpu);
    if (n->sighand != &n->process->sighand)
        free(n->sighand);
    thread_free(n);
}

/* Runs the child and waits until it has ended or become another program. The child has libc's
 * thread data in common with the host thread that waits here. */
static long run_vm_child(struct vm_start *s)
{
    struct thread *n = s->thread;
    const struct clone_request *r = s->request;
    bool own = n->sighand != &n->process->sighand;
    uint64_t handled = CLONE_SETTLS | CLONE_CHILD_SETTID | CLONE_CLEAR_SIGHAND;
    uint64_t flags = (r->flags & ~handled) | CLONE_VFORK | r->exit_signal;
    if (own)
        flags &= ~(uint64_t)CLONE_SIGHAND;
    flags &= r->flags & CLONE_PIDFD ? ~(uint64_t)CLONE_PARENT_SETTID : ~0ull;
    flags |= r->flags & CLONE_PIDFD ? 0 : CLONE_PARENT_SETTID;
    void *id = r->flags & CLONE_PIDFD ? (void *)r->pidfd : &s->pid;
    /* The marks of another stack that has been here. */
    ASAN_UNPOISON_MEMORY_REGION(n->host_stack, HOST_STACK_SIZE);
    long pid = clone(vm_child_main, (char *)n->host_stack + HOST_STACK_SIZE, (int)flags, s, id,
                     NULL, (void *)r->child_tid);
    if (pid < 0)
        pid = -errno;
    vm_child_free(n);
    return pid;
}

/* Gives a child in the same memory its signal actions: a copy, unless they are to be shared with
 * the process itself. */
static bool set_actions(struct thread *n, const struct thread *t, bool shared)
{
    if (shared && t->sighand == &t->process->sighand)
        return true;
    struct sighand *s = malloc(sizeof *s);
    if (!s)
        return false;
    pthread_mutex_init(&s->lock, NULL);
    memcpy(s->action, t->sighand->action, sizeof s->action);
    n->sighand = s;
    return true;
}

/* The thread of a child in the same memory, or NULL. */
static struct thread *vm_child_thread(struct thread *t, const struct clone_request *r)
{
    struct thread *n = thread_copy(t, r);
    if (!n)
        return NULL;
    void *stack = mmap(NULL, HOST_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack != MAP_FAILED)
        n->host_stack = stack;
    if (stack == MAP_FAILED || !set_actions(n, t, r->flags & CLONE_SIGHAND)) {
        engine_detach(&n->cpu);
        thread_free(n);
        return NULL;
    }
    n->vfork_child = true;
    n->leader = true;
    n->altstack = r->flags & CLONE_VFORK ? t->altstack : (struct guest_stack){0};
    return n;
}

/* While the parent waits: as on Linux, so that what the child writes is seen (posix_spawn's error),
 * and so that no memory has to be copied. */
static long make_vfork(struct thread *t, const struct clone_request *r)
{
    struct vm_start s = {.thread = vm_child_thread(t, r), .request = r};
    if (!s.thread)
        return -ENOMEM;
    long pid = run_vm_child(&s);
    current_thread = t;
    if (pid > 0 && (r->flags & CLONE_PARENT_SETTID)) {
        pid_t tid = (pid_t)pid;
        guest_write(r->parent_tid, &tid, sizeof tid);
    }
    return pid;
}

static void *stand_in_main(void *arg)
{
    struct vm_start *s = arg;
    long pid = run_vm_child(s);
    current_thread = NULL;
    if (pid < 0)
        tell_parent(s, (int)pid);
    return NULL;
}

/* While the parent goes on: then a host thread made for it waits in the parent's stead, and lends
 * the child its thread data. */
static long make_vm_process(struct thread *t, const struct clone_request *r)
{
    if ((r->flags & CLONE_NEWPID) && (r->flags & CLONE_PIDFD)) /* nothing would tell the number */
        return -EINVAL;
    struct vm_start s = {.thread = vm_child_thread(t, r), .request = r};
    if (!s.thread)
        return -ENOMEM;
    engine_set_parallel(t->process->engine);
    if (host_thread(t, stand_in_main, &s)) {
        vm_child_free(s.thread);
        return -EAGAIN;
    }
    while (!atomic_load(&s.told))
        HOST_CALL(SYS_futex, &s.told, FUTEX_WAIT_PRIVATE, 0, 0);
    return s.told < 0 ? s.told : s.pid;
}

/* --- clone --- */

#define THREAD_FLAGS                                                                    \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |   \
     CLONE_DETACHED | CLONE_IO)

long thread_clone(struct thread *t, const struct clone_request *r)
{
    if ((r->flags & CLONE_THREAD) && !(r->flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((r->flags & CLONE_SIGHAND) && !(r->flags & CLONE_VM))
        return -EINVAL;
    if (r->exit_signal > N_SIGNALS)
        return -EINVAL;
    bool thread = r->flags & CLONE_THREAD;
    if (thread && ((r->flags & ~(uint64_t)THREAD_FLAGS) || t->vfork_child))
        return -EINVAL;

    signal_block_all(); /* children are born with everything blocked and set the mask themselves */
    long result = -ERESTARTNOINTR;
    if (t->sig_pending)
        return result;
    if (thread)
        result = make_thread(t, r);
    else if (r->flags & CLONE_VM)
        result = r->flags & CLONE_VFORK ? make_vfork(t, r) : make_vm_process(t, r);
    else
        result = make_process(t, r);
    signal_unblock(t);
    return result;
}

/* --- The end of a thread --- */

static bool leave_list(struct thread *t)
{
    struct process *p = t->process;
    pthread_mutex_lock(&p->threads_lock);
    if (t->prev)
        t->prev->next = t->next;
    else
        p->threads = t->next;
    if (t->next)
        t->next->prev = t->prev;
    bool last = --p->n_threads == 0;
    if (t->leader)
        p->leader_status = t->exit_status;
    pthread_mutex_unlock(&p->threads_lock);
    return last;
}

void thread_finish(struct thread *t)
{
    struct process *p = t->process;
    if (t->vfork_child) /* the rest is its parent's */
        HOST_CALL(SYS_exit_group, t->exit_status);
    signal_block_all();
    if (leave_list(t))
        process_exit(p, t->leader ? t->exit_status : p->leader_status);
    robust_list_release(t);
    engine_detach(&t->cpu);
    if (t->clear_tid) {
        static const uint32_t zero;
        if (!guest_write(t->clear_tid, &zero, sizeof zero))
            HOST_CALL(SYS_futex, t->clear_tid, FUTEX_WAKE, 1);
    }
    if (t->leader) /* the host's main thread cannot return */
        HOST_CALL(SYS_exit, t->exit_status);
    signal_leave_thread(t);
    thread_free(t);
}
