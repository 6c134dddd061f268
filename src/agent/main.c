/* wirt-agent: runs in a machine's guest and does what the machine's monitor asks for (protocol.h).
 * One process, one loop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/command.h"
#include "agent/port.h"
#include "agent/power.h"
#include "agent/session.h"
#include "base/cleanup.h"
#include "base/io.h"

#define SESSIONS 64

/* Bytes that wait for the port before commands' output waits too, and before the host's frames. */
#define OUTPUT_MAX (64u << 10)
#define QUEUE_MAX  (1u << 20)

#define HELLO_MS     1000
#define CLOSED_MS    100  /* how often we look whether somebody has taken the other end */
#define TERM_MS      2000 /* from SIGTERM to SIGKILL at power-off */
#define KILL_MS      500
#define POWER_OFF_MS 10 /* how often we look whether all have ended */

struct agent {
    struct port port;
    bool port_is_device; /* whose other end may be taken again */
    int child_signal;    /* signalfd of SIGCHLD */
    struct session *session[SESSIONS];
    unsigned turn; /* whose output goes first */
    int64_t hello_at;
    bool ending, killed;
    uint8_t status;
    int64_t end_at;
};

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * (int64_t)1000 + ts.tv_nsec / 1000000;
}

/* The host's frames. */

static struct session **find_session(struct agent *a, unsigned number)
{
    for (int i = 0; i < SESSIONS; i++)
        if (a->session[i] && a->session[i]->number == number)
            return &a->session[i];
    return NULL;
}

static int run(struct agent *a, const struct agent_frame *f, const uint8_t *payload)
{
    struct session **slot = a->session, **end = a->session + SESSIONS, *none;
    while (slot < end && *slot)
        slot++;
    const char *refusal = a->ending ? "the machine powers off" : "64 commands run already";
    if (slot == end || a->ending)
        return session_start(&none, &a->port, f, payload, refusal);
    return session_start(slot, &a->port, f, payload, NULL);
}

static int power(struct agent *a, const struct agent_frame *f, const uint8_t *payload)
{
    if (f->length != 1)
        return -1;
    a->status = payload[0];
    if (!a->ending) {
        a->ending = true;
        a->end_at = now_ms() + TERM_MS;
        power_end_processes(false);
    }
    return 0;
}

static int resize_console(const struct agent_frame *f, const uint8_t *payload)
{
    struct agent_size size;
    if (f->length != sizeof size)
        return -1;
    memcpy(&size, payload, sizeof size);
    AUTO_CLOSE int console = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (console >= 0)
        command_resize(console, &size, NULL);
    return 0;
}

static int on_frame(void *arg, const struct agent_frame *f, const uint8_t *payload)
{
    struct agent *a = arg;
    struct session **s = find_session(a, f->session);
    switch (f->type) {
    case AGENT_HELLO: /* the answer to one that we had repeated */
        return f->length == AGENT_NONCE && !memcmp(payload, a->port.hello.nonce, AGENT_NONCE) ? 0
                                                                                              : -1;
    case AGENT_POWEROFF: return power(a, f, payload);
    case AGENT_RUN: return s || f->session == AGENT_CONSOLE ? -1 : run(a, f, payload);
    case AGENT_INPUT:
    case AGENT_SIGNAL:
    case AGENT_RESIZE:
    case AGENT_ROOM:
        if (f->type == AGENT_RESIZE && f->session == AGENT_CONSOLE)
            return resize_console(f, payload);
        /* without one, it has ended while this was under way */
        return s ? session_frame(*s, &a->port, f, payload) : 0;
    default: return -1;
    }
}

/* To the host we have just started, so that is what we do. */
static int start_over(struct agent *a, struct error **err)
{
    for (int i = 0; i < SESSIONS; i++)
        if (a->session[i]) {
            session_free(a->session[i]);
            a->session[i] = NULL;
        }
    a->hello_at = now_ms();
    return port_distrust(&a->port, err);
}

/* 1; 0: the host has gone for good; -1. */
static int receive(struct agent *a, struct error **err)
{
    enum port_state state = port_receive(&a->port, on_frame, a, err);
    if (state == PORT_OK || state == PORT_FAILED || (state == PORT_CLOSED && !a->port_is_device))
        return state;
    if (start_over(a, err) < 0)
        return -1;
    if (state == PORT_CLOSED)
        poll(NULL, 0, CLOSED_MS); /* nobody is there to be kept waiting */
    return 1;
}

/* The loop. */

