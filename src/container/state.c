#include "container/state.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/config.h"
#include "container/json.h"
#include "container/namespaces.h"

#define PROCESS_NOTE "process"

const char *status_name(enum status s)
{
    static const char *const names[] = {"creating", "created", "running", "paused", "stopped"};
    return names[s];
}

char *state_root(const char *root, struct error **err)
{
    if (root)
        return xstrdup(root);
    const char *run = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0 && (!run || !namespaces_rootless()))
        return xstrdup("/run/wirt-oci");
    if (!run || *run != '/') {
        error_set(err, 0, "no folder for the state: set XDG_RUNTIME_DIR or give --root DIR");
        return NULL;
    }
    return xasprintf("%s/wirt-oci", run);
}

int state_check_id(const char *id, struct error **err)
{
    bool ok = *id && strlen(id) < 256 && strcmp(id, ".") && strcmp(id, "..");
    for (const char *p = id; ok && *p; p++)
        ok = isalnum((unsigned char)*p) || strchr("_+-.", *p);
    return ok ? 0
              : error_set(err, 0,
                          "invalid container id '%s' (letters, digits, '_', '+', '-' and '.' are "
                          "allowed)",
                          id);
}

int state_make(const char *root, const char *id, struct error **err)
{
    if (state_check_id(id, err) < 0)
        return -1;
    AUTO_FREE char *dir = xasprintf("%s/%s", root, id);
    int r = mkdir(dir, 0700);
    if (r < 0 && errno == ENOENT) {
        if (mkdir_all(root, 0700, err) < 0)
            return -1;
        r = mkdir(dir, 0700);
    }
    if (r < 0)
        return errno == EEXIST ? error_set(err, 0, "container %s exists already", id)
                               : error_set(err, errno, "make folder %s", dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "open folder %s", dir) : fd;
}

struct json_object *state_json(const char *id, const char *status, pid_t pid, const char *bundle,
                               struct json_object *annotations)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "ociVersion", json_object_new_string(OCI_VERSION));
    json_object_object_add(o, "id", json_object_new_string(id));
    json_object_object_add(o, "status", json_object_new_string(status));
    if (pid > 0)
        json_object_object_add(o, "pid", json_object_new_int(pid));
    json_object_object_add(o, "bundle", json_object_new_string(bundle));
    if (annotations)
        json_object_object_add(o, "annotations", json_object_get(annotations));
    return o;
}

/* "PID START": the second note of the process, which is there whole or not at all. */
static int note_process(const struct state *s, struct error **err)
{
    AUTO_FREE char *text = xasprintf("%d %llu", (int)s->pid, (unsigned long long)s->start_time);
    return s->pid && symlinkat(text, s->dirfd, PROCESS_NOTE) < 0
               ? error_set(err, errno, "note process %d", (int)s->pid)
               : 0;
}

char *state_cgroup(const char *id)
{
    return xasprintf("/wirt-%s", id);
}

int state_save(const struct state *s, struct error **err)
{
    if (note_process(s, err) < 0)
        return -1;
    struct json_object *o =
        state_json(s->id, s->pid ? "created" : "creating", s->pid, s->bundle, s->annotations);
    json_object_object_add(o, "maker", json_object_new_int(s->maker));
    json_object_object_add(o, "makerStart", json_object_new_uint64(s->maker_start));
    json_object_object_add(o, "startTime", json_object_new_uint64(s->start_time));
    json_object_object_add(o, "rootfs", json_object_new_string(s->rootfs));
    json_object_object_add(o, "created", json_object_new_string(s->created));
    json_object_object_add(o, "cgroup", s->cgroup ? json_object_new_string(s->cgroup) : NULL);
    json_object_object_add(o, "cgroupMade", json_object_new_int64((int64_t)s->cgroup_made));
    if (s->shared_root.below) {
        json_object_object_add(o, "belowRoot", json_object_new_uint64(s->shared_root.below));
        json_object_object_add(o, "sharedRoot", json_object_new_uint64(s->shared_root.id));
    }
    json_object_object_add(o, "userNamespace", json_object_new_boolean(s->user_namespace));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    int r = replace_file_at(s->dirfd, "state.json", text, strlen(text), 0600, err);
    json_object_put(o);
    return r;
}

