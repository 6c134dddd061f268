#include "container/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/root.h"

/* A mount's own flags (not its file system's) as mount_setattr(2) has them. */
static struct mount_attr attributes(unsigned long set, unsigned long cleared)
{
    static const struct {
        unsigned long flag;
        uint64_t attr;
    } map[] = {
        {MS_RDONLY, MOUNT_ATTR_RDONLY},         {MS_NOSUID, MOUNT_ATTR_NOSUID},
        {MS_NODEV, MOUNT_ATTR_NODEV},           {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
        {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME}, {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    };
    struct mount_attr a = {0};
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        if (set & map[i].flag)
            a.attr_set |= map[i].attr;
        else if (cleared & map[i].flag)
            a.attr_clr |= map[i].attr;
    }
    if (set & (MS_NOATIME | MS_STRICTATIME | MS_RELATIME)) {
        a.attr_clr |= MOUNT_ATTR__ATIME;
        a.attr_set |= set & MS_NOATIME       ? MOUNT_ATTR_NOATIME
                      : set & MS_STRICTATIME ? MOUNT_ATTR_STRICTATIME
                                             : MOUNT_ATTR_RELATIME;
    }
    return a;
}

static int set_attributes(int fd, bool recursive, struct mount_attr a, struct error **err)
{
    if (!a.attr_set && !a.attr_clr && !a.propagation)
        return 0;
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    if (mount_setattr(fd, "", flags, &a, sizeof a) == 0)
        return 0;
    /* A user namespace may not take back what its parent locked: the stricter flag stays. */
    if (errno == EPERM && a.attr_clr & ~(uint64_t)MOUNT_ATTR__ATIME) {
        a.attr_clr &= MOUNT_ATTR__ATIME;
        if (mount_setattr(fd, "", flags, &a, sizeof a) == 0)
            return 0;
    }
    return error_set(err, errno, "mount_setattr");
}

/* Mounts a tree that is mounted nowhere yet. */
static int attach(int tree, int target, const char *what, struct error **err)
{
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_set(err, errno, "mount %s", what);
    return 0;
}

/* Propagation and recursive attributes of the mount that fd is the top of. */
static int finish(int fd, const struct mount_entry *m, struct error **err)
{
    for (size_t i = 0; i < m->propagation_len; i++) {
        struct mount_attr a = {.propagation = m->propagation[i] & ~(unsigned long)MS_REC};
        if (set_attributes(fd, m->propagation[i] & MS_REC, a, err) < 0)
            return -1;
    }
    if (m->rec) {
        struct mount_attr a = {.attr_set = m->rec_set, .attr_clr = m->rec_clr};
        if (m->rec_atime_set) {
            a.attr_set |= m->rec_atime;
            a.attr_clr |= MOUNT_ATTR__ATIME;
        }
        return set_attributes(fd, true, a, err);
    }
    return 0;
}

/* Never shared with the host: `shared` for the container's own mounts is set later, as peer groups
 * of their own. */
static unsigned long propagation_cut(const struct config *c)
{
    return c->rootfs_propagation & (MS_SHARED | MS_SLAVE) ? MS_SLAVE : MS_PRIVATE;
}

int mounts_clone(const struct config *c, int dirfd, const char *path, unsigned flags)
{
    AUTO_CLOSE int tree = open_tree(dirfd, path, flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr a = {.propagation = propagation_cut(c)};
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a) < 0)
        return -1;
    return STEAL_FD(tree);
}

