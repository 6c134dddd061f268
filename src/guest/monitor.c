#include "guest/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "guest/monitor_internal.h"

/* Where the last output may take to reach who is attached once the guest is gone. */
#define FLUSH_NS 5000000000u

/* How long processes that a guest left behind may take to die, and the pause between two looks. */
#define ORPHANS_MS     10000
#define ORPHANS_NAP_MS 1

/* ---- the end ---- */

/* A machine's processes end with their launcher (jail/jail.h): when somebody killed that, they
 * are waited for here, and then what they held is free. A jailed monitor looks for no others. */
static void wait_for_machine(struct monitor *m)
{
    for (int ms = 0; ms < ORPHANS_MS; ms += ORPHANS_NAP_MS) {
        bool all = true;
        for (unsigned i = 0; i < m->w.watch.n; i++)
            all &= waitpid(m->w.watch.list[i].pid, NULL, WNOHANG) < 0 && errno == ECHILD;
        if (all)
            return;
        nanosleep(&(struct timespec){.tv_nsec = ORPHANS_NAP_MS * 1000000}, NULL);
    }
    log_warn("guest %.12s: the machine's processes do not end", m->g->id);
}

/* Children that the workload left behind have become ours (PR_SET_CHILD_SUBREAPER): a guest ends
 * with its first process. Children that this process was started with are not the guest's. */
static void kill_orphans(struct monitor *m)
{
    pid_t children[64];
    if (m->jailed && m->wall->monitor == JAIL_MACHINE_MONITOR) {
        wait_for_machine(m);
        return;
    }
    if (m->n_before < 0)
        return;
    for (int ms = 0; ms < ORPHANS_MS; ms += ORPHANS_NAP_MS) {
        int n = proc_children(getpid(), children, 64), killed = 0;
        for (int i = 0; i < n; i++) {
            bool before = false;
            for (int k = 0; k < m->n_before; k++)
                before |= m->before[k] == children[i];
            if (before)
                continue;
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, WNOHANG);
            killed++;
        }
        if (n >= 0 && !killed)
            return;
        nanosleep(&(struct timespec){.tv_nsec = ORPHANS_NAP_MS * 1000000}, NULL);
    }
    log_warn("guest %.12s: processes that it left behind do not end", m->g->id);
}

static int exit_status_of(const siginfo_t *si)
{
    return si->si_code == CLD_EXITED ? si->si_status & 255 : 128 + si->si_status;
}

static void finish_state(struct monitor *m)
{
    struct guest *g = m->g;
    g->status = GUEST_EXITED;
    g->ended_ns = realtime_ns();
    ERROR_CLEANUP err = NULL;
    if (unlinkat(g->dirfd, "control", 0) < 0 && errno != ENOENT)
        log_warn("guest %.12s: remove the control socket: %s", g->id, strerror(errno));
    /* What could not be taken away stays written down, for `rm --force`. */
    bool gone = m->wall->cleanup(g, &m->w, &err) == 0;
    if (!gone) {
        log_warn("guest %.12s: %s", g->id, error_text(err));
        g->reason = g->reason ? g->reason : xstrdup(error_text(err));
    }
    error_free(&err);
    if (g->spec.auto_remove && gone && guest_remove(g, &err) < 0) {
        log_warn("guest %.12s: %s", g->id, error_text(err));
        gone = false;
    }
    /* A status of 0 would say that all is well. */
    if (!gone && g->exit_status == 0)
        g->exit_status = 125;
    if ((!g->spec.auto_remove || !gone) && !monitor_save(m) && g->exit_status == 0)
        g->exit_status = 125;
}

/* The guest cannot go on: it ends with all that it started. Not from a callback. */
static void end_workload(struct monitor *m)
{
    proc_end(m->w.pidfd, m->wall->kill_signal);
    monitor_kill(m); /* and what is frozen */
    kill_orphans(m); /* it is one of our children, too */
}

