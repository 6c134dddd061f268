/* Streams of descriptors: pipes to and from a child, or the master of its terminal. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/terminal.h"
#include "guest/stream_internal.h"

static void ready(void *arg, int fd, uint32_t events);

static bool is_terminal(const struct stream *s)
{
    return s->in >= 0 && s->in == s->out[0];
}

static void watch(struct stream *s)
{
    uint32_t room = s->takes_input && s->input.len ? EPOLLOUT : 0;
    for (int i = 0; i < 2; i++)
        if (s->out[i] >= 0 && !s->quiet)
            loop_watch(s->loop, s->out[i],
                       (s->held ? 0 : EPOLLIN) | (s->out[i] == s->in ? room : 0), ready, s, NULL);
    if (s->in >= 0 && !is_terminal(s))
        loop_watch(s->loop, s->in, room, ready, s, NULL);
}

static void let_go(struct stream *s, int *fd)
{
    if (*fd < 0)
        return;
    loop_unwatch(s->loop, *fd);
    close(*fd);
    *fd = -1;
}

static ssize_t write_some(struct stream *s, const char *data, size_t len)
{
    ssize_t n;
    do
        n = is_terminal(s) ? terminal_write(s->in, data, len) : write(s->in, data, len);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n < 0 && !is_terminal(s)) {
        int code = errno;
        let_go(s, &s->in);
        if (code != EPIPE)
            s->ops->lost(s->arg, code);
    }
    return n;
}

static void write_end(struct stream *s)
{
    s->takes_input = false;
    let_go(s, &s->in);
}

static void close_output(struct stream *s, int which)
{
    if (!is_terminal(s))
        let_go(s, &s->out[which]);
}

static void look_again(void *arg)
{
    struct stream *s = arg;
    s->quiet = false;
    watch(s);
}

/* Nobody has the terminal's other side open now. It would be told of all the time. */
static void be_quiet(struct stream *s)
{
    s->quiet = true;
    loop_unwatch(s->loop, s->in);
    loop_timer(s->loop, clock_ns() + TERMINAL_QUIET_MS * UINT64_C(1000000), look_again, s);
}

/* One read: false when there is nothing more now or for ever. */
static bool pump(struct stream *s, int which)
{
    char buf[32768];
    ssize_t n = is_terminal(s) ? terminal_read(s->in, buf, sizeof buf)
                               : read(s->out[which], buf, sizeof buf);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n > 0) {
        s->ops->output(s->arg, which, buf, (size_t)n);
        return true;
    }
    int code = n < 0 ? errno : 0;
    if (n == 0 && is_terminal(s)) {
        be_quiet(s);
        return false;
    }
    if (is_terminal(s)) {
        s->takes_input = false;
        s->in = -1;
    }
    let_go(s, &s->out[which]);
    if (code)
        s->ops->lost(s->arg, code);
    return false;
}

static void drain(struct stream *s)
{
    for (int i = 0; i < 2; i++)
        while (s->out[i] >= 0 && pump(s, i))
            ;
}

static void ready(void *arg, int fd, uint32_t events)
{
    struct stream *s = arg;
    for (int i = 0; i < 2; i++)
        if (s->out[i] == fd && (events & ~(uint32_t)EPOLLOUT))
            pump(s, i);
    if (s->in >= 0 && s->in == fd && (events & ~(uint32_t)EPOLLIN))
        stream_flush(s);
}

static void leave(struct stream *s)
{
    loop_timer(s->loop, UINT64_MAX, look_again, s);
    loop_unwatch(s->loop, s->in);
    for (int i = 0; i < 2; i++)
        loop_unwatch(s->loop, s->out[i]);
}

static void release(struct stream *s)
{
    if (is_terminal(s))
        s->in = -1;
    let_go(s, &s->in);
    let_go(s, &s->out[0]);
    let_go(s, &s->out[1]);
}

const struct stream_kind stream_fds = {
    .write = write_some,
    .write_end = write_end,
    .watch = watch,
    .close_output = close_output,
    .drain = drain,
    .leave = leave,
    .release = release,
};

struct stream *stream_of_fds(struct loop *loop, int in, int out, int err,
                             const struct stream_ops *ops, void *arg, struct error **error)
{
    struct stream *s = stream_new(loop, &stream_fds, ops, arg);
    s->in = in;
    s->out[0] = out;
    s->out[1] = err;
    s->takes_input = in >= 0;
    s->types_end = is_terminal(s);
    for (int i = 0; i < 2; i++)
        if (s->out[i] >= 0 && loop_watch(loop, s->out[i], EPOLLIN, ready, s, error) < 0) {
            stream_free(s);
            return NULL;
        }
    return s;
}
