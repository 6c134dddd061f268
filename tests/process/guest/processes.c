/* Processes made in ways that libc's fork() and posix_spawn() do not use. */
#include "check.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STACK_SIZE 65536

static atomic_int seen, go;
static pid_t parent_tid, child_tid;

static int in_same_memory(void *arg)
{
    while (!atomic_load(&go))
        sched_yield();
    atomic_store(&seen,
                 parent_tid == syscall(SYS_getpid) && child_tid == parent_tid ? *(int *)arg : -1);
    return 7;
}

static void test_same_memory(void)
{
    char *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int number = 42, status;
    pid_t pid = clone(in_same_memory, stack + STACK_SIZE,
                      CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &number,
                      &parent_tid, NULL, &child_tid);
    CHECK("CLONE_VM: the parent goes on", pid > 0 && atomic_load(&seen) == 0);
    CHECK("CLONE_PARENT_SETTID", parent_tid == pid);
    atomic_store(&go, 1);
    CHECK("its own exit status",
          waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK("what it wrote is seen", atomic_load(&seen) == 42);
}

static int sleeps(void *arg)
{
    for (;;)
        pause();
}

static void test_killed(void)
{
    char *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status;
    child_tid = 1;
    pid_t pid = clone(sleeps, stack + STACK_SIZE, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL,
                      NULL, NULL, &child_tid);
    CHECK("it can be killed", pid > 0 && kill(pid, SIGKILL) == 0 &&
                                  waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
                                  WTERMSIG(status) == SIGKILL);
    CHECK("CLONE_CHILD_CLEARTID", child_tid == 0);
}

static int reports_parent(void *arg)
{
    pid_t parent = getppid();
    _exit(write(*(int *)arg, &parent, sizeof parent) != sizeof parent);
}

static void test_sibling(void)
{
    int p[2], status;
    char stack[STACK_SIZE] __attribute__((aligned(16)));
    pid_t told = 0;
    pipe(p);
    pid_t middle = fork();
    if (middle == 0) {
        clone(reports_parent, stack + STACK_SIZE, CLONE_PARENT | SIGCHLD, &p[1]);
        _exit(0);
    }
    waitpid(middle, &status, 0);
    CHECK("CLONE_PARENT: a sibling", read(p[0], &told, sizeof told) == sizeof told &&
                                         told == getpid() && wait(&status) > 0 && status == 0);
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } args = {.flags = CLONE_PARENT, .exit_signal = SIGCHLD};
    CHECK("clone3 wants no exit signal with it",
          syscall(SYS_clone3, &args, sizeof args) == -1 && errno == EINVAL);
}

static void test_no_descriptors(void)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        struct rlimit r = {64, 64};
        setrlimit(RLIMIT_NOFILE, &r);
        while (open("/dev/null", O_RDONLY) >= 0)
            ;
        int full = errno == EMFILE;
        pid_t child = fork();
        if (child == 0)
            _exit(fork() == 0 ? 3 : 5);
        _exit(full && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5 ? 0 : 1);
    }
    CHECK("fork with all descriptors in use", waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    test_same_memory();
    test_killed();
    test_sibling();
    test_no_descriptors();
    return check_failed;
}