static void flush_deadline(void *arg)
{
    struct monitor *m = arg;
    loop_quit(m->loop);
}

/* After each round of the loop. */
static void round_ended(void *arg)
{
    struct monitor *m = arg;
    monitor_streams_flow(m);
    /* It is over when all that was said has been delivered. */
    if (m->ended && !caller_pending(&m->caller) && !monitor_clients_pending(m))
        loop_quit(m->loop);
}

static void workload_ended(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    siginfo_t si = {0};
    if (waitid(P_PIDFD, (id_t)m->w.pidfd, &si, WEXITED | WNOHANG) < 0) {
        if (errno == EINTR)
            return; /* the loop comes back */
        /* Not our child: it is gone, and with it its status. */
        log_warn("guest %.12s: wait: %s", m->g->id, strerror(errno));
        m->g->exit_status = 255;
    } else if (si.si_pid == 0) {
        return;
    } else {
        m->g->exit_status = exit_status_of(&si);
    }
    loop_unwatch(m->loop, m->w.pidfd);
    monitor_life_end(m);
    kill_orphans(m);
    machine_link_finish(m->w.machine);
    agent_link_finish(m->w.link);
    monitor_exec_end(m);
    monitor_streams_end(m);
    finish_state(m);
    monitor_clients_exit(m);
    loop_timer(m->loop, clock_ns() + FLUSH_NS, flush_deadline, m);
}

static void signal_ready(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    struct signalfd_siginfo si;
    while (read(fd, &si, sizeof si) == (ssize_t)sizeof si) {
        ERROR_CLEANUP err = NULL;
        if (si.ssi_signo == SIGCHLD) {
            /* Reaps adopted children; the workload itself is left to its pidfd. */
            siginfo_t c;
            for (;;) {
                c.si_pid = 0;
                if (waitid(P_ALL, 0, &c, WEXITED | WNOHANG | WNOWAIT) < 0 || c.si_pid == 0 ||
                    c.si_pid == m->w.id.pid)
                    break;
                waitpid(c.si_pid, NULL, WNOHANG);
            }
        } else if (!m->ended && m->wall->signal(m->g, &m->w, (int)si.ssi_signo, &err) < 0) {
            log_debug("guest %.12s: signal %u: %s", m->g->id, si.ssi_signo, error_text(err));
        }
    }
}

static int watch_signals(struct monitor *m, sigset_t *before, struct error **err)
{
    static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaddset(&set, passed[i]);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, before) < 0)
        return error_set(err, errno, "sigprocmask");
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (m->signals < 0)
        return error_set(err, errno, "signalfd");
    return loop_watch(m->loop, m->signals, EPOLLIN, signal_ready, m, err);
}

/* ---- start ---- */

