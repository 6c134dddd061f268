/* FUSE requests about files by their names and attributes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "machine/devices/fuse-internal.h"

/* How long the guest may believe a name or attributes without asking, in seconds: the host's
 * changes are seen after that. */
#define VALID 1

/* An ordinary user is root in its guest, as in a user namespace: what it owns belongs to the
 * guest's root, which it could not otherwise be given to (a setuid program of root's would become
 * anybody else), and what is the host's root's to nobody the guest knows. */
#define NOBODY 65534u

static uint32_t guest_id(const struct fuse_server *s, uint32_t id, uint32_t own)
{
    return s->root ? id : id == own ? 0 : id == 0 ? NOBODY : id;
}

/* The other way round. False: nothing on the host can be given to that one. */
static bool host_id(const struct fuse_server *s, uint32_t *id, uint32_t own)
{
    if (s->root)
        return true;
    if (*id != 0)
        return false;
    *id = own;
    return true;
}

void fuse_fill_attr(const struct fuse_server *s, struct fuse_attr *a, const struct stat *st)
{
    *a = (struct fuse_attr){
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = (uint64_t)st->st_atim.tv_sec,
        .mtime = (uint64_t)st->st_mtim.tv_sec,
        .ctime = (uint64_t)st->st_ctim.tv_sec,
        .atimensec = (uint32_t)st->st_atim.tv_nsec,
        .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = guest_id(s, st->st_uid, geteuid()),
        .gid = guest_id(s, st->st_gid, getegid()),
        /* Linux's 32-bit form of a device number. */
        .rdev = (minor(st->st_rdev) & 0xff) | major(st->st_rdev) << 8 |
                (minor(st->st_rdev) & ~0xffu) << 12,
        .blksize = (uint32_t)st->st_blksize,
    };
}

void fuse_fill_entry(const struct fuse_server *s, struct fuse_entry_out *e,
                     const struct fuse_node *n, const struct stat *st)
{
    *e = (struct fuse_entry_out){.nodeid = n->id, .entry_valid = VALID, .attr_valid = VALID};
    fuse_fill_attr(s, &e->attr, st);
}

/* File systems that are the host's kernel's face, not files: what is mounted below the shared
 * folder is shared, but not these. */
