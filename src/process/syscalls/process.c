/* Processes, threads, and what a program may ask about the machine. */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "process/exec.h"
#include "process/features.h"
#include "process/loader.h"
#include "process/seccomp.h"
#include "process/syscall.h"
#include "process/thread.h"

#ifndef PR_RISCV_SET_ICACHE_FLUSH_CTX
#define PR_RISCV_SET_ICACHE_FLUSH_CTX 71
#endif
#define CLONE_ARGS_SIZE_VER0 64
#define CSIGNAL_MASK         0xff

long sys_exit(struct thread *t, const uint64_t a[6])
{
    t->exiting = true;
    t->exit_status = (int)a[0] & 0xff;
    return -ESTATE_SET;
}

long sys_exit_group(struct thread *t, const uint64_t a[6])
{
    process_exit(t->process, (int)a[0] & 0xff);
}

long sys_set_tid_address(struct thread *t, const uint64_t a[6])
{
    if (t->vfork_child)
        return HOST_CALL(SYS_set_tid_address, a[0]);
    t->clear_tid = a[0];
    return t->tid;
}

long sys_clone(struct thread *t, const uint64_t a[6])
{
    /* flags, stack, parent_tid, tls, child_tid: CONFIG_CLONE_BACKWARDS */
    struct clone_request r = {
        .flags = a[0] & 0xffffffffull & ~(uint64_t)CSIGNAL_MASK,
        .exit_signal = a[0] & CSIGNAL_MASK,
        .stack = a[1],
        .parent_tid = a[2],
        .tls = a[3],
        .child_tid = a[4],
    };
    if (r.flags & CLONE_PIDFD) { /* both would be stored at the same place */
        if (r.flags & CLONE_PARENT_SETTID)
            return -EINVAL;
        r.pidfd = a[2];
    }
    return thread_clone(t, &r);
}

