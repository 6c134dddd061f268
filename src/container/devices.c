#include "container/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/namespaces.h"
#include "container/root.h"

/* A number as makedev(3) gives it, for small ones, which is no constant expression in C. */
#define DEV(major, minor) ((dev_t)(major) << 8 | (minor))

/* config-linux.md, Default Devices. */
static const struct device_node defaults[] = {
    {"/dev/null", S_IFCHR | 0666, DEV(1, 3), 0, 0},
    {"/dev/zero", S_IFCHR | 0666, DEV(1, 5), 0, 0},
    {"/dev/full", S_IFCHR | 0666, DEV(1, 7), 0, 0},
    {"/dev/random", S_IFCHR | 0666, DEV(1, 8), 0, 0},
    {"/dev/urandom", S_IFCHR | 0666, DEV(1, 9), 0, 0},
    {"/dev/tty", S_IFCHR | 0666, DEV(5, 0), 0, 0},
};
#define DEFAULTS (sizeof defaults / sizeof *defaults)

/* The host's node of the same path, if it is the same device. */
static int host_node(const struct config *c, const struct device_node *d, struct error **err)
{
    AUTO_CLOSE int tree = mounts_clone(c, AT_FDCWD, d->path, 0);
    struct stat st;
    if (tree < 0 || fstat(tree, &st) < 0)
        return error_set(err, errno, "open the host's %s", d->path);
    if ((st.st_mode & S_IFMT) != (d->mode & S_IFMT) || st.st_rdev != d->dev)
        return error_set(err, 0, "the host's %s is another device", d->path);
    return STEAL_FD(tree);
}

static int not_asked_for(const struct device_node *d, struct error **err)
{
    return error_set(err, 0, "%s is there already and is not the device asked for", d->path);
}

/* What a node is mounted on: a file of any kind, or else one made now. As where nodes are made, a
 * link of the image's is not followed: it says where the device is to be looked for, not where it
 * is put. */
static int bind_place(int dir, const char *base, const struct device_node *d, struct error **err)
{
    AUTO_CLOSE int place = openat(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0 && errno == ENOENT)
        place = openat(dir, base, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
    struct stat st;
    if (place < 0 || fstat(place, &st) < 0)
        return error_set(err, errno, "make a place for device %s", d->path);
    return S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode) ? not_asked_for(d, err) : STEAL_FD(place);
}