static bool is_kernel_face(int fd)
{
    static const unsigned long types[] = {PROC_SUPER_MAGIC,    SYSFS_MAGIC,   CGROUP_SUPER_MAGIC,
                                          CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
                                          SECURITYFS_MAGIC,    BPF_FS_MAGIC,  NSFS_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((unsigned long)fs.f_type == types[i])
            return true;
    return false;
}

int fuse_lookup_entry(struct fuse_server *s, struct fuse_node *folder, const char *name,
                      struct fuse_entry_out *out)
{
    struct fuse_node *n;
    struct stat st;
    int folder_fd = fuse_node_fd(s, folder);
    if (folder_fd < 0)
        return folder_fd;
    int fd = openat(folder_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || (st.st_dev != folder->dev && is_kernel_face(fd))) {
        close(fd);
        return -EACCES;
    }
    int rc = fuse_node_get(s, folder, name, fd, &n, &st);
    if (rc < 0)
        return rc;
    fuse_fill_entry(s, out, n, &st);
    return 0;
}

static int reply_entry(struct fuse_server *s, struct fuse_request *r, struct fuse_node *folder,
                       const char *name)
{
    struct fuse_entry_out out;
    if (r->room < sizeof out)
        return -EINVAL;
    int rc = fuse_lookup_entry(s, folder, name, &out);
    return rc < 0 ? rc : fuse_reply(r, &out, sizeof out);
}

int fuse_lookup(struct fuse_server *s, struct fuse_request *r)
{
    return r->node->type == S_IFDIR ? reply_entry(s, r, r->node, r->text[0]) : -ENOTDIR;
}

static int reply_attr(const struct fuse_server *s, struct fuse_request *r, int fd)
{
    struct stat st;
    struct fuse_attr_out out = {.attr_valid = VALID};
    if (fstat(fd, &st) < 0)
        return -errno;
    fuse_fill_attr(s, &out.attr, &st);
    return fuse_reply(r, &out, sizeof out);
}

int fuse_getattr(struct fuse_server *s, struct fuse_request *r)
{
    int fd = fuse_node_fd(s, r->node);
    return fd < 0 ? fd : reply_attr(s, r, fd);
}

int fuse_kill_suidgid(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    mode_t mode = st.st_mode & 07777 & ~(mode_t)S_ISUID;
    if (mode & S_IXGRP)
        mode &= ~(mode_t)S_ISGID;
    return mode == (st.st_mode & 07777) || fchmod(fd, mode) == 0 ? 0 : -errno;
}

static int set_size(struct fuse_server *s, struct fuse_request *r, const struct fuse_setattr_in *in)
{
    struct fuse_handle *h = NULL;
    if (r->node->type != S_IFREG)
        return r->node->type == S_IFDIR ? -EISDIR : -EINVAL;
    if ((in->valid & FATTR_FH) && !(h = fuse_handle_find(s, in->fh, r->node->id, false)))
        return -EBADF;
    int fd = h ? h->fd : fuse_reopen(s, r->node, O_WRONLY);
    if (fd < 0)
        return fd;
    int rc = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
    if (rc == 0 && (in->valid & FATTR_KILL_SUIDGID))
        rc = fuse_kill_suidgid(fd);
    if (!h)
        close(fd);
    return rc;
}

static int set_times(int fd, const struct fuse_setattr_in *in)
{
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    if (in->valid & FATTR_ATIME_NOW)
        t[0].tv_nsec = UTIME_NOW;
    else if (in->valid & FATTR_ATIME)
        t[0] = (struct timespec){.tv_sec = (time_t)in->atime, .tv_nsec = in->atimensec};
    if (in->valid & FATTR_MTIME_NOW)
        t[1].tv_nsec = UTIME_NOW;
    else if (in->valid & FATTR_MTIME)
        t[1] = (struct timespec){.tv_sec = (time_t)in->mtime, .tv_nsec = in->mtimensec};
    return utimensat(fd, "", t, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Through /proc/self/fd, the one way to a file that is open by name only. For a symbolic link that
 * is the link itself. */
static int set_mode(struct fuse_server *s, int fd, mode_t mode)
{
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    return fchmodat(s->proc_fd, number, mode & 07777, 0) < 0 ? -errno : 0;
}

int fuse_setattr(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_setattr_in *in = (const void *)r->body.bytes;
    int fd = fuse_node_fd(s, r->node), rc = 0;
    if (fd < 0)
        return fd;
    if (in->valid & (FATTR_UID | FATTR_GID)) {
        uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
        gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
        if ((in->valid & FATTR_UID && !host_id(s, &uid, geteuid())) ||
            (in->valid & FATTR_GID && !host_id(s, &gid, getegid())))
            return -EPERM;
        rc = fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
    }
    if (rc == 0 && (in->valid & FATTR_MODE))
        rc = set_mode(s, fd, in->mode);
    if (rc == 0 && (in->valid & FATTR_SIZE))
        rc = set_size(s, r, in);
    if (rc == 0 && (in->valid & (FATTR_ATIME | FATTR_MTIME)))
        rc = set_times(fd, in);
    return rc < 0 ? rc : reply_attr(s, r, fd);
}

int fuse_readlink(struct fuse_server *s, struct fuse_request *r)
{
    int fd = fuse_node_fd(s, r->node);
    if (fd < 0)
        return fd;
    if (r->node->type != S_IFLNK)
        return -EINVAL;
    ssize_t n = readlinkat(fd, "", (char *)r->buffer, FUSE_MAX_TEXT);
    return n < 0 ? -errno : fuse_reply(r, r->buffer, (size_t)n);
}

int fuse_statfs(struct fuse_server *s, struct fuse_request *r)
{
    struct statfs fs;
    int fd = fuse_node_fd(s, r->node);
    if (fd < 0)
        return fd;
    if (fstatfs(fd, &fs) < 0)
        return -errno;
    struct fuse_statfs_out out = {.st = {.blocks = fs.f_blocks,
                                         .bfree = fs.f_bfree,
                                         .bavail = fs.f_bavail,
                                         .files = fs.f_files,
                                         .ffree = fs.f_ffree,
                                         .bsize = (uint32_t)fs.f_bsize,
                                         .namelen = (uint32_t)fs.f_namelen,
                                         .frsize = (uint32_t)fs.f_frsize}};
    return fuse_reply(r, &out, sizeof out);
}

/* Making names. */

/* The folder's descriptor for a request that makes a file in it, with the file's owner set: the
 * caller goes back by fuse_become_self. Or a negative errno. */
static int begin_making(struct fuse_server *s, struct fuse_request *r)
{
    if (r->node->type != S_IFDIR)
        return -ENOTDIR;
    int fd = fuse_node_fd(s, r->node);
    int rc = fd < 0 ? fd : fuse_become(s, r);
    return rc < 0 ? rc : fd;
}

static int end_making(struct fuse_server *s, struct fuse_request *r, int made)
{
    int rc = made < 0 ? -errno : 0;
    fuse_become_self(s);
    return rc < 0 ? rc : reply_entry(s, r, r->node, r->text[0]);
}

int fuse_symlink(struct fuse_server *s, struct fuse_request *r)
{
    int folder = begin_making(s, r);
    return folder < 0 ? folder : end_making(s, r, symlinkat(r->text[1], folder, r->text[0]));
}

int fuse_mknod(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_mknod_in *in = (const void *)r->body.bytes;
    mode_t type = in->mode & S_IFMT;
    /* A device node would be one of the host's. */
    if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
        return -EPERM;
    int folder = begin_making(s, r);
    return folder < 0 ? folder
                      : end_making(s, r, mknodat(folder, r->text[0], type | (in->mode & 07777), 0));
}

int fuse_mkdir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_mkdir_in *in = (const void *)r->body.bytes;
    int folder = begin_making(s, r);
    return folder < 0 ? folder : end_making(s, r, mkdirat(folder, r->text[0], in->mode & 07777));
}

int fuse_link(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_link_in *in = (const void *)r->body.bytes;
    struct fuse_node *old = fuse_node_find(s, in->oldnodeid);
    if (!old)
        return -ESTALE;
    if (r->node->type != S_IFDIR)
        return -ENOTDIR;
    if (old->type == S_IFDIR)
        return -EPERM;
    int folder = fuse_node_fd(s, r->node), fd = fuse_node_fd(s, old);
    if (folder < 0 || fd < 0)
        return folder < 0 ? folder : fd;
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    if (linkat(s->proc_fd, number, folder, r->text[0], AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    return reply_entry(s, r, r->node, r->text[0]);
}

/* Removing and moving names. */

static int remove_name(struct fuse_server *s, struct fuse_request *r, int flags)
{
    struct fuse_node *n;
    if (r->node->type != S_IFDIR)
        return -ENOTDIR;
    int rc = fuse_node_leaving(s, r->node, r->text[0], &n);
    int folder = rc < 0 ? rc : fuse_node_fd(s, r->node);
    if (folder < 0)
        return folder;
    if (unlinkat(folder, r->text[0], flags) == 0)
        return 0;
    rc = -errno;
    fuse_node_moved(s, n, r->node, r->text[0]);
    return rc;
}

int fuse_unlink(struct fuse_server *s, struct fuse_request *r)
{
    return remove_name(s, r, 0);
}

int fuse_rmdir(struct fuse_server *s, struct fuse_request *r)
{
    return remove_name(s, r, AT_REMOVEDIR);
}

static bool is_same_file(int a_fd, const char *a, int b_fd, const char *b)
{
    struct stat x, y;
    return fstatat(a_fd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(b_fd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* What was to leave (it may be NULL) has its name still. Answers rc. */
static int unmoved(struct fuse_server *s, struct fuse_node *replaced, struct fuse_node *to,
                   const char *name, int rc)
{
    fuse_node_moved(s, replaced, to, name);
    return rc;
}

static int move(struct fuse_server *s, struct fuse_request *r, uint64_t to_id, unsigned flags)
{
    struct fuse_node *from = r->node, *to = fuse_node_find(s, to_id), *moving, *replaced = NULL;
    const char *old = r->text[0], *new = r->text[1];
    if (!to)
        return -ESTALE;
    if (from->type != S_IFDIR || to->type != S_IFDIR)
        return -ENOTDIR;
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int rc = fuse_node_named(s, from, old, &moving);
    if (rc == 0) /* exchanged, neither loses its name */
        rc = (flags & RENAME_EXCHANGE ? fuse_node_named : fuse_node_leaving)(s, to, new, &replaced);
    int from_fd = rc < 0 ? rc : fuse_node_fd(s, from);
    int to_fd = from_fd < 0 ? from_fd : fuse_node_fd(s, to);
    if (to_fd < 0)
        return unmoved(s, replaced, to, new, to_fd);
    /* Two names of one file: rename(2) does nothing then, and both stay. */
    bool same = is_same_file(from_fd, old, to_fd, new);
    if (renameat2(from_fd, old, to_fd, new, flags) < 0)
        return unmoved(s, replaced, to, new, -errno);
    if (same)
        return unmoved(s, replaced, to, new, 0);
    fuse_node_moved(s, moving, to, new);
    if (flags & RENAME_EXCHANGE)
        fuse_node_moved(s, replaced, from, old);
    return 0;
}

int fuse_rename(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_rename_in *in = (const void *)r->body.bytes;
    return move(s, r, in->newdir, 0);
}

int fuse_rename2(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_rename2_in *in = (const void *)r->body.bytes;
    return move(s, r, in->newdir, in->flags);
}
