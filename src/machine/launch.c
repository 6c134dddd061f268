#include "machine/launch.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "jail/filter.h"
#include "jail/jail.h"
#include "machine/control.h"
#include "machine/files.h"
#include "net/link.h"

#define EXIT_WIRT 125

/* Threads besides harts, disks' and shares'. */
#define OTHER_THREADS 4u

static int filter_network(struct error **err)
{
    signal(SIGPIPE, SIG_IGN);
    return jail_filter(JAIL_NETWORK, err);
}

/* The network's process: until the machine's end of the wire closes. */
static int run_network(struct loop *loop)
{
    ERROR_CLEANUP err = NULL;
    if (loop_run(loop, &err) < 0) {
        log_error("network: %s", error_text(err));
        return EXIT_WIRT;
    }
    return 0;
}

struct fd_list {
    int *fds;
    unsigned n;
};

static void free_list(struct fd_list *l)
{
    free(l->fds);
}

#define FD_LIST __attribute__((cleanup(free_list))) struct fd_list

static bool has(const struct fd_list *l, int fd)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->fds[i] == fd)
            return true;
    return false;
}

/* What is open now and is not in `before`. */
static int list_open(struct fd_list *out, const struct fd_list *before, struct error **err)
{
    AUTO_CLOSEDIR DIR *d = opendir("/proc/self/fd");
    if (!d)
        return error_set(err, errno, "open /proc/self/fd");
    for (const struct dirent *e; errno = 0, (e = readdir(d));) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] == '.' || fd == dirfd(d) || (before && has(before, fd)))
            continue;
        out->fds = xrealloc(out->fds, (out->n + 2) * sizeof *out->fds);
        out->fds[out->n++] = fd;
    }
    return errno ? error_set(err, errno, "read /proc/self/fd") : 0;
}

/* In the launcher: ports are bound with the caller's rights, and what cannot be had is told. The
 * child has it all as a copy, and of what was open before, only the wire. Returns 0 in the
 * launcher; does not return in the child. */
static int start_network(const struct nat_config *nat, int wire, int *pidfd, struct error **err)
{
    FD_LIST before = {0};
    FD_LIST keep = {0};
    if (list_open(&before, NULL, err) < 0)
        return -1;
    struct loop *loop = loop_new(err);
    struct net_link *link = loop ? net_link_new(loop, wire, nat, err) : NULL;
    if (!link || list_open(&keep, &before, err) < 0)
        return -1;
    keep.fds[keep.n++] = wire;
    struct jail_config c = {.name = "wirt-net",
                            .network = true,
                            .keep = keep.fds,
                            .n_keep = keep.n,
                            .threads = 1,
                            .last = filter_network};
    pid_t pid;
    int rc = jail_fork(&c, &pid, pidfd, err);
    if (rc == 0)
        exit(run_network(loop));
    /* The launcher's copy is left as it is: the two share what the kernel watches for the loop.
     * Its descriptors are closed with all others. */
    return rc < 0 ? -1 : 0;
}

static void keep_fd(int *keep, unsigned *n, int fd)
{
    if (fd > STDERR_FILENO)
        keep[(*n)++] = fd;
}

int machine_refuse(int control, const char *why)
{
    if (control >= 0)
        control_refuse(control, why);
    else
        log_error("%s", why);
    return EXIT_WIRT;
}

static int run_machine(const struct machine_config *c)
{
    struct machine_result result;
    ERROR_CLEANUP err = NULL;
    if (machine_run(c, &result, &err) < 0)
        return machine_refuse(result.started ? -1 : c->control, error_text(err));
    return result.status;
}

