/* Seccomp filters of the program's own: what they see and do, who inherits them. */
#include "check.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#ifdef __riscv
#define ARCH 0xC00000F3u
#else
#define ARCH AUDIT_ARCH_X86_64
#endif

static char self[4096];

/* A filter that gives getppid that action and lets all else through, but kills another
 * architecture. */
static long set(uint32_t action, long nr, int how, unsigned flags)
{
    struct sock_filter insns[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {sizeof insns / sizeof *insns, insns};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return how ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p)
               : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

static long filtered(void)
{
    errno = 0;
    return syscall(SYS_getppid);
}

static int in_child(void (*fn)(void))
{
    int s = -1;
    pid_t p = fork();
    if (p == 0) {
        fn();
        _exit(7);
    }
    waitpid(p, &s, 0);
    return s;
}

#define ERRNO(e) (SECCOMP_RET_ERRNO | (e))

static void by_prctl(void)
{
    _exit(set(ERRNO(EXDEV), SYS_getppid, 0, 0) || filtered() != -1 || errno != EXDEV ||
          prctl(PR_GET_SECCOMP) != 2);
}

static void by_seccomp(void)
{
    _exit(set(ERRNO(EXDEV), SYS_getppid, 1, 0) || filtered() != -1 || errno != EXDEV);
}

static void lowest_counts(void)
{
    _exit(set(ERRNO(EXDEV), SYS_getppid, 1, 0) || set(ERRNO(EBUSY), SYS_getppid, 1, 0) ||
          filtered() != -1 || errno != EBUSY || set(SECCOMP_RET_KILL_PROCESS, SYS_getpgid, 1, 0) ||
          set(SECCOMP_RET_ALLOW, SYS_getppid, 1, 0) || filtered() != -1 || errno != EBUSY);
}

static void logged(void)
{
    _exit(set(SECCOMP_RET_LOG, SYS_getppid, 1, 0) || filtered() <= 0);
}

static void traced(void)
{
    _exit(set(SECCOMP_RET_TRACE, SYS_getppid, 1, 0) || filtered() != -1 || errno != ENOSYS);
}

static void killed(void)
{
    set(SECCOMP_RET_KILL_PROCESS, SYS_getppid, 1, 0);
    filtered();
}

static volatile int trap_code, trap_nr, trap_arch, trap_errno;

static void on_sigsys(int s, siginfo_t *info, void *context)
{
    (void)context;
    (void)s;
    trap_code = info->si_code;
    trap_nr = info->si_syscall;
    trap_arch = (int)info->si_arch;
    trap_errno = info->si_errno;
}

static void trapped(void)
{
    struct sigaction a = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &a, NULL);
    if (set(SECCOMP_RET_TRAP | 99, SYS_getppid, 1, 0))
        _exit(1);
    filtered();
    _exit(trap_code != 1 || trap_nr != SYS_getppid || (uint32_t)trap_arch != ARCH ||
          trap_errno != 99);
}

static void trapped_without_handler(void)
{
    set(SECCOMP_RET_TRAP, SYS_getppid, 1, 0);
    filtered();
}

static void strict(void)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
        _exit(1);
    write(1, "", 0);
    filtered();
}

static void forked(void)
{
    int s;
    set(ERRNO(EXDEV), SYS_getppid, 1, 0);
    pid_t p = fork();
    if (p == 0)
        _exit(filtered() != -1 || errno != EXDEV);
    waitpid(p, &s, 0);
    _exit(s != 0);
}

static void executed(void)
{
    if (set(ERRNO(EXDEV), SYS_getppid, 1, 0) || set(ERRNO(EBUSY), SYS_getpgid, 1, 0))
        _exit(1);
    execl(self, self, "filtered", NULL);
    _exit(2);
}

static atomic_int go, results;

static void *thread_filtered(void *arg)
{
    while (!go)
        sched_yield();
    results += filtered() == -1 && errno == EXDEV;
    return arg;
}

static void all_threads(void)
{
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, thread_filtered, NULL);
    if (set(ERRNO(EXDEV), SYS_getppid, 1, SECCOMP_FILTER_FLAG_TSYNC))
        _exit(1);
    go = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    _exit(results != 3);
}

static void *own_filter(void *arg)
{
    if (set(ERRNO(EBUSY), SYS_getpgid, 1, 0))
        return arg;
    results = 1;
    while (!go)
        sched_yield();
    return arg;
}

static void other_thread_differs(void)
{
    pthread_t t;
    pthread_create(&t, NULL, own_filter, NULL);
    while (!results)
        sched_yield();
    long r = set(ERRNO(EXDEV), SYS_getppid, 1, SECCOMP_FILTER_FLAG_TSYNC);
    int e = set(ERRNO(EXDEV), SYS_getppid, 1,
                SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH) == -1
                ? errno
                : 0;
    go = 1;
    pthread_join(t, NULL);
    _exit(r <= 0 || e != ESRCH || filtered() <= 0);
}

