#include "guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "base/terminal.h"
#include "guest/keeper.h"

int terminal_open(int *master, int *slave, bool raw, struct error **err)
{
    AUTO_CLOSE int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (m < 0 || grantpt(m) < 0 || unlockpt(m) < 0)
        return error_set(err, errno, "open a terminal");
    AUTO_CLOSE int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s < 0)
        return error_set(err, errno, "open a terminal's other side");
    if (raw) {
        struct termios t;
        if (tcgetattr(s, &t) < 0)
            return error_set(err, errno, "tcgetattr");
        cfmakeraw(&t);
        if (tcsetattr(s, TCSANOW, &t) < 0)
            return error_set(err, errno, "tcsetattr");
    }
    *master = STEAL_FD(m);
    *slave = STEAL_FD(s);
    return 0;
}

/* The parent's blocked and ignored signals are not the program's business. */
static void reset_signals(int blocked)
{
    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            signal(i, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    if (blocked)
        sigaddset(&none, blocked);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_setup(const struct spawn *s, int slave, pid_t parent, struct error **err)
{
    reset_signals(s->parent_ends);
    if (!s->outlives) {
        prctl(PR_SET_PDEATHSIG, s->parent_ends ? s->parent_ends : SIGKILL);
        if (getppid() != parent)
            return error_set(err, 0, "the parent is gone");
    }
    setsid();
    int in = s->in, out = s->out, e = s->err;
    if (s->terminal) {
        in = out = e = slave;
        if (ioctl(slave, TIOCSCTTY, 0) < 0)
            return error_set(err, errno, "TIOCSCTTY");
    }
    /* Copies first: a stream may be another one's number. */
    int fds[3] = {fcntl(in, F_DUPFD_CLOEXEC, 10), fcntl(out, F_DUPFD_CLOEXEC, 10),
                  fcntl(e, F_DUPFD_CLOEXEC, 10)};
    for (int i = 0; i < 3; i++)
        if (fds[i] < 0 || dup2(fds[i], i) < 0)
            return error_set(err, errno, "standard stream %d", i);
    /* What the caller had open is not the program's; the report's end closes with the exec. */
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return error_set(err, errno, "close_range");
    for (int i = 0; i < 2; i++)
        if (s->keep[i] >= 0 && fcntl(s->keep[i], F_SETFD, 0) < 0)
            return error_set(err, errno, "descriptor %d", s->keep[i]);
    if (s->prepare && s->prepare(s->arg, err) < 0)
        return -1;
    if (s->workdir && chdir(s->workdir) < 0)
        return error_set(err, 0, "working folder %s: %s", s->workdir, strerror(errno));
    return 0;
}

/* Puts the report's end where the program looks for it. */
static int hand_on_report(int report, struct error **err)
{
    int r = report == SPAWN_REPORT_FD ? fcntl(report, F_SETFD, 0) : dup2(report, SPAWN_REPORT_FD);
    return r < 0 ? error_set(err, errno, "descriptor %d", SPAWN_REPORT_FD) : 0;
}

static void child(const struct spawn *s, int slave, pid_t parent, int report)
{
    ERROR_CLEANUP err = NULL;
    struct keeper keeper = {.parent = parent, .guest = s->of};
    if (s->kept && keeper_fork(&keeper) < 0)
        error_set(&err, errno, "a process that keeps the guest's together");
    else if (child_setup(s, slave, s->kept ? getppid() : parent, &err) == 0 &&
             (!s->reports || hand_on_report(report, &err) == 0)) {
        execve(s->path, s->argv, s->envp);
        error_set(&err, errno, "run %s", s->path);
    }
    STR_CLEANUP m = {0};
    str_printf(&m, "%d %s", error_code(err), error_text(err));
    if (write_all(report, m.data, m.len) < 0)
        _exit(126);
    _exit(125);
}

int spawn_read_report(int fd, struct error **err)
{
    char buf[2048];
    ssize_t n = read_full(fd, buf, sizeof buf - 1);
    if (n == 0)
        return 0;
    if (n < 0)
        return error_set(err, errno, "read from the child");
    buf[n] = '\0';
    int code = 0, used = 0;
    if (sscanf(buf, "%d %n", &code, &used) != 1)
        used = 0;
    error_set(err, 0, "%s", buf + used);
    if (err && *err)
        (*err)->code = code;
    return -1;
}

int spawn_start(const struct spawn *s, struct proc_id *id, int *pidfd, int *master,
                struct error **err)
{
    AUTO_CLOSE int m = -1;
    AUTO_CLOSE int slave = -1;
    if (s->terminal && terminal_open(&m, &slave, s->raw, err) < 0)
        return -1;
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    AUTO_CLOSE int report = p[0];
    AUTO_CLOSE int report_end = p[1];
    if (s->made && pipe2(p, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    AUTO_CLOSE int wait = s->made ? p[0] : -1;
    AUTO_CLOSE int go = s->made ? p[1] : -1;
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        if (s->made && (close(go) < 0 || read_full(wait, &byte, 1) != 1))
            _exit(125);
        child(s, slave, parent, report_end);
    }
    close(STEAL_FD(report_end));
    if (pid < 0)
        return error_set(err, errno, "fork");
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    int r = fd < 0 ? error_set(err, errno, "pidfd_open") : 0;
    if (r == 0 && s->made && (r = s->made(s->made_arg, proc_identify(pid), err)) == 0 &&
        write_all(go, "", 1) < 0)
        r = error_set(err, errno, "let the child go on");
    if (r == 0)
        r = spawn_read_report(report, err);
    if (r == 0) {
        *id = proc_identify(pid);
        if (!id->start)
            r = error_set(err, errno, "look at process %d", (int)pid);
    }
    if (r < 0) {
        /* Whatever it is about: it may not even have failed, if it is the report that did. */
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return -1;
    }
    *pidfd = STEAL_FD(fd);
    if (master)
        *master = STEAL_FD(m);
    return 0;
}

int spawn_wait(int pidfd, struct error **err)
{
    siginfo_t si;
    for (;;) {
        si.si_pid = 0;
        if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) == 0)
            return si.si_code == CLD_EXITED ? si.si_status & 255 : 128 + si.si_status;
        if (errno != EINTR)
            return error_set(err, errno, "wait for the command");
    }
}

struct foreground {
    int pidfd, master, signals;
    struct terminal_input in;
    bool quiet; /* nobody had the terminal's other side open */
    int lost;   /* why not all could be carried (errno); 0: it was */
};

static void foreground_signals(struct foreground *f)
{
    struct signalfd_siginfo si;
    while (read(f->signals, &si, sizeof si) == (ssize_t)sizeof si) {
        struct winsize ws;
        if (si.ssi_signo != SIGWINCH)
            proc_signal(f->pidfd, (int)si.ssi_signo);
        else if (f->master >= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
            ioctl(f->master, TIOCSWINSZ, &ws);
    }
}

/* The command's terminal hangs up: nobody is there to see it, or to type. */
static void hang_up(struct foreground *f, int why)
{
    f->lost = why;
    close(f->master);
    f->master = -1;
}

static void copy_output(struct foreground *f)
{
    char buf[16384];
    ssize_t n = terminal_read(f->master, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN)
        return;
    f->quiet = n == 0;
    if (n < 0 || write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
        hang_up(f, errno);
}

static int make_nonblocking(int master, struct error **err)
{
    return fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0
               ? error_set(err, errno, "make the terminal nonblocking")
               : 0;
}

static void foreground_loop(struct foreground *f)
{
    for (;;) {
        bool room = terminal_input_room(&f->in), pending = f->in.start < f->in.end;
        struct pollfd p[4] = {
            {.fd = f->pidfd, .events = POLLIN},
            {.fd = f->signals, .events = POLLIN},
            {.fd = f->quiet ? -1 : f->master, .events = (short)(POLLIN | (pending ? POLLOUT : 0))},
            {.fd = f->master >= 0 && room ? STDIN_FILENO : -1, .events = POLLIN},
        };
        int n = poll(p, 4, f->quiet ? TERMINAL_QUIET_MS : -1);
        if (n < 0) {
            if (errno != EINTR) /* for want of memory; the command waits for its terminal */
                nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
            continue;
        }
        if (p[1].revents)
            foreground_signals(f);
        if (p[3].revents && terminal_input_take(&f->in, STDIN_FILENO) < 0)
            f->lost = errno;
        if (p[2].revents & POLLOUT && terminal_input_give(&f->in, f->master) < 0)
            hang_up(f, errno);
        if (p[2].revents & ~POLLOUT && f->master >= 0)
            copy_output(f);
        if (p[2].fd != f->master)
            f->quiet =
                f->quiet && n && !p[0].revents; /* or else it is looked at in the next round */
        else if (p[0].revents && !(p[2].revents & POLLIN))
            return;
    }
}

int spawn_foreground(struct spawn *s, struct error **err)
{
    static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    struct proc_id id;
    struct foreground f = {.pidfd = -1, .master = -1, .signals = -1};
    sigset_t set, before;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaddset(&set, passed[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    int status = -1;
    struct raw_terminal raw = {.fd = -1};
    f.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (f.signals < 0) {
        error_set(err, errno, "signalfd");
        goto out;
    }
    if (spawn_start(s, &id, &f.pidfd, &f.master, err) < 0)
        goto out;
    if (s->terminal) {
        struct winsize ws;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
            ioctl(f.master, TIOCSWINSZ, &ws);
    }
    if (s->terminal &&
        (make_nonblocking(f.master, err) < 0 || raw_terminal_enter(&raw, STDIN_FILENO, err) < 0)) {
        proc_signal(f.pidfd, SIGKILL);
        spawn_wait(f.pidfd, NULL);
        goto out;
    }
    foreground_loop(&f);
    raw_terminal_leave(&raw);
    status = spawn_wait(f.pidfd, err);
    if (f.lost && f.lost != EPIPE && status == 0)
        status = error_set(err, 0, "carry the command's terminal: %s", strerror(f.lost));
    else if (f.lost && f.lost != EPIPE && status > 0)
        log_warn("carry the command's terminal: %s", strerror(f.lost));
out:
    sigprocmask(SIG_SETMASK, &before, NULL);
    int fds[] = {f.pidfd, f.master, f.signals};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return status;
}
