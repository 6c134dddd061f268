/* The agent in a machine: the first command when it runs that, and the commands of clients. */
#include <signal.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "guest/agent_link.h"
#include "guest/monitor_internal.h"

/* How long after its start a machine's agent is waited for. */
#define BOOT_NS 30000000000

/* What a command gets that its machine took with it. */
#define LOST_STATUS (128 + SIGKILL)

struct exec {
    struct client *c;
    struct wall_exec x; /* command, env and strings are its own */
    struct winsize size;
    struct agent_session *session; /* NULL: waits for the agent, or has ended */
    struct str input;
    bool input_end, input_ended; /* to be passed on behind it; passed on */
    bool ended;
    size_t owed[2]; /* bytes of output that the client has not taken */
};

/* ---- the first command ---- */

static void first_output(void *arg, int which, const char *data, size_t len)
{
    struct monitor *m = arg;
    m->owed[which] += len;
    monitor_output(m, which, data, len);
    monitor_throttle(m);
}

void monitor_agent_room(struct monitor *m)
{
    for (int which = 0; which < 2 && m->w.main; which++) {
        size_t n = m->owed[which];
        m->owed[which] = 0;
        agent_session_took(m->w.main, which, n);
    }
}

static void first_input_room(void *arg)
{
    monitor_input_flush(arg);
}

/* With it the machine ends; a lost agent comes back when the guest boots again. */
static void first_ended(void *arg, int status)
{
    struct monitor *m = arg;
    m->w.main = NULL;
    m->owed[0] = m->owed[1] = 0;
    if (status >= 0)
        agent_link_poweroff(m->w.link, status);
}

static void first_start(struct monitor *m)
{
    static const struct agent_session_ops ops = {
        .output = first_output, .input_room = first_input_room, .ended = first_ended};
    struct wall_exec x = {0};
    ERROR_CLEANUP err = NULL;
    m->wall->first_command(m->g, &x);
    m->w.main = agent_run(m->w.link, &x, m->size.ws_row, m->size.ws_col, &ops, m, &err);
    strv_free(x.command);
    strv_free(x.env);
    if (m->w.main) {
        if (m->input_by_agent)
            monitor_input_flush(m);
        else
            agent_session_input_end(m->w.main);
        return;
    }
    AUTO_FREE char *said = xasprintf("wirt: %s\n", error_text(err));
    monitor_output(m, 1, said, strlen(said));
    agent_link_poweroff(m->w.link, 125);
}

/* ---- commands of clients ---- */

static void exec_end(struct exec *e, int status)
{
    struct client *c = e->c;
    char byte = (char)status;
    e->session = NULL;
    e->ended = true;
    frame_append(&c->out, FRAME_EXIT, &byte, 1);
    c->done = true;
    monitor_client_update(c);
}

static void exec_output(void *arg, int which, const char *data, size_t len)
{
    struct exec *e = arg;
    e->owed[which] += len;
    frame_append(&e->c->out, which ? FRAME_STDERR : FRAME_STDOUT, data, len);
    monitor_client_update(e->c);
    exec_flush(e->c);
}

static void exec_input_room(void *arg)
{
    struct exec *e = arg;
    exec_flush(e->c);
    monitor_client_resume(e->c);
    exec_flush(e->c);
}

static void exec_ended(void *arg, int status)
{
    exec_end(arg, status < 0 ? LOST_STATUS : status);
}

static void exec_fail(struct exec *e, const char *why)
{
    AUTO_FREE char *said = xasprintf("wirt: %s\n", why);
    frame_append(&e->c->out, FRAME_STDERR, said, strlen(said));
    exec_end(e, 125);
}

static int exec_run(struct exec *e, struct error **err)
{
    static const struct agent_session_ops ops = {
        .output = exec_output, .input_room = exec_input_room, .ended = exec_ended};
    e->session = agent_run(e->c->m->w.link, &e->x, e->size.ws_row, e->size.ws_col, &ops, e, err);
    if (!e->session)
        return -1;
    exec_flush(e->c);
    return 0;
}

static void exec_deadline(void *arg)
{
    struct exec *e = arg;
    if (!e->session && !e->ended)
        exec_fail(e,
                  "no agent answers in the machine: the system in it does not run wirt-agent, or "
                  "is not there yet; its console is reached by wirt attach");
}

