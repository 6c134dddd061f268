#include "container/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

static int open_resolved(int rootfd, const char *path, int flags, uint64_t resolve)
{
    while (*path == '/')
        path++;
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
    int fd;
    /* EAGAIN: something was renamed on the way, and the kernel could not be sure. */
    do {
        fd = (int)syscall(SYS_openat2, rootfd, *path ? path : ".", &how, sizeof how);
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd;
}

int root_open(int rootfd, const char *path, int flags)
{
    return open_resolved(rootfd, path, flags, 0);
}

int root_open_no_links(int rootfd, const char *path, int flags)
{
    return open_resolved(rootfd, path, flags, RESOLVE_NO_SYMLINKS);
}

/* What a dangling link at NAME below dir points to, as a path from the root. */
static char *link_target(int dirfd, const char *dir, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dirfd, name, target, sizeof target - 1);
    if (n <= 0)
        return NULL;
    target[n] = 0;
    return target[0] == '/' ? xstrdup(target) : xasprintf("%s/%s", dir, target);
}

static int mkdir_walk(int rootfd, const char *path, mode_t mode, int depth, struct error **err)
{
    if (depth > 40)
        return error_set(err, ELOOP, "%s in the root file system", path);
    AUTO_FREE char *copy = xstrdup(path);
    STR_CLEANUP done = {0};
    str_append(&done, "", 0);
    AUTO_CLOSE int dir = root_open(rootfd, "/", O_PATH | O_DIRECTORY);
    if (dir < 0)
        return error_set(err, errno, "open the root file system");
    char *save = NULL;
    for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
        size_t before = done.len;
        str_printf(&done, "/%s", c);
        int next = root_open(rootfd, done.data, O_PATH | O_DIRECTORY);
        if (next < 0 && errno == ENOENT && strcmp(c, "..") && strcmp(c, ".")) {
            if (mkdirat(dir, c, mode) < 0 && errno != EEXIST)
                return error_set(err, errno, "make folder %s in the root file system", done.data);
            next = root_open(rootfd, done.data, O_PATH | O_DIRECTORY);
        }
        if (next < 0 && errno == ENOENT) {
            AUTO_FREE char *above = strndup(done.data, before);
            AUTO_FREE char *target = link_target(dir, above ? above : "", c);
            if (target)
                next = mkdir_walk(rootfd, target, mode, depth + 1, err);
            if (target && next < 0)
                return -1;
        }
        if (next < 0)
            return error_set(err, errno, "open folder %s in the root file system", done.data);
        close(dir);
        dir = next;
    }
    return STEAL_FD(dir);
}

int root_mkdir(int rootfd, const char *path, mode_t mode, struct error **err)
{
    int fd = root_open(rootfd, path, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        return fd;
    if (errno != ENOENT)
        return error_set(err, errno, "open folder %s in the root file system", path);
    return mkdir_walk(rootfd, path, mode, 0, err);
}

int root_open_parent(int rootfd, const char *path, const char **base, struct error **err)
{
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    if (!**base || !strcmp(*base, ".") || !strcmp(*base, ".."))
        return error_set(err, EINVAL, "%s", path);
    AUTO_FREE char *dir = slash ? strndup(path, (size_t)(slash - path)) : xstrdup("/");
    return root_mkdir(rootfd, dir && *dir ? dir : "/", 0755, err);
}

int root_mkfile(int rootfd, const char *path, struct error **err)
{
    AUTO_FREE char *at = xstrdup(path);
    for (int depth = 0; depth < 40; depth++) {
        int fd = root_open(rootfd, at, O_PATH);
        if (fd >= 0)
            return fd;
        if (errno != ENOENT)
            return error_set(err, errno, "open %s in the root file system", at);
        const char *base;
        AUTO_CLOSE int dir = root_open_parent(rootfd, at, &base, err);
        if (dir < 0)
            return -1;
        AUTO_CLOSE int made =
            openat(dir, base, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
        if (made >= 0)
            continue;
        if (errno != EEXIST)
            return error_set(err, errno, "make file %s in the root file system", at);
        /* A dangling link: make what it points to, inside. */
        AUTO_FREE char *above = strndup(at, (size_t)(base - at));
        char *target = link_target(dir, above ? above : "", base);
        if (!target)
            return error_set(err, EEXIST, "make file %s in the root file system", at);
        free(at);
        at = target;
    }
    return error_set(err, ELOOP, "%s in the root file system", path);
}