static int start_machine(struct machine_config *c, pid_t *pid, int *pidfd, struct error **err)
{
    unsigned n = 0;
    AUTO_FREE int *keep = xcalloc(c->n_disks + 9, sizeof *keep);
    AUTO_FREE struct jail_folder *folders = xcalloc(c->n_shares + 1, sizeof *folders);
    const int fds[] = {c->kernel.fd,   c->initrd.fd, c->firmware.fd, c->trace.fd, c->console_in,
                       c->console_out, c->control,   c->agent,       c->wire};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        keep_fd(keep, &n, fds[i]);
    for (unsigned i = 0; i < c->n_disks; i++)
        keep_fd(keep, &n, c->disks[i].fd);
    for (unsigned i = 0; i < c->n_shares; i++)
        folders[i] =
            (struct jail_folder){&c->shares[i].fd, c->shares[i].readonly, c->shares[i].only};
    struct jail_config j = {.name = "wirt-machine",
                            .console = true,
                            .folders = folders,
                            .n_folders = c->n_shares,
                            .keep = keep,
                            .n_keep = n,
                            .threads = c->harts + c->n_disks + c->n_shares + OTHER_THREADS};
    int rc = jail_fork(&j, pid, pidfd, err);
    if (rc == 0)
        exit(run_machine(c));
    return rc < 0 ? -1 : 0;
}

static int exit_status(const siginfo_t *si)
{
    if (si->si_code == CLD_EXITED)
        return si->si_status;
    if (si->si_status == SIGSYS)
        log_error("the machine made a system call that its jail does not allow, and was ended");
    return 128 + si->si_status;
}

static void send_signal(int pidfd, int sig)
{
    syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0); /* or it has ended */
}

/* Passes signals on until the machine ends; SIGQUIT ends it at once. */
static int wait_for(int pidfd, int signals)
{
    siginfo_t si = {0};
    for (;;) {
        struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        struct signalfd_siginfo s;
        if (p[1].revents && read(signals, &s, sizeof s) == sizeof s)
            send_signal(pidfd, s.ssi_signo == SIGQUIT ? SIGKILL : (int)s.ssi_signo);
        if (p[0].revents && waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) == 0)
            return exit_status(&si);
    }
    log_error("wait for the machine: %s", strerror(errno));
    return EXIT_WIRT;
}

/* Blocked before the machine is made, which so has them from its first moment. */
static int take_signals(struct error **err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "signalfd") : fd;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The launcher has nothing to do any more with what it opened. */
static int close_others(int *keep, unsigned n, struct error **err)
{
    unsigned from = 3;
    qsort(keep, n, sizeof *keep, ascending);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    for (unsigned i = 0; i <= n; i++) {
        unsigned to = i < n ? (unsigned)keep[i] : ~0u;
        if (to > from && close_range(from, to == ~0u ? to : to - 1, 0) < 0)
            return error_set(err, errno, "close_range");
        from = to + 1;
    }
    return 0;
}

/* Both are at their end: what they held (ports, locks of disks) is free when the launcher ends. */
static int finish(int machine, int network, int signals)
{
    int status = wait_for(machine, signals);
    if (network >= 0) {
        siginfo_t si;
        send_signal(network, SIGKILL);
        while (waitid(P_PIDFD, (id_t)network, &si, WEXITED) < 0 && errno == EINTR)
            ;
    }
    return status;
}

struct launch {
    int signals, network, machine; /* a signalfd, pidfds */
};

static int start(struct launch *l, struct machine_config *config, const struct nat_config *nat,
                 struct error **err)
{
    int wire[2];
    l->signals = take_signals(err);
    if (l->signals < 0 || machine_open_files(config, err) < 0)
        return -1;
    if (nat) {
        if (net_link_pair(wire, err) < 0)
            return -1;
        if (start_network(nat, wire[1], &l->network, err) < 0)
            return error_prefix(err, "network");
        close(wire[1]);
        config->wire = wire[0];
    }
    pid_t pid;
    return start_machine(config, &pid, &l->machine, err);
}

void machine_launch(struct machine_config *config, const struct nat_config *nat)
{
    ERROR_CLEANUP err = NULL;
    struct launch l = {-1, -1, -1};
    int status = EXIT_WIRT;
    if (start(&l, config, nat, &err) == 0) {
        int keep[] = {l.signals, l.machine, l.network};
        bool narrow = close_others(keep, l.network < 0 ? 2 : 3, &err) == 0 &&
                      jail_filter(JAIL_LAUNCHER, &err) == 0;
        if (!narrow) {
            log_error("launcher: %s", error_text(err));
            send_signal(l.machine, SIGKILL);
        }
        status = finish(l.machine, l.network, l.signals);
        status = narrow ? status : EXIT_WIRT;
    } else {
        machine_refuse(config->control, error_text(err));
    }
    fflush(NULL);
    _exit(status);
}