static void reap(struct agent *a)
{
    struct signalfd_siginfo ignored;
    while (read(a->child_signal, &ignored, sizeof ignored) > 0)
        continue;
    pid_t pid;
    int status;
    /* Orphans too, if we are process 1. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < SESSIONS; i++)
            if (a->session[i] && a->session[i]->pid == pid)
                session_ended(a->session[i], status);
}

static void pass(struct agent *a, const struct pollfd *fds)
{
    for (unsigned n = 0; n < SESSIONS; n++) {
        unsigned i = (a->turn + n) % SESSIONS;
        struct session *s = a->session[i];
        bool may_read = a->port.out.len < OUTPUT_MAX;
        if (s && session_pass(s, &a->port, fds + i * SESSION_FDS, may_read)) {
            session_free(s);
            a->session[i] = NULL;
        }
    }
    a->turn++;
}

static bool any_session(const struct agent *a)
{
    for (int i = 0; i < SESSIONS; i++)
        if (a->session[i])
            return true;
    return false;
}

/* Until all processes have ended, of themselves or not, and the host knows how. */
static void power_off_if_due(struct agent *a)
{
    bool late = now_ms() >= a->end_at;
    if (late && !a->killed) {
        power_end_processes(true);
        a->killed = true;
        a->end_at += KILL_MS;
    } else if (late || (!power_others_run() && !any_session(a) && !a->port.out.len)) {
        power_off(a->status);
    }
}

static int wait_ms(const struct agent *a)
{
    if (a->ending)
        return POWER_OFF_MS;
    if (a->port.trusted)
        return -1;
    int64_t ms = a->hello_at - now_ms();
    return ms < 0 ? 0 : (int)ms;
}

static int serve(struct agent *a, struct error **err)
{
    struct pollfd fds[2 + SESSIONS * SESSION_FDS], *of_sessions = fds + 2;
    for (;;) {
        if (!a->port.trusted && now_ms() >= a->hello_at) {
            port_hello(&a->port);
            a->hello_at = now_ms() + HELLO_MS;
        }
        if (port_flush(&a->port, err) < 0)
            return -1;
        size_t queued = a->port.out.len;
        int events = (queued ? POLLOUT : 0) | (queued < QUEUE_MAX ? POLLIN : 0);
        fds[0] = (struct pollfd){.fd = a->port.fd, .events = (short)events};
        fds[1] = (struct pollfd){.fd = a->child_signal, .events = POLLIN};
        for (int i = 0; i < SESSIONS; i++) {
            struct pollfd *p = of_sessions + i * SESSION_FDS;
            if (a->session[i])
                session_poll(a->session[i], p, queued < OUTPUT_MAX);
            else
                p[0].fd = p[1].fd = p[2].fd = -1;
        }
        if (poll(fds, sizeof fds / sizeof *fds, wait_ms(a)) < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (fds[1].revents)
            reap(a);
        int n = fds[0].revents & ~POLLOUT ? receive(a, err) : 1;
        if (n <= 0)
            return n;
        pass(a, of_sessions);
        if (a->ending)
            power_off_if_due(a);
    }
}

static int start(struct agent *a, const char *root, const char *path, struct error **err)
{
    struct stat st;
    sigset_t child;
    if (port_open(&a->port, path, err) < 0)
        return -1;
    if (fstat(a->port.fd, &st) < 0)
        return error_set(err, errno, "port %s", path);
    a->port_is_device = S_ISCHR(st.st_mode);
    if (root && (chdir(root) < 0 || chroot(".") < 0))
        return error_set(err, errno, "--root %s", root);
    if (chdir("/") < 0)
        return error_set(err, errno, "folder /");
    /* When memory runs out, a command goes before us: or nobody could stop the machine. */
    (void)write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "-1000", NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    a->child_signal = sigprocmask(SIG_BLOCK, &child, NULL) < 0
                          ? -1
                          : signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return a->child_signal < 0 ? error_set(err, errno, "signalfd") : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"root", required_argument, NULL, 'r'}, {"port", required_argument, NULL, 'p'}, {0}};
    const char *root = NULL, *port = NULL;
    AUTO_FREE char *found = NULL;
    ERROR_CLEANUP err = NULL;
    static struct agent a;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (option == 'r')
            root = optarg;
        else if (option == 'p')
            port = optarg;
        else
            return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "usage: wirt-agent [--root DIR] [--port PATH]\n");
        return 2;
    }
    if (!port)
        port = found = port_find(AGENT_PORT);
    if (!port)
        return 0; /* a machine that nobody asks for anything */
    int n = start(&a, root, port, &err);
    if (n < 0 && found && error_code(err) == EBUSY)
        return 0; /* another of us has it */
    if (n == 0)
        n = serve(&a, &err);
    port_close(&a.port);
    if (n < 0)
        fprintf(stderr, "wirt-agent: %s\n", error_text(err));
    return n < 0;
}
