#include "guest/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/cgroup.h"

/* The file in the guest's folder that says that there is a group. */
#define MARKER "cgroup"

#define CPU_PERIOD_US 100000

static char *group_path(const struct guest *g)
{
    return xasprintf("/wirt/%s", g->id);
}

static bool any_limit(const struct guest_limits *l)
{
    return l->memory || l->cpu_milli || l->pids;
}

static void set_resources(struct resources *r, const struct guest_limits *l)
{
    resources_init(r);
    if (l->memory)
        r->memory_limit = (int64_t)l->memory;
    if (l->cpu_milli) {
        r->cpu_period = CPU_PERIOD_US;
        r->cpu_quota = (int64_t)(l->cpu_milli * CPU_PERIOD_US / 1000);
    }
    if (l->pids)
        r->pids_limit = (int64_t)l->pids;
}

/* Finds and opens the guest's group. */
static int open_group(const struct guest *g, struct cgroup *cg, struct error **err)
{
    AUTO_FREE char *path = group_path(g);
    *cg = (struct cgroup){0};
    if (cgroup_detect(cg, err) < 0 || cgroup_open(cg, path, err) < 0) {
        cgroup_close(cg);
        return -1;
    }
    return 0;
}

int limits_active(const struct guest *g)
{
    if (faccessat(g->dirfd, MARKER, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : -1;
}

static int look(const struct guest *g, struct error **err)
{
    int r = limits_active(g);
    return r < 0 ? error_set(err, errno, "look for %s/%s", g->dir, MARKER) : r;
}

static int make_group(struct guest *g, const struct guest_limits *l, struct error **err)
{
    AUTO_FREE char *path = group_path(g);
    struct cgroup cg = {0};
    struct config c = {.all_devices = true};
    set_resources(&c.resources, l);
    /* The marker first: a group without it would never be found again. */
    int r = replace_file_at(g->dirfd, MARKER, path, strlen(path), 0600, err);
    if (r == 0 && ((r = cgroup_detect(&cg, err)) == 0))
        r = cgroup_plan(&cg, path, err) < 0 || cgroup_create(&cg, &c, err) < 0 ? -1 : 0;
    bool left = r < 0 && cgroup_remove(&cg, NULL) < 0;
    cgroup_close(&cg);
    resources_free(&c.resources);
    if (r < 0) {
        if (!left)
            unlinkat(g->dirfd, MARKER, 0);
        /* Not the command's fault, which EACCES would say (exit status 126). */
        if (err && *err)
            (*err)->code = 0;
        return error_prefix(err, "limits need a control group of their own%s",
                            geteuid() ? " (root may make one)" : "");
    }
    return 0;
}

int limits_create(struct guest *g, struct error **err)
{
    return any_limit(&g->spec.limits) ? make_group(g, &g->spec.limits, err) : 0;
}

int limits_enter(const struct guest *g, struct error **err)
{
    struct cgroup cg;
    int active = look(g, err);
    if (active <= 0)
        return active;
    if (open_group(g, &cg, err) < 0)
        return -1;
    int r = cgroup_attach(&cg, getpid(), err);
    cgroup_close(&cg);
    return r;
}

void limits_let_die(const struct guest *g)
{
    struct cgroup cg;
    if (limits_active(g) == 0 || open_group(g, &cg, NULL) < 0)
        return;
    cgroup_let_die(&cg);
    cgroup_close(&cg);
}

int limits_freeze(struct guest *g, bool frozen, struct error **err)
{
    struct cgroup cg;
    if (open_group(g, &cg, err) < 0)
        return -1;
    int r = cgroup_freeze(&cg, frozen, err);
    cgroup_close(&cg);
    return r;
}

/* Moves a process and all below it in. One that ends meanwhile is no error. */
static int attach_tree(struct cgroup *cg, pid_t pid, int depth, struct error **err)
{
    pid_t children[256];
    ERROR_CLEANUP why = NULL;
    if (cgroup_attach(cg, pid, &why) < 0 && error_code(why) != ESRCH)
        return error_set(err, 0, "%s", error_text(why));
    int n = depth < 64 ? proc_children(pid, children, 256) : 0;
    if (n < 0)
        return error_set(err, errno, "look for the children of process %d", (int)pid);
    for (int i = 0; i < n; i++)
        if (attach_tree(cg, children[i], depth + 1, err) < 0)
            return -1;
    return 0;
}

int limits_update(struct guest *g, pid_t pid, const struct guest_limits *l, struct error **err)
{
    struct cgroup cg;
    int active = look(g, err);
    if (active < 0)
        return -1;
    bool fresh = !active;
    if (fresh && make_group(g, l, err) < 0)
        return -1;
    if (open_group(g, &cg, err) < 0)
        return -1;
    int r;
    if (fresh) {
        r = attach_tree(&cg, pid, 0, err);
    } else {
        struct resources res;
        set_resources(&res, l);
        r = cgroup_apply(&cg, &res, err);
        resources_free(&res);
    }
    cgroup_close(&cg);
    return r;
}

void limits_read_stats(json_object *s, struct wall_stats *out)
{
    json_object *cpu = json_get_obj(s, "cpu"), *memory = json_get_obj(s, "memory"),
                *pids = json_get_obj(s, "pids");
    json_object *usage = json_get_obj(memory, "usage");
    int64_t limit = json_get_int(usage, "limit", 0);
    out->cpu_us = (uint64_t)json_get_int(json_get_obj(cpu, "usage"), "total", 0) / 1000;
    out->memory = (uint64_t)json_get_int(usage, "usage", 0);
    /* Without a limit v1 answers the largest number of whole pages. */
    out->memory_max = limit > 0 && limit < INT64_MAX / 2 ? (uint64_t)limit : 0;
    out->pids = (uint64_t)json_get_int(pids, "current", 0);
}

int limits_stats(struct guest *g, pid_t pid, struct wall_stats *out, struct error **err)
{
    struct proc_usage u = proc_tree_usage(pid);
    out->cpu_us = u.cpu_us;
    out->memory = u.rss;
    out->pids = u.processes;
    int active = look(g, err);
    if (active <= 0)
        return active;
    struct cgroup cg;
    if (open_group(g, &cg, err) < 0)
        return -1;
    AUTO_JSON *s = cgroup_stats(&cg);
    cgroup_close(&cg);
    limits_read_stats(s, out);
    return 0;
}

int limits_remove(struct guest *g, struct error **err)
{
    struct cgroup cg;
    int active = look(g, err);
    if (active <= 0)
        return active;
    if (open_group(g, &cg, err) < 0)
        return -1;
    cg.made = 1; /* the last folder of its path, by make_group */
    int r = cgroup_remove(&cg, err);
    cgroup_close(&cg);
    if (r == 0 && unlinkat(g->dirfd, MARKER, 0) < 0)
        r = error_set(err, errno, "remove %s/%s", g->dir, MARKER);
    return r;
}
