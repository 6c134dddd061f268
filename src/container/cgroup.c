#include "container/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/devices.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* 1: a file system of this kind is mounted there; 0: not; -1: it cannot be told, which must not be
 * taken for either: a hierarchy that is left out has no limit, and keeps its groups. */
static int is_fs(const char *path, unsigned long magic, struct error **err)
{
    struct statfs s;
    int r;
    do {
        r = statfs(path, &s);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set(err, errno, "statfs %s", path);
    return (unsigned long)s.f_type == magic;
}

/* One line of /proc/self/cgroup: "4:cpu,cpuacct:/path" (cgroups(7)). */
static int add_hierarchy(struct cgroup *g, char *line, struct error **err)
{
    char *controllers = strchr(line, ':'), *end;
    if (!controllers || !(end = strchr(++controllers, ':')) || g->len == CGROUP_MAX)
        return 0;
    *end = 0;
    struct cgroup_hierarchy *h = &g->h[g->len];
    *h = (struct cgroup_hierarchy){.dirfd = -1};
    h->v2 = !*controllers;
    bool named = str_starts(controllers, "name=");
    int n = snprintf(h->name, sizeof h->name, "%s",
                     h->v2   ? "unified"
                     : named ? controllers + 5
                             : controllers);
    if (n >= (int)sizeof h->name)
        return 0;
    snprintf(h->mount_data, sizeof h->mount_data, "%s%s", named ? "none," : "", controllers);
    AUTO_FREE char *mount = xasprintf(CGROUP_ROOT "/%s", h->name);
    int there = is_fs(mount, h->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC, err);
    if (there > 0)
        g->len++;
    return there;
}

int cgroup_detect(struct cgroup *g, struct error **err)
{
    *g = (struct cgroup){0};
    int unified = is_fs(CGROUP_ROOT, CGROUP2_SUPER_MAGIC, err);
    if (unified < 0)
        return -1;
    if (unified) {
        g->unified = true;
        g->len = 1;
        g->h[0] = (struct cgroup_hierarchy){.v2 = true, .dirfd = -1};
        return 0;
    }
    AUTO_FREE char *text = NULL;
    if (read_file_at(AT_FDCWD, "/proc/self/cgroup", 1 << 20, &text, NULL, err) < 0)
        return -1;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (add_hierarchy(g, line, err) < 0)
            return -1;
    return 0;
}

struct cgroup_hierarchy *cgroup_find(struct cgroup *g, const char *controller)
{
    if (g->unified)
        return g->len && g->h[0].dirfd >= 0 ? &g->h[0] : NULL;
    size_t n = strlen(controller);
    for (size_t i = 0; i < g->len; i++)
        for (const char *p = g->h[i].name; p; p = strchr(p, ',')) {
            p += *p == ',';
            if (!strncmp(p, controller, n) && (!p[n] || p[n] == ','))
                return g->h[i].dirfd >= 0 ? &g->h[i] : NULL;
        }
    return NULL;
}

int cgroup_write(struct cgroup_hierarchy *h, const char *file, struct error **err, const char *fmt,
                 ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text)
        return error_set(err, E2BIG, "write to %s", file);
    return write_file_at(h->dirfd, file, text, err);
}

char *cgroup_read(const struct cgroup_hierarchy *h, const char *file)
{
    char *text = NULL;
    size_t len;
    if (!h || read_file_at(h->dirfd, file, 1 << 20, &text, &len, NULL) < 0)
        return NULL;
    if (len && text[len - 1] == '\n')
        text[len - 1] = 0;
    return text;
}

int64_t cgroup_read_int(const struct cgroup_hierarchy *h, const char *file)
{
    AUTO_FREE char *text = cgroup_read(h, file);
    if (!text || !*text)
        return -1;
    return !strcmp(text, "max") ? INT64_MAX : strtoll(text, NULL, 10);
}

int64_t cgroup_read_key(const struct cgroup_hierarchy *h, const char *file, const char *key)
{
    AUTO_FREE char *text = cgroup_read(h, file);
    size_t n = strlen(key);
    for (char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (!strncmp(p, key, n) && p[n] == ' ')
            return strtoll(p + n, NULL, 10);
    }
    return -1;
}

