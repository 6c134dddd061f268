#include "process/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "process/bpf.h"
#include "process/signal.h"

#ifndef AUDIT_ARCH_RISCV64
#define AUDIT_ARCH_RISCV64 (243 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE)
#endif
#define SYS_SECCOMP_CODE 1     /* si_code of SIGSYS */
#define MAX_INSNS        32768 /* of all filters of a thread; each counts four more: the kernel's */
#define INSN_SIZE        4

/* Never changed and never freed: threads and children refer to it without counting. */
struct seccomp_filter {
    const struct seccomp_filter *older;
    unsigned depth;  /* of all from here on */
    size_t n, total; /* instructions; and of all from here on, with what each costs */
    struct sock_filter insns[];
};

/* riscv64's numbers. */
enum {
    NR_READ = 63,
    NR_WRITE = 64,
    NR_EXIT = 93,
    NR_CLOCK_GETTIME = 113,
    NR_CLOCK_GETRES = 114,
    NR_RT_SIGRETURN = 139,
    NR_GETTIMEOFDAY = 169,
    NR_HWPROBE = 258,
};

int seccomp_mode(const struct thread *t)
{
    return t->strict                  ? SECCOMP_MODE_STRICT
           : atomic_load(&t->filters) ? SECCOMP_MODE_FILTER
                                      : SECCOMP_MODE_DISABLED;
}

unsigned seccomp_filters(const struct thread *t)
{
    const struct seccomp_filter *f = atomic_load(&t->filters);
    return f ? f->depth : 0;
}

/* --- A call --- */

/* What a riscv64 kernel's vDSO answers without a system call, no filter sees. */
static bool in_vdso(const struct thread *t, uint64_t nr)
{
    return t->cpu.pc - t->process->vdso < PAGE_SIZE &&
           (nr == NR_CLOCK_GETTIME || nr == NR_CLOCK_GETRES || nr == NR_GETTIMEOFDAY ||
            nr == NR_HWPROBE);
}

/* The action of all filters: the lowest, that of the newest among equals. */
static uint32_t decide(const struct seccomp_filter *f, const struct seccomp_data *data)
{
    uint32_t lowest = SECCOMP_RET_ALLOW;
    for (; f; f = f->older) {
        uint32_t r = bpf_run(f->insns, data);
        if ((int32_t)(r & SECCOMP_RET_ACTION_FULL) < (int32_t)(lowest & SECCOMP_RET_ACTION_FULL))
            lowest = r;
    }
    return lowest;
}

static void trap(struct thread *t, uint64_t nr, uint32_t data)
{
    siginfo_t info = {.si_signo = SIGSYS, .si_code = SYS_SECCOMP_CODE, .si_errno = (int)data};
    t->cpu.pc += 4;
    info.si_call_addr = (void *)t->cpu.pc;
    info.si_syscall = (int)nr;
    info.si_arch = AUDIT_ARCH_RISCV64;
    signal_force_info(t, &info);
}

static void kill_thread(struct thread *t)
{
    pthread_mutex_lock(&t->process->threads_lock);
    bool alone = t->vfork_child || t->process->n_threads == 1;
    pthread_mutex_unlock(&t->process->threads_lock);
    if (alone)
        process_die(SIGSYS);
    t->exiting = true;
    t->exit_status = SIGSYS;
}

bool seccomp_allows(struct thread *t, uint64_t nr, const uint64_t a[6], long *result)
{
    if (t->strict) {
        if (nr != NR_READ && nr != NR_WRITE && nr != NR_EXIT && nr != NR_RT_SIGRETURN &&
            !in_vdso(t, nr))
            process_die(SIGKILL);
        return true;
    }
    struct seccomp_data data = {
        .nr = (int)nr, .arch = AUDIT_ARCH_RISCV64, .instruction_pointer = t->cpu.pc + 4};
    for (int i = 0; i < 6; i++)
        data.args[i] = a[i];
    if (in_vdso(t, nr))
        return true;
    uint32_t r = decide(atomic_load(&t->filters), &data);
    uint32_t value = r & SECCOMP_RET_DATA;
    *result = -ESTATE_SET;
    switch (r & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG: return true;
    case SECCOMP_RET_ERRNO: *result = -(long)(value > 4095 ? 4095 : value); break;
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_USER_NOTIF: *result = -ENOSYS; break; /* nobody listens */
    case SECCOMP_RET_TRAP: trap(t, nr, value); break;
    case SECCOMP_RET_KILL_THREAD: kill_thread(t); break;
    default: process_die(SIGSYS);
    }
    return false;
}

/* --- A new filter --- */