int exec_start(struct client *c, json_object *request, struct error **err)
{
    struct monitor *m = c->m;
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
    e->c = c;
    e->x = (struct wall_exec){.command = command,
                              .env = env ? env : xcalloc(1, sizeof *env),
                              .workdir = json_get_dup(request, "workdir"),
                              .user = json_get_dup(request, "user"),
                              .tty = json_get_bool(request, "tty", false)};
    e->size = (struct winsize){.ws_row = (unsigned short)json_get_int(request, "rows", 0),
                               .ws_col = (unsigned short)json_get_int(request, "columns", 0)};
    c->exec = e;
    c->frames = true;
    int64_t uptime = realtime_ns() - m->g->started_ns;
    if (!agent_link_answers(m->w.link)) {
        /* One that has not come a while after the start is not there. */
        loop_timer(m->loop, clock_ns() + (uptime < BOOT_NS ? BOOT_NS : 0), exec_deadline, e);
    } else if (exec_run(e, err) < 0) {
        exec_free(c);
        c->frames = false;
        return -1;
    }
    return 0;
}

void exec_frame(struct client *c, enum frame_type type, const char *p, size_t len)
{
    struct exec *e = c->exec;
    switch (type) {
    case FRAME_STDIN:
        if (!e->ended && !e->input_end)
            str_append(&e->input, p, len);
        break;
    case FRAME_EOF: e->input_end |= !e->x.tty; break;
    case FRAME_RESIZE:
        if (monitor_frame_size(p, len, &e->size) && e->session)
            agent_session_resize(e->session, e->size.ws_row, e->size.ws_col);
        break;
    case FRAME_SIGNAL:
        if (len == 1 && e->session)
            agent_session_signal(e->session, (unsigned char)p[0]);
        else if (len == 1 && !e->ended)
            exec_end(e, 128 + (unsigned char)p[0]); /* it has not begun */
        break;
    default: c->gone = true; /* frames that only go the other way */
    }
}

bool exec_full(const struct client *c)
{
    return c->exec->input.len >= BACKLOG_MAX;
}

void exec_flush(struct client *c)
{
    struct exec *e = c->exec;
    if (!e->session)
        return;
    size_t n = agent_session_input(e->session, e->input.data, e->input.len);
    if (n)
        memmove(e->input.data, e->input.data + n, e->input.len - n);
    e->input.len -= n;
    if (e->input_end && !e->input.len && !e->input_ended) {
        agent_session_input_end(e->session);
        e->input_ended = true;
    }
    for (int which = 0; which < 2 && c->out.len < BACKLOG_MAX; which++) {
        size_t owed = e->owed[which];
        e->owed[which] = 0;
        agent_session_took(e->session, which, owed);
    }
}

/* A client that goes takes its command with it, as a terminal that is closed does. */
void exec_free(struct client *c)
{
    struct exec *e = c->exec;
    if (!e)
        return;
    loop_timer(c->m->loop, UINT64_MAX, exec_deadline, e);
    if (e->session) {
        agent_session_signal(e->session, SIGHUP);
        agent_session_leave(e->session);
    }
    strv_free(e->x.command);
    strv_free(e->x.env);
    free((char *)e->x.workdir);
    free((char *)e->x.user);
    str_free(&e->input);
    free(e);
    c->exec = NULL;
}

/* ---- the agent ---- */

void monitor_agent_resize_console(struct monitor *m)
{
    if (!m->first_by_agent && m->size.ws_row && agent_link_answers(m->w.link))
        agent_link_resize(m->w.link, m->size.ws_row, m->size.ws_col);
}

static void on_hello(void *arg)
{
    struct monitor *m = arg;
    log_debug("guest %.12s: an agent answers", m->g->id);
    if (m->first_by_agent)
        first_start(m);
    monitor_agent_resize_console(m);
    for (struct client *c = m->clients; c; c = c->next)
        if (c->exec && !c->exec->session && !c->exec->ended) {
            ERROR_CLEANUP err = NULL;
            if (exec_run(c->exec, &err) < 0)
                exec_fail(c->exec, error_text(err));
        }
}

int monitor_agent_start(struct monitor *m, struct error **err)
{
    if (m->w.agent < 0)
        return 0;
    m->w.link = agent_link_new(m->loop, m->w.agent, on_hello, m, err);
    return m->w.link ? 0 : -1;
}

void monitor_agent_finish(struct monitor *m)
{
    agent_link_finish(m->w.link);
    for (struct client *c = m->clients; c; c = c->next)
        if (c->exec && !c->exec->ended)
            exec_end(c->exec, LOST_STATUS);
}
