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
struct mount_attr mount_attributes(unsigned long set, unsigned long cleared)
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

/* Remembers where procfs and sysfs are, for what is masked in them. tree: its mount. */
static int remember(struct mount_context *c, const struct mount_entry *m, int tree,
                    struct error **err)
{
    for (size_t i = 0; i < sizeof c->kernel / sizeof *c->kernel; i++) {
        if (c->kernel[i].destination)
            continue;
        c->kernel[i].fd = fcntl(tree, F_DUPFD_CLOEXEC, 0);
        if (c->kernel[i].fd < 0)
            return error_set(err, errno, "dup");
        c->kernel[i].destination = m->destination;
        return 0;
    }
    return 0; /* more of them: those are looked up by path */
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
    if (set_attributes(from, false, mount_attributes(m->flags, m->cleared), err) < 0 ||
        finish(from, m, err) < 0)
        return -1;
    if (attach(from, target, m->source, err) < 0)
        return -1;
    bool kernel_fs = !strcmp(m->destination, "/proc") || !strcmp(m->destination, "/sys");
    return kernel_fs ? remember(c, m, from, err) : 0;
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
 * the host's instance is what there is. Answers its tree. */
static int bind_instead(const struct config *c, const struct mount_entry *m, struct error **err)
{
    bool proc = !strcmp(m->type, "proc");
    const char *path = proc ? "/proc" : "/sys";
    AUTO_CLOSE int tree = mounts_clone(c, AT_FDCWD, path, (unsigned)AT_RECURSIVE);
    if (tree < 0)
        return error_set(err, errno, "%s", path);
    /* With /sys come the host's control groups, some of which are the user's who runs us
     * (CVE-2023-25809): there is nothing to be written for who is root of a user namespace. */
    struct mount_attr a = mount_attributes(m->flags | (proc ? 0 : MS_RDONLY), 0);
    if (set_attributes(tree, true, a, err) < 0)
        return -1;
    return STEAL_FD(tree);
}

/* The folder where a procfs or sysfs is mounted: a link at /proc would leave masked paths and
 * /proc/self pointing at a tree of the image's making. */
static int straight_folder(int rootfd, const struct mount_entry *m, struct error **err)
{
    int fd = root_open_no_links(rootfd, m->destination, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT) {
        int made = root_mkdir(rootfd, m->destination, 0755, err);
        if (made < 0)
            return -1;
        close(made);
        fd = root_open_no_links(rootfd, m->destination, O_PATH | O_DIRECTORY);
    }
    return fd < 0
               ? error_set(err, errno, "the mount point of %s must not be a symbolic link", m->type)
               : fd;
}

/* One of the kernel's own file systems, set up before it is anywhere to be seen. */
static int mount_known(struct mount_context *c, const struct mount_entry *m, const char *data,
                       struct error **err)
{
    bool kernel_fs = !strcmp(m->type, "proc") || !strcmp(m->type, "sysfs");
    AUTO_CLOSE int target = kernel_fs ? straight_folder(c->rootfd, m, err)
                                      : root_mkdir(c->rootfd, m->destination, 0755, err);
    if (target < 0)
        return -1;
    struct error *e = NULL;
    const char *source = m->source ? m->source : m->type;
    unsigned long late = m->tmpcopyup ? m->flags & MS_RDONLY : 0;
    AUTO_CLOSE int tree = new_fs(m->type, source, m->flags & ~late, data, &e);
    if (tree < 0 && c->userns && kernel_fs && error_code(e) == EPERM) {
        error_free(&e);
        tree = bind_instead(c->config, m, &e);
    }
    if (tree < 0) {
        if (err)
            *err = e;
        else
            error_free(&e);
        return -1;
    }
    if ((m->tmpcopyup && copy_up(target, tree, err) < 0) ||
        (late && set_attributes(tree, false, mount_attributes(late, 0), err) < 0) ||
        finish(tree, m, err) < 0 || attach(tree, target, m->type, err) < 0)
        return -1;
    return kernel_fs ? remember(c, m, tree, err) : 0;
}

static int mount_new(struct mount_context *c, const struct mount_entry *m, struct error **err)
{
    STR_CLEANUP data = {0};
    str_printf(&data, "%s", m->data);
    if (c->config->mount_label && *c->config->mount_label && strcmp(m->type, "proc") &&
        strcmp(m->type, "sysfs"))
        str_printf(&data, "%scontext=\"%s\"", data.len ? "," : "", c->config->mount_label);
    if (new_fs_known(m->type, m->flags))
        return mount_known(c, m, data.data, err);
    AUTO_CLOSE int target = root_mkdir(c->rootfd, m->destination, 0755, err);
    if (target < 0 ||
        mount_on(target, m->source ? m->source : m->type, m->type, m->flags, data.data, err) < 0)
        return -1;
    if (!m->tmpcopyup && !m->propagation_len && !m->rec)
        return 0;
    AUTO_CLOSE int top = root_open(c->rootfd, m->destination, O_PATH | O_DIRECTORY);
    struct statx s;
    if (top < 0 || statx(top, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &s) < 0)
        return error_set(err, errno, "open %s", m->destination);
    if (!(s.stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return error_set(err, 0, "%s leads to another place since it was mounted", m->destination);
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
    } else if (set_attributes(target, false, mount_attributes(m->flags, m->cleared), err) < 0) {
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
    if (set_attributes(tree, false, mount_attributes(flags, 0), err) < 0)
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
        if (set_attributes(tree, false, mount_attributes(m->flags, 0), err) < 0)
            return -1;
        return attach(tree, target, "control group", err);
    }
    AUTO_CLOSE int top =
        new_fs("tmpfs", "tmpfs", m->flags & ~(unsigned long)MS_RDONLY, "mode=755", err);
    if (top < 0 || attach(top, target, "tmpfs", err) < 0)
        return -1;
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

/* What a masked or readonly path leads to. In procfs and sysfs it is looked up from their own root
 * on: a folder above could have been renamed since they were mounted. */
static int open_restricted(struct mount_context *c, const char *path)
{
    for (size_t i = 0; i < sizeof c->kernel / sizeof *c->kernel; i++) {
        const char *at = c->kernel[i].destination;
        size_t n = at ? strlen(at) : 0;
        while (n > 1 && at[n - 1] == '/')
            n--;
        if (n > 1 && !strncmp(path, at, n) && path[n] == '/')
            return root_open(c->kernel[i].fd, path + n, O_PATH);
    }
    return root_open(c->rootfd, path, O_PATH);
}

static int mask(struct mount_context *c, const char *path, int *empty, int devnull,
                struct error **err)
{
    AUTO_CLOSE int target = open_restricted(c, path);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set(err, errno, "open %s", path);
    struct stat st;
    if (fstat(target, &st) < 0)
        return error_set(err, errno, "stat %s", path);
    /* One empty readonly tmpfs serves every masked folder: a clone is cheaper than a new one. The
     * first gets the tmpfs itself, because what is mounted nowhere cannot be cloned before Linux
     * 6.15. */
    if (S_ISDIR(st.st_mode) && *empty < 0) {
        *empty = new_fs("tmpfs", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                        "size=4k,mode=555", err);
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
    AUTO_CLOSE int target = open_restricted(c, path);
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
    for (size_t i = 0; i < sizeof c->kernel / sizeof *c->kernel; i++)
        if (c->kernel[i].destination)
            close(c->kernel[i].fd);
    return 0;
}
