/* What happens to a container after create: start, kill, delete, pause, resume, update, and
 * questions about it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/config.h"
#include "container/container.h"
#include "container/hooks.h"
#include "container/json.h"
#include "container/mounts.h"
#include "container/namespaces.h"
#include "container/state.h"
#include "container/sync.h"

static struct state *load(const char *root, const char *id, struct error **err)
{
    AUTO_FREE char *dir = state_root(root, err);
    return dir ? state_load(dir, id, err) : NULL;
}

static void free_state(struct state **s)
{
    state_free(*s);
}
#define AUTO_STATE __attribute__((cleanup(free_state))) struct state

static void close_cgroup(struct cgroup *g)
{
    cgroup_close(g);
}
#define AUTO_CGROUP __attribute__((cleanup(close_cgroup))) struct cgroup

/* The process of the container, as long as it is that one: pids are used again. */
static int open_process(struct state *s, struct error **err)
{
    AUTO_CLOSE int fd = s->pid ? (int)syscall(SYS_pidfd_open, s->pid, 0) : -1;
    if (s->pid && fd < 0 && errno != ESRCH)
        return error_set(err, errno, "container %s: pidfd_open", s->id);
    uint64_t start = fd < 0 ? 0 : process_start_time(s->pid);
    if (start == PROCESS_UNKNOWN)
        return error_set(err, errno, "container %s: look at process %d", s->id, (int)s->pid);
    if (!start || start != s->start_time)
        return error_set(err, 0, "container %s is not running", s->id);
    return STEAL_FD(fd);
}

static int open_group(struct state *s, struct cgroup *g, struct error **err)
{
    if (!s->cgroup)
        return error_set(err, 0, "container %s has no control group", s->id);
    return cgroup_open(g, s->cgroup, err);
}

static char *state_text(struct state *s, const char *status, pid_t pid)
{
    struct json_object *o = state_json(s->id, status, pid, s->bundle, s->annotations);
    char *text = xstrdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return text;
}

/* Hooks of the config that create kept. */
static int run_hooks(struct json_object *doc, enum hook_kind kind, const char *state,
                     struct error **err)
{
    struct node n = node_root(doc, NULL), h = node_get(&n, "hooks");
    struct hooks hooks[HOOK_COUNT] = {0};
    int r = config_hooks(&h, hooks, err);
    if (r >= 0)
        r = hooks_run(&hooks[kind], kind, state, err);
    hooks_free(hooks);
    return r;
}

/* config.json as create kept it, if it has hooks of this kind; else *doc is NULL. -1 when it cannot
 * be told; a container without the file was never made to the end, and has none to run. */
static int config_with_hooks(struct state *s, enum hook_kind kind, struct json_object **doc,
                             struct error **err)
{
    AUTO_FREE char *text = NULL;
    *doc = NULL;
    if (read_file_at(s->dirfd, "config.json", 32 << 20, &text, NULL, err) < 0) {
        if (errno != ENOENT)
            return -1;
        error_free(err);
        return 0;
    }
    if (!strstr(text, hook_name(kind)))
        return 0;
    *doc = json_tokener_parse(text);
    return *doc ? 0 : error_set(err, EINVAL, "the container's config.json is not JSON");
}

/* ---- start ---- */

/* Since Linux 6.15 (pidfd.h), which a C library's headers may be older than. */
struct pidfd_exit_info {
    uint64_t mask, cgroup;
    uint32_t ids[11];
    int32_t exit_code; /* as wait(2) has it */
};
#define PIDFD_GET_EXIT_INFO _IOWR(0xff, 11, struct pidfd_exit_info)
#define PIDFD_EXIT_INFO     (1u << 3)

/* Whether a process that is gone was ended by a filter, which is at its execution if it is so soon:
 * who adopted it may have waited for it before anybody saw how far it had come. */
static bool filtered_out(int process)
{
    struct pidfd_exit_info i = {.mask = PIDFD_EXIT_INFO};
    return ioctl(process, PIDFD_GET_EXIT_INFO, &i) == 0 && i.mask & PIDFD_EXIT_INFO &&
           WIFSIGNALED(i.exit_code) && WTERMSIG(i.exit_code) == SIGSYS;
}

/* Lets the process go on, and waits until it has executed the command. */
static int release(struct state *s, struct error **err)
{
    AUTO_CLOSE int process = open_process(s, err);
    if (process < 0)
        return -1;
    AUTO_CLOSE int sock = sync_connect(s->dirfd, START_SOCKET, err);
    if (sock < 0)
        return -1;
    int r = sync_wait_end(sock, s->pid, err);
    if (r == 0 && filtered_out(process))
        r = error_set(err, EPIPE, "the container's process ended before the command");
    if (unlinkat(s->dirfd, START_SOCKET, 0) < 0 && r == 0)
        return error_set(err, errno, "remove %s", START_SOCKET);
    return r;
}

