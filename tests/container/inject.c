/* Makes one system call of a program, or of a process that comes from it, fail once.
 *
 * usage: inject -l REPORT [-x IMAGE]... -- PROGRAM [ARG...]           lists the calls there are
 *        inject -t TASK -n N -k K -r REPORT [-x IMAGE]... -- PROGRAM [ARG...]
 *
 * Follows every child (ptrace(2)) and counts the system calls of processes whose image's name
 * begins with "wirt" (but not those of -x). A task is named by its descent: "0" is PROGRAM's
 * process, "0.2" its second child. The N-th call of TASK is not made, and answers the
 * K-th of the errno values that are plausible for it. A process that executes something else after
 * being wirt's is let go: a container's command, a hook.
 *
 * REPORT gets lines: "call TASK N NR ERRNOS" (how many values there are), "hit TASK N NR ERRNO",
 * "crash TASK SIGNAL" of one of ours that a fault ended, "hang" when PROGRAM took longer than -s
 * seconds (30), in which case all are killed. The exit status is PROGRAM's (128 + n for signal n).
 * What it leaves running runs on untraced. */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_TASKS = 4096,
    MAX_IMAGES = 8
};

struct task {
    pid_t pid;
    char *name; /* NULL: stopped before its parent's event told of it */
    int children;
    unsigned long calls;
    bool loaded; /* the loader has made its thread's memory */
    bool ours, injecting, waiting;
    int code;                    /* the errno that the call at hand answers */
    unsigned long long argument; /* its first, which was exchanged */
};

static struct task tasks[MAX_TASKS];
static size_t n_tasks;
static FILE *report;
static bool listing, done, timed_out;
static const char *target, *excluded[MAX_IMAGES];
static unsigned long target_n, choice;
static int n_excluded;

static void fail(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    exit(99);
}

/* ---- which errno ---- */

static const int files[] = {EMFILE, EACCES, ENOMEM, EINTR}, making[] = {ENOSPC, EACCES, EROFS},
                 writing[] = {ENOSPC, EINTR, EIO}, reading[] = {EIO, EINTR},
                 waiting[] = {EINTR, ENOMEM}, interrupted[] = {EINTR}, forking[] = {EAGAIN, ENOMEM},
                 memory[] = {ENOMEM}, descriptors[] = {EMFILE, ENOMEM},
                 privileged[] = {EPERM, ENOMEM, EBUSY}, removing[] = {EBUSY, EIO},
                 looking[] = {EACCES, ENOMEM, EIO}, terminal[] = {EIO, EINTR},
                 other[] = {EPERM, ENOMEM};

struct choices {
    const int *values;
    unsigned long len;
};
#define CHOICES(a) ((struct choices){a, sizeof(a) / sizeof *(a)})

static struct choices plausible(uint64_t nr)
{
    switch (nr) {
    /* Never fail, or tell of nothing that is theirs to handle. (libc's start takes brk's success
     * for granted; malloc falls back on mmap.) */
    case SYS_brk:
    case SYS_getrandom: /* for a library's hash tables; it goes on, and says so */
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_getpid:
    case SYS_getppid:
    case SYS_gettid:
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
    case SYS_umask:
    case SYS_close:
    case SYS_munmap:
    case SYS_arch_prctl:
    case SYS_set_tid_address:
    case SYS_set_robust_list:
    case SYS_rseq:
    case SYS_clock_gettime:
    case SYS_sched_yield:
    case SYS_futex:
    case SYS_restart_syscall: return (struct choices){0};
    case SYS_open:
    case SYS_openat:
    case SYS_openat2:
    case SYS_open_tree: return CHOICES(files);
    case SYS_mkdir:
    case SYS_mkdirat:
    case SYS_mknod:
    case SYS_mknodat:
    case SYS_symlink:
    case SYS_symlinkat:
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_link:
    case SYS_linkat:
    case SYS_bind:
    case SYS_ftruncate:
    case SYS_fallocate: return CHOICES(making);
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_sendfile: return CHOICES(writing);
    case SYS_read:
    case SYS_pread64:
    case SYS_readv:
    case SYS_getdents64: return CHOICES(reading);
    case SYS_wait4:
    case SYS_nanosleep:
    case SYS_clock_nanosleep: return CHOICES(interrupted);
    case SYS_waitid:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_sendto:
    case SYS_sendmsg: return CHOICES(waiting);
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork: return CHOICES(forking);
    case SYS_mmap:
    case SYS_mremap:
    case SYS_mprotect:
    case SYS_madvise:
    case SYS_execve: return CHOICES(memory);
    case SYS_socket:
    case SYS_socketpair:
    case SYS_pipe2:
    case SYS_eventfd2:
    case SYS_signalfd4:
    case SYS_timerfd_create:
    case SYS_memfd_create:
    case SYS_epoll_create1:
    case SYS_inotify_init1:
    case SYS_pidfd_open:
    case SYS_fcntl:
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3: return CHOICES(descriptors);
    case SYS_mount:
    case SYS_umount2:
    case SYS_move_mount:
    case SYS_mount_setattr:
    case SYS_fsopen:
    case SYS_fsmount:
    case SYS_fsconfig:
    case SYS_pivot_root:
    case SYS_unshare:
    case SYS_setns: return CHOICES(privileged);
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_rmdir: return CHOICES(removing);
    case SYS_stat:
    case SYS_lstat:
    case SYS_fstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_statfs:
    case SYS_fstatfs:
    case SYS_access:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlink:
    case SYS_readlinkat:
    case SYS_getcwd: return CHOICES(looking);
    default: return CHOICES(other);
    }
}

