/* The guest's streams: its output to the log, the caller and who is attached, input from these, and
 * the agent that runs the first command of a machine. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guest/apart.h"
#include "guest/monitor_internal.h"

/* An attached client that has taken nothing for so long, while the guest waits for it, is waited
 * for no more. */
#define STALL_NS 1000000000u

/* ---- output ---- */

void monitor_output(struct monitor *m, int which, const char *data, size_t len)
{
    log_write(&m->log, (enum log_stream)which, data, len);
    caller_write(&m->caller, which, data, len);
    for (struct peer *p = m->peers; p; p = p->next) {
        if (!p->attached)
            continue;
        if (p->stalled) {
            p->left_out += len;
            continue;
        }
        frame_append(&p->c->out, which ? FRAME_STDERR : FRAME_STDOUT, data, len);
        client_send(p->c);
    }
}

static void main_output(void *arg, int which, const char *data, size_t len)
{
    monitor_output(arg, which, data, len);
}

static void said_output(void *arg, int which, const char *data, size_t len)
{
    monitor_output(arg, 1, data, len);
}

static void wake(void *arg)
{
    /* the round itself is what is wanted */
}

/* Whether an attached client has more to take than is waited for. */
static bool clients_full(struct monitor *m)
{
    bool full = false;
    uint64_t now = clock_ns(), due = UINT64_MAX;
    for (struct peer *p = m->peers; p; p = p->next) {
        if (!p->attached || p->stalled || p->c->out.len <= BACKLOG_MAX)
            continue;
        uint64_t end = p->c->took_ns + STALL_NS;
        p->stalled = !p->holds && end <= now;
        full |= !p->stalled;
        if (!p->holds && end > now && end < due)
            due = end;
    }
    loop_timer(m->loop, due, wake, m);
    return full;
}

void monitor_streams_flow(struct monitor *m)
{
    bool full = caller_pending(&m->caller) > BACKLOG_MAX || clients_full(m);
    stream_hold(m->w.main, full);
    stream_hold(m->said, full);
}

/* ---- input ---- */

static void main_input_room(void *arg)
{
    struct monitor *m = arg;
    caller_input_room(&m->caller);
    for (struct peer *p = m->peers; p; p = p->next)
        if (p->sends_input)
            client_resume(p->c);
}

static void said_input_room(void *arg)
{
}

/* ---- the caller ---- */

/* A status of 0 says that all was carried (monitor_main). */
static void lost(struct monitor *m, const char *what, int code)
{
    m->lost = true;
    log_warn("guest %.12s: %s: %s", m->g->id, what, strerror(code));
}

/* Who ran the guest reads its output no more, or it cannot be written: neither does the guest find
 * a reader. */
static void caller_closed(void *arg, int which, int code)
{
    struct monitor *m = arg;
    if (code != EPIPE)
        lost(m, which ? "write to standard error" : "write to standard output", code);
    stream_close_output(m->w.main, which);
    if (which)
        stream_close_output(m->said, which);
}

static void caller_input(void *arg, const char *data, size_t len)
{
    struct monitor *m = arg;
    stream_input(m->w.main, data, len);
}

static void caller_input_end(void *arg, int code)
{
    struct monitor *m = arg;
    if (code)
        lost(m, "read standard input", code);
    stream_input_end(m->w.main);
}

static bool caller_input_full(void *arg)
{
    struct monitor *m = arg;
    return stream_full(m->w.main);
}

static const struct caller_ops caller_ops = {
    .closed = caller_closed,
    .input = caller_input,
    .input_end = caller_input_end,
    .input_full = caller_input_full,
};

/* ---- the agent ---- */

/* With the first command the machine ends; a lost agent comes back when the guest boots again. */
static void main_ended(void *arg, int status)
{
    struct monitor *m = arg;
    if (status >= 0)
        agent_link_poweroff(m->w.link, status);
}

static void said_ended(void *arg, int status)
{
}

static void stream_lost(void *arg, int code)
{
    struct monitor *m = arg;
    AUTO_FREE char *why = xasprintf("carry the guest's streams: %s", strerror(code));
    lost(m, "carry its streams", code);
    monitor_clients_lost(m, why);
}

static const struct stream_ops main_ops = {
    .output = main_output, .input_room = main_input_room, .lost = stream_lost, .ended = main_ended};
static const struct stream_ops said_ops = {
    .output = said_output, .input_room = said_input_room, .lost = stream_lost, .ended = said_ended};

static void run_first(struct monitor *m)
{
    struct wall_exec x = {0};
    ERROR_CLEANUP err = NULL;
    m->wall->first_command(m->g, &x);
    int r = stream_run(m->w.main, m->w.link, &x, &m->size, &err);
    strv_free(x.command);
    strv_free(x.env);
    if (r == 0)
        return;
    AUTO_FREE char *said = xasprintf("wirt: %s\n", error_text(err));
    monitor_output(m, 1, said, strlen(said));
    agent_link_poweroff(m->w.link, 125);
}

/* Tells the size of the terminal when that is the machine's console. */
static void resize_console(struct monitor *m)
{
    if (!m->first_by_agent && m->size.ws_row && agent_link_answers(m->w.link))
        agent_link_resize(m->w.link, m->size.ws_row, m->size.ws_col);
}

