#include "guest/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define AT_A_TIME  256
#define ROUND_MS   2
#define GIVE_UP_MS 10000 /* on what cannot be killed: another user's, or it waits for a device */

struct keeping {
    pid_t first;
    int status; /* as of waitpid, once ended */
    bool ended;
};

/* false: there are no children any more. */
static bool reap(struct keeping *k)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR))
        if (pid == k->first) {
            k->status = status;
            k->ended = true;
        }
    return pid == 0 || errno != ECHILD;
}

/* Those below a killed process become our children: so again, until nobody is left. Stopped first:
 * whoever makes processes without end would otherwise be ahead of us. */
static void end_all(struct keeping *k)
{
    pid_t children[AT_A_TIME];
    for (int ms = 0; reap(k) && ms < GIVE_UP_MS; ms += ROUND_MS) {
        int n = proc_children(getpid(), children, AT_A_TIME);
        for (int i = 0; i < n; i++)
            proc_tree_signal(children[i], SIGSTOP);
        for (int i = 0; i < n; i++)
            kill(children[i], SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = ROUND_MS * 1000000}, NULL);
    }
}

/* Ends as the first process did. */
_Noreturn static void end_alike(const struct keeping *k)
{
    if (!k->ended)
        _exit(128 + SIGKILL);
    if (!WIFSIGNALED(k->status))
        _exit(WEXITSTATUS(k->status));
    int sig = WTERMSIG(k->status);
    sigset_t set;
    prctl(PR_SET_DUMPABLE, 0); /* the core, if any, has been written */
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    kill(getpid(), sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + sig);
}

static void pass_on(struct keeping *k, int signals)
{
    struct signalfd_siginfo si;
    while (read(signals, &si, sizeof si) == (ssize_t)sizeof si)
        if (si.ssi_signo != SIGCHLD && !k->ended)
            kill(k->first, (int)si.ssi_signo);
}

_Noreturn static void keep(pid_t first, int parent, int guest, int signals)
{
    struct keeping k = {.first = first};
    struct pollfd p[3] = {{.fd = parent, .events = POLLIN},
                          {.fd = guest, .events = POLLIN},
                          {.fd = signals, .events = POLLIN}};
    while (reap(&k) && !k.ended) {
        if (poll(p, 3, -1) < 0) {
            if (errno != EINTR) /* for want of memory: no reason to end a guest */
                nanosleep(&(struct timespec){.tv_nsec = ROUND_MS * 1000000}, NULL);
            continue;
        }
        if (p[0].revents || p[1].revents)
            break;
        if (p[2].revents)
            pass_on(&k, signals);
    }
    end_all(&k);
    end_alike(&k);
}

int keeper_fork(const struct keeper *k)
{
    sigset_t all, before;
    int parent = (int)syscall(SYS_pidfd_open, k->parent, 0), guest = -1;
    if (parent < 0)
        return -1;
    if (k->guest.pid && (guest = proc_open(k->guest)) < 0)
        return -1;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -1;
    setsid(); /* what a terminal sends to its group comes by the monitor */
    pid_t first = fork();
    if (first < 0)
        return -1;
    if (first > 0) {
        close_but(0, (int[]){parent, guest, signals}, 3);
        prctl(PR_SET_NAME, "wirt-keeper");
        keep(first, parent, guest, signals);
    }
    close(parent);
    close(signals);
    if (guest >= 0)
        close(guest);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return 0;
}

void keeper_wait(struct proc_id keeper)
{
    AUTO_CLOSE int fd = proc_open(keeper);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        return;
    proc_signal(fd, SIGCONT);
    while (poll(&p, 1, GIVE_UP_MS + 1000) < 0 && errno == EINTR)
        ;
}