/* ---- tasks ---- */

static struct task *find(pid_t pid)
{
    for (size_t i = 0; i < n_tasks; i++)
        if (tasks[i].pid == pid)
            return &tasks[i];
    return NULL;
}

static struct task *add(pid_t pid, char *name, const struct task *parent)
{
    struct task *t = find(pid);
    if (!t) {
        if (n_tasks == MAX_TASKS) {
            errno = ENOMEM;
            fail("too many tasks");
        }
        t = &tasks[n_tasks++];
        *t = (struct task){0};
    }
    *t = (struct task){.pid = pid, .name = name, .waiting = t->waiting};
    if (parent)
        t->ours = parent->ours, t->loaded = parent->loaded;
    return t;
}

static void drop(struct task *t)
{
    free(t->name);
    *t = tasks[--n_tasks];
}

/* was: before it executed what it is now. A run of itself from a mount of its own has no name. */
static bool is_ours(pid_t pid, bool was)
{
    char path[32], exe[4096];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, exe, sizeof exe - 1);
    if (n <= 0)
        return false;
    exe[n] = 0;
    const char *slash = strrchr(exe, '/'), *name = slash ? slash + 1 : exe;
    if (!*name)
        return was;
    if (!strncmp(name, "memfd:", 6))
        name += 6;
    for (int i = 0; i < n_excluded; i++)
        if (!strncmp(name, excluded[i], strlen(excluded[i])))
            return false;
    return !strncmp(name, "wirt", 4);
}

static void resume(struct task *t, int signal)
{
    bool watched = t->ours && (listing || (!done && t->name && !strcmp(t->name, target)));
    if (ptrace(watched || t->injecting ? PTRACE_SYSCALL : PTRACE_CONT, t->pid, 0, signal) < 0 &&
        errno != ESRCH)
        fail("resume");
}

static bool is_terminal(pid_t pid, uint64_t fd)
{
    char path[64], target_path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, (int)fd);
    ssize_t n = readlink(path, target_path, sizeof target_path - 1);
    target_path[n < 0 ? 0 : n] = 0;
    return !strncmp(target_path, "/dev/pts/", 9) || !strncmp(target_path, "/dev/ptmx", 9) ||
           !strncmp(target_path, "/ptmx", 5);
}

static void at_syscall(struct task *t)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof info, &info) < 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        uint64_t nr = info.entry.nr;
        struct choices c = plausible(nr);
        if ((nr == SYS_write || nr == SYS_read) && is_terminal(t->pid, info.entry.args[0]))
            c = CHOICES(terminal);
        t->calls++;
        /* The loader's own memory, without which it falls before there is a program; of what it
         * maps of files it can tell. */
        if (!t->loaded && nr == SYS_mmap && (int)info.entry.args[4] == -1)
            c.len = 0;
        t->loaded |= nr == SYS_arch_prctl && info.entry.args[0] == ARCH_SET_FS;
        if (listing && c.len)
            fprintf(report, "call %s %lu %lu %lu\n", t->name, t->calls, (unsigned long)nr, c.len);
        if (listing || done || strcmp(t->name, target) || t->calls != target_n || !c.len)
            return;
        struct user_regs_struct regs;
        if (ptrace(PTRACE_GETREGS, t->pid, 0, &regs) < 0)
            return;
        /* A call that does nothing: no call at all would be one that no filter knows. */
        t->argument = regs.rdi;
        regs.orig_rax = SYS_close;
        regs.rdi = (unsigned long long)-1;
        if (ptrace(PTRACE_SETREGS, t->pid, 0, &regs) < 0)
            fail("take the call away");
        t->injecting = true;
        t->code = c.values[choice % c.len];
        done = true;
        fprintf(report, "hit %s %lu %lu %d\n", t->name, t->calls, (unsigned long)nr, t->code);
        fflush(report);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->injecting) {
        struct user_regs_struct regs;
        t->injecting = false;
        if (ptrace(PTRACE_GETREGS, t->pid, 0, &regs) < 0)
            return;
        regs.rax = (unsigned long long)-t->code;
        regs.rdi = t->argument;
        if (ptrace(PTRACE_SETREGS, t->pid, 0, &regs) < 0)
            fail("give the answer");
    }
}

