/* FUSE requests on open files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine/devices/fuse-internal.h"

/* The most that one copy request moves: the others wait meanwhile. */
#define MAX_COPY (16u << 20)

static struct fuse_handle *find(struct fuse_server *s, const struct fuse_request *r, uint64_t id)
{
    return fuse_handle_find(s, id, r->in.nodeid, false);
}

/* The open file's id into *out; takes fd over. */
static int add_open(struct fuse_server *s, int fd, const struct fuse_node *n,
                    struct fuse_open_out *out)
{
    uint64_t id = fuse_handle_add(s, fd, n, false);
    /* The guest's cache stays: it looks at size and time of change instead. */
    *out = (struct fuse_open_out){.fh = id, .open_flags = FOPEN_KEEP_CACHE};
    return id ? 0 : -ENFILE;
}

static int open_node(struct fuse_server *s, struct fuse_node *n, uint32_t flags, bool kill,
                     struct fuse_open_out *out)
{
    if (n->type != S_IFREG)
        return n->type == S_IFDIR ? -EISDIR : -EACCES;
    if (s->readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
        return -EROFS;
    /* Not O_APPEND: the guest's kernel gives the offset, and a page that it writes back through
     * such a file must not go to the end. */
    int fd = fuse_reopen(s, n, (int)(flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC)));
    if (fd < 0)
        return fd;
    int rc = kill && (flags & O_TRUNC) ? fuse_kill_suidgid(fd) : 0;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return add_open(s, fd, n, out);
}

int fuse_open(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_open_in *in = (const void *)r->body.bytes;
    struct fuse_open_out out;
    if (r->room < sizeof out)
        return -EINVAL;
    int rc = open_node(s, r->node, in->flags, in->open_flags & FUSE_OPEN_KILL_SUIDGID, &out);
    return rc < 0 ? rc : fuse_reply(r, &out, sizeof out);
}

struct created {
    struct fuse_entry_out entry;
    struct fuse_open_out open;
};

/* The name is there already: opened like any other file. */
static int open_existing(struct fuse_server *s, struct fuse_request *r, struct created *out)
{
    const struct fuse_create_in *in = (const void *)r->body.bytes;
    int rc = fuse_lookup_entry(s, r->node, r->text[0], &out->entry);
    if (rc < 0)
        return rc;
    struct fuse_node *n = fuse_node_find(s, out->entry.nodeid);
    rc = open_node(s, n, in->flags, in->open_flags & FUSE_OPEN_KILL_SUIDGID, &out->open);
    if (rc < 0)
        fuse_node_forget(s, n->id, 1);
    return rc;
}

/* fd is the new file: the node is made for it, whatever has its name by now. */
static int add_created(struct fuse_server *s, struct fuse_request *r, int fd, struct created *out)
{
    struct fuse_node *n;
    struct stat st;
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    int path_fd = openat(s->proc_fd, number, O_PATH | O_CLOEXEC);
    int rc = path_fd < 0 ? -errno : fuse_node_get(s, r->node, r->text[0], path_fd, &n, &st);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    fuse_fill_entry(s, &out->entry, n, &st);
    rc = add_open(s, fd, n, &out->open);
    if (rc < 0)
        fuse_node_forget(s, n->id, 1);
    return rc;
}

int fuse_create(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_create_in *in = (const void *)r->body.bytes;
    struct created out;
    if (r->room < sizeof out)
        return -EINVAL;
    if (r->node->type != S_IFDIR)
        return -ENOTDIR;
    int folder = fuse_node_fd(s, r->node);
    int rc = folder < 0 ? folder : fuse_fd_reserve(s);
    rc = rc < 0 ? rc : fuse_become(s, r);
    if (rc < 0)
        return rc;
    int flags = (int)(in->flags & (O_ACCMODE | O_SYNC | O_DSYNC));
    /* Exclusively, so that nothing else than a new regular file is opened here. */
    int fd = openat(folder, r->text[0], flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    in->mode & 07777);
    rc = fd < 0 ? -errno : 0;
    fuse_become_self(s);
    if (rc == -EEXIST && !(in->flags & O_EXCL))
        rc = open_existing(s, r, &out);
    else if (rc == 0)
        rc = add_created(s, r, fd, &out);
    return rc < 0 ? rc : fuse_reply(r, &out, sizeof out);
}

int fuse_release(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_release_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = find(s, r, in->fh);
    if (!h)
        return -EBADF;
    fuse_handle_close(s, h);
    return 0;
}

int fuse_read(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_read_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = find(s, r, in->fh);
    struct iovec iov[VQ_MAX_SIZE];
    if (!h)
        return -EBADF;
    if (in->size > r->room)
        return -EINVAL;
    int pieces = vq_chain_iov(r->chain, true, sizeof(struct fuse_out_header), in->size, iov);
    ssize_t n = preadv(h->fd, iov, pieces, (off_t)in->offset);
    if (n < 0)
        return -errno;
    r->reply_len = (size_t)n;
    return 0;
}

int fuse_write(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_write_in *in = (const void *)r->body.bytes;
    const size_t head = sizeof r->in + sizeof *in;
    struct fuse_handle *h = find(s, r, in->fh);
    struct iovec iov[VQ_MAX_SIZE];
    if (!h)
        return -EBADF;
    if (in->size > r->in.len - head)
        return -EINVAL;
    int pieces = vq_chain_iov(r->chain, false, head, in->size, iov);
    ssize_t n = pwritev(h->fd, iov, pieces, (off_t)in->offset);
    if (n < 0)
        return -errno;
    if (in->write_flags & FUSE_WRITE_KILL_SUIDGID) {
        int rc = fuse_kill_suidgid(h->fd);
        if (rc < 0)
            return rc;
    }
    struct fuse_write_out out = {.size = (uint32_t)n};
    return fuse_reply(r, &out, sizeof out);
}

int fuse_fsync(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_fsync_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = find(s, r, in->fh);
    if (!h)
        return -EBADF;
    int rc = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
    return rc < 0 ? -errno : 0;
}

int fuse_lseek(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_lseek_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = find(s, r, in->fh);
    if (!h)
        return -EBADF;
    if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
        return -EINVAL; /* the others are the guest's kernel's own */
    off_t at = lseek(h->fd, (off_t)in->offset, (int)in->whence);
    if (at < 0)
        return -errno;
    struct fuse_lseek_out out = {.offset = (uint64_t)at};
    return fuse_reply(r, &out, sizeof out);
}

int fuse_fallocate(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_fallocate_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = find(s, r, in->fh);
    if (!h)
        return -EBADF;
    return fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

int fuse_copy_file_range(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_copy_file_range_in *in = (const void *)r->body.bytes;
    struct fuse_handle *from = find(s, r, in->fh_in);
    struct fuse_handle *to = fuse_handle_find(s, in->fh_out, in->nodeid_out, false);
    if (!from || !to)
        return -EBADF;
    if (in->flags)
        return -EINVAL;
    off_t in_at = (off_t)in->off_in, out_at = (off_t)in->off_out;
    ssize_t n = copy_file_range(from->fd, &in_at, to->fd, &out_at,
                                in->len < MAX_COPY ? in->len : MAX_COPY, 0);
    if (n < 0)
        return -errno;
    struct fuse_write_out out = {.size = (uint32_t)n};
    return fuse_reply(r, &out, sizeof out);
}
