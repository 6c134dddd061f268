/* A guest's status, and its end from outside. */
#include <signal.h>

#include "base/log.h"
#include "guest/monitor_internal.h"

bool monitor_save(struct monitor *m)
{
    ERROR_CLEANUP err = NULL;
    if (guest_save(m->g, &err) == 0)
        return true;
    log_warn("guest %.12s: %s", m->g->id, error_text(err));
    return false;
}

void monitor_set_status(struct monitor *m, enum guest_status s)
{
    m->g->status = s;
    monitor_save(m);
}

static void kill_deadline(void *arg)
{
    struct monitor *m = arg;
    monitor_kill(m);
}

/* It was asked to end with all that it holds, and has not. */
static void kill_overdue(void *arg)
{
    struct monitor *m = arg;
    proc_signal(m->w.pidfd, SIGKILL);
}

void monitor_kill(struct monitor *m)
{
    if (m->ended)
        return;
    if (m->wall->kill_signal && proc_signal(m->w.pidfd, m->wall->kill_signal) == 0) {
        proc_signal(m->w.pidfd, SIGCONT); /* what is stopped takes no other */
        loop_timer(m->loop, clock_ns() + PROC_END_MS * UINT64_C(1000000), kill_overdue, m);
    } else {
        proc_signal(m->w.pidfd, SIGKILL);
    }
    /* A frozen cgroup's processes die when it thaws. */
    if (m->g->status == GUEST_PAUSED && m->wall->resume(m->g, &m->w, NULL, NULL) >= 0)
        monitor_set_status(m, GUEST_RUNNING);
}

static void kill_refused(struct monitor *m, const char *why)
{
    log_warn("guest %.12s: %s; it is killed", m->g->id, why);
    monitor_kill(m);
}

static void stop_answered(void *arg, json_object *answer, const struct error *err)
{
    struct monitor *m = arg;
    if (err && !m->ended)
        kill_refused(m, error_text(err));
}

int monitor_stop(struct monitor *m, uint64_t timeout_ns, struct error **err)
{
    if (m->g->status == GUEST_PAUSED) {
        if (m->wall->resume(m->g, &m->w, NULL, err) < 0)
            return -1;
        monitor_set_status(m, GUEST_RUNNING);
    }
    ERROR_CLEANUP why = NULL;
    struct wall_later later = {.fn = stop_answered, .arg = m};
    if (!timeout_ns) {
        monitor_kill(m);
        return 0;
    }
    if (m->wall->ask_to_stop(m->g, &m->w, &later, &why) < 0) {
        kill_refused(m, error_text(why));
        return 0;
    }
    loop_timer(m->loop, clock_ns() + timeout_ns, kill_deadline, m);
    return 0;
}

void monitor_life_end(struct monitor *m)
{
    m->ended = true;
    loop_timer(m->loop, UINT64_MAX, kill_deadline, m);
    loop_timer(m->loop, UINT64_MAX, kill_overdue, m);
}
