#include "guest/lifecycle.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/control.h"
#include "guest/keeper.h"
#include "guest/limits.h"
#include "guest/wall.h"

/* How long a killed process may take to be gone. */
#define KILL_WAIT_MS 10000
#define ANSWER_MS    10000

static int require_active(struct guest *g, struct error **err)
{
    if (g->status == GUEST_RUNNING || g->status == GUEST_PAUSED)
        return 0;
    if (g->status == GUEST_DAMAGED)
        return error_set(err, 0, "the guest's folder is damaged: %s (wirt rm --force removes it)",
                         g->reason);
    if (g->status == GUEST_DEAD)
        return error_set(err, 0,
                         "the guest's monitor is gone (wirt rm --force removes what is left)");
    return error_set(err, 0, "the guest is not running, it is %s", guest_status_name(g->status));
}

static int call(struct guest *g, json_object *request, int timeout_ms, struct error **err)
{
    AUTO_JSON *answer = control_call(g, request, timeout_ms, err);
    return answer ? 0 : -1;
}

/* Kills a process that is still the one the state file means, and waits until it is gone. sig: as
 * of a wall's kill_signal. */
static int kill_and_wait(struct proc_id p, int sig, struct error **err)
{
    AUTO_CLOSE int fd = proc_open(p);
    if (fd < 0)
        return errno == ESRCH ? 0 : error_set(err, errno, "open process %d", (int)p.pid);
    if (sig)
        proc_end(fd, sig);
    else if (proc_signal(fd, SIGKILL) < 0 && errno != ESRCH)
        return error_set(err, errno, "kill process %d", (int)p.pid);
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int r;
    do {
        r = poll(&pfd, 1, KILL_WAIT_MS);
    } while (r < 0 && errno == EINTR);
    return r == 1 ? 0 : error_set(err, ETIMEDOUT, "process %d does not end", (int)p.pid);
}

/* Ends and takes away what a monitor left behind. It may have been paused: what is frozen dies of
 * nothing. */
static int bury(struct guest *g, struct error **err)
{
    const struct wall *wall = wall_of(&g->spec);
    struct workload w = {
        .id = g->workload, .pidfd = -1, .control = -1, .terminal = -1, .agent = -1};
    if (wall == &wall_process) {
        limits_let_die(g);
        keeper_wait(g->workload);
    }
    /* The container layer kills, and knows of its frozen groups. */
    if (wall == &wall_container && wall->cleanup(g, &w, err) < 0)
        return -1;
    if (kill_and_wait(g->workload, wall->kill_signal, err) < 0)
        return -1;
    return wall == &wall_container ? 0 : wall->cleanup(g, &w, err);
}

/* The guest ends with its monitor, which has not answered. */
static int kill_with_monitor(struct guest *g, struct error **err)
{
    if (kill_and_wait(g->monitor, 0, err) < 0)
        return -1;
    guest_refresh(g); /* what it wrote down last: whom it kept, or the end */
    if (g->status != GUEST_EXITED)
        g->status = GUEST_DEAD;
    return guest_stop(g, 0, err);
}

int guest_stop(struct guest *g, int64_t timeout, struct error **err)
{
    if (g->status == GUEST_EXITED)
        return 0;
    if (g->status == GUEST_DEAD) {
        if (bury(g, err) < 0)
            return -1;
        g->status = GUEST_EXITED;
        g->exit_status = 128 + SIGKILL;
        g->ended_ns = realtime_ns();
        return guest_save(g, err);
    }
    /* It is being started: a monitor in the midst of that has no ear for requests. */
    const struct timespec pause = {0, 10000000};
    for (int waited = 0; g->status == GUEST_CREATED && waited < KILL_WAIT_MS; waited += 10) {
        nanosleep(&pause, NULL);
        guest_refresh(g);
    }
    if (g->status == GUEST_CREATED)
        return kill_with_monitor(g, err);
    if (g->status == GUEST_DEAD || g->status == GUEST_EXITED)
        return guest_stop(g, timeout, err);
    if (require_active(g, err) < 0)
        return -1;
    json_object *r = control_request("stop");
    json_put_int(r, "timeout", timeout);
    int64_t wait = timeout * 1000 + KILL_WAIT_MS;
    ERROR_CLEANUP why = NULL;
    if (call(g, r, wait > INT32_MAX ? -1 : (int)wait, &why) == 0)
        return 0;
    guest_refresh(g);
    if (g->status == GUEST_DEAD) /* the monitor ended, which says nothing of the guest */
        return guest_stop(g, 0, err);
    if (g->status == GUEST_DEAD)
        return guest_stop(g, 0, err);
    if (!guest_active(g))
        return 0; /* it ended on its own meanwhile */
    /* A monitor that does not answer, or is being killed, is killed with its guest. */
    if (error_code(why) != ETIMEDOUT && error_code(why) != ECONNREFUSED &&
        error_code(why) != ECONNRESET && error_code(why) != EPIPE && error_code(why) != ENOENT)
        return error_set(err, 0, "%s", error_text(why));
    return kill_with_monitor(g, err);
}