int container_start(const char *root, const char *id, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    if (!s)
        return -1;
    if (flock(s->dirfd, LOCK_EX) < 0) /* of two starts one comes too late */
        return error_set(err, errno, "lock container %s", id);
    enum status status = state_status(s);
    if (status != STATUS_CREATED)
        return error_set(err, 0, "container %s cannot be started: it is %s", id,
                         status_name(status));
    struct error *e = NULL;
    bool hook = false;
    int r = release(s, &e);
    if (r < 0) {
        hook = str_starts(error_text(e), "hooks.");
    } else {
        struct json_object *doc;
        AUTO_FREE char *text = state_text(s, "running", s->pid);
        r = config_with_hooks(s, HOOK_POSTSTART, &doc, &e);
        if (doc)
            r = run_hooks(doc, HOOK_POSTSTART, text, &e);
        json_object_put(doc);
        hook = r < 0;
    }
    if (hook) /* runtime.md, Lifecycle, steps 7 and 9: stop it and destroy it */
        container_delete(root, id, true, NULL);
    if (err)
        *err = e;
    else
        error_free(&e);
    return r;
}

/* ---- its processes ---- */

static bool has_directory(const struct cgroup *g)
{
    for (size_t i = 0; i < g->len; i++)
        if (g->h[i].dirfd >= 0)
            return true;
    return false;
}

/* Without a control group, which an ordinary user may not have: those of its pid namespace. */
static int list_namespace(struct state *s, pid_t **pids, size_t *len, struct error **err)
{
    AUTO_CLOSE int fd = open_process(s, err);
    return fd < 0 ? -1 : namespaces_procs(s->pid, pids, len, err);
}

static int processes(struct state *s, pid_t **pids, size_t *len, struct error **err)
{
    AUTO_CGROUP g = {0};
    *pids = NULL;
    *len = 0;
    if (s->cgroup && cgroup_open(&g, s->cgroup, err) < 0)
        return -1;
    return has_directory(&g) ? cgroup_procs(&g, pids, len, err) : list_namespace(s, pids, len, err);
}

static int kill_all(struct state *s, int signal, struct error **err)
{
    AUTO_CGROUP g = {0};
    if (s->cgroup && cgroup_open(&g, s->cgroup, err) < 0)
        return -1;
    if (has_directory(&g))
        return cgroup_kill(&g, signal, err);
    AUTO_FREE pid_t *pids = NULL;
    size_t len = 0;
    int r = list_namespace(s, &pids, &len, err);
    for (size_t i = 0; r == 0 && i < len; i++)
        if (kill(pids[i], signal) < 0 && errno != ESRCH)
            r = error_set(err, errno, "signal process %d", (int)pids[i]);
    return r;
}

/* ---- kill, delete ---- */

int container_kill(const char *root, const char *id, int signal, bool all, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    if (!s)
        return -1;
    if (all)
        return kill_all(s, signal, err);
    AUTO_CLOSE int fd = open_process(s, err);
    if (fd < 0)
        return -1;
    if (syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0)
        return error_set(err, errno, "signal container %s", id);
    AUTO_CGROUP g = {0};
    if (signal == SIGKILL && s->cgroup && cgroup_open(&g, s->cgroup, NULL) == 0)
        cgroup_let_die(&g);
    return 0;
}

/* Kills a process that is still the one that was written down, and waits for its end. */
static int kill_and_wait(struct state *s, pid_t pid, uint64_t start, struct error **err)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno != ESRCH)
        return error_set(err, errno, "pidfd_open %d", (int)pid);
    uint64_t now = fd < 0 ? 0 : process_start_time(pid);
    if (now == PROCESS_UNKNOWN)
        return error_set(err, errno, "look at process %d", (int)pid);
    if (!now || now != start)
        return 0;
    AUTO_CGROUP g = {0};
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return error_set(err, errno, "kill process %d", (int)pid);
    if (s->cgroup && cgroup_open(&g, s->cgroup, NULL) == 0)
        cgroup_let_die(&g);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;
    do {
        r = poll(&p, 1, 10000);
    } while (r < 0 && errno == EINTR);
    return r == 1 ? 0
                  : error_set(err, r ? errno : ETIMEDOUT, "container %s: process %d does not end",
                              s->id, (int)pid);
}

