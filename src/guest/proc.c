#include "guest/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#define MAX_TREE_DEPTH 64

struct stat_fields {
    char state;
    uint64_t utime, stime, cutime, cstime, start, rss;
};

/* proc(5), /proc/PID/stat: the name in parentheses may hold anything, so the fields are counted
 * from the last ')'. -1 with errno. */
static int parse_stat(const char *text, struct stat_fields *f)
{
    errno = EINVAL;
    const char *p = strrchr(text, ')');
    if (!p ||
        sscanf(p + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %*d %*d %*d %*d %" SCNu64 " %*u %" SCNu64,
               &f->state, &f->utime, &f->stime, &f->cutime, &f->cstime, &f->start, &f->rss) != 7)
        return -1;
    return 0;
}

/* -1 with errno: ESRCH when there is no such process; anything else says nothing of it. */
static int read_stat(pid_t pid, struct stat_fields *f)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
    AUTO_FREE char *text = NULL;
    if (read_file_at(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0) {
        errno = errno == ENOENT ? ESRCH : errno;
        return -1;
    }
    return parse_stat(text, f);
}

struct proc_id proc_identify(pid_t pid)
{
    struct stat_fields f;
    if (pid <= 0 || read_stat(pid, &f) < 0)
        return (struct proc_id){.pid = pid};
    return (struct proc_id){.pid = pid, .start = f.start};
}

bool proc_alive(struct proc_id p)
{
    struct stat_fields f;
    if (p.pid <= 0 || !p.start)
        return false;
    if (read_stat(p.pid, &f) < 0)
        return errno != ESRCH; /* whoever takes it for dead would bury it alive */
    return f.start == p.start && f.state != 'Z' && f.state != 'X';
}

int proc_open(struct proc_id p)
{
    if (p.pid <= 0) {
        errno = ESRCH;
        return -1;
    }
    int fd = (int)syscall(SYS_pidfd_open, p.pid, 0);
    if (fd < 0)
        return -1;
    /* Looked at after the open: from here on the pid cannot change its owner unnoticed. */
    struct stat_fields f;
    int code = read_stat(p.pid, &f) < 0                                 ? errno
               : f.start != p.start || f.state == 'Z' || f.state == 'X' ? ESRCH
                                                                        : 0;
    if (code) {
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

int proc_open_zombie(pid_t child)
{
    return (int)syscall(SYS_pidfd_open, child, 0);
}

int proc_signal(int pidfd, int sig)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

void proc_end(int pidfd, int sig)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (sig && proc_signal(pidfd, sig) == 0) {
        proc_signal(pidfd, SIGCONT); /* what is stopped takes no other */
        if (poll(&p, 1, PROC_END_MS) > 0)
            return;
    }
    proc_signal(pidfd, SIGKILL);
}

/* Whether it is an error of looking, and not that the process has ended meanwhile. */
static bool hidden(int code)
{
    return code != ENOENT && code != ESRCH;
}

int proc_children(pid_t pid, pid_t *out, int max)
{
    AUTO_FREE char *dir = xasprintf("/proc/%d/task", (int)pid);
    AUTO_CLOSEDIR DIR *d = opendir(dir);
    int n = 0;
    if (!d)
        return hidden(errno) ? -1 : 0;
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s/children", dir, e->d_name);
        AUTO_FREE char *text = NULL;
        if (read_file_at(AT_FDCWD, path, 1 << 20, &text, NULL, NULL) < 0) {
            if (hidden(errno))
                return -1;
            continue;
        }
        char *p = text;
        int child, used;
        while (n < max && sscanf(p, "%d%n", &child, &used) == 1) {
            out[n++] = child;
            p += used;
        }
    }
    return errno && hidden(errno) ? -1 : n;
}

static void count(struct proc_usage *u, const struct stat_fields *f)
{
    uint64_t tick_us = 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    u->cpu_us += (f->utime + f->stime + f->cutime + f->cstime) * tick_us;
    u->rss += f->rss * (uint64_t)sysconf(_SC_PAGESIZE);
    u->processes++;
}

static void add_usage(pid_t pid, int depth, struct proc_usage *u)
{
    struct stat_fields f;
    if (read_stat(pid, &f) < 0)
        return;
    count(u, &f);
    pid_t children[256];
    int n = depth < MAX_TREE_DEPTH ? proc_children(pid, children, 256) : 0;
    for (int i = 0; i < n; i++)
        add_usage(children[i], depth + 1, u);
}

struct proc_usage proc_tree_usage(pid_t pid)
{
    struct proc_usage u = {0};
    add_usage(pid, 0, &u);
    return u;
}

static void watch_tree(struct proc_watch *w, pid_t pid)
{
    pid_t children[PROC_WATCH_MAX];
    if (w->n == PROC_WATCH_MAX)
        return;
    AUTO_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    w->list[w->n].pid = pid;
    w->list[w->n++].fd = fd;
    int n = proc_children(pid, children, PROC_WATCH_MAX);
    for (int i = 0; i < n; i++)
        watch_tree(w, children[i]);
}

void proc_watch_tree(struct proc_watch *w, pid_t pid)
{
    w->n = 0;
    watch_tree(w, pid);
}

struct proc_usage proc_watch_usage(const struct proc_watch *w)
{
    struct proc_usage u = {0};
    for (unsigned i = 0; i < w->n; i++) {
        char text[2048];
        ssize_t n = pread(w->list[i].fd, text, sizeof text - 1, 0);
        struct stat_fields f;
        text[n > 0 ? n : 0] = '\0';
        if (n > 0 && parse_stat(text, &f) == 0) /* else it has ended */
            count(&u, &f);
    }
    return u;
}

void proc_watch_close(struct proc_watch *w)
{
    while (w->n)
        close(w->list[--w->n].fd);
}

static int signal_tree(pid_t pid, int sig, int depth)
{
    pid_t children[256];
    int n = depth < MAX_TREE_DEPTH ? proc_children(pid, children, 256) : 0;
    int code = n < 0 ? errno : 0;
    if (kill(pid, sig) < 0 && errno != ESRCH)
        code = errno;
    for (int i = 0; i < n; i++)
        if (signal_tree(children[i], sig, depth + 1) < 0)
            code = errno;
    errno = code;
    return code ? -1 : 0;
}

int proc_tree_signal(pid_t pid, int sig)
{
    return signal_tree(pid, sig, 0);
}