static int mount_bind(struct mount_context *c, const struct mount_entry *m, int idmapped,
                      struct error **err)
{
    AUTO_CLOSE int tree = -1;
    if (idmapped < 0) {
        tree = mounts_clone(c->config, AT_FDCWD, m->source, m->rbind ? (unsigned)AT_RECURSIVE : 0);
        if (tree < 0)
            return error_set(err, errno, "source %s", m->source);
    }
    int from = idmapped < 0 ? tree : idmapped;
    struct stat st;
    if (fstat(from, &st) < 0)
        return error_set(err, errno, "source %s", m->source);
    AUTO_CLOSE int target = S_ISDIR(st.st_mode) ? root_mkdir(c->rootfd, m->destination, 0755, err)
                                                : root_mkfile(c->rootfd, m->destination, err);
    if (target < 0)
        return -1;
    /* The flags are set while the tree is nowhere visible, so that it never appears without. */
    if (set_attributes(from, false, attributes(m->flags, m->cleared), err) < 0 ||
        finish(from, m, err) < 0)
        return -1;
    return attach(from, target, m->source, err);
}

/* mount(2) on an open folder: the working directory names it without any path that could change. */
static int mount_on(int dirfd, const char *source, const char *type, unsigned long flags,
                    const char *data, struct error **err)
{
    if (fchdir(dirfd) < 0)
        return error_set(err, errno, "fchdir");
    if (mount(source, ".", type, flags, data && *data ? data : NULL) < 0)
        return error_set(err, errno, "mount %s with options '%s'", type ? type : "",
                         data ? data : "");
    return 0;
}

/* In a user namespace procfs and sysfs need a pid or network namespace of the same owner; without,
 * the host's instance is what there is. */
static int bind_instead(const struct config *c, const char *path, int target,
                        const struct mount_entry *m, struct error **err)
{
    AUTO_CLOSE int tree = mounts_clone(c, AT_FDCWD, path, (unsigned)AT_RECURSIVE);
    if (tree < 0)
        return error_set(err, errno, "%s", path);
    if (set_attributes(tree, true, attributes(m->flags, 0), err) < 0)
        return -1;
    return attach(tree, target, path, err);
}

static int mount_new(struct mount_context *c, const struct mount_entry *m, struct error **err)
{
    bool kernel_fs = !strcmp(m->type, "proc") || !strcmp(m->type, "sysfs");
    AUTO_CLOSE int target = root_mkdir(c->rootfd, m->destination, 0755, err);
    if (target < 0)
        return -1;
    if (kernel_fs) {
        /* A link at /proc would leave masked paths and /proc/self pointing at a tree of the image's
         * making. */
        AUTO_CLOSE int straight =
            root_open_no_links(c->rootfd, m->destination, O_PATH | O_DIRECTORY);
        if (straight < 0)
            return error_set(err, errno, "the mount point of %s must not be a symbolic link",
                             m->type);
    }
    STR_CLEANUP data = {0};
    str_printf(&data, "%s", m->data);
    if (c->config->mount_label && *c->config->mount_label && !kernel_fs)
        str_printf(&data, "%scontext=\"%s\"", data.len ? "," : "", c->config->mount_label);
    const char *source = m->source ? m->source : m->type;
    struct error *e = NULL;
    if (mount_on(target, source, m->type, m->flags, data.data, &e) < 0) {
        if (c->userns && kernel_fs && error_code(e) == EPERM) {
            error_free(&e);
            return bind_instead(c->config, m->type[0] == 'p' ? "/proc" : "/sys", target, m, err);
        }
        if (err)
            *err = e;
        else
            error_free(&e);
        return -1;
    }
    if (!m->tmpcopyup && !m->propagation_len && !m->rec)
        return 0;
    AUTO_CLOSE int top = root_open(c->rootfd, m->destination, O_PATH | O_DIRECTORY);
    if (top < 0)
        return error_set(err, errno, "open %s", m->destination);
    if (m->tmpcopyup && copy_up(target, top, err) < 0)
        return -1;
    return finish(top, m, err);
}

static int mount_again(struct mount_context *c, const struct mount_entry *m, struct error **err)
{
    AUTO_CLOSE int target = root_open(c->rootfd, m->destination, O_PATH);
    if (target < 0)
        return error_set(err, errno, "open %s", m->destination);
    if (!m->bind) {
        if (mount_on(target, NULL, NULL, MS_REMOUNT | m->flags, m->data, err) < 0)
            return -1;
    } else if (set_attributes(target, false, attributes(m->flags, m->cleared), err) < 0) {
        return -1;
    }
    return finish(target, m, err);
}

