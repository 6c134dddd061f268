/* FUSE requests on folders. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "machine/devices/fuse-internal.h"

#define MIN_READ 1024u
#define MAX_READ 32768u

int fuse_opendir(struct fuse_server *s, struct fuse_request *r)
{
    struct fuse_open_out out = {0};
    if (r->room < sizeof out)
        return -EINVAL;
    if (r->node->type != S_IFDIR)
        return -ENOTDIR;
    int fd = fuse_reopen(s, r->node, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    out.fh = fuse_handle_add(s, fd, r->node, true);
    return out.fh ? fuse_reply(r, &out, sizeof out) : -ENFILE;
}

static size_t entry_len(const struct dirent64 *d, bool plus)
{
    size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    return FUSE_DIRENT_ALIGN(head + strlen(d->d_name));
}

/* Adds one entry, for whose length there is room. */
static int add_entry(struct fuse_server *s, struct fuse_request *r, const struct dirent64 *d,
                     bool plus)
{
    static const char padding[8];
    size_t name_len = strlen(d->d_name);
    struct fuse_dirent e = {.ino = d->d_ino,
                            .off = (uint64_t)d->d_off,
                            .namelen = (uint32_t)name_len,
                            .type = d->d_type};
    bool dots = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
    /* What is above the shared folder is none of the guest's business. */
    if (dots && !r->node->parent)
        e.ino = r->node->ino;
    if (plus) {
        /* Node id 0: the guest shall look it up itself. */
        struct fuse_entry_out entry = {0};
        if (dots || fuse_lookup_entry(s, r->node, d->d_name, &entry) < 0)
            entry = (struct fuse_entry_out){0};
        fuse_reply(r, &entry, sizeof entry);
    }
    fuse_reply(r, &e, FUSE_NAME_OFFSET);
    fuse_reply(r, d->d_name, name_len);
    return fuse_reply(
        r, padding, FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_len) - (FUSE_NAME_OFFSET + name_len));
}

static int read_folder(struct fuse_server *s, struct fuse_request *r, bool plus)
{
    const struct fuse_read_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = fuse_handle_find(s, in->fh, r->in.nodeid, true);
    size_t size = in->size < r->room ? in->size : r->room;
    if (!h)
        return -EBADF;
    if (lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0)
        return -errno;
    /* No more than about what fits is read at once: the rest would be read again. */
    size_t step = plus ? size / 4 : size;
    step = step < MIN_READ ? MIN_READ : step > MAX_READ ? MAX_READ : step;
    for (;;) {
        ssize_t n = getdents64(h->fd, r->buffer, step);
        if (n < 0)
            return r->reply_len ? 0 : -errno;
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *d = (const void *)(r->buffer + at);
            if (entry_len(d, plus) > size - r->reply_len)
                return r->reply_len ? 0 : -EINVAL;
            int rc = add_entry(s, r, d, plus);
            if (rc < 0)
                return rc;
            at += d->d_reclen;
        }
    }
}

int fuse_readdir(struct fuse_server *s, struct fuse_request *r)
{
    return read_folder(s, r, false);
}

int fuse_readdirplus(struct fuse_server *s, struct fuse_request *r)
{
    return read_folder(s, r, true);
}

int fuse_releasedir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_release_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = fuse_handle_find(s, in->fh, r->in.nodeid, true);
    if (!h)
        return -EBADF;
    fuse_handle_close(s, h);
    return 0;
}

int fuse_fsyncdir(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_fsync_in *in = (const void *)r->body.bytes;
    struct fuse_handle *h = fuse_handle_find(s, in->fh, r->in.nodeid, true);
    if (!h)
        return -EBADF;
    return fsync(h->fd) < 0 ? -errno : 0;
}
