#include "guest/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

bool apart_needed(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 &&
           (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode));
}

/* Until the end of `from`, or of the command: then what is there already is all. end: -1, or what
 * tells of that. 0, or why there is more (errno). */
static int copy(int from, int to, int end)
{
    char buf[65536];
    bool ended = false;
    for (;;) {
        struct pollfd p[2] = {{.fd = from, .events = POLLIN}, {.fd = ended ? -1 : end}};
        int n = poll(p, 2, ended ? 0 : -1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        ended |= p[1].revents != 0;
        if (ended && !p[0].revents)
            return 0;
        if (!p[0].revents)
            continue;
        ssize_t got = read(from, buf, sizeof buf);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            return 0;
        if (got < 0 || write_all(to, buf, (size_t)got) < 0)
            return errno;
    }
}

_Noreturn static void carry(const struct apart *a, int stream, int pipe_end)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid(); /* what the terminal sends is for the command */
    close(a->end[1]);
    for (int i = 0; i < 3; i++)
        if (i != pipe_end)
            close(i); /* pipes of the other streams would never end */
    _exit(stream == STDIN_FILENO ? copy(a->saved[stream], pipe_end, -1)
                                 : copy(pipe_end, a->saved[stream], a->end[0]));
}

static int put_pipe(struct apart *a, int stream, struct error **err)
{
    int p[2];
    a->saved[stream] = fcntl(stream, F_DUPFD_CLOEXEC, 10);
    if (a->saved[stream] < 0 || pipe2(p, O_CLOEXEC) < 0)
        return error_set(err, errno, "standard stream %d", stream);
    bool input = stream == STDIN_FILENO;
    AUTO_CLOSE int command_end = p[!input];
    AUTO_CLOSE int copier_end = p[input];
    if (dup2(command_end, stream) < 0)
        return error_set(err, errno, "standard stream %d", stream);
    close(STEAL_FD(command_end));
    a->copier[stream] = fork();
    if (a->copier[stream] == 0)
        carry(a, stream, copier_end);
    return a->copier[stream] < 0 ? error_set(err, errno, "fork") : 0;
}

int apart_begin(struct apart *a, struct error **err)
{
    *a = (struct apart){.saved = {-1, -1, -1}, .copier = {-1, -1, -1}, .end = {-1, -1}};
    if (!apart_needed(0) && !apart_needed(1) && !apart_needed(2))
        return 0;
    if (pipe2(a->end, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    for (int i = 0; i < 3; i++)
        if (apart_needed(i) && put_pipe(a, i, err) < 0)
            return -1;
    return 0;
}

/* Who carried a stream has done so to the end. */
static int wait_for_copier(pid_t pid, int stream, struct error **err)
{
    int status;
    pid_t r;
    if (stream == STDIN_FILENO) /* what the command did not read */
        kill(pid, SIGKILL);
    while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return error_set(err, errno, "wait for who carries standard stream %d", stream);
    if (WIFEXITED(status) && WEXITSTATUS(status))
        return error_set(err, 0, "carry standard stream %d: %s", stream,
                         strerror(WEXITSTATUS(status)));
    /* SIGPIPE: the command has closed its input */
    if (WIFSIGNALED(status) && stream != STDIN_FILENO)
        return error_set(err, 0, "carry standard stream %d: killed by signal %d", stream,
                         WTERMSIG(status));
    return 0;
}

int apart_end(struct apart *a, struct error **err)
{
    int r = 0;
    for (int i = 0; i < 3; i++)
        if (a->saved[i] >= 0) {
            if (dup2(a->saved[i], i) < 0 && r == 0)
                r = error_set(err, errno, "put back standard stream %d", i);
            close(a->saved[i]);
        }
    if (a->end[1] >= 0)
        close(a->end[1]);
    if (a->end[0] >= 0)
        close(a->end[0]);
    for (int i = 0; i < 3; i++)
        if (a->copier[i] > 0 && wait_for_copier(a->copier[i], i, r ? NULL : err) < 0)
            r = -1;
    return r;
}