static int destroy(const char *dir, struct state *s, struct error **err)
{
    struct json_object *doc;
    ERROR_CLEANUP why = NULL;
    int r = 0;
    if (config_with_hooks(s, HOOK_POSTSTOP, &doc, &why) < 0)
        log_warn("container %s: hooks.poststop are not run: %s", s->id, error_text(why));
    if (s->cgroup) {
        AUTO_CGROUP g = {0};
        r = cgroup_open(&g, s->cgroup, err);
        g.made = s->cgroup_made;
        if (r == 0)
            r = cgroup_remove(&g, err);
    }
    if (r == 0)
        r = shared_root_remove(s->rootfs, &s->shared_root, err);
    if (r == 0)
        r = state_remove(dir, s->id, err);
    AUTO_FREE char *text = state_text(s, "stopped", 0);
    if (r == 0 && doc)
        run_hooks(doc, HOOK_POSTSTOP, text, NULL);
    json_object_put(doc);
    return r;
}

/* Whether it is for a want of the moment that a state could not be read: what is in it is not to be
 * done without then. */
static bool passing(const struct error *why)
{
    int code = error_code(why);
    return code == EMFILE || code == ENFILE || code == ENOMEM || code == EINTR;
}

/* A container that is there, but whose state.json is not, or cannot be read. */
static struct state *damaged(const char *dir, const char *id, const struct error *why)
{
    if (error_code(why) != ENOENT)
        log_warn("%s; what is known of it otherwise is removed", error_text(why));
    return state_salvage(dir, id);
}

int container_delete(const char *root, const char *id, bool force, struct error **err)
{
    AUTO_FREE char *dir = state_root(root, err);
    if (!dir || state_check_id(id, err) < 0)
        return -1;
    struct error *e = NULL;
    AUTO_STATE *s = state_load(dir, id, &e);
    if (!s && (!force || passing(e))) {
        if (err)
            *err = e;
        else
            error_free(&e);
        return -1;
    }
    if (!s)
        s = damaged(dir, id, e);
    error_free(&e);
    if (s->dirfd < 0) /* none; or a folder that is not ours to read */
        return state_remove(dir, id, err);
    enum status status = state_status(s);
    if (status != STATUS_STOPPED && !force)
        return error_set(err, 0, "container %s cannot be deleted: it is %s (--force kills it)", id,
                         status_name(status));
    /* Its maker would go on with what is taken away here. */
    if (status == STATUS_CREATING && s->maker != getpid() &&
        kill_and_wait(s, s->maker, s->maker_start, err) < 0)
        return -1;
    if (status == STATUS_CREATING) {
        /* What the maker has written down meanwhile. */
        struct state *now = state_load(dir, id, NULL);
        if (now) {
            state_free(s);
            s = now;
        }
    }
    if (s->pid && kill_and_wait(s, s->pid, s->start_time, err) < 0)
        return -1;
    return destroy(dir, s, err);
}

/* ---- pause, resume, update ---- */

static int freeze(const char *root, const char *id, bool on, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    if (!s)
        return -1;
    enum status status = state_status(s);
    if (status != (on ? STATUS_RUNNING : STATUS_PAUSED) && !(on && status == STATUS_CREATED))
        return error_set(err, 0, "container %s cannot be %s: it is %s", id,
                         on ? "paused" : "resumed", status_name(status));
    AUTO_CGROUP g = {0};
    return open_group(s, &g, err) < 0 ? -1 : cgroup_freeze(&g, on, err);
}

int container_pause(const char *root, const char *id, struct error **err)
{
    return freeze(root, id, true, err);
}

int container_resume(const char *root, const char *id, struct error **err)
{
    return freeze(root, id, false, err);
}

int container_update(const char *root, const char *id, struct json_object *resources,
                     struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    AUTO_CGROUP g = {0};
    AUTO_CLOSE int process = s ? open_process(s, err) : -1;
    if (process < 0 || open_group(s, &g, err) < 0)
        return -1;
    struct resources r;
    resources_init(&r);
    struct node n = node_root(resources, "resources");
    int res = config_resources(&n, &r, err);
    /* No version says what 0 is here, and a running container that may have no task is of no use.
     */
    if (r.pids_limit == 0)
        r.pids_limit = -1;
    if (res >= 0)
        res = cgroup_apply(&g, &r, err);
    struct cgroup_hierarchy *h = cgroup_find(&g, "devices");
    if (res >= 0 && r.devices_len && h)
        res = h->v2 ? cgroup_v2_devices(h, r.devices, r.devices_len, err)
                    : cgroup_v1_devices(&g, r.devices, r.devices_len, err);
    resources_free(&r);
    return res < 0 ? -1 : 0;
}

