/* Idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP). The mapping is that of a user namespace, so
 * one is made for a moment by a child that does nothing else. It happens in the runtime's own
 * namespaces: the right over the source's file system is there, not in the container. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/mounts.h"
#include "container/namespaces.h"

static int user_namespace(const struct id_maps *uids, const struct id_maps *gids,
                          struct error **err)
{
    int stay[2];
    if (pipe2(stay, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        char c;
        close(stay[1]);
        ssize_t n = read(stay[0], &c, 1);
        _exit(n < 0);
    }
    close(stay[0]);
    int fd = -1;
    if (pid < 0) {
        error_set(err, errno, "clone a user namespace");
    } else if (namespaces_map_ids(pid, uids, gids, err) == 0) {
        AUTO_FREE char *path = xasprintf("/proc/%d/ns/user", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            error_set(err, errno, "open %s", path);
    }
    close(stay[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return fd;
}

static int prepare_one(const struct config *c, const struct mount_entry *m, struct error **err)
{
    bool own = m->uid_maps.len != 0;
    AUTO_CLOSE int ns =
        user_namespace(own ? &m->uid_maps : &c->uid_maps, own ? &m->gid_maps : &c->gid_maps, err);
    if (ns < 0)
        return -1;
    AUTO_CLOSE int tree =
        mounts_clone(c, AT_FDCWD, m->source, m->rbind ? (unsigned)AT_RECURSIVE : 0);
    if (tree < 0)
        return error_set(err, errno, "source %s", m->source);
    struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns};
    if (mount_setattr(tree, "", AT_EMPTY_PATH | (m->ridmap ? AT_RECURSIVE : 0), &a, sizeof a) < 0)
        return error_set(err, errno, "idmap %s", m->source);
    return STEAL_FD(tree);
}

int idmap_prepare(const struct config *c, int **fds, struct error **err)
{
    *fds = NULL;
    for (size_t i = 0; i < c->mounts_len; i++) {
        if (!c->mounts[i].idmap)
            continue;
        if (!*fds) {
            *fds = xcalloc(c->mounts_len, sizeof **fds);
            for (size_t j = 0; j < c->mounts_len; j++)
                (*fds)[j] = -1;
        }
        (*fds)[i] = prepare_one(c, &c->mounts[i], err);
        if ((*fds)[i] < 0) {
            idmap_free(c, *fds);
            *fds = NULL;
            return error_prefix(err, "mounts[%zu] (destination %s)", i, c->mounts[i].destination);
        }
    }
    return 0;
}

void idmap_free(const struct config *c, int *fds)
{
    for (size_t i = 0; fds && i < c->mounts_len; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(fds);
}
