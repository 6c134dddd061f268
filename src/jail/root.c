/* An empty root. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "jail/steps.h"

/* Any folder that is always there: it is covered before the root goes. */
#define COVERED       "/proc"
#define TMPFS_OPTIONS "size=128k,mode=0555"

#define MAX_RESOLV_CONF 65536

/* A folder, or a file, as a mount of its own that is in no tree. at: a descriptor of the same;
 * error ESTALE: it is not what is there now. */
static int clone_mount(const char *path, int at, bool readonly, struct error **err)
{
    struct stat before, after;
    AUTO_CLOSE int fd =
        (int)syscall(SYS_open_tree, AT_FDCWD, path,
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ESTALE : errno, "%s: a mount of its own", path);
    if (fstat(at, &before) < 0 || fstat(fd, &after) < 0)
        return error_set(err, errno, "stat %s", path);
    if (before.st_dev != after.st_dev || before.st_ino != after.st_ino)
        return error_set(err, ESTALE, "%s: is another one by now", path);
    struct mount_attr a = {.attr_set = readonly ? MOUNT_ATTR_RDONLY : 0, .propagation = MS_PRIVATE};
    a.attr_set |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a) < 0)
        return error_set(err, errno, "%s: mount attributes", path);
    return STEAL_FD(fd);
}

/* In the same place: others know it by its number. */
static int put_in_place(int fd, const struct jail_folder *f, struct error **err)
{
    return dup3(fd, *f->fd, O_CLOEXEC) < 0 ? error_set(err, errno, "dup3") : 0;
}

/* What was opened outside belongs to the mounts of the outside, whose ".." leads to the host's
 * root. It is found by its path again, in the copy of them that this namespace has, and must still
 * be the same. For a single file, *file is its mount, and the folder's turn comes later. */
static int detach_folder(struct jail_folder *f, int *file, struct error **err)
{
    AUTO_FREE char *link = xasprintf("/proc/self/fd/%d", *f->fd);
    char path[4096];
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return error_set(err, errno, "a shared folder");
    path[n] = '\0';
    if (!f->only) {
        AUTO_CLOSE int fd = clone_mount(path, *f->fd, f->readonly, err);
        return fd < 0 ? -1 : put_in_place(fd, f, err);
    }
    AUTO_CLOSE int at = openat(*f->fd, f->only, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0)
        return error_set(err, errno, "%s/%s", path, f->only);
    AUTO_FREE char *name = xasprintf("%s/%s", path, f->only);
    *file = clone_mount(name, at, f->readonly, err);
    return *file < 0 ? -1 : 0;
}

/* A folder of the new root with nothing in it but the file. */
static int place_file(const struct jail_folder *f, unsigned number, int file, struct error **err)
{
    AUTO_FREE char *folder = xasprintf(COVERED "/%u", number);
    AUTO_FREE char *name = xasprintf("%s/%s", folder, f->only);
    if (mkdir(folder, 0755) < 0)
        return error_set(err, errno, "mkdir %s", folder);
    AUTO_CLOSE int made = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (made < 0)
        return error_set(err, errno, "make %s", name);
    if (syscall(SYS_move_mount, file, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return error_set(err, errno, "mount %s", name);
    AUTO_CLOSE int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open %s", folder);
    return put_in_place(fd, f, err);
}

/* Where the host's name servers are, for looking up names: as it is now. */
static int copy_resolv_conf(struct error **err)
{
    char some[1024];
    AUTO_CLOSE int from = open("/etc/resolv.conf", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 || !is_regular(from))
        return 0; /* the host looks up no names either */
    if (mkdir(COVERED "/etc", 0555) < 0)
        return error_set(err, errno, "mkdir etc");
    AUTO_CLOSE int to =
        open(COVERED "/etc/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (to < 0)
        return error_set(err, errno, "copy resolv.conf");
    /* Of a longer one the rest is left: three servers is what a resolver takes. */
    for (size_t all = 0; all < MAX_RESOLV_CONF; all += sizeof some) {
        ssize_t n = read_full(from, some, sizeof some);
        if (n < 0 || write_all(to, some, (size_t)n) < 0)
            return error_set(err, errno, "copy resolv.conf");
        if (n < (ssize_t)sizeof some)
            break;
    }
    return 0;
}

/* The new root's content, before it is one. */
static int fill(const struct jail_config *c, const int *files, struct error **err)
{
    for (unsigned i = 0; i < c->n_folders; i++)
        if (files[i] >= 0 && place_file(&c->folders[i], i, files[i], err) < 0)
            return -1;
    if (c->network && copy_resolv_conf(err) < 0)
        return -1;
    /* A share reaches files that are open by name only through /proc/self/fd. In it are this
     * process and no other. */
    if (c->n_folders && (mkdir(COVERED "/proc", 0555) < 0 ||
                         (mount("proc", COVERED "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                                "subset=pid") < 0)))
        return error_set(err, errno, "proc");
    return 0;
}

int jail_empty_root(const struct jail_config *c, struct error **err)
{
    /* Of single files, their mounts: closed with all other descriptors (jail_close_others). */
    AUTO_FREE int *files = c->n_folders ? xcalloc(c->n_folders, sizeof *files) : NULL;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set(err, errno, "make mounts private");
    for (unsigned i = 0; i < c->n_folders; i++) {
        files[i] = -1;
        if (detach_folder(&c->folders[i], &files[i], err) < 0)
            return -1;
    }
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    AUTO_FREE char *options =
        c->n_folders ? xasprintf(TMPFS_OPTIONS ",nr_inodes=%u", 8 + 2 * c->n_folders) : NULL;
    if (mount("tmpfs", COVERED, "tmpfs", flags, options ? options : TMPFS_OPTIONS ",nr_inodes=8") <
        0)
        return error_set(err, errno, "tmpfs");
    if (fill(c, files, err) < 0)
        return -1;
    if (chdir(COVERED) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return error_set(err, errno, "pivot_root");
    /* The old root lies on top of the new one now. */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return error_set(err, errno, "leave the old root");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
        return error_set(err, errno, "make the root read-only");
    return 0;
}
