#include "engine/code_cache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/pages.h"

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
    /* A core dump is the guest's: it would have each page of the cache in it, twice. */
    madvise(rw, size, MADV_DONTDUMP);
    madvise(rx, size, MADV_DONTDUMP);
    out->rw = rw;
    out->rx = rx;
    out->ready_rw = out->ready_rx = 0;
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

void code_cache_ahead(struct code_cache *c)
{
    pages_ahead(c->rw, c->size, c->used, &c->ready_rw, MADV_POPULATE_WRITE);
    pages_ahead(c->rx, c->size, c->used, &c->ready_rx, MADV_POPULATE_READ);
}

/* A copy without a descriptor: slower to fill, page by page. */
static int copy_to_memory(const struct code_cache *c, struct code_copy *out, struct error **err)
{
    void *m = mmap(NULL, c->size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return error_set(err, errno, "%zu bytes for a copy of the code cache", c->size);
    memcpy(m, c->rw, c->used);
    out->memory = m;
    return 0;
}

/* The second mapping of the same pages comes from mremap(2): an old size of 0 duplicates a shared
 * one. */
static int move_from_memory(struct code_cache *c, struct code_copy *copy, struct error **err)
{
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    if (mremap(copy->memory, 0, c->size, flags, c->rx) == MAP_FAILED ||
        mprotect(c->rx, c->size, PROT_READ | PROT_EXEC) < 0 ||
        mremap(copy->memory, c->size, c->size, flags, c->rw) == MAP_FAILED)
        return error_set(err, errno, "map %zu bytes of code cache", c->size);
    copy->memory = NULL;
    return 0;
}

int code_cache_copy(const struct code_cache *c, bool file, struct code_copy *out,
                    struct error **err)
{
    *out = (struct code_copy){.fd = -1};
    ERROR_CLEANUP none = NULL;
    AUTO_CLOSE int fd = file ? make_file(c->size, &none) : -1;
    if (fd < 0) /* the program may have used up all descriptors */
        return copy_to_memory(c, out, err);
    if (write_all(fd, c->rw, c->used) < 0)
        return error_set(err, errno, "copy the code cache");
    out->fd = STEAL_FD(fd);
    return 0;
}

int code_cache_move(struct code_cache *c, struct code_copy *copy, struct error **err)
{
    if (copy->memory)
        return move_from_memory(c, copy, err);
    return map_twice(copy->fd, c->size, c->rw, c->rx, c, err);
}

void code_copy_free(struct code_copy *copy, size_t size)
{
    if (copy->fd >= 0)
        close(copy->fd);
    if (copy->memory)
        munmap(copy->memory, size);
    *copy = (struct code_copy){.fd = -1};
}
