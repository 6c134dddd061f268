#include "container/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/terminal.h"
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
    AUTO_CLOSE int dev = root_mkdir(rootfd, "/dev", 0755, err);
    if (dev < 0)
        return -1;
    AUTO_CLOSE int made =
        openat(dev, "console", O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
    if (made < 0 && errno != EEXIST)
        return error_set(err, errno, "make /dev/console");
    /* Of a link the image would say where the terminal goes (CVE-2026-88264). */
    AUTO_CLOSE int target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (target < 0 || fstat(target, &st) < 0)
        return error_set(err, errno, "open /dev/console");
    if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
        return error_set(err, 0, "/dev/console is a %s in the root file system",
                         S_ISDIR(st.st_mode) ? "folder" : "symbolic link");
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_set(err, errno, "bind /dev/console");
    return 0;
}

/* /dev/pts of the root has to be a devpts: another file of that name could be a device that does
 * something when it is opened, or no terminal at all. Of a devpts only the kernel's own node is
 * called ptmx. */
static int open_master(int rootfd, struct error **err)
{
    AUTO_CLOSE int pts = root_open(rootfd, "/dev/pts", O_PATH | O_DIRECTORY);
    struct statfs fs;
    int master = -1;
    if (pts >= 0 && fstatfs(pts, &fs) == 0) {
        if (fs.f_type == DEVPTS_SUPER_MAGIC)
            master = root_open_no_links(pts, "ptmx", O_RDWR | O_NOCTTY);
        else
            errno = ENODEV;
    }
    if (master < 0)
        return error_set(err, errno,
                         "process.terminal: open /dev/pts/ptmx (a devpts mount at "
                         "/dev/pts is needed)");
    return master;
}

int console_open(int rootfd, const struct process *p, int sock, bool bind_console,
                 struct error **err)
{
    AUTO_CLOSE int master = open_master(rootfd, err);
    if (master < 0)
        return -1;
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
    close(slave);
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

/* One read of the terminal's output and its write: 1, 0 when nobody has its other side open, or -1
 * with errno: it could not be carried. */
static int copy_output(int master)
{
    char buf[16384];
    ssize_t n = terminal_read(master, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN)
        return 1;
    return n < 0 || write_all(1, buf, (size_t)n) < 0 ? -1 : n > 0;
}

/* Reads what signals came; forwards them. 1 when pid has ended. */
static int take_signals(int fd, int master, pid_t pid, int *status, struct error **err)
{
    struct signalfd_siginfo s;
    if (read(fd, &s, sizeof s) != sizeof s)
        return errno == EAGAIN || errno == EINTR ? 0 : error_set(err, errno, "signalfd");
    if (s.ssi_signo == SIGCHLD) {
        pid_t r;
        do
            r = waitpid(pid, status, WNOHANG);
        while (r < 0 && errno == EINTR);
        return r == pid ? 1 : r < 0 ? error_set(err, errno, "waitpid") : 0;
    }
    if (s.ssi_signo == SIGWINCH && master >= 0)
        copy_size(master);
    else if (s.ssi_signo != SIGPIPE && kill(pid, (int)s.ssi_signo) < 0 && errno != ESRCH)
        return error_set(err, errno, "forward signal %u", s.ssi_signo);
    return 0;
}

/* Until the process has ended. lost: why some of the input could not be read, or of what the
 * terminal said not be written (errno). */
static int serve(int *terminal, int sigs, pid_t pid, int *status, int *lost, struct error **err)
{
    struct terminal_input in = {0};
    int master = *terminal;
    struct pollfd p[3] = {{.fd = sigs}, {.fd = master}, {.fd = 0}};
    /* It may have ended before its SIGCHLD was blocked here. */
    bool ended = waitpid(pid, status, WNOHANG) == pid;
    /* After the end only what is still in the terminal's buffers is copied: a process that is left
     * could go on for ever. */
    int reads_left = 64;
    while (!ended || (p[1].fd >= 0 && reads_left-- > 0)) {
        bool room = terminal_input_room(&in), pending = in.start < in.end;
        p[0].events = ended ? 0 : POLLIN;
        p[1].events = (short)(POLLIN | (pending && !ended ? POLLOUT : 0));
        p[2].fd = p[1].fd >= 0 && room && !ended ? 0 : -1;
        p[2].events = POLLIN;
        bool quiet = master >= 0 && p[1].fd < 0;
        int n = poll(p, 3, ended || quiet ? TERMINAL_QUIET_MS : -1);
        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (ended && n == 0)
            break;
        if (n == 0)
            p[1].fd = master;
        if (n <= 0)
            continue;
        if (p[1].revents & POLLOUT && terminal_input_give(&in, master) < 0)
            *lost = errno;
        int carried = p[1].revents & ~POLLOUT ? copy_output(master) : 1;
        if (carried <= 0)
            p[1].fd = -1;
        if (carried < 0) {
            /* It hangs up: who writes to a terminal that nobody reads would wait for ever. */
            *lost = errno;
            close(*terminal);
            *terminal = master = -1;
        }
        if (p[2].fd >= 0 && p[2].revents && terminal_input_take(&in, 0) < 0)
            *lost = errno;
        if (!ended && p[0].revents) {
            int r = take_signals(sigs, master, pid, status, err);
            if (r < 0)
                return -1;
            ended = r;
            p[1].fd = ended ? master : p[1].fd;
        }
    }
    return 0;
}

int console_serve(int terminal, pid_t *pid, int *status, struct error **err)
{
    AUTO_CLOSE int master = terminal;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    AUTO_CLOSE int sigs = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
    if (sigs < 0)
        return error_set(err, errno, "signalfd");
    if (master >= 0 && fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return error_set(err, errno, "make the terminal non-blocking");
    struct raw_terminal raw = {.fd = -1};
    if (master >= 0 && raw_terminal_enter(&raw, 0, err) < 0)
        return -1;
    if (master >= 0)
        copy_size(master);
    int lost = 0, r = serve(&master, sigs, *pid, status, &lost, err);
    raw_terminal_leave(&raw);
    if (r < 0)
        return -1;
    *pid = 0;
    if (!lost || lost == EPIPE)
        return 0;
    if (*status == 0)
        return error_set(err, 0, "carry the terminal: %s", strerror(lost));
    log_warn("carry the terminal: %s", strerror(lost));
    return 0;
}
