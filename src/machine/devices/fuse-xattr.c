/* FUSE requests on extended attributes. The guest has those of users, and a program's capabilities;
 * the others mean something to the host alone. */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "machine/devices/fuse-internal.h"

static bool is_guests(const char *name)
{
    return str_starts(name, "user.") || strcmp(name, "security.capability") == 0;
}

/* The path to a file that is open by name only; a symbolic link's is that of the link itself. */
struct fd_path {
    char text[32];
};

static int node_path(struct fuse_server *s, struct fuse_node *n, struct fd_path *path)
{
    int fd = fuse_node_fd(s, n);
    snprintf(path->text, sizeof path->text, "/proc/self/fd/%d", fd);
    return fd < 0 ? fd : 0;
}

int fuse_setxattr(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_setxattr_in *in = (const void *)r->body.bytes;
    struct fd_path path;
    if (in->size > r->rest_len)
        return -EINVAL;
    if (!is_guests(r->text[0]))
        return -EOPNOTSUPP;
    int rc = node_path(s, r->node, &path);
    if (rc < 0)
        return rc;
    return setxattr(path.text, r->text[0], r->rest, in->size, (int)in->flags) < 0 ? -errno : 0;
}

/* A value, or with size 0 its length, as the guest asked. */
static int reply_value(struct fuse_request *r, size_t len)
{
    const struct fuse_getxattr_in *in = (const void *)r->body.bytes;
    struct fuse_getxattr_out out = {.size = (uint32_t)len};
    if (!in->size)
        return fuse_reply(r, &out, sizeof out);
    return len > in->size ? -ERANGE : fuse_reply(r, r->buffer, len);
}

int fuse_getxattr(struct fuse_server *s, struct fuse_request *r)
{
    struct fd_path path;
    if (!is_guests(r->text[0]))
        return -EOPNOTSUPP;
    int rc = node_path(s, r->node, &path);
    if (rc < 0)
        return rc;
    ssize_t n = getxattr(path.text, r->text[0], r->buffer, sizeof r->buffer);
    return n < 0 ? -errno : reply_value(r, (size_t)n);
}

int fuse_listxattr(struct fuse_server *s, struct fuse_request *r)
{
    struct fd_path path;
    int rc = node_path(s, r->node, &path);
    if (rc < 0)
        return rc;
    ssize_t n = listxattr(path.text, (char *)r->buffer, sizeof r->buffer);
    if (n < 0)
        return -errno;
    size_t kept = 0;
    for (size_t at = 0, len; at < (size_t)n; at += len) {
        const char *name = (const char *)r->buffer + at;
        len = strlen(name) + 1;
        if (is_guests(name)) {
            memmove(r->buffer + kept, name, len);
            kept += len;
        }
    }
    return reply_value(r, kept);
}

int fuse_removexattr(struct fuse_server *s, struct fuse_request *r)
{
    struct fd_path path;
    if (!is_guests(r->text[0]))
        return -EOPNOTSUPP;
    int rc = node_path(s, r->node, &path);
    if (rc < 0)
        return rc;
    return removexattr(path.text, r->text[0]) < 0 ? -errno : 0;
}