/* Whether the task goes on under our eyes. */
static bool at_exec(struct task *t)
{
    bool now = is_ours(t->pid, t->ours);
    if (t->ours && !now) {
        ptrace(PTRACE_DETACH, t->pid, 0, 0);
        drop(t);
        return false;
    }
    t->loaded = false;
    t->ours = now;
    return true;
}

static void at_birth(struct task *parent)
{
    unsigned long pid;
    if (ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid) < 0)
        return;
    char *name;
    if (asprintf(&name, "%s.%d", parent->name, ++parent->children) < 0)
        fail("asprintf");
    struct task *t = add((pid_t)pid, name, parent);
    if (t->waiting) {
        t->waiting = false;
        resume(t, 0);
    }
}

static void stopped(pid_t pid, int status)
{
    struct task *t = find(pid);
    int signal = WSTOPSIG(status), event = status >> 16;
    if (!t || !t->name) {
        if (!t)
            t = add(pid, NULL, NULL);
        t->waiting = true; /* its parent will tell */
        return;
    }
    switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        at_birth(t);
        t = find(pid);
        break;
    case PTRACE_EVENT_EXEC:
        if (!at_exec(t))
            return;
        break;
    case PTRACE_EVENT_STOP:
        if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
            ptrace(PTRACE_LISTEN, pid, 0, 0);
            return;
        }
        break;
    case 0:
        if (signal == (SIGTRAP | 0x80)) {
            at_syscall(t);
            break;
        }
        resume(t, signal);
        return;
    default: break;
    }
    resume(t, 0);
}

static void ended(pid_t pid, int status)
{
    struct task *t = find(pid);
    if (!t)
        return;
    int s = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (t->ours && s && s != SIGKILL && s != SIGTERM && s != SIGINT && s != SIGHUP &&
        s != SIGPIPE && s != SIGQUIT)
        fprintf(report, "crash %s %d\n", t->name, s);
    drop(t);
}

static void alarm_rings(int signal)
{
    timed_out = true;
}

static bool injection_pending(void)
{
    for (size_t i = 0; i < n_tasks; i++)
        if (tasks[i].injecting)
            return true;
    return false;
}

/* Until the first process has ended; its wait status. */
static int trace(pid_t first)
{
    int status, result = -1;
    while (result < 0 || injection_pending()) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR && timed_out) {
            fprintf(report, "hang\n");
            fflush(report);
            for (size_t i = 0; i < n_tasks; i++)
                kill(tasks[i].pid, SIGKILL);
            _exit(98);
        }
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            break;
        if (WIFSTOPPED(status)) {
            stopped(pid, status);
        } else {
            ended(pid, status);
            if (pid == first)
                result = status;
        }
    }
    return result;
}

int main(int argc, char **argv)
{
    int c, seconds = 30;
    const char *file = NULL;
    while ((c = getopt(argc, argv, "+l:t:n:k:r:x:s:")) != -1) {
        switch (c) {
        case 'l': listing = true; __attribute__((fallthrough));
        case 'r': file = optarg; break;
        case 't': target = optarg; break;
        case 'n': target_n = strtoul(optarg, NULL, 10); break;
        case 'k': choice = strtoul(optarg, NULL, 10); break;
        case 's': seconds = atoi(optarg); break;
        case 'x':
            if (n_excluded < MAX_IMAGES)
                excluded[n_excluded++] = optarg;
            break;
        default: return 99;
        }
    }
    if (!file || optind == argc || (!listing && (!target || !target_n))) {
        fprintf(stderr, "inject: see the beginning of its source\n");
        return 99;
    }
    report = fopen(file, "we");
    int go[2];
    if (!report || pipe2(go, O_CLOEXEC) < 0)
        fail(file);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        char byte;
        if (read(go[0], &byte, 1) == 1)
            execvp(argv[optind], argv + optind);
        _exit(127);
    }
    if (ptrace(PTRACE_SEIZE, pid, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) < 0)
        fail("PTRACE_SEIZE");
    add(pid, strdup("0"), NULL);
    struct sigaction ring = {.sa_handler = alarm_rings};
    sigaction(SIGALRM, &ring, NULL);
    alarm((unsigned)seconds);
    if (write(go[1], "", 1) != 1)
        fail("write");
    int status = trace(pid);
    fclose(report);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
