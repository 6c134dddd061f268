/* The mount option tmpcopyup: what lies below a tmpfs is copied into it first. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "container/mounts.h"

static int copy_tree(int source, int target, int depth, struct error **err);

static int copy_file(int from, const char *name, int to, const struct stat *st, struct error **err)
{
    AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return error_set(err, errno, "tmpcopyup: open %s", name);
    AUTO_CLOSE int out =
        openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
    if (out < 0)
        return error_set(err, errno, "tmpcopyup: make %s", name);
    ssize_t n;
    do {
        n = sendfile(out, in, NULL, 1 << 20);
    } while (n > 0);
    if (n < 0 || fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
        return error_set(err, errno, "tmpcopyup: write %s", name);
    return 0;
}

static int copy_folder(int from, const char *name, int to, const struct stat *st, int depth,
                       struct error **err)
{
    if (mkdirat(to, name, st->st_mode & 07777) < 0)
        return error_set(err, errno, "tmpcopyup: make %s", name);
    AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0 || out < 0)
        return error_set(err, errno, "tmpcopyup: open %s", name);
    if (copy_tree(in, out, depth + 1, err) < 0)
        return -1;
    if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
        return error_set(err, errno, "tmpcopyup: %s", name);
    return 0;
}

static int copy_link(int from, const char *name, int to, struct error **err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    if (n < 0)
        return error_set(err, errno, "tmpcopyup: read link %s", name);
    target[n] = 0;
    if (symlinkat(target, to, name) < 0)
        return error_set(err, errno, "tmpcopyup: make link %s", name);
    return 0;
}

static int copy_tree(int source, int target, int depth, struct error **err)
{
    if (depth > 128)
        return error_set(err, ELOOP, "tmpcopyup: folders too deep");
    AUTO_CLOSE int fd = openat(source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "tmpcopyup: open");
    AUTO_CLOSEDIR DIR *dir = fdopendir(fd);
    if (!dir)
        return error_set(err, errno, "tmpcopyup: read folder");
    int from = STEAL_FD(fd);
    struct dirent *d;
    while (errno = 0, (d = readdir(dir))) {
        struct stat st;
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
            continue;
        if (fstatat(from, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return error_set(err, errno, "tmpcopyup: %s", d->d_name);
        int r = 0;
        if (S_ISDIR(st.st_mode))
            r = copy_folder(from, d->d_name, target, &st, depth, err);
        else if (S_ISLNK(st.st_mode))
            r = copy_link(from, d->d_name, target, err);
        else if (S_ISREG(st.st_mode))
            r = copy_file(from, d->d_name, target, &st, err);
        if (r < 0)
            return -1;
    }
    return errno ? error_set(err, errno, "tmpcopyup: read folder") : 0;
}

int copy_up(int source, int target, struct error **err)
{
    return copy_tree(source, target, 0, err);
}