/* ---- questions ---- */

static struct json_object *describe(struct state *s)
{
    enum status status = state_status(s);
    struct json_object *o =
        state_json(s->id, status_name(status), status == STATUS_STOPPED ? 0 : s->pid, s->bundle,
                   s->annotations);
    if (status == STATUS_STOPPED || !s->pid)
        json_object_object_add(o, "pid", json_object_new_int(0));
    json_object_object_add(o, "rootfs", json_object_new_string(s->rootfs));
    json_object_object_add(o, "created", json_object_new_string(s->created));
    struct stat st;
    if (fstat(s->dirfd, &st) == 0) {
        AUTO_FREE char *number = xasprintf("%u", st.st_uid);
        json_object_object_add(o, "owner",
                               json_object_new_string(st.st_uid == 0 ? "root" : number));
    }
    return o;
}

struct json_object *container_state(const char *root, const char *id, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    return s ? describe(s) : NULL;
}

struct json_object *container_list(const char *root, struct error **err)
{
    AUTO_FREE char *dir = state_root(root, err);
    if (!dir)
        return NULL;
    struct json_object *list = json_object_new_array();
    AUTO_CLOSEDIR DIR *d = opendir(dir);
    if (!d && errno != ENOENT) {
        error_set(err, errno, "read folder %s", dir);
        json_object_put(list);
        return NULL;
    }
    for (struct dirent *e; d && (errno = 0, (e = readdir(d)));) {
        if (state_check_id(e->d_name, NULL) < 0)
            continue;
        ERROR_CLEANUP why = NULL;
        AUTO_STATE *s = state_load(dir, e->d_name, &why);
        if (s)
            json_object_array_add(list, describe(s));
        else if (error_code(why) != ENOENT) /* being made, or unmade */
            log_warn("%s", error_text(why));
    }
    if (d && errno) {
        error_set(err, errno, "read folder %s", dir);
        json_object_put(list);
        return NULL;
    }
    return list;
}

int container_pids(const char *root, const char *id, pid_t **pids, size_t *len, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    return s ? processes(s, pids, len, err) : -1;
}

struct json_object *container_stats(const char *root, const char *id, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    AUTO_CGROUP g = {0};
    AUTO_CLOSE int process = s ? open_process(s, err) : -1;
    if (process < 0 || open_group(s, &g, err) < 0)
        return NULL;
    return cgroup_stats(&g);
}

/* A descriptor that becomes readable when the kernel kills for lack of memory. */
static int oom_notice(struct cgroup_hierarchy *h, struct error **err)
{
    if (h->v2) {
        AUTO_CLOSE int fd = inotify_init1(IN_CLOEXEC);
        AUTO_FREE char *path = xasprintf("/proc/self/fd/%d/memory.events", h->dirfd);
        if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
            return error_set(err, errno, "watch memory.events");
        return STEAL_FD(fd);
    }
    AUTO_CLOSE int fd = eventfd(0, EFD_CLOEXEC);
    AUTO_CLOSE int control = openat(h->dirfd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || control < 0)
        return error_set(err, errno, "open memory.oom_control");
    if (cgroup_write(h, "cgroup.event_control", err, "%d %d", fd, control) < 0)
        return -1;
    return STEAL_FD(fd);
}

int container_wait_oom(const char *root, const char *id, struct error **err)
{
    AUTO_STATE *s = load(root, id, err);
    AUTO_CGROUP g = {0};
    if (!s || open_group(s, &g, err) < 0)
        return -1;
    AUTO_CLOSE int process = open_process(s, err);
    if (process < 0)
        return -1;
    struct cgroup_hierarchy *h = cgroup_find(&g, "memory");
    if (!h)
        return error_set(err, 0, "container %s has no memory controller", id);
    AUTO_CLOSE int notice = oom_notice(h, err);
    if (notice < 0)
        return -1;
    int64_t before = cgroup_oom_kills(&g);
    struct pollfd p[2] = {{.fd = notice, .events = POLLIN}, {.fd = process, .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        char buf[4096];
        if (p[0].revents && read(notice, buf, sizeof buf) < 0 && errno != EINTR)
            return error_set(err, errno, "read");
        /* v1 counts a kill after it tells of it; the first notice is the kill then. */
        int64_t now = cgroup_oom_kills(&g);
        if (now > before || (p[0].revents && !g.unified && now >= 0))
            return 1;
        if (p[1].revents)
            return 0;
    }
}
