#include "attempts.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t victim;

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_SEIZE, victim, NULL, NULL);
}

static int try_mount(void)
{
    return mount("tmpfs", "/", "tmpfs", 0, NULL);
}

static int try_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_fork(void)
{
    int pid = (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static int try_exec(void)
{
    char *argv[] = {"true", NULL};
    return execve("/bin/true", argv, argv + 1);
}

static int try_setuid(void)
{
    return (int)syscall(SYS_setresuid, 0, 0, 0);
}

static int try_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED
               ? -1
               : 0;
}

static int try_keyctl(void)
{
    return (int)syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1);
}

static int try_bpf(void)
{
    union bpf_attr a = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a);
}

static int try_io_uring(void)
{
    char params[256] = {0};
    return (int)syscall(SYS_io_uring_setup, 4, params);
}

static int try_kill(void)
{
    return kill(victim, SIGKILL);
}

static int try_limits(void)
{
    struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_CORE, &l);
}

static const struct attempt attempts[] = {
    {"kill", try_kill},         {"ptrace", try_ptrace},
    {"mount", try_mount},       {"unshare", try_unshare},
    {"fork", try_fork},         {"exec", try_exec},
    {"setuid", try_setuid},     {"executable-memory", try_executable_memory},
    {"keyctl", try_keyctl},     {"bpf", try_bpf},
    {"io_uring", try_io_uring}, {"limits", try_limits},
};

static int (*find(const struct attempt *list, size_t n, const char *name))(void)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name))
            return list[i].fn;
    return NULL;
}

int attempt(const char *name, const char *argument, const struct attempt *own, size_t n)
{
    int (*fn)(void) = find(own, n, name);
    victim = (pid_t)atoi(argument);
    if (!fn)
        fn = find(attempts, sizeof attempts / sizeof *attempts, name);
    if (!fn)
        return ATTEMPT_UNKNOWN;
    errno = 0;
    return fn() < 0 ? -1 : 0;
}

int attempt_tell(int result)
{
    const char *said = result < 0 ? strerrorname_np(errno) : "did";
    return write(STDERR_FILENO, said, strlen(said)) < 0 ? -1 : 0;
}

int attempt_ended(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    const char *said = WTERMSIG(status) == SIGSYS ? "killed" : strsignal(WTERMSIG(status));
    return write(STDERR_FILENO, said, strlen(said)) < 0 ? 3 : 0;
}
