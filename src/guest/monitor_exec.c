/* Commands of clients in a machine, run by its agent: each has streams of its own. */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "guest/monitor_internal.h"

/* How long after its start a machine's agent is waited for. */
#define BOOT_NS 30000000000

/* What a command gets that its machine took with it. */
#define LOST_STATUS (128 + SIGKILL)

struct exec {
    struct peer *p;
    struct client *c;
    struct wall_exec x; /* command, env and strings are its own */
    struct winsize size;
    struct stream *s;
    bool ended;
};

bool monitor_frame_size(const char *data, size_t len, struct winsize *size)
{
    const unsigned char *u = (const unsigned char *)data;
    if (len != 4)
        return false;
    *size = (struct winsize){.ws_row = (unsigned short)(u[0] | u[1] << 8),
                             .ws_col = (unsigned short)(u[2] | u[3] << 8)};
    return true;
}

static void exec_end(struct exec *e, int status)
{
    char byte = (char)status;
    if (e->ended)
        return;
    e->ended = true;
    frame_append(&e->c->out, FRAME_EXIT, &byte, 1);
    client_finish(e->c);
}

static void exec_fail(struct exec *e, const char *why)
{
    AUTO_FREE char *said = xasprintf("wirt: %s\n", why);
    frame_append(&e->c->out, FRAME_STDERR, said, strlen(said));
    exec_end(e, 125);
}

/* ---- from the command ---- */

static void exec_output(void *arg, int which, const char *data, size_t len)
{
    struct exec *e = arg;
    frame_append(&e->c->out, which ? FRAME_STDERR : FRAME_STDOUT, data, len);
    client_send(e->c);
    stream_hold(e->s, e->c->out.len >= BACKLOG_MAX);
}

static void exec_input_room(void *arg)
{
    struct exec *e = arg;
    client_resume(e->c);
}

static void exec_ended(void *arg, int status)
{
    exec_end(arg, status < 0 ? LOST_STATUS : status);
}

static const struct stream_ops stream_ops = {
    .output = exec_output, .input_room = exec_input_room, .ended = exec_ended};

/* ---- from the client ---- */

static void exec_frame(struct client *c, enum frame_type type, const char *p, size_t len)
{
    struct exec *e = c->arg;
    switch (type) {
    case FRAME_STDIN: stream_input(e->s, p, len); break;
    case FRAME_EOF: stream_input_end(e->s); break;
    case FRAME_RESIZE:
        if (monitor_frame_size(p, len, &e->size) && stream_runs(e->s))
            stream_resize(e->s, &e->size);
        break;
    case FRAME_SIGNAL:
        if (len == 1 && stream_runs(e->s))
            stream_signal(e->s, (unsigned char)p[0]);
        else if (len == 1)
            exec_end(e, 128 + (unsigned char)p[0]); /* it has not begun */
        break;
    default: client_drop(c); /* frames that only go the other way */
    }
}

static bool exec_full(struct client *c)
{
    struct exec *e = c->arg;
    return stream_full(e->s);
}

static void exec_took(struct client *c)
{
    struct exec *e = c->arg;
    stream_hold(e->s, c->out.len >= BACKLOG_MAX);
}

static void exec_deadline(void *arg)
{
    struct exec *e = arg;
    if (!stream_runs(e->s) && !e->ended)
        exec_fail(e,
                  "no agent answers in the machine: the system in it does not run wirt-agent, or "
                  "is not there yet; its console is reached by wirt attach");
}

static void exec_free(void *arg)
{
    struct exec *e = arg;
    strv_free(e->x.command);
    strv_free(e->x.env);
    free((char *)e->x.workdir);
    free((char *)e->x.user);
    free(e);
}

/* A client that goes takes its command with it, as a terminal that is closed does. */
static void exec_closed(struct client *c)
{
    struct exec *e = c->arg;
    loop_timer(c->loop, UINT64_MAX, exec_deadline, e);
    stream_free(e->s);
    e->p->exec = NULL;
    peer_closed(e->p);
    loop_dispose(c->loop, exec_free, e);
}

static const struct client_ops exec_ops = {
    .frame = exec_frame, .full = exec_full, .took = exec_took, .closed = exec_closed};

/* ---- the monitor's side ---- */

static int exec_run(struct exec *e, struct error **err)
{
    return stream_run(e->s, e->p->m->w.link, &e->x, &e->size, err);
}

int monitor_exec_start(struct peer *p, json_object *request, struct error **err)
{
    struct monitor *m = p->m;
    if (!m->w.link)
        return error_set(err, 0, "the guest is a %s: only a machine is asked this way",
                         m->wall->name);
    char **command = json_get_strv(request, "command");
    if (!command || !command[0]) {
        strv_free(command);
        return error_set(err, 0, "command: must be a list of words");
    }
    struct exec *e = xcalloc(1, sizeof *e);
    char **env = json_get_strv(request, "env");
    e->p = p;
    e->c = p->c;
    e->x = (struct wall_exec){.command = command,
                              .env = env ? env : xcalloc(1, sizeof *env),
                              .workdir = json_get_dup(request, "workdir"),
                              .user = json_get_dup(request, "user"),
                              .tty = json_get_bool(request, "tty", false)};
    e->size = (struct winsize){.ws_row = (unsigned short)json_get_int(request, "rows", 0),
                               .ws_col = (unsigned short)json_get_int(request, "columns", 0)};
    e->s = stream_of_agent(m->loop, &stream_ops, e);
    if (e->x.tty)
        stream_types_end(e->s);
    if (agent_link_answers(m->w.link) && exec_run(e, err) < 0) {
        stream_free(e->s);
        loop_dispose(m->loop, exec_free, e);
        return -1;
    }
    /* An agent that has not come a while after the start is not there. */
    int64_t uptime = realtime_ns() - m->g->started_ns;
    if (!stream_runs(e->s))
        loop_timer(m->loop, clock_ns() + (uptime < BOOT_NS ? BOOT_NS : 0), exec_deadline, e);
    p->exec = e;
    client_become(p->c, &exec_ops, e);
    return 0;
}

void monitor_exec_hello(struct monitor *m)
{
    for (struct peer *p = m->peers; p; p = p->next) {
        ERROR_CLEANUP err = NULL;
        if (p->exec && !p->exec->ended && !stream_runs(p->exec->s) && exec_run(p->exec, &err) < 0)
            exec_fail(p->exec, error_text(err));
    }
}

void monitor_exec_end(struct monitor *m)
{
    for (struct peer *p = m->peers; p; p = p->next)
        if (p->exec)
            exec_end(p->exec, LOST_STATUS);
}
