/* The monitor's streams: the workload's output to the log, the caller and the clients, and input
 * to the workload. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/str.h"
#include "guest/agent_link.h"
#include "guest/monitor_internal.h"

static void output_ready(void *arg, int fd, uint32_t events);
static void sink_ready(void *arg, int fd, uint32_t events);

/* ---- output: from the workload to the log, the caller and the clients ---- */

static bool backlogged(struct monitor *m)
{
    for (int i = 0; i < 2; i++)
        if (m->sinks[i].pending.len > BACKLOG_MAX)
            return true;
    return monitor_clients_backlogged(m);
}

/* A terminal is one descriptor for both ways: it is also watched for room for input. */
static void watch_output(struct monitor *m, int which)
{
    int fd = m->outputs[which];
    if (fd < 0)
        return;
    uint32_t events = m->throttled ? 0 : EPOLLIN;
    if (fd == m->input && m->input_pending.len)
        events |= EPOLLOUT;
    loop_watch(m->loop, fd, events, output_ready, m, NULL);
}

/* Reads on from the workload, or stops while somebody has not taken what was read before. */
void monitor_throttle(struct monitor *m)
{
    bool full = backlogged(m);
    if (!full)
        monitor_agent_room(m);
    if (full == m->throttled)
        return;
    m->throttled = full;
    for (int i = 0; i < 2; i++)
        watch_output(m, i);
}

/* Writes what a pipe or file takes without blocking: after POLLOUT a pipe takes PIPE_BUF bytes. The
 * descriptor is the caller's, shared with others, so it is not made nonblocking. */
static void sink_flush(struct monitor *m, struct sink *s)
{
    size_t done = 0;
    while (s->fd >= 0 && done < s->pending.len) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0)
            break;
        size_t n = s->pending.len - done;
        ssize_t w = write(s->fd, s->pending.data + done, n < PIPE_BUF ? n : PIPE_BUF);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EAGAIN)
            break;
        if (w < 0) {
            loop_unwatch(m->loop, s->fd);
            s->fd = -1;
            break;
        }
        done += (size_t)w;
    }
    if (s->fd < 0)
        done = s->pending.len;
    if (done)
        memmove(s->pending.data, s->pending.data + done, s->pending.len - done);
    s->pending.len -= done;
    if (s->fd >= 0)
        loop_watch(m->loop, s->fd, s->pending.len ? EPOLLOUT : 0, sink_ready, m, NULL);
}

static void sink_ready(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    for (int i = 0; i < 2; i++)
        if (m->sinks[i].fd == fd)
            sink_flush(m, &m->sinks[i]);
    monitor_throttle(m);
    monitor_check_end(m);
}

void monitor_output(struct monitor *m, int which, const char *data, size_t len)
{
    log_write(&m->log, (enum log_stream)which, data, len);
    if (m->sinks[which].fd >= 0) {
        str_append(&m->sinks[which].pending, data, len);
        sink_flush(m, &m->sinks[which]);
    }
    monitor_clients_output(m, which, data, len);
}

/* One read from an output: false when there is nothing more now or for ever. */
static bool pump(struct monitor *m, int which)
{
    char buf[32768];
    ssize_t n = read(m->outputs[which], buf, sizeof buf);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) { /* the end; a terminal whose other side is closed says EIO */
        loop_unwatch(m->loop, m->outputs[which]);
        if (m->outputs[which] != m->w.terminal)
            close(m->outputs[which]);
        m->outputs[which] = -1;
        return false;
    }
    monitor_output(m, which, buf, (size_t)n);
    return true;
}

void monitor_output_drain(struct monitor *m)
{
    for (int i = 0; i < 2; i++)
        while (m->outputs[i] >= 0 && pump(m, i))
            ;
}