int guest_kill(struct guest *g, int sig, struct error **err)
{
    if (require_active(g, err) < 0)
        return -1;
    json_object *r = control_request("kill");
    json_put_int(r, "signal", sig);
    return call(g, r, ANSWER_MS, err);
}

int guest_pause(struct guest *g, struct error **err)
{
    if (require_active(g, err) < 0)
        return -1;
    return call(g, control_request("pause"), ANSWER_MS, err);
}

int guest_resume(struct guest *g, struct error **err)
{
    if (require_active(g, err) < 0)
        return -1;
    return call(g, control_request("resume"), ANSWER_MS, err);
}

int guest_update(struct guest *g, const struct guest_limits *l, struct error **err)
{
    if (require_active(g, err) < 0)
        return -1;
    json_object *r = control_request("update");
    json_put_int(r, "memory", (int64_t)l->memory);
    json_put_int(r, "cpuMillis", (int64_t)l->cpu_milli);
    json_put_int(r, "pids", (int64_t)l->pids);
    return call(g, r, ANSWER_MS, err);
}

/* Of a guest whose state cannot be read a monitor may be there all the same: it ends its guest. */
static int end_damaged(struct guest *g, struct error **err)
{
    ERROR_CLEANUP why = NULL;
    json_object *r = control_request("stop");
    json_put_int(r, "timeout", 0);
    if (call(g, r, KILL_WAIT_MS, &why) == 0 || error_code(why) == ENOENT ||
        error_code(why) == ECONNREFUSED)
        return 0;
    return error_set(err, error_code(why), "the guest's monitor is there, and does not end: %s",
                     error_text(why));
}

static int end_active(struct guest *g, bool force, struct error **err)
{
    if (!guest_active(g))
        return 0;
    if (!force)
        return error_set(err, 0, "the guest is %s: stop it first, or use --force",
                         guest_status_name(g->status));
    return guest_stop(g, 0, err);
}

int guest_delete(struct guest *g, bool force, struct error **err)
{
    /* Once more with the lock: its maker may have been killed, and its monitor be on its way. */
    if (end_active(g, force, err) < 0 || guest_lock(g, KILL_WAIT_MS, err) < 0)
        return -1;
    if (g->status == GUEST_DEAD)
        guest_refresh(g);
    if (end_active(g, force, err) < 0)
        return -1;
    if (g->status == GUEST_DAMAGED && !force) {
        return error_set(err, 0,
                         "the guest's folder is damaged: %s; --force removes it all the same",
                         g->reason);
    }
    /* Also of one that has ended: its monitor may not have got rid of everything. */
    if (g->status != GUEST_DAMAGED && bury(g, err) < 0)
        return -1;
    if (g->status == GUEST_DAMAGED) {
        if (end_damaged(g, err) < 0)
            return -1;
        /* What it was is not known; a container's state is kept elsewhere, under its id. */
        struct workload none = {.pidfd = -1, .control = -1, .terminal = -1, .agent = -1};
        if (wall_container.cleanup(g, &none, err) < 0 || wall_process.cleanup(g, &none, err) < 0)
            return -1;
    }
    return guest_remove(g, err);
}

json_object *guest_stats(struct guest *g, struct error **err)
{
    if (require_active(g, err) < 0)
        return NULL;
    return control_call(g, control_request("stats"), ANSWER_MS, err);
}

json_object *guest_machine_request(struct guest *g, json_object *request, struct error **err)
{
    json_object *r = control_request("machine");
    json_object_object_add(r, "request", request);
    if (require_active(g, err) < 0) {
        json_object_put(r);
        return NULL;
    }
    AUTO_JSON *answer = control_call(g, r, ANSWER_MS, err);
    if (!answer)
        return NULL;
    json_object *inner = json_get_obj(answer, "answer");
    if (!inner)
        error_set(err, 0, "the machine gave no answer");
    return json_object_get(inner);
}
