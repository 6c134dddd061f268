#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/terminal.h"
#include "guest/stream_internal.h"

static void tell_room(void *arg)
{
    struct stream *s = arg;
    if (s->waited_for && s->input.len < STREAM_BACKLOG) {
        s->waited_for = false;
        s->ops->input_room(s->arg);
    }
}

struct stream *stream_new(struct loop *loop, const struct stream_kind *kind,
                          const struct stream_ops *ops, void *arg)
{
    struct stream *s = xcalloc(1, sizeof *s);
    *s = (struct stream){.kind = kind,
                         .loop = loop,
                         .ops = ops,
                         .arg = arg,
                         .last = '\n',
                         .in = -1,
                         .out = {-1, -1}};
    return s;
}

void stream_flush(struct stream *s)
{
    size_t done = 0;
    while (s->takes_input && done < s->input.len) {
        ssize_t n = s->kind->write(s, s->input.data + done, s->input.len - done);
        if (n == 0)
            break;
        if (n < 0)
            s->takes_input = false;
        else
            done += (size_t)n;
    }
    if (!s->takes_input)
        done = s->input.len;
    if (done)
        memmove(s->input.data, s->input.data + done, s->input.len - done);
    s->input.len -= done;
    if (s->takes_input && s->input_end && !s->input.len)
        s->kind->write_end(s);
    s->kind->watch(s);
    /* From the loop: who gave the input is still in the middle of it. */
    if (s->waited_for && s->input.len < STREAM_BACKLOG)
        loop_timer(s->loop, clock_ns(), tell_room, s);
}

bool stream_takes_input(const struct stream *s)
{
    return s && s->takes_input && !s->input_end;
}

bool stream_full(struct stream *s)
{
    if (!s || !s->takes_input || s->input.len < STREAM_BACKLOG)
        return false;
    s->waited_for = true;
    return true;
}

void stream_input(struct stream *s, const char *data, size_t len)
{
    if (!stream_takes_input(s))
        return;
    if (!len)
        return;
    s->last = data[len - 1];
    str_append(&s->input, data, len);
    stream_flush(s);
}

void stream_input_end(struct stream *s)
{
    if (!stream_takes_input(s))
        return;
    if (s->types_end)
        str_append(&s->input, TERMINAL_END, terminal_ends(s->last));
    else
        s->input_end = true;
    s->last = '\n';
    stream_flush(s);
}

void stream_types_end(struct stream *s)
{
    if (s)
        s->types_end = true;
}

void stream_hold(struct stream *s, bool hold)
{
    if (!s || s->held == hold)
        return;
    s->held = hold;
    s->kind->watch(s);
}

void stream_close_output(struct stream *s, int which)
{
    if (s)
        s->kind->close_output(s, which);
}

void stream_drain(struct stream *s)
{
    if (s)
        s->kind->drain(s);
}

static void stream_dispose(void *arg)
{
    struct stream *s = arg;
    assert(loop_may_free(s->loop));
    s->kind->release(s);
    str_free(&s->input);
    free(s);
}

static void no_output(void *arg, int which, const char *data, size_t len)
{
}

static void no_room(void *arg)
{
}

static void no_code(void *arg, int code)
{
}

static const struct stream_ops nobody = {
    .output = no_output, .input_room = no_room, .lost = no_code, .ended = no_code};

void stream_free(struct stream *s)
{
    if (!s)
        return;
    loop_timer(s->loop, UINT64_MAX, tell_room, s);
    s->ops = &nobody;
    s->takes_input = false;
    s->kind->leave(s);
    loop_dispose(s->loop, stream_dispose, s);
}