/* One v1 hierarchy below the folder top. */
static int mount_hierarchy(struct mount_context *c, int top, const struct cgroup_hierarchy *h,
                           unsigned long flags, struct error **err)
{
    if (mkdirat(top, h->name, 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "make folder %s", h->name);
    AUTO_CLOSE int dir = openat(top, h->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return error_set(err, errno, "open %s", h->name);
    if (c->config->ns[NS_CGROUP].present)
        return mount_on(dir, "cgroup", h->v2 ? "cgroup2" : "cgroup", flags, h->mount_data, err);
    AUTO_FREE char *path = cgroup_path(c->cgroup, h);
    AUTO_CLOSE int tree = mounts_clone(c->config, AT_FDCWD, path, 0);
    if (tree < 0)
        return error_set(err, errno, "control group %s", h->name);
    if (set_attributes(tree, false, attributes(flags, 0), err) < 0)
        return -1;
    if (attach(tree, dir, h->name, err) < 0)
        return -1;
    /* Co-mounted controllers are found by each name. */
    AUTO_FREE char *names = xstrdup(h->name);
    char *save = NULL;
    for (char *n = strtok_r(names, ",", &save); n; n = strtok_r(NULL, ",", &save))
        if (strcmp(n, h->name) && symlinkat(h->name, top, n) < 0 && errno != EEXIST)
            return error_set(err, errno, "link %s", n);
    return 0;
}

/* The type "cgroup": v2's one tree, or a tmpfs with a folder for each v1 hierarchy. */
static int mount_cgroup(struct mount_context *c, const struct mount_entry *m, struct error **err)
{
    if (c->need_cgroup(c->arg, err) < 0)
        return -1;
    AUTO_CLOSE int target = root_mkdir(c->rootfd, m->destination, 0755, err);
    if (target < 0)
        return -1;
    const struct cgroup *g = c->cgroup;
    if (g->unified) {
        if (c->config->ns[NS_CGROUP].present)
            return mount_on(target, "cgroup2", "cgroup2", m->flags, NULL, err);
        AUTO_FREE char *path = cgroup_path(g, &g->h[0]);
        AUTO_CLOSE int tree = mounts_clone(c->config, AT_FDCWD, path, 0);
        if (tree < 0)
            return error_set(err, errno, "control group");
        if (set_attributes(tree, false, attributes(m->flags, 0), err) < 0)
            return -1;
        return attach(tree, target, "control group", err);
    }
    if (mount_on(target, "tmpfs", "tmpfs", m->flags & ~(unsigned long)MS_RDONLY, "mode=755", err) <
        0)
        return -1;
    AUTO_CLOSE int top = root_open(c->rootfd, m->destination, O_PATH | O_DIRECTORY);
    if (top < 0)
        return error_set(err, errno, "open %s", m->destination);
    for (size_t i = 0; i < g->len; i++)
        if (g->h[i].dirfd >= 0 && mount_hierarchy(c, top, &g->h[i], m->flags, err) < 0)
            return -1;
    if (m->flags & MS_RDONLY)
        return set_attributes(top, false, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY}, err);
    return 0;
}

int mounts_apply(struct mount_context *c, struct error **err)
{
    for (size_t i = 0; i < c->config->mounts_len; i++) {
        const struct mount_entry *m = &c->config->mounts[i];
        int r;
        if (m->remount)
            r = mount_again(c, m, err);
        else if (m->bind)
            r = mount_bind(c, m, c->idmapped ? c->idmapped[i] : -1, err);
        else if (!strcmp(m->type, "cgroup") || (!strcmp(m->type, "cgroup2") && c->cgroup->unified))
            r = mount_cgroup(c, m, err);
        else
            r = mount_new(c, m, err);
        if (r < 0)
            return error_prefix(err, "mounts[%zu] (destination %s)", i, m->destination);
    }
    return 0;
}

int mounts_prepare_root(struct mount_context *c, struct error **err)
{
    unsigned long cut = propagation_cut(c->config);
    bool own = c->config->ns[NS_MOUNT].present; /* else shared_root_make() has been there */
    if (own && mount(NULL, "/", NULL, cut | MS_REC, NULL) < 0)
        return error_set(err, errno, "cut the mount namespace off the host's");
    if (own && mount(c->config->rootfs, c->config->rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_set(err, errno, "root.path: bind %s", c->config->rootfs);
    c->rootfd = open(c->config->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->rootfd < 0)
        return error_set(err, errno, "root.path: open %s", c->config->rootfs);
    return 0;
}

/* One empty readonly tmpfs serves every masked folder: a clone is cheaper than a new one. The first
 * folder gets the tmpfs itself, because what is mounted nowhere cannot be cloned before Linux 6.15.
 */
static int empty_tree(struct error **err)
{
    AUTO_CLOSE int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return error_set(err, errno, "fsopen tmpfs");
    if (fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "mode", "555", 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return error_set(err, errno, "fsconfig tmpfs");
    int fd = fsmount(fs, FSMOUNT_CLOEXEC,
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (fd < 0)
        return error_set(err, errno, "fsmount tmpfs");
    return fd;
}

static int mask(struct mount_context *c, const char *path, int *empty, int devnull,
                struct error **err)
{
    AUTO_CLOSE int target = root_open(c->rootfd, path, O_PATH);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set(err, errno, "open %s", path);
    struct stat st;
    if (fstat(target, &st) < 0)
        return error_set(err, errno, "stat %s", path);
    if (S_ISDIR(st.st_mode) && *empty < 0) {
        *empty = empty_tree(err);
        return *empty < 0 ? -1 : attach(*empty, target, path, err);
    }
    AUTO_CLOSE int tree =
        mounts_clone(c->config, S_ISDIR(st.st_mode) ? *empty : devnull, "", AT_EMPTY_PATH);
    if (tree < 0)
        return error_set(err, errno, "open_tree");
    /* Else the container's root could change the mode and owner of the host's null device. */
    if (set_attributes(tree, false, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY}, err) < 0)
        return -1;
    return attach(tree, target, path, err);
}

static int make_readonly(struct mount_context *c, const char *path, struct error **err)
{
    AUTO_CLOSE int target = root_open(c->rootfd, path, O_PATH);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set(err, errno, "open %s", path);
    AUTO_CLOSE int tree =
        mounts_clone(c->config, target, "", AT_EMPTY_PATH | (unsigned)AT_RECURSIVE);
    if (tree < 0)
        return error_set(err, errno, "open_tree %s", path);
    if (set_attributes(tree, true, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY}, err) < 0)
        return -1;
    return attach(tree, target, path, err);
}

int mounts_restrict(struct mount_context *c, struct error **err)
{
    const struct config *g = c->config;
    AUTO_CLOSE int empty = -1;
    AUTO_CLOSE int devnull = -1;
    if (g->masked_paths && g->masked_paths[0]) {
        /* The host's /dev/null, and really it: one in the image could be anything. */
        struct stat st;
        devnull = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (devnull < 0 || fstat(devnull, &st) < 0)
            return error_set(err, errno, "linux.maskedPaths: open the host's /dev/null");
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
            return error_set(err, 0, "linux.maskedPaths: the host's /dev/null is no null device");
    }
    for (size_t i = 0; g->readonly_paths && g->readonly_paths[i]; i++)
        if (make_readonly(c, g->readonly_paths[i], err) < 0)
            return error_prefix(err, "linux.readonlyPaths[%zu]", i);
    for (size_t i = 0; g->masked_paths && g->masked_paths[i]; i++)
        if (mask(c, g->masked_paths[i], &empty, devnull, err) < 0)
            return error_prefix(err, "linux.maskedPaths[%zu]", i);
    if (g->rootfs_readonly &&
        set_attributes(c->rootfd, false, (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY}, err) <
            0)
        return error_prefix(err, "root.readonly");
    return 0;
}
