/* What is asked of a guest on its control socket (control.h). */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/cleanup.h"
#include "guest/monitor_internal.h"

static json_object *answer_ok(void)
{
    json_object *o = json_object_new_object();
    json_put_bool(o, "ok", true);
    return o;
}

void peer_answer(struct peer *p, json_object *o)
{
    if (!o)
        o = answer_ok();
    str_printf(&p->c->out, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
}

static void refuse(struct peer *p, const char *why)
{
    json_object *o = json_object_new_object();
    json_put_bool(o, "ok", false);
    json_put_str(o, "error", why);
    peer_answer(p, o);
}

void peer_answer_exit(struct peer *p)
{
    json_object *o = answer_ok();
    json_put_int(o, "exitStatus", p->m->g->exit_status);
    peer_answer(p, o);
}

/* The machine has answered. */
static void answered(void *arg, json_object *answer, const struct error *err);

static int op_status(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    json_put_str(ans, "status", guest_status_name(p->m->g->status));
    json_put_int(ans, "pid", p->m->w.id.pid);
    return 0;
}

static int op_kill(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    int64_t sig = json_get_int(req, "signal", SIGKILL);
    if (sig < 1 || sig > SIGRTMAX)
        return error_set(err, 0, "signal %lld: must be 1 to %d", (long long)sig, SIGRTMAX);
    if (sig == SIGKILL) {
        monitor_kill(p->m);
        p->waits = true; /* what it held is free when this is answered */
        return 0;
    }
    return p->m->wall->signal(p->m->g, &p->m->w, (int)sig, err);
}

/* What the wall answers later; and then, or at once with 0, the operation's `then` goes on. */
static struct wall_later later(struct peer *p)
{
    return (struct wall_later){.fn = answered, .arg = p};
}

static int op_pause(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = p->m;
    struct wall_later l = later(p);
    if (m->g->status == GUEST_PAUSED)
        return error_set(err, 0, "the guest is paused already");
    return m->wall->pause(m->g, &m->w, &l, err);
}

static void then_paused(struct peer *p, json_object *ans, json_object *machine)
{
    monitor_set_status(p->m, GUEST_PAUSED);
}

static int op_resume(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = p->m;
    struct wall_later l = later(p);
    if (m->g->status != GUEST_PAUSED)
        return error_set(err, 0, "the guest is not paused");
    return m->wall->resume(m->g, &m->w, &l, err);
}

/* What was not answered in time may still be done when the machine goes on: it is undone behind
 * it. */
static void undo_pause(struct peer *p)
{
    p->m->wall->resume(p->m->g, &p->m->w, NULL, NULL);
}

static void undo_resume(struct peer *p)
{
    p->m->wall->pause(p->m->g, &p->m->w, NULL, NULL);
}

static void then_resumed(struct peer *p, json_object *ans, json_object *machine)
{
    monitor_set_status(p->m, GUEST_RUNNING);
}

static int op_update(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    int64_t memory = json_get_int(req, "memory", 0), cpu = json_get_int(req, "cpuMillis", 0),
            pids = json_get_int(req, "pids", 0);
    if (memory < 0 || cpu < 0 || pids < 0)
        return error_set(err, 0, "a limit must not be negative");
    struct guest_limits l = {(uint64_t)memory, (uint64_t)cpu, (uint64_t)pids};
    return p->m->wall->update(p->m->g, &p->m->w, &l, err);
}

static int op_stats(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    struct wall_stats s = {0};
    struct wall_later l = later(p);
    int r = p->m->wall->stats(p->m->g, &p->m->w, &s, &l, err);
    if (r < 0)
        return -1;
    json_put_int(ans, "cpu_us", (int64_t)s.cpu_us);
    json_put_int(ans, "memory", (int64_t)s.memory);
    json_put_int(ans, "memory_max", (int64_t)s.memory_max);
    json_put_int(ans, "pids", (int64_t)s.pids);
    return r;
}

/* A machine that does not answer has no statistics of its own. */
static void then_stats(struct peer *p, json_object *ans, json_object *machine)
{
    if (!machine)
        return;
    json_object_object_del(machine, "ok");
    json_object_object_add(ans, "machine", json_object_get(machine));
    json_put_int(ans, "balanced", (int64_t)p->m->balance.extra);
}

static int op_machine(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = p->m;
    if (m->g->spec.wall != WALL_MACHINE)
        return error_set(err, 0, "the guest is a %s: only a machine has this", m->wall->name);
    json_object *r = json_get_obj(req, "request");
    if (!r)
        return error_set(err, 0, "request: must be an object");
    /* From here on balancing adds to what the user wants: requests arrive in their order. */
    int64_t left = json_get_int(r, "bytes", -1), memory = (int64_t)m->g->spec.limits.memory;
    if (!strcmp(json_get_str(r, "op", ""), "balloon") && left >= 0)
        balance_set_manual(&m->balance, left < memory ? (uint64_t)(memory - left) : 0);
    machine_link_ask(m->w.machine, json_object_get(r), answered, p);
    return WALL_LATER;
}

static void then_machine(struct peer *p, json_object *ans, json_object *machine)
{
    json_object_object_add(ans, "answer", json_object_get(machine));
}

static int op_wait(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    p->waits = true;
    return 0;
}

static int op_stop(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    int64_t s = json_get_int(req, "timeout", 10);
    if (s < 0 || s > 1000000)
        return error_set(err, 0, "timeout: must be 0 to 1000000 seconds");
    if (monitor_stop(p->m, (uint64_t)s * 1000000000u, err) < 0)
        return -1;
    p->waits = true;
    return 0;
}

static int op_attach(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    struct monitor *m = p->m;
    if (!m->w.main)
        return error_set(err, 0,
                         "the guest writes straight to the one who ran it (attached, with --rm): "
                         "nobody else can attach");
    json_put_bool(ans, "tty", m->g->spec.tty);
    peer_attach(p, json_get_bool(req, "stdin", false) && stream_takes_input(m->w.main));
    return 0;
}

static int op_exec(struct peer *p, json_object *req, json_object *ans, struct error **err)
{
    return monitor_exec_start(p, req, err);
}

struct operation {
    const char *op;
    /* 0, WALL_LATER, or -1 with err. */
    int (*fn)(struct peer *p, json_object *req, json_object *ans, struct error **err);
    /* Adds what came of it; machine: a machine's answer, or NULL. May be NULL. */
    void (*then)(struct peer *p, json_object *ans, json_object *machine);
    void (*undo)(struct peer *p); /* an answer did not come in time; may be NULL */
    bool partial;                 /* good without the machine's answer, too */
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
static void complete(struct peer *p, const struct operation *o, json_object *ans,
                     json_object *machine, const struct error *err)
{
    if (err && !o->partial) {
        json_object_put(ans);
        refuse(p, error_text(err));
        if (o->undo && error_code(err) == ETIMEDOUT)
            o->undo(p);
        return;
    }
    if (o->then)
        o->then(p, ans, machine);
    if (p->waits)
        json_object_put(ans); /* answered at the end */
    else
        peer_answer(p, ans);
}

static void answered(void *arg, json_object *answer, const struct error *err)
{
    struct peer *p = arg;
    const struct operation *o = p->asked;
    p->asked = NULL;
    complete(p, o, STEAL_PTR(p->answer), answer, err);
    client_resume(p->c);
}

void peer_request(struct peer *p, const char *line, size_t len)
{
    ERROR_CLEANUP err = NULL;
    AUTO_JSON *req = json_parse_object(line, len, "request", &err);
    if (!req) {
        refuse(p, error_text(err));
        return;
    }
    const char *op = json_get_str(req, "op", "");
    const struct operation *o = operations, *end = operations + sizeof operations / sizeof *o;
    while (o < end && strcmp(o->op, op) != 0)
        o++;
    if (o == end) {
        error_set(&err, 0, "op \"%.40s\" is not known", op);
        refuse(p, error_text(err));
    } else if (p->m->ended) {
        if (o->fn == op_wait || o->fn == op_stop)
            peer_answer_exit(p);
        else
            refuse(p, "the guest has ended");
    } else {
        json_object *ans = answer_ok();
        int r = o->fn(p, req, ans, &err);
        if (r == WALL_LATER) {
            p->asked = o;
            p->answer = ans;
        } else if (r < 0) {
            json_object_put(ans);
            refuse(p, error_text(err));
        } else {
            complete(p, o, ans, NULL, NULL);
        }
    }
}

void peer_forget(struct peer *p)
{
    machine_link_forget(p->m->w.machine, p);
    if (p->asked && p->asked->undo && !p->m->ended)
        p->asked->undo(p);
    json_object_put(p->answer);
}