void monitor_streams_hello(struct monitor *m)
{
    if (m->first_by_agent)
        run_first(m);
    resize_console(m);
}

void monitor_resize(struct monitor *m)
{
    if (stream_runs(m->w.main))
        stream_resize(m->w.main, &m->size);
    else if (m->w.terminal >= 0 && ioctl(m->w.terminal, TIOCSWINSZ, &m->size) < 0)
        log_debug("TIOCSWINSZ: %s", strerror(errno));
    resize_console(m);
}

/* ---- start and end ---- */

static int make_pipe(int *near_end, int *far_end, bool to_guest, struct error **err)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    *near_end = p[to_guest];
    *far_end = p[!to_guest];
    if (fcntl(*near_end, F_SETFL, O_NONBLOCK) < 0)
        return error_set(err, errno, "make a pipe nonblocking");
    return 0;
}

static int copy_fd(int fd, int *copy, struct error **err)
{
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return *copy < 0 ? error_set(err, errno, "standard stream %d", fd) : 0;
}

static int open_null(int *fd, struct error **err)
{
    *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_set(err, errno, "/dev/null") : 0;
}

/* Whether one of the caller's streams may be the guest's own. */
static bool goes_straight(const struct monitor *m, int fd)
{
    return !m->wall->by_pipes || !apart_needed(fd);
}

static int output(const struct monitor *m, bool straight, int fd, int *near_end, int *its,
                  struct error **err)
{
    return straight && goes_straight(m, fd) ? copy_fd(fd, its, err)
                                            : make_pipe(near_end, its, false, err);
}

/* What goes straight to the guest, and what by pipes. The first command of a machine has its agent:
 * what the machine itself says (a kernel in distress, a setup that failed) is an error. Attached
 * with --rm nobody will ask for the log: the caller's own descriptors go straight in, as far as the
 * wall lets them. */
int monitor_streams_prepare(struct monitor *m, bool attached, struct wall_stdio *io,
                            struct near_ends *ends, struct error **err)
{
    const struct guest_spec *s = &m->g->spec;
    int r;
    *io = (struct wall_stdio){-1, -1, -1};
    *ends = (struct near_ends){-1, -1, -1};
    caller_init(&m->caller, m->loop, &caller_ops, m);
    if (m->first_by_agent) {
        r = open_null(&io->in, err);
        r = r < 0 ? r : make_pipe(&ends->err, &io->err, false, err);
        return r < 0 ? r : copy_fd(io->err, &io->out, err);
    }
    if (s->tty)
        return 0;
    if (!s->interactive)
        r = open_null(&io->in, err);
    else if (attached && goes_straight(m, STDIN_FILENO))
        r = copy_fd(STDIN_FILENO, &io->in, err);
    else
        r = make_pipe(&ends->in, &io->in, true, err);
    if (r < 0)
        return r;
    bool straight = attached && s->auto_remove;
    r = output(m, straight, STDOUT_FILENO, &ends->out, &io->out, err);
    return r < 0 ? r : output(m, straight, STDERR_FILENO, &ends->err, &io->err, err);
}

static int take_terminal(struct monitor *m, struct near_ends *ends, struct error **err)
{
    if (fcntl(m->w.terminal, F_SETFL, O_NONBLOCK) < 0)
        return error_set(err, errno, "make the terminal nonblocking");
    if (copy_fd(m->w.terminal, &ends->out, err) < 0)
        return -1;
    ends->in = ends->out;
    return 0;
}

int monitor_streams_start(struct monitor *m, bool attached, struct near_ends *ends,
                          struct error **err)
{
    const struct guest_spec *s = &m->g->spec;
    if (m->w.terminal >= 0 && take_terminal(m, ends, err) < 0)
        return -1;
    bool carried = ends->in >= 0 || ends->out >= 0 || ends->err >= 0;
    bool passed_on = m->first_by_agent || (ends->in >= 0 && !s->tty);
    if (m->first_by_agent) {
        m->said = stream_of_fds(m->loop, -1, -1, STEAL_FD(ends->err), &said_ops, m, err);
        m->w.main = stream_of_agent(m->loop, &main_ops, m);
        if (!s->interactive && !s->tty)
            stream_input_end(m->w.main);
        if (!m->said)
            return -1;
    } else if (carried) {
        m->w.main = stream_of_fds(m->loop, ends->in, ends->out, ends->err, &main_ops, m, err);
        *ends = (struct near_ends){-1, -1, -1};
        if (!m->w.main)
            return -1;
    }
    if (s->tty || (m->w.control >= 0 && !m->first_by_agent)) /* a machine's console */
        stream_types_end(m->w.main);
    if (attached && carried)
        caller_take_outputs(&m->caller);
    if (attached && passed_on && s->interactive)
        caller_take_input(&m->caller);
    return 0;
}

void monitor_streams_end(struct monitor *m)
{
    stream_drain(m->w.main);
    stream_drain(m->said);
    log_close(&m->log);
}

void monitor_streams_free(struct monitor *m)
{
    stream_free(m->w.main);
    stream_free(m->said);
    caller_free(&m->caller);
    log_close(&m->log);
}