static void output_ready(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    for (int i = 0; i < 2 && (events & ~(uint32_t)EPOLLOUT); i++)
        if (m->outputs[i] == fd)
            pump(m, i);
    if ((events & EPOLLOUT) && m->outputs[0] == fd)
        monitor_input_flush(m);
    monitor_throttle(m);
}

int monitor_output_watch(struct monitor *m, struct error **err)
{
    for (int i = 0; i < 2; i++)
        if (m->outputs[i] >= 0 &&
            loop_watch(m->loop, m->outputs[i], EPOLLIN, output_ready, m, err) < 0)
            return -1;
    return 0;
}

/* ---- input: from a client, or the caller, to the workload ---- */

/* A console's end of input is a character: ^D, twice when it does not begin a line. */
static void console_eof(struct monitor *m)
{
    str_append(&m->input_pending, "\004\004", m->at_line_start ? 1 : 2);
}

void monitor_input_eof(struct monitor *m)
{
    if (m->w.control >= 0 && !m->first_by_agent)
        console_eof(m);
    else
        m->input_eof = true;
}

/* One read from the caller's own input. */
static void read_own_input(struct monitor *m)
{
    char buf[4096];
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        str_append(&m->input_pending, buf, (size_t)n);
        m->at_line_start = buf[n - 1] == '\n';
        return;
    }
    loop_unwatch(m->loop, STDIN_FILENO);
    m->own_input = false;
    monitor_input_eof(m);
}

static void own_input_ready(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    read_own_input(m);
    monitor_input_flush(m);
}

/* Reads on when what was read has been taken. A file cannot be watched: it is always ready. */
static void own_input_next(struct monitor *m)
{
    while (m->own_input && m->input_pending.len < BACKLOG_MAX) {
        if (loop_watch(m->loop, STDIN_FILENO, EPOLLIN, own_input_ready, m, NULL) == 0)
            return;
        read_own_input(m);
    }
    if (m->own_input)
        loop_unwatch(m->loop, STDIN_FILENO);
}

bool monitor_takes_input(const struct monitor *m)
{
    return (m->input >= 0 || m->input_by_agent) && !m->input_eof;
}

static void input_ready(void *arg, int fd, uint32_t events)
{
    monitor_input_flush(arg);
}

static ssize_t input_write(struct monitor *m, const char *data, size_t len)
{
    if (!m->input_by_agent)
        return write(m->input, data, len);
    size_t n = agent_session_input(m->w.main, data, len);
    if (!n)
        errno = EAGAIN;
    return n ? (ssize_t)n : -1;
}

static void write_input(struct monitor *m)
{
    size_t done = 0;
    while (done < m->input_pending.len) {
        ssize_t n = input_write(m, m->input_pending.data + done, m->input_pending.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            m->input_eof = true; /* the guest has closed it */
            done = m->input_pending.len;
            break;
        }
        done += (size_t)n;
    }
    if (done)
        memmove(m->input_pending.data, m->input_pending.data + done, m->input_pending.len - done);
    m->input_pending.len -= done;
}

static void end_input(struct monitor *m)
{
    if (m->input_by_agent) {
        agent_session_input_end(m->w.main);
        m->input_by_agent = false;
    } else {
        loop_unwatch(m->loop, m->input);
        close(m->input);
        m->input = -1;
    }
}

void monitor_input_flush(struct monitor *m)
{
    if (m->input_by_agent && !m->w.main)
        return; /* the guest is not there yet */
    own_input_next(m);
    if (m->input >= 0 || m->input_by_agent)
        write_input(m);
    if (m->input_pending.len < BACKLOG_MAX)
        monitor_clients_resume_input(m);
    if (m->input >= 0 && m->input == m->w.terminal)
        watch_output(m, 0);
    else if ((m->input >= 0 || m->input_by_agent) && m->input_eof && !m->input_pending.len)
        end_input(m);
    else if (m->input >= 0)
        loop_watch(m->loop, m->input, m->input_pending.len ? EPOLLOUT : 0, input_ready, m, NULL);
}
