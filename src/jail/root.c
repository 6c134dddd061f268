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
#define COVERED "/proc"

/* The folder behind a descriptor, as a mount of its own that is in no tree: what was opened outside
 * belongs to the mounts of the outside, whose ".." leads to the host's root. It is found by its
 * path again, in the copy of them that this namespace has, and must still be the same. */
static int detach_folder(struct jail_folder *f, struct error **err)
{
    AUTO_FREE char *link = xasprintf("/proc/self/fd/%d", *f->fd);
    char path[4096];
    struct stat before, after;
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return error_set(err, errno, "a shared folder");
    path[n] = '\0';
    AUTO_CLOSE int fd =
        (int)syscall(SYS_open_tree, AT_FDCWD, path,
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
    if (fd < 0)
        return error_set(err, errno, "%s: a mount of its own", path);
    if (fstat(*f->fd, &before) < 0 || fstat(fd, &after) < 0)
        return error_set(err, errno, "stat %s", path);
    if (before.st_dev != after.st_dev || before.st_ino != after.st_ino)
        return error_set(err, 0, "%s: is another folder by now", path);
    struct mount_attr a = {.attr_set = f->readonly ? MOUNT_ATTR_RDONLY : 0,
                           .propagation = MS_PRIVATE};
    a.attr_set |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a) < 0)
        return error_set(err, errno, "%s: mount attributes", path);
    /* In the same place: others know it by its number. */
    if (dup3(fd, *f->fd, O_CLOEXEC) < 0)
        return error_set(err, errno, "dup3");
    return 0;
}

/* Where the host's name servers are, for looking up names: as it is now. */
static int copy_resolv_conf(struct error **err)
{
    ERROR_CLEANUP none = NULL;
    AUTO_FREE char *text = NULL;
    size_t len;
    if (read_file_at(AT_FDCWD, "/etc/resolv.conf", 65536, &text, &len, &none) < 0)
        return 0; /* the host looks up no names either */
    if (mkdir(COVERED "/etc", 0555) < 0)
        return error_set(err, errno, "mkdir etc");
    AUTO_CLOSE int fd =
        open(COVERED "/etc/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0 || write_all(fd, text, len) < 0)
        return error_set(err, errno, "copy resolv.conf");
    return 0;
}

/* The new root's content, before it is one. */
static int fill(const struct jail_config *c, struct error **err)
{
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
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set(err, errno, "make mounts private");
    for (unsigned i = 0; i < c->n_folders; i++)
        if (detach_folder(&c->folders[i], err) < 0)
            return -1;
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount("tmpfs", COVERED, "tmpfs", flags, "size=128k,nr_inodes=8,mode=0555") < 0)
        return error_set(err, errno, "tmpfs");
    if (fill(c, err) < 0)
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
