/* The container's file tree: its root, the mounts of config.json, masked and readonly paths. All of
 * it runs in the container's own mount namespace (or, if it is to have none, in the runtime's),
 * before the root is entered. */
#ifndef WIRT_CONTAINER_MOUNTS_H
#define WIRT_CONTAINER_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mount.h>

#include "container/cgroup.h"
#include "container/config.h"

struct mount_context {
    const struct config *config;
    const struct cgroup *cgroup; /* for mounts of type cgroup */
    const int *idmapped;         /* one descriptor a mount, -1: not idmapped; from idmap_prepare */
    const int *devices; /* a mount of each of linux.devices, from devices_prepare; or NULL */
    int rootfd;         /* set by mounts_prepare_root */
    /* procfs and sysfs, once they are mounted: where, and the mount's root. */
    struct {
        const char *destination;
        int fd;
    } kernel[2];
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

/* mount(2)'s flags of a mount itself (not its file system's) as mount_setattr(2) has them. */
struct mount_attr mount_attributes(unsigned long set, unsigned long cleared);

/* Whether new_fs makes this type with these MS_* flags; a mount of it, attached nowhere. data: the
 * file system's options as mount(2) has them. The caller closes. */
bool new_fs_known(const char *type, unsigned long flags);
int new_fs(const char *type, const char *source, unsigned long flags, const char *data,
           struct error **err);

/* Copies the tree below source to the folder target (the option tmpcopyup). */
int copy_up(int source, int target, struct error **err);

#endif
