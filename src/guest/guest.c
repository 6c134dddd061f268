#include "guest/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#define MAX_STATE_FILE (1u << 20)

static const char *const status_names[] = {"created", "running", "paused",
                                           "exited",  "dead",    "damaged"};

const char *guest_status_name(enum guest_status s)
{
    return status_names[s];
}

int64_t realtime_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct guest *guest_alloc(struct store *s, const char *id, struct error **err)
{
    struct guest *g = xcalloc(1, sizeof *g);
    g->store = s;
    memcpy(g->id, id, GUEST_ID_LEN + 1);
    g->dir = xasprintf("%s/guests/%s", s->path, id);
    g->dirfd = openat(s->guests_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (g->dirfd < 0) {
        error_set(err, errno, "open folder %s", g->dir);
        guest_free(g);
        return NULL;
    }
    return g;
}

int guest_lock(struct guest *g, int wait_ms, struct error **err)
{
    const struct timespec pause = {0, 10000000};
    for (int waited = 0; flock(g->dirfd, LOCK_EX | LOCK_NB) < 0; waited += 10) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set(err, errno, "lock folder %s", g->dir);
        if (waited >= wait_ms)
            return error_set(err, EBUSY, "another wirt is still making or removing the guest");
        nanosleep(&pause, NULL);
    }
    return 0;
}

void guest_unlock(struct guest *g)
{
    flock(g->dirfd, LOCK_UN);
}

static int write_json_at(int dirfd, const char *path, json_object *o, struct error **err)
{
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE);
    return replace_file_at(dirfd, path, text, strlen(text), 0600, err);
}

static json_object *proc_to_json(struct proc_id p)
{
    json_object *o = json_object_new_object();
    json_put_int(o, "pid", p.pid);
    json_put_int(o, "start", (int64_t)p.start);
    return o;
}

static struct proc_id proc_from_json(json_object *o)
{
    int64_t pid = json_get_int(o, "pid", 0), start = json_get_int(o, "start", 0);
    /* pids are below 2^22; 1 and what is below it is never a guest's. */
    if (pid <= 1 || pid > (1 << 22) || start <= 0)
        return (struct proc_id){0};
    return (struct proc_id){.pid = (pid_t)pid, .start = (uint64_t)start};
}

int guest_save(struct guest *g, struct error **err)
{
    AUTO_JSON *o = json_object_new_object();
    json_put_str(o, "id", g->id);
    json_put_str(o, "name", g->name);
    json_put_str(o, "status", guest_status_name(g->status));
    json_object_object_add(o, "monitor", proc_to_json(g->monitor));
    json_object_object_add(o, "workload", proc_to_json(g->workload));
    json_put_int(o, "exitStatus", g->exit_status);
    json_put_str(o, "reason", g->reason);
    json_put_int(o, "created", g->created_ns);
    json_put_int(o, "started", g->started_ns);
    json_put_int(o, "ended", g->ended_ns);
    return write_json_at(g->dirfd, "state.json", o, err);
}

int guest_save_config(struct guest *g, struct error **err)
{
    AUTO_JSON *o = spec_to_json(&g->spec);
    return write_json_at(g->dirfd, "config.json", o, err);
}

static void set_damaged(struct guest *g, const char *why)
{
    g->status = GUEST_DAMAGED;
    free(g->reason);
    g->reason = xstrdup(why);
}

static bool parse_status(const char *s, enum guest_status *status)
{
    for (int i = GUEST_CREATED; i <= GUEST_EXITED; i++) {
        if (!strcmp(s, status_names[i])) {
            *status = (enum guest_status)i;
            return true;
        }
    }
    return false;
}

void guest_refresh(struct guest *g)
{
    ERROR_CLEANUP err = NULL;
    AUTO_JSON *o = json_read_file_at(g->dirfd, "state.json", MAX_STATE_FILE, &err);
    if (!o) {
        set_damaged(g, error_text(err));
        return;
    }
    free(g->name);
    g->name = json_get_dup(o, "name");
    g->monitor = proc_from_json(json_get_obj(o, "monitor"));
    g->workload = proc_from_json(json_get_obj(o, "workload"));
    g->exit_status = (int)(json_get_int(o, "exitStatus", 255) & 255);
    g->created_ns = json_get_int(o, "created", 0);
    g->started_ns = json_get_int(o, "started", 0);
    g->ended_ns = json_get_int(o, "ended", 0);
    free(g->reason);
    g->reason = json_get_dup(o, "reason");
    if (!parse_status(json_get_str(o, "status", ""), &g->status))
        set_damaged(g, "state.json: status is none of created, running, paused, exited");
    else if (!g->name || strchr(g->name, '/'))
        set_damaged(g, "state.json: no name");
    else if (guest_active(g) && !proc_alive(g->monitor))
        g->status = GUEST_DEAD;
}

