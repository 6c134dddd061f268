/* Removing a container's control groups. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/cgroup.h"

/* Removes the groups a container made below its own, then its own. */
static int remove_tree(const char *path, int depth)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY || depth > 64)
        return -1;
    AUTO_CLOSEDIR DIR *dir = opendir(path);
    struct dirent *d;
    while (dir && (d = readdir(dir))) {
        if (d->d_type != DT_DIR || d->d_name[0] == '.')
            continue;
        AUTO_FREE char *sub = xasprintf("%s/%s", path, d->d_name);
        if (remove_tree(sub, depth + 1) < 0)
            return -1;
    }
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* Whether somebody else lives in a group: it has processes, or groups. */
static int occupied(const char *path)
{
    AUTO_CLOSEDIR DIR *dir = opendir(path);
    AUTO_FREE char *procs = NULL;
    if (!dir)
        return errno == ENOENT ? 0 : -1;
    for (struct dirent *d; errno = 0, (d = readdir(dir));)
        if (d->d_type == DT_DIR && d->d_name[0] != '.')
            return 1;
    if (errno || read_file_at(dirfd(dir), "cgroup.procs", 64 << 20, &procs, NULL, NULL) < 0)
        return errno == ENOENT || errno == ENODEV ? 0 : -1;
    return *procs != 0;
}

/* Removes a group that was made above a container's; one that is not there (whoever made them was
 * killed half-way down) says nothing of those above it. 1: another container lives there, which may
 * also have been so a moment ago. */
static int remove_above(const char *path, int *patience)
{
    for (int i = 0; rmdir(path) < 0 && errno != ENOENT; i++) {
        if (errno != EBUSY)
            return -1;
        int r = occupied(path);
        if (r)
            return r;
        if (*patience <= 0) {
            errno = EBUSY;
            return -1;
        }
        cgroup_nap(i < 10 ? 1 : 25);
        *patience -= i < 10 ? 1 : 25;
    }
    return 0;
}

/* A killed process is in the group until it is reaped: *patience is what is left of the naps, for
 * all hierarchies together. */
static int remove_one(struct cgroup *g, struct cgroup_hierarchy *h, int *patience,
                      struct error **err)
{
    AUTO_FREE char *full = cgroup_path(g, h);
    const char *root_end = full + strlen(full) - strlen(g->path);
    for (int i = 0; remove_tree(full, 0) < 0; i++) {
        if (errno != EBUSY || *patience <= 0)
            return error_set(err, errno, "remove control group %s", full);
        if (i == 2)
            cgroup_kill(g, SIGKILL, NULL);
        cgroup_nap(i < 10 ? 1 : 25);
        *patience -= i < 10 ? 1 : 25;
    }
    for (size_t i = 1; i < g->made; i++) {
        char *slash = strrchr(full, '/');
        if (!slash || slash <= root_end)
            break;
        *slash = 0;
        int r = remove_above(full, patience);
        if (r < 0)
            return error_set(err, errno, "remove control group %s", full);
        if (r > 0)
            break;
    }
    return 0;
}

int cgroup_remove(struct cgroup *g, struct error **err)
{
    int r = 0, patience = 10000; /* ms */
    if (!g->ours)
        return 0;
    if (!g->made) /* there before the container: only its processes go */
        return cgroup_kill(g, SIGKILL, err);
    for (size_t i = 0; i < g->len; i++)
        if (remove_one(g, &g->h[i], &patience, r == 0 ? err : NULL) < 0)
            r = -1;
    return r;
}