/* Makes path and what is missing above it below root. 1: it was there. */
static int make_path(const char *root, const char *path, struct error **err)
{
    AUTO_FREE char *full = xasprintf("%s%s", root, path);
    if (mkdir(full, 0755) == 0)
        return 0;
    if (errno == ENOENT) {
        for (char *p = full + strlen(root) + 1;; p++) {
            if (*p && *p != '/')
                continue;
            char c = *p;
            *p = 0;
            bool there = mkdir(full, 0755) < 0;
            if (there && errno != EEXIST)
                return error_set(err, errno, "make control group %s", full);
            *p = c;
            if (!c)
                return there;
        }
    }
    return errno == EEXIST ? 1 : error_set(err, errno, "make control group %s", full);
}

/* How many of path's components are missing below root. */
static size_t missing(const char *root, const char *path)
{
    AUTO_FREE char *full = xasprintf("%s%s", root, path);
    size_t n = 0;
    for (char *slash; access(full, F_OK) < 0 && errno == ENOENT; n++) {
        if (!(slash = strrchr(full + strlen(root), '/')))
            break;
        *slash = 0;
    }
    return n;
}

static char *hierarchy_root(const struct cgroup *g, const struct cgroup_hierarchy *h)
{
    return g->unified ? xstrdup(CGROUP_ROOT) : xasprintf(CGROUP_ROOT "/%s", h->name);
}

char *cgroup_path(const struct cgroup *g, const struct cgroup_hierarchy *h)
{
    AUTO_FREE char *root = hierarchy_root(g, h);
    return xasprintf("%s%s", root, g->path ? g->path : "");
}

static int open_group(const struct cgroup *g, struct cgroup_hierarchy *h)
{
    AUTO_FREE char *full = cgroup_path(g, h);
    h->dirfd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return h->dirfd;
}

/* 1: it was there. */
static int make_group(struct cgroup *g, struct cgroup_hierarchy *h, struct error **err)
{
    AUTO_FREE char *root = hierarchy_root(g, h);
    struct error *e = NULL;
    int there = make_path(root, g->path, &e);
    if (there < 0) {
        int code = error_code(e);
        if (g->rootless && (code == EACCES || code == EPERM || code == EROFS)) {
            error_free(&e);
            return 0;
        }
        if (err)
            *err = e;
        else
            error_free(&e);
        return -1;
    }
    if (g->unified && cgroup_v2_enable(root, g->path, err) < 0)
        return -1;
    if (!h->v2 && strstr(h->name, "cpuset") && cgroup_v1_init_cpuset(root, g->path, err) < 0)
        return -1;
    if (open_group(g, h) < 0)
        return error_set(err, errno, "open control group %s%s", root, g->path);
    return there;
}

static int restrict_devices(struct cgroup *g, const struct config *c, struct error **err)
{
    size_t len;
    AUTO_FREE struct device_rule *rules = devices_rules(c, &len);
    struct cgroup_hierarchy *h = cgroup_find(g, "devices");
    struct error *e = NULL;
    int r = 0;
    if (h && h->v2)
        r = cgroup_v2_devices(h, rules, len, &e);
    else if (h)
        r = cgroup_v1_devices(g, rules, len, &e);
    else if (c->resources.devices_len && !g->rootless)
        r = error_set(&e, 0, "the host has no devices controller");
    /* Who is root of a user namespace only may neither say what devices are allowed nor make one.
     */
    if (r < 0 && g->rootless && error_code(e) == EPERM)
        r = 0;
    if (r < 0 && err) {
        *err = e;
        return error_prefix(err, "linux.resources.devices");
    }
    error_free(&e);
    return r;
}

static int check_empty(struct cgroup *g, struct error **err)
{
    AUTO_FREE pid_t *pids = NULL;
    size_t len = 0;
    if (cgroup_procs(g, &pids, &len, err) < 0)
        return -1;
    return len ? error_set(err, EBUSY, "linux.cgroupsPath: control group %s has %zu processes",
                           g->path, len)
               : 0;
}

static void close_groups(struct cgroup *g)
{
    for (size_t i = 0; i < g->len; i++) {
        if (g->h[i].dirfd >= 0)
            close(g->h[i].dirfd);
        g->h[i].dirfd = -1;
    }
}

int cgroup_plan(struct cgroup *g, const char *path, struct error **err)
{
    g->path = path[0] == '/' ? xstrdup(path) : xasprintf("/%s", path);
    size_t n = strlen(g->path);
    while (n > 1 && g->path[n - 1] == '/')
        g->path[--n] = 0;
    if (n <= 1)
        return error_set(err, EINVAL, "linux.cgroupsPath: '%s' is the root of the hierarchy", path);
    for (size_t i = 0; i < g->len; i++) {
        AUTO_FREE char *root = hierarchy_root(g, &g->h[i]);
        size_t made = missing(root, g->path);
        if (made > g->made)
            g->made = made;
    }
    if (g->made)
        return 0;
    /* What was there before is somebody else's. */
    for (size_t i = 0; i < g->len; i++)
        if (open_group(g, &g->h[i]) < 0)
            return error_set(err, errno, "open control group %s", g->path);
    if (check_empty(g, err) < 0)
        return -1;
    close_groups(g);
    return 0;
}

