/* The container's file tree: its root, the mounts of config.json, masked and readonly paths. All of
 * it runs in the container's own mount namespace (or, if it is to have none, in the runtime's),
 * before the root is entered. */
#ifndef WIRT_CONTAINER_MOUNTS_H
#define WIRT_CONTAINER_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "container/cgroup.h"
#include "container/config.h"

struct mount_context {
    const struct config *config;
    const struct cgroup *cgroup; /* for mounts of type cgroup */
    const int *idmapped;         /* one descriptor a mount, -1: not idmapped; from idmap_prepare */
    const int *devices; /* a mount of each of linux.devices, from devices_prepare; or NULL */
    int rootfd;         /* set by mounts_prepare_root */
    /* Called before a mount of type cgroup: the control group has to be joined by then. */
    int (*need_cgroup)(void *arg, struct error **err);
    void *arg;
    bool userns; /* in a user namespace other than the host's */
};

/* A clone of a host's tree, mounted nowhere, for the container. Whoever makes one makes it here: a
 * clone is a peer of what it was made from (mount_namespaces(7)), and what is mounted in it later
 * would appear on a host whose mounts are shared, as systemd has them. flags: of open_tree(2),
 * beside OPEN_TREE_CLONE. -1 with errno. */
int mounts_clone(const struct config *c, int dirfd, const char *path, unsigned flags);

/* Cuts propagation to the host and makes the root a mount of its own. */
int mounts_prepare_root(struct mount_context *m, struct error **err);
/* config.json's mounts, in order. */
int mounts_apply(struct mount_context *m, struct error **err);
/* Masked and readonly paths, and the root itself if it is readonly: when nothing writes any more.
 */
int mounts_restrict(struct mount_context *m, struct error **err);
/* The root becomes "/" and the host's tree is gone. */
int mounts_enter_root(struct mount_context *m, bool no_pivot, struct error **err);

/* Before the container's process exists: source trees of idmapped mounts, with their mapping.
 * Answers an array of one descriptor a mount (-1: not idmapped), or NULL when none is. */
int idmap_prepare(const struct config *c, int **fds, struct error **err);
void idmap_free(const struct config *c, int *fds);

/* Copies the tree below source to the folder target (the option tmpcopyup). */
int copy_up(int source, int target, struct error **err);

#endif
