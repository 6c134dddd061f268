#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "guest/agent_link.h"
#include "guest/monitor_internal.h"

#define MAX_CLIENTS 128

static void client_ready(void *arg, int fd, uint32_t events);
static void client_answered(void *arg, json_object *answer, const struct error *err);

/* Nothing more is taken from it: the guest has yet to take what it sent before. */
static bool client_full(const struct client *c)
{
    if (c->exec)
        return exec_full(c);
    return c->frames && c->m->input_pending.len >= BACKLOG_MAX;
}

static void client_rewatch(struct client *c)
{
    uint32_t events = c->out.len ? EPOLLOUT : 0;
    if (c->in.len < FRAME_MAX + FRAME_HEADER + CONTROL_LINE_MAX && !client_full(c))
        events |= EPOLLIN;
    loop_watch(c->m->loop, c->fd, events, client_ready, c, NULL);
}

static void client_flush(struct client *c)
{
    size_t done = 0;
    while (!c->gone && done < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + done, c->out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            c->gone = true;
            break;
        }
        done += (size_t)n;
    }
    if (c->gone)
        done = c->out.len;
    if (done)
        memmove(c->out.data, c->out.data + done, c->out.len - done);
    c->out.len -= done;
}

static void client_answer(struct client *c, json_object *answer)
{
    str_printf(&c->out, "%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
    json_object_put(answer);
}

static json_object *answer_ok(void)
{
    json_object *o = json_object_new_object();
    json_put_bool(o, "ok", true);
    return o;
}

static void client_refuse(struct client *c, const char *why)
{
    json_object *o = json_object_new_object();
    json_put_bool(o, "ok", false);
    json_put_str(o, "error", why);
    client_answer(c, o);
}

static void answer_exit(struct client *c)
{
    json_object *o = answer_ok();
    json_put_int(o, "exitStatus", c->m->g->exit_status);
    client_answer(c, o);
}

/* ---- requests ---- */

static int op_status(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    json_put_str(ans, "status", guest_status_name(c->m->g->status));
    json_put_int(ans, "pid", c->m->w.id.pid);
    return 0;
}

static int op_kill(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    int64_t sig = json_get_int(req, "signal", SIGKILL);
    if (sig < 1 || sig > SIGRTMAX)
        return error_set(err, 0, "signal %lld: must be 1 to %d", (long long)sig, SIGRTMAX);
    if (sig == SIGKILL) {
        monitor_kill(c->m);
        return 0;
    }
    return c->m->wall->signal(c->m->g, &c->m->w, (int)sig, err);
}

/* What the wall answers later; and then, or at once with 0, the operation's `then` goes on. */
static struct wall_later later(struct client *c)
{
    return (struct wall_later){.fn = client_answered, .arg = c};
}

static int op_pause(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = c->m;
    struct wall_later l = later(c);
    if (m->g->status == GUEST_PAUSED)
        return error_set(err, 0, "the guest is paused already");
    return m->wall->pause(m->g, &m->w, &l, err);
}

static void then_paused(struct client *c, json_object *ans, json_object *machine)
{
    monitor_set_status(c->m, GUEST_PAUSED);
}

static int op_resume(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = c->m;
    struct wall_later l = later(c);
    if (m->g->status != GUEST_PAUSED)
        return error_set(err, 0, "the guest is not paused");
    return m->wall->resume(m->g, &m->w, &l, err);
}

/* What was not answered in time may still be done when the machine goes on: it is undone behind
 * it. */
static void undo_pause(struct client *c)
{
    c->m->wall->resume(c->m->g, &c->m->w, NULL, NULL);
}

static void undo_resume(struct client *c)
{
    c->m->wall->pause(c->m->g, &c->m->w, NULL, NULL);
}

static void then_resumed(struct client *c, json_object *ans, json_object *machine)
{
    monitor_set_status(c->m, GUEST_RUNNING);
}

static int op_update(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    int64_t memory = json_get_int(req, "memory", 0), cpu = json_get_int(req, "cpuMillis", 0),
            pids = json_get_int(req, "pids", 0);
    if (memory < 0 || cpu < 0 || pids < 0)
        return error_set(err, 0, "a limit must not be negative");
    struct guest_limits l = {(uint64_t)memory, (uint64_t)cpu, (uint64_t)pids};
    return c->m->wall->update(c->m->g, &c->m->w, &l, err);
}

static int op_stats(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    struct wall_stats s = {0};
    struct wall_later l = later(c);
    int r = c->m->wall->stats(c->m->g, &c->m->w, &s, &l, err);
    if (r < 0)
        return -1;
    json_put_int(ans, "cpu_us", (int64_t)s.cpu_us);
    json_put_int(ans, "memory", (int64_t)s.memory);
    json_put_int(ans, "memory_max", (int64_t)s.memory_max);
    json_put_int(ans, "pids", (int64_t)s.pids);
    return r;
}

/* A machine that does not answer has no statistics of its own. */
static void then_stats(struct client *c, json_object *ans, json_object *machine)
{
    if (!machine)
        return;
    json_object_object_del(machine, "ok");
    json_object_object_add(ans, "machine", json_object_get(machine));
    json_put_int(ans, "balanced", (int64_t)c->m->balance.extra);
}

static int op_machine(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = c->m;
    if (m->g->spec.wall != WALL_MACHINE)
        return error_set(err, 0, "the guest is a %s: only a machine has this", m->wall->name);
    json_object *r = json_get_obj(req, "request");
    if (!r)
        return error_set(err, 0, "request: must be an object");
    /* From here on balancing adds to what the user wants: requests arrive in their order. */
    int64_t left = json_get_int(r, "bytes", -1), memory = (int64_t)m->g->spec.limits.memory;
    if (!strcmp(json_get_str(r, "op", ""), "balloon") && left >= 0)
        balance_set_manual(&m->balance, left < memory ? (uint64_t)(memory - left) : 0);
    machine_link_ask(m->w.machine, json_object_get(r), client_answered, c);
    return WALL_LATER;
}

static void then_machine(struct client *c, json_object *ans, json_object *machine)
{
    json_object_object_add(ans, "answer", json_object_get(machine));
}

static int op_wait(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    c->waits = true;
    return 0;
}

static int op_stop(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    int64_t s = json_get_int(req, "timeout", 10);
    if (s < 0 || s > 1000000)
        return error_set(err, 0, "timeout: must be 0 to 1000000 seconds");
    if (monitor_stop(c->m, (uint64_t)s * 1000000000u, err) < 0)
        return -1;
    c->waits = true;
    return 0;
}

static int op_attach(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = c->m;
    if (m->log.fd < 0 && m->outputs[0] < 0)
        return error_set(err, 0,
                         "the guest writes straight to the one who ran it (attached, with --rm): "
                         "nobody else can attach");
    json_put_bool(ans, "tty", m->g->spec.tty);
    c->frames = c->attached = true;
    c->sends_input = json_get_bool(req, "stdin", false) && monitor_takes_input(m);
    return 0;
}

static int op_exec(struct client *c, json_object *req, json_object *ans, struct error **err)
{
    return exec_start(c, req, err);
}

struct operation {
    const char *op;
    /* 0, WALL_LATER, or -1 with err. */
    int (*fn)(struct client *c, json_object *req, json_object *ans, struct error **err);
    /* Adds what came of it; machine: a machine's answer, or NULL. May be NULL. */
    void (*then)(struct client *c, json_object *ans, json_object *machine);
    void (*undo)(struct client *c); /* an answer did not come in time; may be NULL */
    bool partial;                   /* good without the machine's answer, too */
};

static const struct operation operations[] = {
    {"status", op_status, NULL, NULL, false},
    {"wait", op_wait, NULL, NULL, false},
    {"stop", op_stop, NULL, NULL, false},
    {"kill", op_kill, NULL, NULL, false},
    {"pause", op_pause, then_paused, undo_pause, false},
    {"resume", op_resume, then_resumed, undo_resume, false},
    {"update", op_update, NULL, NULL, false},
    {"stats", op_stats, then_stats, NULL, true},
    {"attach", op_attach, NULL, NULL, false},
    {"machine", op_machine, then_machine, NULL, false},
    {"exec", op_exec, NULL, NULL, false},
};

/* The end of a request: ans, which is taken over, or why not. */
static void client_complete(struct client *c, const struct operation *o, json_object *ans,
                            json_object *machine, const struct error *err)
{
    if (err && !o->partial) {
        json_object_put(ans);
        client_refuse(c, error_text(err));
        if (o->undo && error_code(err) == ETIMEDOUT)
            o->undo(c);
        return;
    }
    if (o->then)
        o->then(c, ans, machine);
    if (c->waits)
        json_object_put(ans); /* answered at the end */
    else
        client_answer(c, ans);
}

static void client_answered(void *arg, json_object *answer, const struct error *err)
{
    struct client *c = arg;
    const struct operation *o = c->asked;
    c->asked = NULL;
    client_complete(c, o, STEAL_PTR(c->answer), answer, err);
    monitor_client_resume(c);
    monitor_client_update(c);
}

static void client_request(struct client *c, const char *line, size_t len)
{
    ERROR_CLEANUP err = NULL;
    AUTO_JSON *req = json_parse_object(line, len, "request", &err);
    if (!req) {
        client_refuse(c, error_text(err));
        return;
    }
    const char *op = json_get_str(req, "op", "");
    const struct operation *o = operations, *end = operations + sizeof operations / sizeof *o;
    while (o < end && strcmp(o->op, op) != 0)
        o++;
    if (o == end) {
        error_set(&err, 0, "op \"%.40s\" is not known", op);
        client_refuse(c, error_text(err));
    } else if (c->m->ended) {
        if (o->fn == op_wait || o->fn == op_stop)
            answer_exit(c);
        else
            client_refuse(c, "the guest has ended");
    } else {
        json_object *ans = answer_ok();
        int r = o->fn(c, req, ans, &err);
        if (r == WALL_LATER) {
            c->asked = o;
            c->answer = ans;
        } else if (r < 0) {
            json_object_put(ans);
            client_refuse(c, error_text(err));
        } else {
            client_complete(c, o, ans, NULL, NULL);
        }
    }
}

/* ---- frames ---- */

bool monitor_frame_size(const char *p, size_t len, struct winsize *size)
{
    const unsigned char *u = (const unsigned char *)p;
    if (len != 4)
        return false;
    *size = (struct winsize){.ws_row = (unsigned short)(u[0] | u[1] << 8),
                             .ws_col = (unsigned short)(u[2] | u[3] << 8)};
    return true;
}

static void resize_terminal(struct monitor *m)
{
    if (m->w.main)
        agent_session_resize(m->w.main, m->size.ws_row, m->size.ws_col);
    else if (m->w.terminal >= 0 && ioctl(m->w.terminal, TIOCSWINSZ, &m->size) < 0)
        log_debug("TIOCSWINSZ: %s", strerror(errno));
    monitor_agent_resize_console(m);
}

static void client_frame(struct client *c, enum frame_type type, const char *p, size_t len)
{
    struct monitor *m = c->m;
    ERROR_CLEANUP err = NULL;
    switch (type) {
    case FRAME_STDIN:
        if (c->sends_input && monitor_takes_input(m) && len) {
            str_append(&m->input_pending, p, len);
            m->at_line_start = p[len - 1] == '\n';
        }
        break;
    case FRAME_EOF:
        /* A terminal's end of input is a character that the sender types itself. */
        if (c->sends_input && !m->g->spec.tty)
            monitor_input_eof(m);
        break;
    case FRAME_RESIZE:
        if (monitor_frame_size(p, len, &m->size))
            resize_terminal(m);
        break;
    case FRAME_SIGNAL:
        if (len == 1 && !m->ended && m->wall->signal(m->g, &m->w, (unsigned char)p[0], &err) < 0)
            log_debug("signal: %s", error_text(err));
        break;
    default: c->gone = true; /* frames that only go the other way */
    }
}

static void client_parse(struct client *c)
{
    size_t done = 0;
    /* Requests are answered in their order. */
    while (!c->gone && !c->asked && done < c->in.len) {
        const char *data = c->in.data + done;
        size_t left = c->in.len - done;
        if (c->frames) {
            enum frame_type type;
            const char *p;
            size_t len;
            if (client_full(c))
                break;
            int64_t n = frame_parse(data, left, &type, &p, &len);
            if (n < 0)
                c->gone = true;
            if (n <= 0)
                break;
            if (c->exec)
                exec_frame(c, type, p, len);
            else
                client_frame(c, type, p, len);
            done += (size_t)n;
        } else {
            char *nl = memchr(data, '\n', left);
            if (!nl) {
                c->gone = left > CONTROL_LINE_MAX;
                break;
            }
            client_request(c, data, (size_t)(nl - data));
            done += (size_t)(nl - data) + 1;
        }
    }
    if (done)
        memmove(c->in.data, c->in.data + done, c->in.len - done);
    c->in.len -= done;
}

static void client_remove(struct client *c)
{
    for (struct client **p = &c->m->clients; *p; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    exec_free(c);
    machine_link_forget(c->m->w.machine, c);
    if (c->asked && c->asked->undo && !c->m->ended)
        c->asked->undo(c);
    json_object_put(c->answer);
    loop_unwatch(c->m->loop, c->fd);
    close(c->fd);
    str_free(&c->in);
    str_free(&c->out);
    free(c);
}

static void client_ready(void *arg, int fd, uint32_t events)
{
    struct client *c = arg;
    struct monitor *m = c->m;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        char buf[32768];
        ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n > 0) {
            str_append(&c->in, buf, (size_t)n);
            client_parse(c);
            if (c->exec)
                exec_flush(c);
            else
                monitor_input_flush(m);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            c->gone = true;
        }
    }
    client_flush(c);
    if (c->exec)
        exec_flush(c);
    if (c->gone || ((c->done || (m->ended && (c->frames || c->waits))) && !c->out.len))
        client_remove(c);
    else
        client_rewatch(c);
    monitor_throttle(m);
    monitor_check_end(m);
}