/* In a frozen group the container's process would wait for ever, on cgroup v1 beyond SIGKILL's
 * reach. */
static int check_thawed(struct cgroup *g, struct error **err)
{
    return cgroup_frozen(g) ? error_set(err, EBUSY,
                                        "linux.cgroupsPath: control group %s is frozen, or one "
                                        "above it",
                                        g->path)
                            : 0;
}

int cgroup_create(struct cgroup *g, const struct config *c, struct error **err)
{
    bool there = false;
    for (size_t i = 0; i < g->len; i++) {
        int r = make_group(g, &g->h[i], err);
        if (r < 0) {
            g->ours = !there;
            return -1;
        }
        there |= r;
    }
    if (there && check_empty(g, err) < 0)
        return -1;
    g->ours = true;
    if (check_thawed(g, err) < 0 || cgroup_apply(g, &c->resources, err) < 0)
        return -1;
    return c->all_devices ? 0 : restrict_devices(g, c, err);
}

int cgroup_open(struct cgroup *g, const char *path, struct error **err)
{
    if (cgroup_detect(g, err) < 0)
        return -1;
    g->path = xstrdup(path);
    g->ours = true;
    for (size_t i = 0; i < g->len; i++)
        if (open_group(g, &g->h[i]) < 0 && errno != ENOENT)
            return error_set(err, errno, "open control group %s", path);
    return 0;
}

int cgroup_enter_below(struct cgroup *g, const char *below, struct error **err)
{
    if (strstr(below, "..") || !g->path)
        return error_set(err, EINVAL, "%s", below);
    char *path = xasprintf("%s/%s", g->path, below[0] == '/' ? below + 1 : below);
    free(g->path);
    g->path = path;
    for (size_t i = 0; i < g->len; i++) {
        if (g->h[i].dirfd < 0)
            continue;
        close(g->h[i].dirfd);
        g->h[i].dirfd = -1;
        if (make_group(g, &g->h[i], err) < 0)
            return -1;
    }
    return 0;
}

void cgroup_close(struct cgroup *g)
{
    close_groups(g);
    free(g->path);
    *g = (struct cgroup){0};
}

int cgroup_attach(struct cgroup *g, pid_t pid, struct error **err)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = 0; i < g->len; i++)
        if (g->h[i].dirfd >= 0 && write_file_at(g->h[i].dirfd, "cgroup.procs", text, err) < 0)
            return error_prefix(err, "control group %s%s", g->h[i].name, g->path);
    return 0;
}

int cgroup_apply(struct cgroup *g, const struct resources *r, struct error **err)
{
    int res = g->unified ? cgroup_v2_apply(g, r, err) : cgroup_v1_apply(g, r, err);
    return res < 0 ? error_prefix(err, "linux.resources") : 0;
}

int cgroup_delegate(struct cgroup *g, uid_t uid, gid_t gid, struct error **err)
{
    static const char *const files[] = {".", "cgroup.procs", "cgroup.subtree_control",
                                        "cgroup.threads"};
    if (!g->unified || g->h[0].dirfd < 0)
        return 0;
    for (size_t i = 0; i < 4; i++)
        if (fchownat(g->h[0].dirfd, files[i], uid, gid, 0) < 0 && errno != ENOENT)
            return error_set(err, errno, "give control group file %s to the container", files[i]);
    return 0;
}

/* Process ids of one group folder and those below. */
static int collect(int dirfd, pid_t **pids, size_t *len, int depth)
{
    AUTO_FREE char *text = NULL;
    /* A threaded group's list is refused with EOPNOTSUPP: its domain has them. */
    if (read_file_at(dirfd, "cgroup.procs", 64 << 20, &text, NULL, NULL) == 0) {
        char *save = NULL;
        for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
            *pids = xrealloc(*pids, (*len + 1) * sizeof **pids);
            (*pids)[(*len)++] = (pid_t)strtol(l, NULL, 10);
        }
    } else if (errno != EOPNOTSUPP && errno != ENOENT && errno != ENODEV) {
        return -1; /* the last two: it is gone */
    }
    if (depth > 64)
        return 0;
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return errno == ENOENT ? 0 : -1;
    for (struct dirent *d; errno = 0, (d = readdir(dir));) {
        if (d->d_type != DT_DIR || d->d_name[0] == '.')
            continue;
        AUTO_CLOSE int sub = openat(copy, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sub < 0 ? errno != ENOENT : collect(sub, pids, len, depth + 1) < 0)
            return -1;
    }
    return errno && errno != ENOENT && errno != ENODEV ? -1 : 0;
}

