/* Streams of a command that an agent runs in a machine. */
#include <signal.h>

#include "guest/agent_link.h"
#include "guest/stream_internal.h"

static void give_room(struct stream *s)
{
    for (int which = 0; which < 2 && s->session; which++) {
        size_t n = s->owed[which];
        s->owed[which] = 0;
        agent_session_took(s->session, which, n);
    }
}

static void session_output(void *arg, int which, const char *data, size_t len)
{
    struct stream *s = arg;
    s->owed[which] += len;
    if (!s->closed[which]) {
        s->ops->output(s->arg, which, data, len);
    } else if (!s->told) {
        s->told = true;
        agent_session_signal(s->session, SIGPIPE);
    }
    if (!s->held)
        give_room(s);
}

static void session_input_room(void *arg)
{
    stream_flush(arg);
}

static void session_ended(void *arg, int status)
{
    struct stream *s = arg;
    s->session = NULL;
    s->owed[0] = s->owed[1] = 0;
    if (status >= 0) {
        s->takes_input = false;
        stream_flush(s);
    }
    s->ops->ended(s->arg, status);
}

static ssize_t write_some(struct stream *s, const char *data, size_t len)
{
    return s->session ? (ssize_t)agent_session_input(s->session, data, len) : 0;
}

static void write_end(struct stream *s)
{
    if (!s->session)
        return; /* not before it runs */
    agent_session_input_end(s->session);
    s->takes_input = false;
}

static void watch(struct stream *s)
{
    if (!s->held)
        give_room(s);
}

static void close_output(struct stream *s, int which)
{
    s->closed[which] = true;
}

static void drain(struct stream *s)
{
    /* agent_link_finish takes in what there is of all sessions */
}

static void leave(struct stream *s)
{
    if (!s->session)
        return;
    agent_session_signal(s->session, SIGHUP);
    agent_session_leave(s->session);
    s->session = NULL;
}

static void release(struct stream *s)
{
}

const struct stream_kind stream_agent = {
    .write = write_some,
    .write_end = write_end,
    .watch = watch,
    .close_output = close_output,
    .drain = drain,
    .leave = leave,
    .release = release,
};

struct stream *stream_of_agent(struct loop *loop, const struct stream_ops *ops, void *arg)
{
    struct stream *s = stream_new(loop, &stream_agent, ops, arg);
    s->takes_input = true;
    return s;
}

int stream_run(struct stream *s, struct agent_link *link, const struct wall_exec *x,
               const struct winsize *size, struct error **err)
{
    static const struct agent_session_ops ops = {
        .output = session_output, .input_room = session_input_room, .ended = session_ended};
    s->session = agent_run(link, x, size->ws_row, size->ws_col, &ops, s, err);
    if (!s->session)
        return -1;
    s->told = false;
    if (!s->takes_input)
        agent_session_input_end(s->session); /* the agent before this one had it all */
    stream_flush(s);
    return 0;
}

bool stream_runs(const struct stream *s)
{
    return s && s->session;
}

void stream_signal(struct stream *s, int sig)
{
    agent_session_signal(s->session, sig);
}

void stream_resize(struct stream *s, const struct winsize *size)
{
    agent_session_resize(s->session, size->ws_row, size->ws_col);
}
