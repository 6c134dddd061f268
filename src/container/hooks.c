#include "container/hooks.h"

#include <errno.h>
#include <limits.h>
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
#include "container/descriptors.h"

static void hook_child(const struct hook *h, bool inside, int in)
{
    static const char *const nothing[] = {NULL};
    const char *const own_name[] = {h->path, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGXFSZ, SIG_DFL); /* which the runtime ignores */
    /* A hook in the container's root is looked up there: see descriptors.h. */
    if (dup2(in, 0) < 0 || descriptors_leave(0, NULL, 0, NULL) < 0)
        _exit(126);
    /* What the runtime was started with (tokens, proxies with passwords) is nothing that a program
     * of the container's should read. */
    char **env = h->env ? (char **)h->env : inside ? (char **)nothing : environ;
    execve(h->path, (char *const *)(h->args && h->args[0] ? h->args : (const char **)own_name),
           env);
    static const char msg[] = "hook cannot be executed: ";
    if (write(2, msg, sizeof msg - 1) < 0 || write(2, h->path, strlen(h->path)) < 0 ||
        write(2, "\n", 1) < 0)
        _exit(126);
    _exit(127);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Gives the hook its state, as far as it takes it, and waits for its end: no longer than `seconds`
 * for both (0: for ever). */
static int attend(int process, int sock, const char *state, int64_t seconds, struct error **err)
{
    size_t left = strlen(state);
    int64_t end = now_ms() + seconds * 1000;
    AUTO_CLOSE int in = sock;
    for (;;) {
        struct pollfd p[2] = {{.fd = process, .events = POLLIN}, {.fd = in, .events = POLLOUT}};
        int64_t rest = seconds ? end - now_ms() : -1;
        int r = poll(p, 2, rest > INT_MAX ? INT_MAX : seconds && rest < 0 ? 0 : (int)rest);
        if (r < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (r == 0 && rest <= INT_MAX)
            return error_set(err, ETIMEDOUT, "no end after %lld s", (long long)seconds);
        if (r <= 0)
            continue;
        if (p[0].revents)
            return 0;
        /* One that does not read, or not all, may do so. */
        ssize_t n = send(in, state, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            state += n;
            left -= (size_t)n;
        } else if (n < 0 && errno != EPIPE && errno != ECONNRESET && errno != EAGAIN &&
                   errno != EINTR) {
            return error_set(err, errno, "give it the state");
        }
        if (left == 0 || (n < 0 && (errno == EPIPE || errno == ECONNRESET))) {
            close(in);
            in = -1;
        }
    }
}

static int run_one(const struct hook *h, bool inside, const char *state, struct error **err)
{
    /* A socket, because writing to one can be told not to raise SIGPIPE: a hook need not read. */
    int in[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0)
        return error_set(err, errno, "socketpair");
    pid_t pid = fork();
    if (pid == 0)
        hook_child(h, inside, in[0]);
    close(in[0]);
    if (pid < 0) {
        close(in[1]);
        return error_set(err, errno, "fork");
    }
    AUTO_CLOSE int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int r;
    if (process < 0) {
        r = error_set(err, errno, "pidfd_open");
        close(in[1]);
    } else {
        r = attend(process, in[1], state, h->timeout, err);
    }
    if (r < 0)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return r < 0 ? r : error_set(err, errno, "waitpid");
    if (r < 0)
        return r;
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
        bool inside = kind == HOOK_CREATE_CONTAINER || kind == HOOK_START_CONTAINER;
        if (run_one(&h->list[i], inside, state, last ? &e : err) == 0)
            continue;
        if (!last)
            return error_prefix(err, "hooks.%s[%zu] (%s)", hook_name(kind), i, h->list[i].path);
        log_warn("hooks.%s[%zu] (%s): %s", hook_name(kind), i, h->list[i].path, error_text(e));
    }
    return 0;
}