static struct client *client_new(struct monitor *m, int fd)
{
    struct client *c = xcalloc(1, sizeof *c);
    c->m = m;
    c->fd = fd;
    c->next = m->clients;
    m->clients = c;
    return c;
}

static void listener_ready(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0)
        return;
    int n = 0;
    for (struct client *c = m->clients; c; c = c->next)
        n++;
    if (n >= MAX_CLIENTS)
        close(conn);
    else
        client_rewatch(client_new(m, conn));
}

int monitor_clients_listen(struct monitor *m, struct error **err)
{
    m->listener = control_listen(m->g, err);
    if (m->listener < 0)
        return -1;
    return loop_watch(m->loop, m->listener, EPOLLIN, listener_ready, m, err);
}

void monitor_client_first(struct monitor *m, int fd, bool frames)
{
    struct client *c = client_new(m, fd);
    client_answer(c, answer_ok());
    c->frames = c->attached = c->sends_input = frames;
    client_flush(c);
    client_rewatch(c);
}

void monitor_clients_output(struct monitor *m, int which, const char *data, size_t len)
{
    for (struct client *c = m->clients; c; c = c->next) {
        if (!c->attached || c->gone)
            continue;
        frame_append(&c->out, which ? FRAME_STDERR : FRAME_STDOUT, data, len);
        client_flush(c);
        client_rewatch(c);
    }
}