static bool may_set(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {{0}};
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return true;
    return HOST_CALL(SYS_capget, &head, caps) == 0 &&
           (caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}

/* insns: of host memory, or (guest) the guest's. NULL with *error. */
static struct seccomp_filter *make_filter(const struct seccomp_filter *older, const void *insns,
                                          size_t n, bool guest, long *error)
{
    size_t size = n * sizeof(struct sock_filter),
           total = (older ? older->total : 0) + n + INSN_SIZE;
    *error = -EINVAL;
    if (!n || n > BPF_MAXINSNS)
        return NULL;
    *error = -ENOMEM;
    struct seccomp_filter *f = total > MAX_INSNS ? NULL : malloc(sizeof *f + size);
    if (!f)
        return NULL;
    *f = (struct seccomp_filter){older, older ? older->depth + 1 : 1, n, total};
    if (!guest)
        memcpy(f->insns, insns, size);
    *error = guest && guest_read(f->insns, (uint64_t)insns, size) ? -EFAULT
             : bpf_check(f->insns, n)                             ? 0
                                                                  : -EINVAL;
    if (*error) {
        free(f);
        return NULL;
    }
    return f;
}

static bool descends(const struct seccomp_filter *f, const struct seccomp_filter *from)
{
    while (f && f != from)
        f = f->older;
    return f == from;
}

/* With TSYNC, on all threads, if what each has is a part of what t has: 0, or the tid of one that
 * has something else. */
static long put_filter(struct thread *t, const struct seccomp_filter *f, bool all)
{
    long r = 0;
    if (t->vfork_child || !all) {
        atomic_store(&t->filters, f);
        return 0;
    }
    const struct seccomp_filter *mine = atomic_load(&t->filters);
    pthread_mutex_lock(&t->process->threads_lock);
    for (struct thread *o = t->process->threads; o && !r; o = o->next)
        if (o != t && (o->strict || !descends(mine, atomic_load(&o->filters))))
            r = o->tid;
    for (struct thread *o = t->process->threads; o && !r; o = o->next)
        atomic_store(&o->filters, f);
    pthread_mutex_unlock(&t->process->threads_lock);
    return r;
}

static long set_filter(struct thread *t, uint64_t flags, uint64_t args)
{
    struct {
        uint16_t len;
        uint64_t filter;
    } program;
    const uint64_t known = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
                           SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    if ((flags & ~known) || t->strict) /* a listener would have to understand the guest's memory */
        return -EINVAL;
    if (guest_read(&program, args, sizeof program))
        return -EFAULT;
    if (!may_set())
        return -EACCES;
    long r;
    signal_block_all(); /* malloc and locks: no handler of this thread in between */
    struct seccomp_filter *f =
        make_filter(atomic_load(&t->filters), (const void *)program.filter, program.len, true, &r);
    if (f && (r = put_filter(t, f, flags & SECCOMP_FILTER_FLAG_TSYNC))) {
        free(f);
        if (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
            r = -ESRCH;
    }
    signal_unblock(t);
    return r;
}

static long action_available(uint64_t address)
{
    static const uint32_t actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD,
                                       SECCOMP_RET_TRAP,         SECCOMP_RET_ERRNO,
                                       SECCOMP_RET_LOG,          SECCOMP_RET_ALLOW};
    uint32_t action;
    if (guest_read(&action, address, sizeof action))
        return -EFAULT;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (action == actions[i])
            return 0;
    return -EOPNOTSUPP;
}

long seccomp_set(struct thread *t, uint64_t operation, uint64_t flags, uint64_t args)
{
    switch ((uint32_t)operation) {
    case SECCOMP_SET_MODE_STRICT:
        if (flags || args || atomic_load(&t->filters))
            return -EINVAL;
        t->strict = true;
        return 0;
    case SECCOMP_SET_MODE_FILTER: return set_filter(t, flags, args);
    case SECCOMP_GET_ACTION_AVAIL: return flags ? -EINVAL : action_available(args);
    default: return -EINVAL;
    }
}

/* --- The next program --- */

/* Each filter, the newest first: its length, its instructions. */
long seccomp_save(const struct thread *t)
{
    const struct seccomp_filter *f = atomic_load(&t->filters);
    if (!f)
        return -1;
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return errno == EPERM ? -EACCES : -errno; /* -1 says something else */
    for (; f; f = f->older) {
        uint64_t n = f->n;
        if (write_all(fd, &n, sizeof n) < 0 || write_all(fd, f->insns, n * sizeof *f->insns) < 0) {
            close(fd);
            return -ENOMEM;
        }
    }
    return fd;
}

/* The filters of a file's content, the oldest of which is its last; NULL with *error, or when there
 * is none. */
static const struct seccomp_filter *restore_filters(const char *data, size_t len, long *error)
{
    const struct seccomp_filter *newest = NULL;
    size_t at = 0, n = 0, starts[MAX_INSNS / (INSN_SIZE + 1)];
    uint64_t length;
    *error = -EINVAL;
    while (at < len) {
        if (n == sizeof starts / sizeof *starts || len - at < sizeof length)
            return NULL;
        memcpy(&length, data + at, sizeof length);
        if (length > BPF_MAXINSNS || length * sizeof(struct sock_filter) > len - at - sizeof length)
            return NULL;
        starts[n++] = at;
        at += sizeof length + length * sizeof(struct sock_filter);
    }
    *error = 0;
    while (n-- && !*error) {
        memcpy(&length, data + starts[n], sizeof length);
        newest = make_filter(newest, data + starts[n] + sizeof length, length, false, error);
    }
    return newest;
}

int seccomp_restore(struct thread *t, int fd, struct error **err)
{
    AUTO_FREE char *data = NULL;
    size_t len;
    long error;
    AUTO_CLOSE int closed = fd;
    if (lseek(closed, 0, SEEK_SET) < 0)
        return error_set(err, errno, "descriptor %d of seccomp filters", fd);
    if (read_fd(fd, "the seccomp filters", (size_t)1 << 20, &data, &len, err) < 0)
        return -1;
    atomic_store(&t->filters, restore_filters(data, len, &error));
    return error ? error_set(err, (int)-error, "descriptor %d: not seccomp filters", fd) : 0;
}
