#include "agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "image/rootfs.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The string at *at, which moves behind it; NULL when it does not end before end. */
static char *next_string(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *nul = memchr(*at, '\0', (size_t)(end - *at));
    char *s = nul ? (char *)*at : NULL;
    *at = nul ? nul + 1 : end;
    return s;
}

int command_parse(struct command *c, const uint8_t *payload, size_t len)
{
    struct agent_run run;
    *c = (struct command){0};
    if (len < sizeof run)
        return -1;
    memcpy(&run, payload, sizeof run);
    const uint8_t *at = payload + sizeof run, *end = payload + len;
    size_t n = 2 + (size_t)run.n_args + run.n_env;
    if (run.tty > 1 || !run.n_args || n > len)
        return -1;
    c->tty = run.tty;
    c->size = run.size;
    c->args = xcalloc(run.n_args + 1u, sizeof *c->args);
    c->env = xcalloc(run.n_env + 2u, sizeof *c->env);
    for (size_t i = 0; i < n; i++) {
        char *s = next_string(&at, end);
        if (!s)
            return -1;
        if (i == 0)
            c->user = s;
        else if (i == 1)
            c->workdir = *s ? s : "/";
        else if (i < 2u + run.n_args)
            c->args[i - 2] = s;
        else
            c->env[i - 2 - run.n_args] = s;
    }
    return at == end ? 0 : -1;
}

void command_free(struct command *c)
{
    free(c->args);
    free(c->env);
}

static const char *variable(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (; *env; env++)
        if (!strncmp(*env, name, len) && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

/* In the child, which tells its troubles on its own standard error. */

static _Noreturn void give_up(int status, const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "wirt: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    _exit(status);
}

/* Nothing of ours goes on into the command: signals, descriptors, protection. */
static void leave_agent(const int std[3], bool tty)
{
    for (int i = 0; i < 3; i++)
        if (dup2(std[i], i) < 0)
            _exit(STATUS_AGENT);
    if (close_range(3, ~0u, 0) < 0)
        give_up(STATUS_AGENT, "close_range", strerror(errno));
    for (int sig = 1; sig < _NSIG; sig++)
        signal(sig, SIG_DFL); /* of SIGKILL, SIGSTOP and libc's own it cannot be set, nor need be */
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        give_up(STATUS_AGENT, "sigprocmask", strerror(errno));
    if (setsid() < 0 || (tty && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0))
        give_up(STATUS_AGENT, "a session of its own", strerror(errno));
    /* Without /proc or the right to it we had not protected ourselves either. */
    (void)write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "0", NULL);
    umask(022);
}

static void enter_folder(const char *path)
{
    ERROR_CLEANUP err = NULL;
    if (chdir(path) == 0)
        return;
    if (errno == ENOENT && mkdir_all(path, 0755, &err) < 0)
        give_up(STATUS_AGENT, error_text(err), NULL);
    if (chdir(path) < 0) {
        error_set(&err, errno, "working folder %s", path);
        give_up(STATUS_AGENT, error_text(err), NULL);
    }
}

static void become(const struct rootfs_user *u)
{
    /* So that it can open its own /dev/stdout, and its terminal. */
    for (int i = 0; i < 3; i++)
        if (fchown(i, u->uid, (gid_t)-1) < 0)
            give_up(STATUS_AGENT, "fchown of a stream", strerror(errno));
    if ((geteuid() == 0 && setgroups(u->n_groups, u->groups) < 0) || setgid(u->gid) < 0 ||
        setuid(u->uid) < 0)
        give_up(STATUS_AGENT, "changing to the user", strerror(errno));
}

/* As execvp(3) looks for it, but a file that is no program is none: sh does not get it. */
static _Noreturn void execute(char **args, char **env)
{
    const char *name = args[0], *path = variable(env, "PATH");
    int why = ENOENT;
    if (strchr(name, '/')) {
        execve(name, args, env);
        why = errno;
    } else if (*name) {
        char *rest = xstrdup(path ? path : DEFAULT_PATH), *folder;
        while ((why == ENOENT || why == EACCES) && (folder = strsep(&rest, ":"))) {
            AUTO_FREE char *file = xasprintf("%s/%s", *folder ? folder : ".", name);
            execve(file, args, env);
            if (errno != ENOENT && errno != ENOTDIR)
                why = errno;
        }
    }
    bool absent = why == ENOENT || why == ENOTDIR;
    AUTO_FREE char *what = xasprintf("command %s", name);
    give_up(absent ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE, what,
            absent          ? "not found"
            : why == EACCES ? "not executable"
                            : strerror(why));
}

static _Noreturn void run(const struct command *c, const int std[3])
{
    ERROR_CLEANUP err = NULL;
    struct rootfs_user user;
    leave_agent(std, c->tty);
    if (rootfs_lookup_user("/", c->user, &user, &err) < 0)
        give_up(STATUS_AGENT, error_text(err), NULL);
    enter_folder(c->workdir);
    become(&user);
    if (!variable(c->env, "HOME")) {
        char **end = c->env;
        while (*end)
            end++;
        *end = xasprintf("HOME=%s", user.home ? user.home : "/");
    }
    execute(c->args, c->env);
}

/* In the agent. */

static void close_all(int fd[3])
{
    for (int i = 0; i < 3; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

static int not_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int make_pipes(int ours[3], int theirs[3], struct error **err)
{
    for (int i = 0; i < 3; i++) {
        int fd[2];
        if (pipe2(fd, O_CLOEXEC) < 0)
            return error_set(err, errno, "pipe");
        ours[i] = fd[i == 0];
        theirs[i] = fd[i != 0];
        if (not_blocking(ours[i]) < 0)
            return error_set(err, errno, "pipe");
    }
    return 0;
}

/* ours: the terminal's master twice, so that each direction closes what it has. */
static int make_tty(const struct agent_size *size, int ours[3], int theirs[3], struct error **err)
{
    ours[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (ours[1] < 0)
        return error_set(err, errno, "a terminal from /dev/ptmx");
    ours[0] = fcntl(ours[1], F_DUPFD_CLOEXEC, 0);
    if (ours[0] < 0 || unlockpt(ours[1]) < 0)
        return error_set(err, errno, "a terminal");
    for (int i = 0; i < 3; i++) {
        theirs[i] = ioctl(ours[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (theirs[i] < 0)
            return error_set(err, errno, "a terminal in /dev/pts");
    }
    return command_resize(ours[1], size, err);
}

int command_resize(int tty, const struct agent_size *size, struct error **err)
{
    struct winsize ws = {.ws_row = size->rows, .ws_col = size->columns};
    return ioctl(tty, TIOCSWINSZ, &ws) < 0 ? error_set(err, errno, "a terminal's size") : 0;
}

pid_t command_start(const struct command *c, int io[3], struct error **err)
{
    int theirs[3] = {-1, -1, -1};
    pid_t pid = -1;
    io[0] = io[1] = io[2] = -1;
    if (c->tty ? make_tty(&c->size, io, theirs, err) == 0 : make_pipes(io, theirs, err) == 0) {
        pid = fork();
        if (pid == 0)
            run(c, theirs);
        if (pid < 0)
            error_set(err, errno, "fork");
    }
    close_all(theirs);
    if (pid < 0)
        close_all(io);
    return pid;
}