static void *dies(void *arg)
{
    set(SECCOMP_RET_KILL_THREAD, SYS_getppid, 1, 0);
    filtered();
    results = 1;
    return arg;
}

static void thread_killed(void)
{
    pthread_t t;
    pthread_create(&t, NULL, dies, NULL);
    usleep(300000);
    _exit(results != 0);
}

static void time_by_vdso(void)
{
    struct timespec ts = {0};
    if (set(SECCOMP_RET_KILL_PROCESS, SYS_clock_gettime, 1, 0))
        _exit(1);
    _exit(clock_gettime(CLOCK_REALTIME, &ts) || ts.tv_sec < 1000000);
}

static void not_without_rights(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog p = {1, &allow};
    if (geteuid() == 0 && setresuid(1000, 1000, 1000))
        _exit(1);
    _exit(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) != -1 || errno != EACCES);
}

static int refused(struct sock_filter *insns, unsigned short n)
{
    struct sock_fprog p = {n, insns};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == -1 && errno == EINVAL;
}

#define REFUSED(...)                                     \
    ({                                                   \
        struct sock_filter insns_[] = {__VA_ARGS__};     \
        refused(insns_, sizeof insns_ / sizeof *insns_); \
    })
#define RET BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void unsound(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int bad = 0;
    bad |= !REFUSED(BPF_STMT(BPF_LD | BPF_IMM, 1)) << 0;                     /* no end */
    bad |= !REFUSED(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0), RET) << 1; /* too far */
    bad |= !REFUSED(BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), RET) << 2;
    bad |= !REFUSED(BPF_STMT(BPF_LD | BPF_MEM, 3), RET) << 3; /* not written */
    bad |= !REFUSED(BPF_STMT(BPF_ST, 16), RET) << 4;
    bad |= !REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET) << 5; /* no such data */
    bad |= !REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET) << 6;
    bad |= !REFUSED(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RET) << 7;
    bad |= !REFUSED(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET) << 8;
    bad |= refused(NULL, 0) != 1;
    _exit(bad != 0);
}

/* Every operation, by a filter that compares each result with what C says. */
static void arithmetic(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0),
        RET,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)), /* 77 */
        BPF_STMT(BPF_ST, 3),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 1000), /* 77000 */
        BPF_STMT(BPF_LDX | BPF_MEM, 3),
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),   /* 1000 */
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),   /* 923 */
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 24),  /* 0x9b000000 */
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 28),  /* 9 */
        BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 0x50), /* 0x59 */
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),   /* 0x14 */
        BPF_STMT(BPF_ALU | BPF_NEG, 0),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 0x115), /* 0x101 */
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 2, 0), /* 64 > 0x101: no */
        BPF_STMT(BPF_MISC | BPF_TXA, 0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x100, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff), /* 1: EPERM */
        BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog p = {sizeof f / sizeof *f, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
        _exit(1);
    _exit(syscall(SYS_getppid, 77) != -1 || errno != EPERM);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return filtered() != -1 || errno != EXDEV || syscall(SYS_getpgid, 0) != -1 ||
               errno != EBUSY;
    readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK("prctl", in_child(by_prctl) == 0);
    CHECK("seccomp", in_child(by_seccomp) == 0);
    CHECK("of several the strongest counts, of equal ones the newest",
          in_child(lowest_counts) == 0);
    CHECK("SECCOMP_RET_LOG", in_child(logged) == 0);
    CHECK("SECCOMP_RET_TRACE without a tracer", in_child(traced) == 0);
    CHECK("SECCOMP_RET_KILL_PROCESS", WTERMSIG(in_child(killed)) == SIGSYS);
    CHECK("SECCOMP_RET_KILL_THREAD", in_child(thread_killed) == 0);
    CHECK("SECCOMP_RET_TRAP", in_child(trapped) == 0);
    CHECK("which kills without a handler", WTERMSIG(in_child(trapped_without_handler)) == SIGSYS);
    CHECK("strict mode", WTERMSIG(in_child(strict)) == SIGKILL);
    CHECK("inherited by fork", in_child(forked) == 0);
    CHECK("and by exec", in_child(executed) == 0);
    CHECK("SECCOMP_FILTER_FLAG_TSYNC", in_child(all_threads) == 0);
    CHECK("not where a thread has another", in_child(other_thread_differs) == 0);
    CHECK("the vDSO makes no call", in_child(time_by_vdso) == 0);
    CHECK("not without no_new_privs", in_child(not_without_rights) == 0);
    CHECK("filters that are not sound", in_child(unsound) == 0);
    CHECK("arithmetic", in_child(arithmetic) == 0);
    return check_failed;
}