/* Mounts a node made elsewhere. prepared -1: the host's. */
static int bind_node(const struct mount_context *m, int dir, const char *base,
                     const struct device_node *d, int prepared, struct error **err)
{
    AUTO_CLOSE int tree = prepared < 0 ? host_node(m->config, d, err) : -1;
    int from = prepared < 0 ? tree : prepared;
    if (from < 0)
        return -1;
    struct mount_attr a = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
    if (mount_setattr(from, "", AT_EMPTY_PATH, &a, sizeof a) < 0)
        return error_set(err, errno, "mount_setattr");
    AUTO_CLOSE int target = bind_place(dir, base, d, err);
    if (target < 0)
        return -1;
    if (move_mount(from, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_set(err, errno, "bind %s", d->path);
    return 0;
}

static uint32_t outside(const struct id_maps *m, uint32_t inside)
{
    for (size_t i = 0; i < m->len; i++)
        if (inside >= m->list[i].inside && inside - m->list[i].inside < m->list[i].size)
            return m->list[i].outside + (inside - m->list[i].inside);
    return inside;
}

static int prepare_node(const struct config *c, size_t i, int dirfd, struct error **err)
{
    const struct device_node *d = &c->devices[i];
    char name[32];
    snprintf(name, sizeof name, "device.%zu", i);
    mode_t old = umask(0);
    int r = mknodat(dirfd, name, d->mode, d->dev);
    umask(old);
    if (r < 0)
        return error_set(err, errno, "make device %s", d->path);
    AUTO_CLOSE int tree = -1;
    /* The state folder may be on a file system mounted nodev. */
    struct mount_attr a = {.attr_clr = MOUNT_ATTR_NODEV};
    if (fchownat(dirfd, name, outside(&c->uid_maps, d->uid), outside(&c->gid_maps, d->gid),
                 AT_SYMLINK_NOFOLLOW) < 0 ||
        (tree = mounts_clone(c, dirfd, name, 0)) < 0 ||
        mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof a) < 0)
        return error_set(err, errno, "prepare device %s", d->path);
    return STEAL_FD(tree);
}

int devices_prepare(const struct config *c, int dirfd, int **trees, struct error **err)
{
    *trees = NULL;
    if (!c->ns[NS_USER].present || c->ns[NS_USER].path || !c->devices_len || namespaces_rootless())
        return 0;
    *trees = xcalloc(c->devices_len, sizeof **trees);
    for (size_t i = 0; i < c->devices_len; i++)
        (*trees)[i] = -1;
    for (size_t i = 0; i < c->devices_len; i++) {
        if (S_ISFIFO(c->devices[i].mode))
            continue;
        (*trees)[i] = prepare_node(c, i, dirfd, err);
        if ((*trees)[i] < 0)
            return error_prefix(err, "linux.devices[%zu]", i);
    }
    return 0;
}

void devices_free(const struct config *c, int *trees)
{
    for (size_t i = 0; trees && i < c->devices_len; i++)
        if (trees[i] >= 0)
            close(trees[i]);
    free(trees);
}

static int make_node(int dir, const char *base, const struct device_node *d, struct error **err)
{
    struct stat st;
    if (mknodat(dir, base, d->mode, d->dev) < 0) {
        int code = errno;
        if (code != EEXIST)
            return error_set(err, code, "make device %s", d->path);
        if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return error_set(err, errno, "stat %s", d->path);
        if ((st.st_mode & S_IFMT) != (d->mode & S_IFMT) ||
            (!S_ISFIFO(d->mode) && st.st_rdev != d->dev))
            return not_asked_for(d, err);
        return 0;
    }
    if ((d->uid || d->gid) && fchownat(dir, base, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "change the owner of %s", d->path);
    return 0;
}

static int create_in(struct mount_context *m, int dir, const char *base,
                     const struct device_node *d, int prepared, struct error **err)
{
    bool bind = m->userns && !S_ISFIFO(d->mode);
    return bind ? bind_node(m, dir, base, d, prepared, err) : make_node(dir, base, d, err);
}

static int create(struct mount_context *m, int dev, const struct device_node *d, int prepared,
                  struct error **err)
{
    const char *base = d->path + 5;
    if (str_starts(d->path, "/dev/") && !strchr(base, '/'))
        return create_in(m, dev, base, d, prepared, err);
    AUTO_CLOSE int dir = root_open_parent(m->rootfd, d->path, &base, err);
    if (dir < 0)
        return -1;
    return create_in(m, dir, base, d, prepared, err);
}

static int make_links(struct mount_context *m, int dev, struct error **err)
{
    static const struct {
        const char *target, *name;
    } links[] = {
        {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
        {"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
            return error_set(err, errno, "make link /dev/%s", links[i].name);
    /* An image's own /dev/ptmx node would be the host's: it is replaced by the container's. */
    AUTO_CLOSE int pts = root_open(m->rootfd, "/dev/pts/ptmx", O_PATH);
    if (pts < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 /* no devpts is mounted */
                                                   : error_set(err, errno, "open /dev/pts/ptmx");
    if (symlinkat("pts/ptmx", dev, "ptmx") == 0)
        return 0;
    if (errno != EEXIST)
        return error_set(err, errno, "make link /dev/ptmx");
    struct stat st;
    if (fstatat(dev, "ptmx", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
        (unlinkat(dev, "ptmx", 0) < 0 || symlinkat("pts/ptmx", dev, "ptmx") < 0) &&
        errno != EBUSY && errno != EROFS)
        return error_set(err, errno, "replace /dev/ptmx");
    return 0;
}

/* Whether the container's /dev is the host's, bound: it has everything, and is not ours to fill. */
static bool bound_dev(const struct config *c)
{
    for (size_t i = 0; i < c->mounts_len; i++)
        if (c->mounts[i].bind && !strcmp(c->mounts[i].destination, "/dev"))
            return true;
    return false;
}

/* Whether the config says what is at a default device's place: as a device, or as a mount. */
static bool is_given(const struct config *c, const char *path)
{
    for (size_t i = 0; i < c->devices_len; i++)
        if (!strcmp(c->devices[i].path, path))
            return true;
    for (size_t i = 0; i < c->mounts_len; i++)
        if (!strcmp(c->mounts[i].destination, path))
            return true;
    return false;
}

int devices_create(struct mount_context *m, struct error **err)
{
    if (bound_dev(m->config))
        return 0;
    AUTO_CLOSE int dev = root_mkdir(m->rootfd, "/dev", 0755, err);
    if (dev < 0)
        return -1;
    mode_t old = umask(0);
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->config->devices_len; i++) {
        r = create(m, dev, &m->config->devices[i], m->devices ? m->devices[i] : -1, err);
        if (r < 0)
            error_prefix(err, "linux.devices[%zu]", i);
    }
    for (size_t i = 0; r == 0 && i < DEFAULTS; i++)
        if (!is_given(m->config, defaults[i].path))
            r = create(m, dev, &defaults[i], -1, err);
    umask(old);
    return r < 0 ? r : make_links(m, dev, err);
}

struct device_rule *devices_rules(const struct config *c, size_t *len)
{
    /* Nodes may be made (config.json's capabilities decide), but only these opened whatever the
     * config says: the default devices and terminals. */
    static const struct device_rule always[] = {
        {true, 'c', -1, -1, DEVICE_MKNOD}, {true, 'b', -1, -1, DEVICE_MKNOD},
        {true, 'c', 1, 3, DEVICE_ALL},     {true, 'c', 1, 5, DEVICE_ALL},
        {true, 'c', 1, 7, DEVICE_ALL},     {true, 'c', 1, 8, DEVICE_ALL},
        {true, 'c', 1, 9, DEVICE_ALL},     {true, 'c', 5, 0, DEVICE_ALL},
        {true, 'c', 5, 1, DEVICE_ALL},     {true, 'c', 5, 2, DEVICE_ALL},
        {true, 'c', 136, -1, DEVICE_ALL},
    };
    size_t n_always = sizeof always / sizeof *always, n = 0;
    struct device_rule *rules =
        xcalloc(1 + c->resources.devices_len + n_always + c->devices_len, sizeof *rules);
    if (!c->resources.devices_len)
        rules[n++] = (struct device_rule){false, 'a', -1, -1, DEVICE_ALL};
    for (size_t i = 0; i < c->resources.devices_len; i++)
        rules[n++] = c->resources.devices[i];
    for (size_t i = 0; i < n_always; i++)
        rules[n++] = always[i];
    /* config-linux.md, Allowed Device list: linux.devices says that a node is there,
     * linux.resources.devices who may do what with it. Only where it says nothing at all, and the
     * rule above that denies everything is ours, a device that was asked for is allowed with it. */
    for (size_t i = 0; !c->resources.devices_len && i < c->devices_len; i++) {
        const struct device_node *d = &c->devices[i];
        if (!S_ISFIFO(d->mode))
            rules[n++] =
                (struct device_rule){true, S_ISBLK(d->mode) ? 'b' : 'c', (int64_t)major(d->dev),
                                     (int64_t)minor(d->dev), DEVICE_ALL};
    }
    *len = n;
    return rules;
}