static int read_state(struct json_object *o, struct state *s, struct error **err)
{
    struct node n = node_root(o, "state.json");
    struct node id = node_get(&n, "id"), bundle = node_get(&n, "bundle"),
                rootfs = node_get(&n, "rootfs"), created = node_get(&n, "created"),
                cgroup = node_get(&n, "cgroup"), made = node_get(&n, "cgroupMade"),
                pid = node_get(&n, "pid"), start = node_get(&n, "startTime"),
                user = node_get(&n, "userNamespace"), notes = node_get(&n, "annotations"),
                shared = node_get(&n, "sharedRoot"), below = node_get(&n, "belowRoot"),
                maker = node_get(&n, "maker"), maker_start = node_get(&n, "makerStart");
    const char *i = NULL, *b = NULL, *r = NULL, *c = NULL, *g = NULL;
    int64_t p = 0, m = 0, w = 0;
    if (node_required(&id, err) < 0 || node_required(&bundle, err) < 0 ||
        node_required(&rootfs, err) < 0 || node_required(&created, err) < 0 ||
        node_string(&id, &i, err) < 0 || node_string(&bundle, &b, err) < 0 ||
        node_string(&rootfs, &r, err) < 0 || node_string(&created, &c, err) < 0 ||
        node_string(&cgroup, &g, err) < 0 || node_int(&made, 0, 4096, &m, err) < 0 ||
        node_int(&pid, 1, INT32_MAX, &p, err) < 0 || node_u64(&start, &s->start_time, err) < 0 ||
        node_u64(&shared, &s->shared_root.id, err) < 0 ||
        node_u64(&below, &s->shared_root.below, err) < 0 ||
        node_int(&maker, 1, INT32_MAX, &w, err) < 0 ||
        node_u64(&maker_start, &s->maker_start, err) < 0 ||
        (!p && node_required(&maker, err) < 0) || node_bool(&user, &s->user_namespace, err) < 0)
        return -1;
    s->id = xstrdup(i);
    s->bundle = xstrdup(b);
    s->rootfs = xstrdup(r);
    s->created = xstrdup(c);
    s->cgroup = g ? xstrdup(g) : NULL;
    s->cgroup_made = (size_t)m;
    s->pid = (pid_t)p;
    s->maker = (pid_t)w;
    s->annotations = json_object_get(notes.v);
    return 0;
}

static void does_not_exist(const char *id, struct error **err)
{
    error_set(err, 0, "container %s does not exist", id);
    if (err && *err)
        (*err)->code = ENOENT;
}

static char *cgroup_of_config(int dirfd)
{
    AUTO_FREE char *text = NULL;
    if (read_file_at(dirfd, "config.json", 32 << 20, &text, NULL, NULL) < 0)
        return NULL;
    struct json_object *o = json_tokener_parse(text), *l = NULL, *p = NULL;
    char *path = NULL;
    if (json_object_object_get_ex(o, "linux", &l) &&
        json_object_object_get_ex(l, "cgroupsPath", &p) && json_object_is_type(p, json_type_string))
        path = xstrdup(json_object_get_string(p));
    json_object_put(o);
    return path && *path ? path : (free(path), NULL);
}

struct state *state_salvage(const char *root, const char *id)
{
    AUTO_FREE char *dir = xasprintf("%s/%s", root, id);
    struct state *s = xcalloc(1, sizeof *s);
    s->id = xstrdup(id);
    s->bundle = xstrdup("");
    s->rootfs = xstrdup("");
    s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char note[64];
    ssize_t n = s->dirfd < 0 ? -1 : readlinkat(s->dirfd, PROCESS_NOTE, note, sizeof note - 1);
    int pid;
    unsigned long long start;
    if (n > 0) {
        note[n] = 0;
        if (sscanf(note, "%d %llu", &pid, &start) == 2 && pid > 0) {
            s->pid = pid;
            s->start_time = start;
        }
    }
    s->cgroup = s->dirfd < 0 ? NULL : cgroup_of_config(s->dirfd);
    if (!s->cgroup)
        s->cgroup = state_cgroup(id);
    s->cgroup_made = 1;
    return s;
}

