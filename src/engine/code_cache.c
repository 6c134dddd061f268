#include "engine/code_cache.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

/* Maps size bytes of fd twice; where: addresses to replace, or NULLs. */
static int map_twice(int fd, size_t size, uint8_t *at_rw, uint8_t *at_rx, struct code_cache *out,
                     struct error **err)
{
    int fixed = at_rw ? MAP_FIXED : 0;
    void *rw = mmap(at_rw, size, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, fd, 0);
    if (rw == MAP_FAILED)
        return error_set(err, errno, "map %zu bytes of code cache", size);
    void *rx = mmap(at_rx, size, PROT_READ | PROT_EXEC, MAP_SHARED | fixed, fd, 0);
    if (rx == MAP_FAILED) {
        error_set(err, errno, "map %zu bytes of code cache for execution", size);
        munmap(rw, size);
        return -1;
    }
    out->rw = rw;
    out->rx = rx;
    return 0;
}

static int make_file(size_t size, struct error **err)
{
    AUTO_CLOSE int fd = memfd_create("wirt-code", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "memfd_create for the code cache");
    if (ftruncate(fd, (off_t)size) < 0)
        return error_set(err, errno, "size the code cache to %zu bytes", size);
    return STEAL_FD(fd);
}

int code_cache_init(struct code_cache *c, size_t size, struct error **err)
{
    AUTO_CLOSE int fd = make_file(size, err);
    if (fd < 0)
        return -1;
    *c = (struct code_cache){.size = size};
    return map_twice(fd, size, NULL, NULL, c, err);
}

void code_cache_free(struct code_cache *c)
{
    if (c->rw)
        munmap(c->rw, c->size);
    if (c->rx)
        munmap(c->rx, c->size);
    *c = (struct code_cache){0};
}

void code_cache_reset(struct code_cache *c)
{
    c->used = c->kept;
}

int code_cache_copy(const struct code_cache *c, struct error **err)
{
    AUTO_CLOSE int fd = make_file(c->size, err);
    if (fd < 0)
        return -1;
    if (write_all(fd, c->rw, c->used) < 0)
        return error_set(err, errno, "copy the code cache");
    return STEAL_FD(fd);
}

int code_cache_move(struct code_cache *c, int fd, struct error **err)
{
    return map_twice(fd, c->size, c->rw, c->rx, c, err);
}
