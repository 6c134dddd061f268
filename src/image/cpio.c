#include "image/cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#define BUFFER (256u << 10)

struct entry {
    mode_t mode;
    uint64_t size;
};

void cpio_init(struct cpio *c, int fd)
{
    *c = (struct cpio){.fd = fd, .next_ino = 1, .buf = xcalloc(1, BUFFER)};
}

void cpio_free(struct cpio *c)
{
    free(c->buf);
    c->buf = NULL;
}

static int flush(struct cpio *c, struct error **err)
{
    if (write_all(c->fd, c->buf, c->used) < 0)
        return error_set(err, errno, "write the initramfs");
    c->used = 0;
    return 0;
}

static int put(struct cpio *c, const void *data, size_t len, struct error **err)
{
    const char *p = data;
    c->written += len;
    while (len) {
        size_t n = BUFFER - c->used < len ? BUFFER - c->used : len;
        memcpy(c->buf + c->used, p, n);
        c->used += n;
        p += n;
        len -= n;
        if (c->used == BUFFER && flush(c, err) < 0)
            return -1;
    }
    return 0;
}

static int pad(struct cpio *c, unsigned to, struct error **err)
{
    static const char zeros[512];
    return put(c, zeros, (to - c->written % to) % to, err);
}

/* The header: a magic number, then 13 fields of 8 hexadecimal digits (inode, mode, uid, gid, links,
 * mtime, size, device and special file's device, length of the name, checksum); name and data are
 * each padded to 4 bytes. All is root's, of the year 1970. */
static int header(struct cpio *c, const char *name, const struct entry *e, struct error **err)
{
    if (e->size > UINT32_MAX)
        return error_set(err, EFBIG, "%s: files in an initramfs are smaller than 4 GiB", name);
    char h[111];
    snprintf(h, sizeof h, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
             c->next_ino++, e->mode, 0u, 0u, S_ISDIR(e->mode) ? 2u : 1u, 0u, (unsigned)e->size, 0u,
             0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
    if (put(c, h, 110, err) < 0 || put(c, name, strlen(name) + 1, err) < 0)
        return -1;
    return pad(c, 4, err);
}

int cpio_add(struct cpio *c, const char *name, mode_t mode, const void *data, size_t len,
             struct error **err)
{
    struct entry e = {.mode = mode, .size = len};
    if (header(c, name, &e, err) < 0 || put(c, data, len, err) < 0)
        return -1;
    return pad(c, 4, err);
}

/* Content of exactly e->size bytes: a file that changes meanwhile is cut or filled up. */
static int add_content(struct cpio *c, const char *name, int fd, const struct entry *e,
                       struct error **err)
{
    static const char zeros[4096];
    char buf[65536];
    uint64_t left = e->size;
    if (header(c, name, e, err) < 0)
        return -1;
    while (left) {
        ssize_t n = read_full(fd, buf, left < sizeof buf ? left : sizeof buf);
        if (n < 0)
            return error_set(err, errno, "read %s", name);
        if (n == 0)
            break;
        if (put(c, buf, (size_t)n, err) < 0)
            return -1;
        left -= (uint64_t)n;
    }
    for (; left; left -= left < sizeof zeros ? left : sizeof zeros)
        if (put(c, zeros, left < sizeof zeros ? left : sizeof zeros, err) < 0)
            return -1;
    return pad(c, 4, err);
}

int cpio_add_file(struct cpio *c, const char *name, const char *path, mode_t mode,
                  struct error **err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, errno, "open %s", path);
    struct entry e = {.mode = S_IFREG | mode, .size = (uint64_t)st.st_size};
    return add_content(c, name, fd, &e, err);
}

int cpio_finish(struct cpio *c, struct error **err)
{
    struct entry e = {0};
    if (header(c, "TRAILER!!!", &e, err) < 0 || pad(c, 512, err) < 0)
        return -1;
    return flush(c, err);
}