struct state *state_load(const char *root, const char *id, struct error **err)
{
    if (state_check_id(id, err) < 0)
        return NULL;
    AUTO_FREE char *dir = xasprintf("%s/%s", root, id);
    struct state *s = xcalloc(1, sizeof *s);
    s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FREE char *text = NULL;
    struct json_object *o = NULL;
    if (s->dirfd < 0) {
        if (errno == ENOENT)
            does_not_exist(id, err);
        else
            error_set(err, errno, "open folder %s", dir);
    } else if (read_file_at(s->dirfd, "state.json", 1 << 24, &text, NULL, err) == 0) {
        o = json_tokener_parse(text);
        if (!o)
            error_set(err, EINVAL, "state.json is not JSON");
    } else if (errno == ENOENT) {
        does_not_exist(id, err);
    }
    int r = o ? read_state(o, s, err) : -1;
    if (r < 0) {
        if (s->dirfd >= 0 && err && error_code(*err) != ENOENT)
            error_prefix(err, "container %s: folder %s", id, dir);
        json_object_put(o);
        state_free(s);
        return NULL;
    }
    json_object_put(o);
    return s;
}

void state_free(struct state *s)
{
    if (!s)
        return;
    if (s->dirfd >= 0)
        close(s->dirfd);
    json_object_put(s->annotations);
    free(s->id);
    free(s->bundle);
    free(s->rootfs);
    free(s->created);
    free(s->cgroup);
    free(s);
}

int state_remove(const char *root, const char *id, struct error **err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", root, id);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "open folder %s", path);
    AUTO_CLOSEDIR DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return error_set(err, errno, "read folder %s", path);
    }
    struct dirent *d;
    while ((d = readdir(dir)))
        if (strcmp(d->d_name, ".") && strcmp(d->d_name, "..") && unlinkat(fd, d->d_name, 0) < 0 &&
            errno != ENOENT)
            return error_set(err, errno, "remove %s/%s", path, d->d_name);
    return rmdir(path) < 0 && errno != ENOENT ? error_set(err, errno, "remove %s", path) : 0;
}

/* Field n (from 3 on) of /proc/PID/stat; the caller frees *text. 0; 1 when the process is gone; -1
 * when it cannot be looked at. */
static int stat_field(pid_t pid, int n, char **text, char **field)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_file_at(AT_FDCWD, path, 65536, text, NULL, NULL) < 0)
        return errno == ENOENT || errno == ESRCH ? 1 : -1;
    /* proc(5): the name in parentheses may hold anything; field 3 is the state. */
    char *p = strrchr(*text, ')');
    for (int i = 2; i < n && p; i++)
        if ((p = strchr(p, ' ')))
            p++;
    *field = p;
    return p ? 0 : -1;
}

uint64_t process_start_time(pid_t pid)
{
    AUTO_FREE char *text = NULL;
    char *state = NULL, *start;
    int r = stat_field(pid, 3, &text, &state);
    if (r != 0)
        return r > 0 ? 0 : PROCESS_UNKNOWN;
    if (*state == 'Z' || *state == 'X')
        return 0;
    start = state;
    for (int i = 3; i < 22 && start; i++)
        if ((start = strchr(start, ' ')))
            start++;
    return start ? strtoull(start, NULL, 10) : PROCESS_UNKNOWN;
}

bool process_executed(pid_t pid)
{
    AUTO_FREE char *text = NULL;
    char *flags = NULL;
    enum {
        FORKED_NOT_EXECUTED = 0x40
    }; /* PF_FORKNOEXEC of the kernel's sched.h */
    return stat_field(pid, 9, &text, &flags) != 0 ||
           !(strtoul(flags, NULL, 10) & FORKED_NOT_EXECUTED);
}

enum status state_status(struct state *s)
{
    if (!s->pid) {
        uint64_t maker = s->maker ? process_start_time(s->maker) : 0;
        if (!maker)
            return STATUS_STOPPED;
        return maker == s->maker_start || maker == PROCESS_UNKNOWN ? STATUS_CREATING
                                                                   : STATUS_STOPPED;
    }
    uint64_t now = process_start_time(s->pid);
    if (now != PROCESS_UNKNOWN && (!now || now != s->start_time))
        return STATUS_STOPPED;
    struct stat st;
    if (fstatat(s->dirfd, START_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return STATUS_CREATED;
    struct cgroup g;
    bool paused = false;
    if (s->cgroup && cgroup_open(&g, s->cgroup, NULL) == 0) {
        paused = cgroup_frozen(&g);
        cgroup_close(&g);
    }
    return paused ? STATUS_PAUSED : STATUS_RUNNING;
}