long sys_clone3(struct thread *t, const uint64_t a[6])
{
    uint64_t v[11] = {0}; /* struct clone_args */
    if (a[1] < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (a[1] > PAGE_SIZE)
        return -E2BIG;
    if (guest_read(v, a[0], a[1] < sizeof v ? a[1] : sizeof v))
        return -EFAULT;
    for (uint64_t at = sizeof v; at < a[1]; at += 8) {
        uint64_t extra = 0;
        if (guest_read(&extra, a[0] + at, a[1] - at < 8 ? a[1] - at : 8))
            return -EFAULT;
        if (extra)
            return -E2BIG;
    }
    struct clone_request r = {
        .flags = v[0],
        .pidfd = v[1],
        .child_tid = v[2],
        .parent_tid = v[3],
        .exit_signal = v[4],
        .stack = v[5] ? v[5] + v[6] : 0,
        .tls = v[7],
        .set_tid = v[8],
        .set_tid_size = v[9],
        .cgroup = v[10],
    };
    if ((r.flags & CSIGNAL_MASK & ~CLONE_NEWTIME) || !v[5] != !v[6] ||
        ((r.flags & (CLONE_THREAD | CLONE_PARENT)) && r.exit_signal))
        return -EINVAL;
    return thread_clone(t, &r);
}

long sys_execve(struct thread *t, const uint64_t a[6])
{
    return exec_program(t, AT_FDCWD, a[0], a[1], a[2], 0);
}

long sys_execveat(struct thread *t, const uint64_t a[6])
{
    return exec_program(t, (int)a[0], a[1], a[2], a[3], (int)a[4]);
}

static long set_seccomp(struct thread *t, uint64_t mode, uint64_t filter)
{
    switch (mode) {
    case SECCOMP_MODE_STRICT: return seccomp_set(t, SECCOMP_SET_MODE_STRICT, 0, 0);
    case SECCOMP_MODE_FILTER: return seccomp_set(t, SECCOMP_SET_MODE_FILTER, 0, filter);
    default: return -EINVAL;
    }
}

long sys_seccomp(struct thread *t, const uint64_t a[6])
{
    return seccomp_set(t, a[0], a[1], a[2]);
}

long sys_prctl(struct thread *t, const uint64_t a[6])
{
    switch ((int)a[0]) {
    case PR_SET_SECCOMP: return set_seccomp(t, a[1], a[2]);
    case PR_GET_SECCOMP: return seccomp_mode(t);
    case PR_SET_MM:  /* would tell the host about the emulator's memory */
    case PR_GET_TSC: /* what x86 only has */
    case PR_SET_TSC:
    case PR_SET_SYSCALL_USER_DISPATCH: return -EINVAL;
    case PR_RISCV_SET_ICACHE_FLUSH_CTX: /* fence.i is for all threads here anyway */
        return a[1] > 1 || a[2] > 1 ? -EINVAL : 0;
    default: return host_wait(t, SYS_prctl, a[0], a[1], a[2], a[3], a[4], 0);
    }
}

long sys_uname(struct thread *t, const uint64_t a[6])
{
    struct utsname u;
    long r = HOST_CALL(SYS_uname, &u);
    if (r)
        return r;
    memset(u.machine, 0, sizeof u.machine);
    strcpy(u.machine, "riscv64");
    const char *release = t->process->config.uname_release;
    if (release) {
        memset(u.release, 0, sizeof u.release);
        strncpy(u.release, release, sizeof u.release - 1);
    }
    return guest_write(a[0], &u, sizeof u);
}

/* --- Limits --- */

/* RLIMIT_AS and RLIMIT_DATA would count the emulator's reservations too: they are held here
 * (mmap.c) and handed to the next program (exec.c). */
static struct memory_limit *own_limit(struct process *p, int which)
{
    return which == RLIMIT_AS ? &p->limit_as : which == RLIMIT_DATA ? &p->limit_data : NULL;
}

static long limit(struct thread *t, uint64_t pid, int which, uint64_t new, uint64_t old)
{
    struct process *p = t->process;
    bool self = (pid_t)pid == 0 || (pid_t)pid == getpid();
    struct memory_limit *own = self ? own_limit(p, which) : NULL;
    if (!own) {
        long r = HOST_CALL(SYS_prlimit64, pid, which, new, old);
        if (!r && self && new &&which == RLIMIT_STACK)
            stack_grow(p);
        return r;
    }
    uint64_t now[2], wanted[2];
    long r = HOST_CALL(SYS_prlimit64, pid, which, NULL, now);
    if (r)
        return r;
    if (own->set) {
        now[0] = own->soft;
        now[1] = own->hard;
    }
    if (new) {
        if (guest_read(wanted, new, sizeof wanted))
            return -EFAULT;
        if (wanted[0] > wanted[1])
            return -EINVAL;
        if (wanted[1] > now[1] && geteuid() != 0)
            return -EPERM;
    }
    if (old && guest_write(old, now, sizeof now))
        return -EFAULT;
    if (new)
        *own = (struct memory_limit){true, wanted[0], wanted[1]};
    return 0;
}

long sys_getrlimit(struct thread *t, const uint64_t a[6])
{
    return limit(t, 0, (int)a[0], 0, a[1]);
}

long sys_setrlimit(struct thread *t, const uint64_t a[6])
{
    return a[1] ? limit(t, 0, (int)a[0], a[1], 0) : -EFAULT;
}

long sys_prlimit64(struct thread *t, const uint64_t a[6])
{
    return limit(t, a[0], (int)a[1], a[2], a[3]);
}

/* --- riscv_hwprobe: Documentation/arch/riscv/hwprobe.rst of the kernel --- */

enum {
    HWPROBE_MVENDORID = 0,
    HWPROBE_MARCHID = 1,
    HWPROBE_MIMPID = 2,
    HWPROBE_BASE_BEHAVIOR = 3,
    HWPROBE_IMA_EXT_0 = 4,
    HWPROBE_CPUPERF_0 = 5,
    HWPROBE_ZICBOZ_BLOCK_SIZE = 6,
    HWPROBE_HIGHEST_VIRT_ADDRESS = 7,
    HWPROBE_TIME_CSR_FREQ = 8,
    HWPROBE_MISALIGNED_SCALAR_PERF = 9,
    HWPROBE_MISALIGNED_VECTOR_PERF = 10,
};

#define HWPROBE_WHICH_CPUS 1
#define BASE_BEHAVIOR_IMA  1
#define MISALIGNED_FAST    3
#define VECTOR_UNSUPPORTED 4

struct probe_pair {
    int64_t key;
    uint64_t value;
};

/* The value for key; false: a key that is not known. */
static bool probe(int64_t key, uint64_t *value)
{
    switch (key) {
    case HWPROBE_MVENDORID:
    case HWPROBE_MARCHID:
    case HWPROBE_MIMPID:
    case HWPROBE_ZICBOZ_BLOCK_SIZE: *value = 0; return true;
    case HWPROBE_BASE_BEHAVIOR: *value = BASE_BEHAVIOR_IMA; return true;
    case HWPROBE_IMA_EXT_0: *value = features_hwprobe(); return true;
    case HWPROBE_CPUPERF_0:
    case HWPROBE_MISALIGNED_SCALAR_PERF: *value = MISALIGNED_FAST; return true;
    case HWPROBE_HIGHEST_VIRT_ADDRESS: *value = GUEST_ADDRESS_END - 1; return true;
    case HWPROBE_TIME_CSR_FREQ: *value = TIME_HZ; return true;
    case HWPROBE_MISALIGNED_VECTOR_PERF: *value = VECTOR_UNSUPPORTED; return true;
    default: *value = 0; return false;
    }
}

/* Whether a processor has what the pair asks for: some keys are sets of bits. */
static bool probe_matches(const struct probe_pair *wanted, uint64_t value)
{
    bool bits = wanted->key == HWPROBE_BASE_BEHAVIOR || wanted->key == HWPROBE_IMA_EXT_0 ||
                wanted->key == HWPROBE_CPUPERF_0;
    return bits ? (value & wanted->value) == wanted->value : value == wanted->value;
}

/* The guest's set of processors, without those that are not there; empty means all of them where
 * that is said. 0 or -errno. */
static long probe_cpus(const uint64_t a[6], bool empty_is_all, cpu_set_t *out)
{
    size_t size = a[2] < sizeof *out ? a[2] : sizeof *out;
    cpu_set_t online;
    CPU_ZERO(&online);
    CPU_ZERO(out);
    if (a[3] && guest_read(out, a[3], size))
        return -EFAULT;
    for (long i = 0, n = sysconf(_SC_NPROCESSORS_ONLN); i < n; i++)
        CPU_SET(i, &online);
    if (empty_is_all && CPU_COUNT(out) == 0)
        *out = online;
    CPU_AND(out, out, &online);
    return CPU_COUNT(out) ? 0 : -EINVAL;
}

long sys_riscv_hwprobe(struct thread *t, const uint64_t a[6])
{
    bool which = a[4] == HWPROBE_WHICH_CPUS;
    cpu_set_t cpus;
    if ((a[4] && !which) || !a[2] != !a[3] || (which && !a[2]))
        return -EINVAL;
    long r = a[2] ? probe_cpus(a, which, &cpus) : 0;
    if (r)
        return r;
    for (uint64_t i = 0; i < a[1]; i++) {
        struct probe_pair pair;
        uint64_t value, at = a[0] + i * sizeof pair;
        if (guest_read(&pair, at, sizeof pair))
            return -EFAULT;
        bool known = probe(pair.key, &value);
        if (which && (!known || !probe_matches(&pair, value)))
            CPU_ZERO(&cpus); /* all processors are alike */
        if (known && which)
            continue;
        pair = (struct probe_pair){known ? pair.key : -1, value};
        if (guest_write(at, &pair, sizeof pair))
            return -EFAULT;
    }
    return which && guest_write(a[3], &cpus, a[2] < sizeof cpus ? a[2] : sizeof cpus) ? -EFAULT : 0;
}
