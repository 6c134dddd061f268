#include "guest/caller.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Until what could not be done for the moment is tried again. */
#define AGAIN_NS 10000000u

void caller_init(struct caller *c, struct loop *loop, const struct caller_ops *ops, void *arg)
{
    *c = (struct caller){.loop = loop, .ops = ops, .arg = arg};
    c->outputs[0].fd = c->outputs[1].fd = -1;
}

void caller_free(struct caller *c)
{
    for (int i = 0; i < 2; i++)
        str_free(&c->outputs[i].pending);
}

void caller_take_outputs(struct caller *c)
{
    c->outputs[0].fd = STDOUT_FILENO;
    c->outputs[1].fd = STDERR_FILENO;
}

static void output_ready(void *arg, int fd, uint32_t events);
static void flush_again(void *arg);

/* Writes what a pipe or file takes without blocking: after POLLOUT a pipe takes PIPE_BUF bytes. The
 * descriptor is the caller's, shared with others, so it is not made nonblocking. 0, or why it is
 * broken. */
static int write_pending(struct caller_output *o)
{
    size_t done = 0;
    int broken = 0;
    while (!broken && done < o->pending.len) {
        struct pollfd p = {.fd = o->fd, .events = POLLOUT};
        int r = poll(&p, 1, 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        size_t n = o->pending.len - done;
        ssize_t w = write(o->fd, o->pending.data + done, n < PIPE_BUF ? n : PIPE_BUF);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EAGAIN)
            break;
        if (w < 0)
            broken = errno;
        else
            done += (size_t)w;
    }
    if (broken)
        done = o->pending.len;
    if (done)
        memmove(o->pending.data, o->pending.data + done, o->pending.len - done);
    o->pending.len -= done;
    return broken;
}

static void flush(struct caller *c, int which)
{
    struct caller_output *o = &c->outputs[which];
    if (o->fd < 0)
        return;
    int broken = write_pending(o);
    if (!broken) {
        ERROR_CLEANUP err = NULL;
        /* A file cannot be watched, and took all unless something was amiss for the moment. */
        if (loop_watch(c->loop, o->fd, o->pending.len ? EPOLLOUT : 0, output_ready, c, &err) < 0)
            loop_timer(c->loop, clock_ns() + AGAIN_NS, flush_again, c);
        return;
    }
    loop_unwatch(c->loop, o->fd);
    o->fd = -1;
    c->ops->closed(c->arg, which, broken);
}

static void output_ready(void *arg, int fd, uint32_t events)
{
    struct caller *c = arg;
    for (int i = 0; i < 2; i++)
        if (c->outputs[i].fd == fd)
            flush(c, i);
}

static void flush_again(void *arg)
{
    struct caller *c = arg;
    for (int i = 0; i < 2; i++)
        flush(c, i);
}

void caller_write(struct caller *c, int which, const char *data, size_t len)
{
    if (c->outputs[which].fd < 0)
        return;
    str_append(&c->outputs[which].pending, data, len);
    flush(c, which);
}

size_t caller_pending(const struct caller *c)
{
    size_t a = c->outputs[0].pending.len, b = c->outputs[1].pending.len;
    return a > b ? a : b;
}

/* ---- input ---- */

static void read_input(struct caller *c)
{
    char buf[4096];
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        c->ops->input(c->arg, buf, (size_t)n);
        return;
    }
    int code = n < 0 ? errno : 0;
    loop_unwatch(c->loop, STDIN_FILENO);
    c->input = false;
    c->ops->input_end(c->arg, code);
}

static void input_again(void *arg)
{
    caller_input_room(arg);
}

static void input_ready(void *arg, int fd, uint32_t events)
{
    struct caller *c = arg;
    read_input(c);
    caller_input_room(c);
}

/* A file cannot be watched (EPERM): it is always ready. Anything else may make a read wait. */
void caller_input_room(struct caller *c)
{
    while (c->input && !c->ops->input_full(c->arg)) {
        ERROR_CLEANUP err = NULL;
        if (loop_watch(c->loop, STDIN_FILENO, EPOLLIN, input_ready, c, &err) == 0)
            return;
        if (error_code(err) != EPERM) { /* whether it is one is not known yet */
            loop_timer(c->loop, clock_ns() + AGAIN_NS, input_again, c);
            return;
        }
        read_input(c);
    }
    if (c->input)
        loop_unwatch(c->loop, STDIN_FILENO);
}

void caller_take_input(struct caller *c)
{
    c->input = true;
    caller_input_room(c);
}
