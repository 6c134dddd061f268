/* Control groups: v1 (a hierarchy each controller), v2 (one tree) and hybrid hosts (v1 controllers,
 * and a v2 tree beside them). */
#ifndef WIRT_CONTAINER_CGROUP_H
#define WIRT_CONTAINER_CGROUP_H

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "container/config.h"

struct cgroup_hierarchy {
    char name[64]; /* folder below /sys/fs/cgroup: "memory", "cpu,cpuacct"; v2: "" or "unified" */
    char mount_data[80]; /* mount(2) options that name it */
    bool v2;
    int dirfd; /* the container's group; -1: none here */
};

#define CGROUP_MAX 32
struct cgroup {
    bool unified; /* v2 only: h[0] is the tree */
    size_t len;
    struct cgroup_hierarchy h[CGROUP_MAX];
    char *path;    /* below each hierarchy, starting with '/'; NULL before create or open; owned */
    size_t made;   /* how many trailing components of path are made by create(), at most */
    bool ours;     /* what is in the group belongs to the container, and dies with it */
    bool rootless; /* groups that may not be made are done without, unless limits ask for them */
};

/* Finds out what the host has. */
int cgroup_detect(struct cgroup *g, struct error **err);
/* Finds out what create() will make: path and made, to be written down before. Makes nothing;
 * refuses a group that somebody else's processes are in. */
int cgroup_plan(struct cgroup *g, const char *path, struct error **err);
/* Makes the planned group everywhere and sets the limits. What it has made when it fails is left to
 * cgroup_remove(). */
int cgroup_create(struct cgroup *g, const struct config *c, struct error **err);
/* Opens the group of an existing container. What is gone is left out. */
int cgroup_open(struct cgroup *g, const char *path, struct error **err);
/* Goes on with a group below the container's, which is made if there is none. */
int cgroup_enter_below(struct cgroup *g, const char *below, struct error **err);
/* Where the container's group is in one hierarchy. The caller frees. */
char *cgroup_path(const struct cgroup *g, const struct cgroup_hierarchy *h);
/* Moves a process in. */
int cgroup_attach(struct cgroup *g, pid_t pid, struct error **err);
/* Sets limits (also later, by `update`). */
int cgroup_apply(struct cgroup *g, const struct resources *r, struct error **err);
/* Gives the group of a container with a user namespace to its root (config-linux.md, Cgroup
 * ownership). */
int cgroup_delegate(struct cgroup *g, uid_t uid, gid_t gid, struct error **err);
/* Kills what is left in the group and removes it and the parents, as far as they were made for the
 * container (g->made). Of a group that is not the container's (g->ours) it touches nothing. */
int cgroup_remove(struct cgroup *g, struct error **err);
void cgroup_close(struct cgroup *g);

/* Every process in the group and below. The caller frees. */
int cgroup_procs(struct cgroup *g, pid_t **pids, size_t *len, struct error **err);
int cgroup_kill(struct cgroup *g, int signal, struct error **err);
int cgroup_freeze(struct cgroup *g, bool freeze, struct error **err);
int cgroup_frozen(struct cgroup *g);
/* After SIGKILL: nothing frozen hears of it on cgroup v1, neither here nor in a group below that
 * the container froze itself. */
void cgroup_let_die(struct cgroup *g);

/* Until the kernel is looked at again. */
void cgroup_nap(long ms);
/* Usage, in the shape of runc's `events --stats`. */
struct json_object *cgroup_stats(struct cgroup *g);
/* How often the kernel killed for lack of memory; -1: not known. */
int64_t cgroup_oom_kills(struct cgroup *g);

/* ---- between cgroup*.c ---- */

/* The hierarchy of a v1 controller, or v2's tree; NULL: none. */
struct cgroup_hierarchy *cgroup_find(struct cgroup *g, const char *controller);
int cgroup_write(struct cgroup_hierarchy *h, const char *file, struct error **err, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));
/* Reads a control file, the last newline cut off. NULL when it is not there. The caller frees. */
char *cgroup_read(const struct cgroup_hierarchy *h, const char *file);
/* A number out of a control file ("max": INT64_MAX), or -1. */
int64_t cgroup_read_int(const struct cgroup_hierarchy *h, const char *file);
/* The number behind KEY in a flat keyed file, or -1. */
int64_t cgroup_read_key(const struct cgroup_hierarchy *h, const char *file, const char *key);
int cgroup_v1_apply(struct cgroup *g, const struct resources *r, struct error **err);
int cgroup_v1_devices(struct cgroup *g, const struct device_rule *rules, size_t len,
                      struct error **err);
/* cpuset's files start empty, and a group with them empty takes no process. */
int cgroup_v1_init_cpuset(const char *root, const char *path, struct error **err);
int cgroup_v2_apply(struct cgroup *g, const struct resources *r, struct error **err);
/* Enables every controller for the children of the groups above path. */
int cgroup_v2_enable(const char *root, const char *path, struct error **err);
/* Puts a device program on the group, in place of the ones there. */
int cgroup_v2_devices(struct cgroup_hierarchy *h, const struct device_rule *rules, size_t len,
                      struct error **err);

#endif