bool monitor_clients_backlogged(struct monitor *m)
{
    for (struct client *c = m->clients; c; c = c->next)
        if (c->attached && c->out.len > BACKLOG_MAX)
            return true;
    return false;
}

bool monitor_clients_pending(struct monitor *m)
{
    for (struct client *c = m->clients; c; c = c->next)
        if (!c->gone && c->out.len)
            return true;
    return false;
}

void monitor_clients_resume_input(struct monitor *m)
{
    for (struct client *c = m->clients; c; c = c->next) {
        if (c->gone)
            continue;
        if (c->attached && c->in.len)
            client_parse(c);
        client_rewatch(c);
    }
}

void monitor_client_resume(struct client *c)
{
    client_parse(c);
    client_rewatch(c);
}

void monitor_client_update(struct client *c)
{
    client_flush(c);
    client_rewatch(c);
}

void monitor_clients_exit(struct monitor *m)
{
    for (struct client *c = m->clients; c; c = c->next) {
        if (c->attached) {
            char status = (char)m->g->exit_status;
            frame_append(&c->out, FRAME_EXIT, &status, 1);
        } else if (c->waits) {
            answer_exit(c);
        }
        client_flush(c);
        client_rewatch(c);
    }
}

void monitor_clients_free(struct monitor *m)
{
    while (m->clients)
        client_remove(m->clients);
}