struct guest *guest_create(struct store *s, const char *name, struct guest_spec *spec,
                           struct error **err)
{
    char id[GUEST_ID_LEN + 1];
    if (store_new_id(s, id, err) < 0)
        return NULL;
    struct guest *g = guest_alloc(s, id, err);
    if (!g) {
        unlinkat(s->guests_fd, id, AT_REMOVEDIR);
        return NULL;
    }
    g->spec = *spec;
    *spec = (struct guest_spec){0};
    g->monitor = proc_identify(getpid());
    g->created_ns = realtime_ns();
    if (!g->monitor.start)
        error_set(err, errno, "look at process %d", (int)g->monitor.pid);
    if (!g->monitor.start || guest_lock(g, 0, err) < 0 ||
        store_take_name(s, name, id, &g->name, err) < 0 || guest_save_config(g, err) < 0 ||
        guest_save(g, err) < 0) {
        guest_remove(g, NULL);
        guest_free(g);
        return NULL;
    }
    return g;
}

struct guest *guest_open(struct store *s, const char *ref, struct error **err)
{
    char id[GUEST_ID_LEN + 1];
    if (store_resolve(s, ref, id, err) < 0)
        return NULL;
    struct guest *g = guest_alloc(s, id, err);
    if (!g)
        return NULL;
    guest_refresh(g);
    ERROR_CLEANUP why = NULL;
    AUTO_JSON *o = json_read_file_at(g->dirfd, "config.json", MAX_STATE_FILE, &why);
    if (!o || spec_from_json(&g->spec, o, &why) < 0) {
        error_prefix(&why, "config.json");
        set_damaged(g, error_text(why));
    }
    return g;
}

int guest_remove(struct guest *g, struct error **err)
{
    /* The name first: without it the guest is still found by its id, and can be removed again. Of a
     * damaged one the name is not known. */
    if (store_drop_name(g->store, g->status == GUEST_DAMAGED ? NULL : g->name, g->id, err) < 0)
        return -1;
    AUTO_FREE char *reading = xasprintf("memory/%s", g->id);
    if (unlinkat(g->store->fd, reading, 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "remove %s/%s", g->store->path, reading);
    return remove_tree_at(g->store->guests_fd, g->id, err);
}

void guest_free(struct guest *g)
{
    if (!g)
        return;
    if (g->dirfd >= 0)
        close(g->dirfd);
    spec_free(&g->spec);
    free(g->name);
    free(g->dir);
    free(g->reason);
    free(g);
}

static void put_time(json_object *o, const char *key, int64_t ns)
{
    time_t t = (time_t)(ns / 1000000000);
    struct tm tm;
    char buf[40], zone[64];
    if (ns <= 0 || !gmtime_r(&t, &tm) || !strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%S", &tm))
        return;
    snprintf(zone, sizeof zone, "%s.%09dZ", buf, (int)(ns % 1000000000));
    json_put_str(o, key, zone);
}

json_object *guest_to_json(struct guest *g)
{
    json_object *o = json_object_new_object();
    json_put_str(o, "id", g->id);
    json_put_str(o, "name", g->name ? g->name : "");
    json_put_str(o, "status", guest_status_name(g->status));
    if (guest_active(g)) {
        json_put_int(o, "pid", g->workload.pid);
        json_put_int(o, "monitorPid", g->monitor.pid);
    }
    if (g->status == GUEST_EXITED)
        json_put_int(o, "exitStatus", g->exit_status);
    json_put_str(o, "reason", g->reason);
    put_time(o, "created", g->created_ns);
    put_time(o, "started", g->started_ns);
    put_time(o, "ended", g->ended_ns);
    json_put_str(o, "folder", g->dir);
    json_object_object_add(o, "config", spec_to_json(&g->spec));
    return o;
}