/* The hierarchy that answers which processes there are. */
static struct cgroup_hierarchy *any_hierarchy(struct cgroup *g)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "freezer");
    for (size_t i = 0; !h && i < g->len; i++)
        if (g->h[i].dirfd >= 0)
            h = &g->h[i];
    return h;
}

int cgroup_procs(struct cgroup *g, pid_t **pids, size_t *len, struct error **err)
{
    *pids = NULL;
    *len = 0;
    struct cgroup_hierarchy *h = any_hierarchy(g);
    if (h && collect(h->dirfd, pids, len, 0) < 0)
        return error_set(err, errno, "list the processes of control group %s", g->path);
    return 0;
}

void cgroup_nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* A frozen group of v1 and those below it, which a container can have made and frozen itself. */
static void thaw_tree(int dirfd, int depth)
{
    if (write_file_at(dirfd, "freezer.state", "THAWED", NULL) < 0 || depth > 64)
        return;
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *d;
    while (dir && (d = readdir(dir))) {
        if (d->d_type != DT_DIR || d->d_name[0] == '.')
            continue;
        AUTO_CLOSE int sub = openat(copy, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sub >= 0)
            thaw_tree(sub, depth + 1);
    }
}

void cgroup_let_die(struct cgroup *g)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "freezer");
    if (h && !h->v2)
        thaw_tree(h->dirfd, 0);
}

/* SIGKILL to all of a v2 group at once. */
static bool kill_at_once(struct cgroup *g)
{
    for (size_t i = 0; i < g->len; i++)
        if (g->h[i].v2 && g->h[i].dirfd >= 0 &&
            write_file_at(g->h[i].dirfd, "cgroup.kill", "1", NULL) == 0)
            return true;
    return false;
}

int cgroup_kill(struct cgroup *g, int signal, struct error **err)
{
    if (signal == SIGKILL && kill_at_once(g)) {
        cgroup_let_die(g);
        return 0;
    }
    bool frozen = cgroup_freeze(g, true, NULL) == 0; /* so that none forks out of the list */
    AUTO_FREE pid_t *pids = NULL;
    size_t len;
    int r = cgroup_procs(g, &pids, &len, err);
    for (size_t i = 0; r == 0 && i < len; i++)
        if (kill(pids[i], signal) < 0 && errno != ESRCH)
            r = error_set(err, errno, "signal process %d", (int)pids[i]);
    if (frozen && cgroup_freeze(g, false, err) < 0)
        return -1;
    if (signal == SIGKILL)
        cgroup_let_die(g);
    return r;
}

int cgroup_freeze(struct cgroup *g, bool freeze, struct error **err)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "freezer");
    if (!h)
        return error_set(err, ENOENT, "control group %s cannot be frozen", g->path ? g->path : "");
    if (!h->v2) {
        const char *want = freeze ? "FROZEN" : "THAWED";
        /* The kernel may stay at FREEZING while processes fork: writing again helps. */
        for (int i = 0; i < 1000; i++) {
            if (cgroup_write(h, "freezer.state", err, "%s", want) < 0)
                return -1;
            AUTO_FREE char *is = cgroup_read(h, "freezer.state");
            if (is && !strcmp(is, want))
                return 0;
            cgroup_nap(i < 10 ? 1 : 5);
        }
        return error_set(err, ETIMEDOUT, "freeze control group %s", g->path);
    }
    if (cgroup_write(h, "cgroup.freeze", err, "%d", freeze) < 0)
        return -1;
    for (int i = 0; i < 1000; i++) {
        if (cgroup_read_key(h, "cgroup.events", "frozen") == freeze)
            return 0;
        cgroup_nap(i < 10 ? 1 : 5);
    }
    return error_set(err, ETIMEDOUT, "freeze control group %s", g->path);
}

int cgroup_frozen(struct cgroup *g)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "freezer");
    if (!h)
        return 0;
    if (h->v2) /* the second: by a group above it */
        return cgroup_read_int(h, "cgroup.freeze") == 1 ||
               cgroup_read_key(h, "cgroup.events", "frozen") == 1;
    AUTO_FREE char *is = cgroup_read(h, "freezer.state");
    return is && strcmp(is, "THAWED") != 0;
}