static void close_stdio(struct wall_stdio *io)
{
    int fds[] = {io->in, io->out, io->err};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void balance_due(void *arg)
{
    struct monitor *m = arg;
    if (m->ended)
        return;
    if (m->g->status == GUEST_RUNNING)
        balance_tick(&m->balance);
    loop_timer(m->loop, clock_ns() + BALANCE_TICK_NS, balance_due, m);
}

static void agent_hello(void *arg)
{
    struct monitor *m = arg;
    log_debug("guest %.12s: an agent answers", m->g->id);
    monitor_streams_hello(m);
    monitor_exec_hello(m);
}

static int watch_all(struct monitor *m, bool attached, struct near_ends *ends, struct error **err)
{
    if (monitor_streams_start(m, attached, ends, err) < 0)
        return -1;
    if (m->w.agent >= 0) {
        m->w.link = agent_link_new(m->loop, m->w.agent, agent_hello, m, err);
        if (!m->w.link)
            return -1;
    }
    if (m->w.control >= 0) {
        m->w.machine = machine_link_new(m->loop, m->w.control, err);
        if (!m->w.machine)
            return -1;
        balance_due(m);
    }
    return loop_watch(m->loop, m->w.pidfd, EPOLLIN, workload_ended, m, err);
}

static void close_ends(struct near_ends *ends)
{
    int fds[] = {ends->in, ends->out, ends->err};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* The workload is there. From monitor_jail on, what it says is looked at. */
static int begin(struct monitor *m, bool attached, struct near_ends *ends, struct error **err)
{
    if (m->wall->await && m->wall->await(m->g, &m->w, err) < 0)
        return -1;
    if (monitor_jail(m, attached, err) < 0)
        return -1;
    if (m->wall->started && m->wall->started(m->g, &m->w, err) < 0)
        return -1;
    m->g->started_ns = realtime_ns();
    m->g->status = GUEST_RUNNING;
    return guest_save(m->g, err) < 0 ? -1 : watch_all(m, attached, ends, err);
}

static int start_workload(struct monitor *m, bool attached, struct error **err)
{
    struct wall_stdio io;
    __attribute__((cleanup(close_ends))) struct near_ends ends;
    int r = monitor_streams_prepare(m, attached, &io, &ends, err);
    if (r == 0 && (ends.err >= 0 || m->g->spec.tty))
        r = log_open(&m->log, m->g->dirfd, err);
    if (r == 0 && m->wall->monitor == JAIL_MACHINE_MONITOR)
        r = balance_init(&m->balance, m->g, &m->w, err);
    if (r == 0)
        r = m->wall->start(m->g, &io, &m->w, err);
    close_stdio(&io);
    if (r < 0)
        return -1;
    m->g->workload = m->w.id;
    if (begin(m, attached, &ends, err) < 0)
        return -1;
    loop_idle(m->loop, round_ended, m);
    return 0;
}

static int failure_status(const struct error *err)
{
    switch (error_code(err)) {
    case ENOENT:
    case ENOTDIR: return 127;
    case EACCES:
    case ENOEXEC:
    case EISDIR: return 126;
    default: return 125;
    }
}

static void monitor_init(struct monitor *m, struct guest *g)
{
    *m = (struct monitor){.g = g, .wall = wall_of(&g->spec)};
    m->listener = m->signals = m->n_before = -1;
    m->w.pidfd = m->w.control = m->w.terminal = m->w.agent = -1;
    m->log.fd = -1;
    m->first_by_agent = m->wall->first_command && m->wall->first_command(g, NULL);
}

/* The loop has ended. */
static void monitor_destroy(struct monitor *m)
{
    monitor_clients_free(m);
    monitor_streams_free(m);
    agent_link_free(m->w.link);
    machine_link_free(m->w.machine);
    balance_free(&m->balance);
    proc_watch_close(&m->w.watch);
    loop_free(m->loop);
    int fds[] = {m->listener, m->signals, m->w.pidfd, m->w.control, m->w.terminal, m->w.agent};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* The monitor keeps nothing of its caller: no terminal, no folder, no stream that somebody waits
 * for the end of. */
static int leave_caller(struct guest *g, int conn, struct error **err)
{
    int keep[] = {conn, g->dirfd, g->store->fd, g->store->guests_fd, g->store->names_fd};
    close_but(3, keep, sizeof keep / sizeof *keep);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return error_set(err, errno, "/dev/null");
    for (int i = 0; i < 3; i++)
        if (dup2(null, i) < 0)
            return error_set(err, errno, "leave standard stream %d", i);
    if (null > 2)
        close(null);
    if (chdir("/") < 0)
        return error_set(err, errno, "chdir /");
    int fd = openat(g->dirfd, "monitor.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, errno, "create %s/monitor.log", g->dir);
    log_to_fd(fd, 0);
    return 0;
}

/* What a guest leaves behind comes to this process, where it would else go to somebody who lets it
 * live; and state.json says who keeps the guest. */
static int become_keeper(struct monitor *m, struct error **err)
{
    struct guest *g = m->g;
    g->monitor = proc_identify(getpid());
    if (!g->monitor.start)
        return error_set(err, EIO, "look at process %d", (int)g->monitor.pid);
    m->n_before = proc_children(getpid(), m->before, MAX_BEFORE);
    if (m->n_before < 0)
        return error_set(err, errno, "look for children of this process");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return error_set(err, errno, "prctl PR_SET_CHILD_SUBREAPER");
    return guest_save(g, err);
}

/* The guest does not run, or is not to: what there is of it ends, and the reason is written down.
 */
static void give_up(struct monitor *m, int status, const struct error *why)
{
    end_workload(m);
    m->ended = true;
    m->g->exit_status = status;
    free(m->g->reason);
    m->g->reason = xstrdup(error_text(why));
    finish_state(m);
}

/* From here to the guest's end. first: NULL when attached, else a client that gets the answer to
 * its `attach`; it is taken over, and -1 then, when the guest runs. */
static int monitor_main(struct guest *g, bool attached, int *first, bool first_frames, int *status,
                        struct error **err)
{
    struct monitor m;
    sigset_t before;
    monitor_init(&m, g);
    sigprocmask(SIG_SETMASK, NULL, &before);
    int r = -1;
    bool ready = (attached || leave_caller(g, *first, err) == 0) && become_keeper(&m, err) == 0;
    guest_unlock(g);
    if (!ready || !(m.loop = loop_new(err)) || watch_signals(&m, &before, err) < 0 ||
        monitor_clients_listen(&m, err) < 0 || start_workload(&m, attached, err) < 0) {
        *status = ready ? failure_status(*err) : 125;
        give_up(&m, *status, *err);
        goto out;
    }
    if (first)
        monitor_client_first(&m, STEAL_FD(*first), first_frames);
    r = loop_run(m.loop, err);
    if (r < 0 && !m.ended)
        give_up(&m, 125, *err);
    *status = r < 0 ? 125 : g->exit_status;
    if (m.lost && !*status)
        *status = 125;
out:
    monitor_destroy(&m);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

int monitor_run_attached(struct guest *g, int *status, struct error **err)
{
    return monitor_main(g, true, NULL, false, status, err);
}

static void background(struct guest *g, int conn, bool frames)
{
    ERROR_CLEANUP err = NULL;
    int status = 125;
    /* Once the guest runs the connection is a client's, and the only one: its end is heard. */
    if (monitor_main(g, false, &conn, frames, &status, &err) < 0 && conn >= 0) {
        AUTO_JSON *o = json_object_new_object();
        json_put_bool(o, "ok", false);
        json_put_str(o, "error", error_text(err));
        json_put_int(o, "status", status);
        AUTO_FREE char *line =
            xasprintf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
        if (send(conn, line, strlen(line), MSG_NOSIGNAL) < 0)
            log_warn("%s", error_text(err));
    }
}

int monitor_start(struct guest *g, int *attached, int *status, struct error **err)
{
    int sv[2];
    *status = 125;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        return error_set(err, errno, "socketpair");
    AUTO_CLOSE int near_end = sv[0];
    AUTO_CLOSE int far_end = sv[1];
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, errno, "fork");
    if (pid == 0) {
        close(near_end);
        setsid();
        pid_t second = fork();
        if (second == 0)
            background(g, far_end, attached != NULL);
        _exit(second < 0);
    }
    close(far_end);
    far_end = -1;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    STR_CLEANUP line = {0};
    if (control_read_line(near_end, &line, -1, err) < 0)
        return error_prefix(err, "the guest's monitor ended before the guest ran");
    AUTO_JSON *o = json_parse_object(line.data ? line.data : "", line.len, "answer", err);
    if (!o)
        return -1;
    if (!json_get_bool(o, "ok", false)) {
        *status = (int)json_get_int(o, "status", 125);
        return error_set(err, 0, "%s", json_get_str(o, "error", "no reason given"));
    }
    *status = 0;
    if (attached)
        *attached = STEAL_FD(near_end);
    return 0;
}
