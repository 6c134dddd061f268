#include "guest/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

static void ready(void *arg, int fd, uint32_t events);
static void work(void *arg);

/* Waits for the event that has something done, or does at once what no event would: what was taken
 * and not told of yet may have been the last there was to take. */
static void await(struct client *c)
{
    if (c->gone || c->has_taken || (c->finishes && !c->out.len)) {
        client_resume(c);
        return;
    }
    uint32_t events = c->out.len ? EPOLLOUT : 0;
    if (c->in.len < FRAME_MAX + FRAME_HEADER + CONTROL_LINE_MAX && !c->ops->full(c))
        events |= EPOLLIN;
    loop_watch(c->loop, c->fd, events, ready, c, NULL);
}

static void flush(struct client *c)
{
    size_t before = c->out.len;
    c->gone = c->gone || flush_socket(c->fd, &c->out) < 0;
    if (c->gone)
        str_drop(&c->out, c->out.len);
    bool taken = c->out.len < before;
    c->has_taken |= taken;
    if (taken || !c->out.len)
        c->took_ns = clock_ns();
}

/* One request or frame from the front of the input: its size, or 0 when there is none to take. */
static size_t take_one(struct client *c, const char *data, size_t left)
{
    if (!c->ops->request) {
        enum frame_type type;
        const char *p;
        size_t len;
        int64_t n = frame_parse(data, left, &type, &p, &len);
        if (n < 0)
            c->gone = true;
        if (n <= 0)
            return 0;
        c->ops->frame(c, type, p, len);
        return (size_t)n;
    }
    const char *nl = memchr(data, '\n', left);
    if (!nl) {
        c->gone = left > CONTROL_LINE_MAX;
        return 0;
    }
    c->ops->request(c, data, (size_t)(nl - data));
    return (size_t)(nl - data) + 1;
}

static void take_all(struct client *c)
{
    size_t done = 0, n = 1;
    while (n && !c->gone && !c->finishes && done < c->in.len && !c->ops->full(c)) {
        n = take_one(c, c->in.data + done, c->in.len - done);
        done += n;
    }
    if (done)
        memmove(c->in.data, c->in.data + done, c->in.len - done);
    c->in.len -= done;
}

static void settle(struct client *c)
{
    flush(c);
    if (c->has_taken && !c->gone) {
        c->has_taken = false;
        c->ops->took(c);
        flush(c);
    }
    if (c->gone || (c->finishes && !c->out.len))
        client_close(c);
    else
        await(c);
}

/* Deferred: who asked for it may be in the middle of this client's own input. */
static void work(void *arg)
{
    struct client *c = arg;
    take_all(c);
    settle(c);
}

static void ready(void *arg, int fd, uint32_t events)
{
    struct client *c = arg;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        char buf[32768];
        ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n > 0)
            str_append(&c->in, buf, (size_t)n);
        else if (n == 0 || !refused_for_now(errno))
            c->gone = true;
    }
    work(c);
}

struct client *client_new(struct loop *loop, int fd, const struct client_ops *ops, void *arg)
{
    struct client *c = xcalloc(1, sizeof *c);
    *c = (struct client){.loop = loop, .fd = fd, .ops = ops, .arg = arg, .took_ns = clock_ns()};
    await(c);
    return c;
}

void client_become(struct client *c, const struct client_ops *ops, void *arg)
{
    c->ops = ops;
    c->arg = arg;
}

void client_resume(struct client *c)
{
    loop_timer(c->loop, clock_ns(), work, c);
}

void client_send(struct client *c)
{
    flush(c);
    await(c);
}

void client_finish(struct client *c)
{
    c->finishes = true;
    client_send(c);
}

void client_drop(struct client *c)
{
    c->gone = true;
    client_resume(c);
}

static void dispose(void *arg)
{
    struct client *c = arg;
    assert(loop_may_free(c->loop));
    close(c->fd);
    str_free(&c->in);
    str_free(&c->out);
    free(c);
}

void client_close(struct client *c)
{
    loop_unwatch(c->loop, c->fd);
    loop_timer(c->loop, UINT64_MAX, work, c);
    c->gone = true;
    c->ops->closed(c);
    loop_dispose(c->loop, dispose, c);
}
