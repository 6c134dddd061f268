#include "container/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "container/root.h"
#include "container/sync.h"

int console_connect(const char *path, struct error **err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return error_set(err, ENAMETOOLONG, "console socket %s", path);
    strcpy(a.sun_path, path);
    AUTO_CLOSE int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof a) < 0)
        return error_set(err, errno, "connect to console socket %s", path);
    return STEAL_FD(s);
}

static int bind_to_console(int rootfd, int slave, struct error **err)
{
    AUTO_CLOSE int tree = open_tree(slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0)
        return error_set(err, errno, "/dev/console: open_tree");
    AUTO_CLOSE int target = root_mkfile(rootfd, "/dev/console", err);
    if (target < 0)
        return -1;
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_set(err, errno, "bind /dev/console");
    return 0;
}

int console_open(int rootfd, const struct process *p, int sock, bool bind_console,
                 struct error **err)
{
    AUTO_CLOSE int master = root_open(rootfd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0)
        return error_set(err, errno,
                         "process.terminal: open /dev/pts/ptmx (a devpts mount at "
                         "/dev/pts is needed)");
    int unlocked = 0;
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return error_set(err, errno, "process.terminal: unlock");
    /* By the master itself: a path could name another terminal by now. */
    AUTO_CLOSE int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return error_set(err, errno, "process.terminal: open the terminal");
    if (p->height || p->width) {
        struct winsize size = {.ws_row = p->height, .ws_col = p->width};
        if (ioctl(master, TIOCSWINSZ, &size) < 0)
            return error_set(err, errno, "process.consoleSize");
    }
    if (p->user.uid && fchown(slave, p->user.uid, (gid_t)-1) < 0)
        return error_set(err, errno, "process.terminal: change the owner");
    if (bind_console && bind_to_console(rootfd, slave, err) < 0)
        return error_prefix(err, "process.terminal");
    static const char name[] = "/dev/pts/ptmx";
    if (send_fd(sock, master, name, sizeof name - 1, err) < 0)
        return error_prefix(err, "process.terminal: console socket");
    return STEAL_FD(slave);
}

int console_attach(int slave, struct error **err)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return error_set(err, errno, "process.terminal: make it the controlling terminal");
    for (int i = 0; i < 3; i++)
        if (dup2(slave, i) < 0)
            return error_set(err, errno, "process.terminal: dup2");
    return 0;
}

void console_block_signals(sigset_t *old)
{
    sigset_t all;
    sigfillset(&all);
    /* What the program itself did wrong stays deadly. */
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        sigdelset(&all, fatal[i]);
    sigprocmask(SIG_SETMASK, &all, old);
}

static void copy_size(int master)
{
    struct winsize size;
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}

/* One read and its write. 0 at the end. */
static int copy_some(int from, int to)
{
    char buf[16384];
    ssize_t n = read(from, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 1;
    return n > 0 && write_all(to, buf, (size_t)n) == 0;
}

/* Reads what signals came; forwards them. 1 when pid has ended. */
static int take_signals(int fd, int master, pid_t pid, int *status, struct error **err)
{
    struct signalfd_siginfo s;
    if (read(fd, &s, sizeof s) != sizeof s)
        return errno == EAGAIN || errno == EINTR ? 0 : error_set(err, errno, "signalfd");
    if (s.ssi_signo == SIGCHLD) {
        pid_t r = waitpid(pid, status, WNOHANG);
        return r == pid ? 1 : r < 0 ? error_set(err, errno, "waitpid") : 0;
    }
    if (s.ssi_signo == SIGWINCH && master >= 0)
        copy_size(master);
    else if (s.ssi_signo != SIGPIPE && kill(pid, (int)s.ssi_signo) < 0 && errno != ESRCH)
        return error_set(err, errno, "forward signal %u", s.ssi_signo);
    return 0;
}

static int serve(int master, int sigs, pid_t pid, int *status, struct error **err)
{
    bool ended = false;
    struct pollfd p[3] = {{.fd = sigs, .events = POLLIN},
                          {.fd = master, .events = POLLIN},
                          {.fd = master >= 0 ? 0 : -1, .events = POLLIN}};
    /* It may have ended before its SIGCHLD was blocked here. */
    if (waitpid(pid, status, WNOHANG) == pid)
        ended = true;
    while (!ended || p[1].fd >= 0) {
        /* After the end only what is still in the terminal's buffer is copied. */
        int n = poll(p, 3, ended ? 100 : -1);
        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (ended && n == 0)
            break;
        if (n > 0 && p[1].revents && !copy_some(master, 1))
            p[1].fd = -1;
        if (n > 0 && p[2].revents && !copy_some(0, master)) {
            static const char eof = 4;
            write_all(master, &eof, 1);
            p[2].fd = -1;
        }
        if (n > 0 && p[0].revents) {
            int r = take_signals(sigs, master, pid, status, err);
            if (r < 0)
                return -1;
            ended |= r;
            if (ended)
                p[2].fd = -1;
        }
    }
    return 0;
}

int console_serve(int master, pid_t pid, int *status, struct error **err)
{
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    AUTO_CLOSE int sigs = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
    if (sigs < 0)
        return error_set(err, errno, "signalfd");
    struct termios old;
    bool raw = master >= 0 && tcgetattr(0, &old) == 0;
    if (raw) {
        struct termios t = old;
        cfmakeraw(&t);
        tcsetattr(0, TCSANOW, &t);
    }
    if (master >= 0)
        copy_size(master);
    int r = serve(master, sigs, pid, status, err);
    if (raw)
        tcsetattr(0, TCSANOW, &old);
    return r;
}
