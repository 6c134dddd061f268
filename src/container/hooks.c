#include "container/hooks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

static void hook_child(const struct hook *h, int in)
{
    const char *const own_name[] = {h->path, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in, 0) < 0)
        _exit(126);
    execve(h->path, (char *const *)(h->args && h->args[0] ? h->args : (const char **)own_name),
           h->env ? (char *const *)h->env : environ);
    static const char msg[] = "hook cannot be executed: ";
    if (write(2, msg, sizeof msg - 1) < 0 || write(2, h->path, strlen(h->path)) < 0 ||
        write(2, "\n", 1) < 0)
        _exit(126);
    _exit(127);
}

/* Waits for pid, at most `seconds` (0: for ever). */
static int wait_hook(pid_t pid, int64_t seconds, int *status, struct error **err)
{
    if (seconds) {
        AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t end = now.tv_sec * 1000LL + now.tv_nsec / 1000000 + seconds * 1000, left;
        int r;
        do {
            clock_gettime(CLOCK_MONOTONIC, &now);
            left = end - (now.tv_sec * 1000LL + now.tv_nsec / 1000000);
            r = poll(&p, 1, left > 0 ? (int)left : 0);
        } while (r < 0 && errno == EINTR);
        if (r == 0) {
            kill(pid, SIGKILL);
            while (waitpid(pid, status, 0) < 0 && errno == EINTR)
                ;
            return error_set(err, ETIMEDOUT, "no end after %lld s", (long long)seconds);
        }
    }
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "waitpid");
    return 0;
}

static int run_one(const struct hook *h, const char *state, struct error **err)
{
    /* A socket, because writing to one can be told not to raise SIGPIPE: a hook need not read. */
    int in[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0)
        return error_set(err, errno, "socketpair");
    pid_t pid = fork();
    if (pid == 0)
        hook_child(h, in[0]);
    close(in[0]);
    if (pid < 0) {
        close(in[1]);
        return error_set(err, errno, "fork");
    }
    size_t len = strlen(state);
    ssize_t n = send(in[1], state, len, MSG_NOSIGNAL);
    close(in[1]);
    int status = 0;
    if (wait_hook(pid, h->timeout, &status, err) < 0)
        return -1;
    if (n < 0 && errno != EPIPE && errno != ECONNRESET)
        return error_set(err, errno, "give it the state");
    if (WIFSIGNALED(status))
        return error_set(err, 0, "ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status))
        return error_set(err, 0, "ended with status %d", WEXITSTATUS(status));
    return 0;
}

int hooks_run(const struct hooks *h, enum hook_kind kind, const char *state, struct error **err)
{
    for (size_t i = 0; i < h->len; i++) {
        ERROR_CLEANUP e = NULL;
        bool last = kind == HOOK_POSTSTOP;
        if (run_one(&h->list[i], state, last ? &e : err) == 0)
            continue;
        if (!last)
            return error_prefix(err, "hooks.%s[%zu] (%s)", hook_name(kind), i, h->list[i].path);
        log_warn("hooks.%s[%zu] (%s): %s", hook_name(kind), i, h->list[i].path, error_text(e));
    }
    return 0;
}
