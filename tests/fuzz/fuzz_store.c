/* A store's file, and a record in it, that may say anything: what record_parse lets through can be
 * placed in a code cache and be searched, linked and redirected there within its bounds; it is
 * never run. The record's sum is made right first, so that what is behind it is reached. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "engine/internal.h"
#include "engine/record.h"
#include "engine/store.h"
#include "fuzz.h"

#define PC        UINT64_C(0x7f0012345000)
#define BUILD     1
#define FILE_SIZE 8192u

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
    return false;
}

static const struct engine_ops ops = {.fetch = fetch};
static struct engine *engine;

static void require(bool good)
{
    if (!good)
        abort();
}

/* So that what is written behind a block is seen. */
static void fill_rest(struct code_cache *c)
{
    memset(c->rw + c->used, 0x5a, c->size - c->used);
}

static bool is_filled(const uint8_t *from, const uint8_t *end)
{
    for (const uint8_t *p = from; p < end && p < from + 256; p++)
        if (*p != 0x5a)
            return false;
    return true;
}

static void place(const struct record *r, const struct record_parts *p)
{
    static struct block_source source;
    struct engine *e = engine;
    uint8_t *end = e->cache.rw + e->cache.size;
    uint32_t first_link = e->blocks.n_links;
    if (emit_record(e, r, p, PC) != EMIT_DONE) { /* full: as find.c does */
        code_cache_reset(&e->cache);
        blocks_clear(&e->blocks);
        fill_rest(&e->cache);
        first_link = 0;
        require(emit_record(e, r, p, PC) == EMIT_DONE);
    }
    source = (struct block_source){.bytes = p->bytes, .n_segments = r->n_segments};
    require(r->n_segments <= sizeof source.segments / sizeof source.segments[0]);
    for (uint32_t n = 0, at = 0; n < r->n_segments; at += p->segments[n++].len) {
        uint64_t va = PC + 2 * (uint64_t)(int64_t)p->segments[n].from;
        source.segments[n] = (struct segment){.addr = va, .len = p->segments[n].len, .at = at};
    }
    struct block *b =
        blocks_add(&e->blocks, &(struct block_key){PC, PC, NO_PAGE, r->mode}, &source);
    emit_place(e, b);
    require(code_cache_rw(&e->cache, b->code) + b->code_len <= end && b->reenter < b->code_len);
    for (unsigned gi = 0; gi < r->n_guest; gi++)
        block_guest_pc(b, gi, gi & 1);
    for (uint32_t n = 0; n < b->n_points; n++) {
        require(b->points[n].offset < b->code_len && b->points[n].gi < r->n_guest);
        require(blocks_by_code(&e->blocks, b->code + b->points[n].offset) == b);
    }
    for (uint32_t n = first_link; n < e->blocks.n_links; n++) {
        const struct link *l = blocks_link(&e->blocks, n);
        require(*blocks_nth(&e->blocks, l->block) == b);
        emit_patch_link(e, l, b->code);
    }
    emit_redirect(e, b, NULL);
    emit_redirect(e, b, b->code);
    require(is_filled(e->cache.rw + e->cache.used, end));
}

/* Gives the code all that the lists leave, so that counts may be others. */
static void fit_code(struct record *r)
{
    size_t used = sizeof *r + r->n_segments * sizeof(struct record_segment) +
                  r->n_links * sizeof(struct record_link) +
                  4 * ((size_t)r->n_relocs + r->n_points) + r->n_bytes;
    if (used < r->size)
        r->code_len = r->size - (uint32_t)used;
}

/* The bytes as one record, in memory exactly as long. */
static void one_record(const uint8_t *data, size_t size, bool as_it_is, bool fit)
{
    struct record_parts parts;
    struct record *r = malloc(size);
    if (size >= sizeof *r) {
        memcpy(r, data, size);
        if (!as_it_is) {
            r->size = (uint32_t)size;
            if (fit)
                fit_code(r);
            r->sum = record_sum(r);
        }
        if (record_parse(r, size, &parts))
            place(r, &parts);
    }
    free(r);
}

/* A small file that begins with these bytes: its header, slots, records. */
static void one_file(const uint8_t *data, size_t size)
{
    static _Alignas(16) uint8_t out[RECORD_MAX];
    struct record_parts parts;
    int fd = memfd_create("store", MFD_CLOEXEC);
    require(fd >= 0 && ftruncate(fd, FILE_SIZE) == 0);
    size = size < FILE_SIZE ? size : FILE_SIZE;
    require(pwrite(fd, data, size, 0) == (ssize_t)size);
    struct store *s = store_new(FILE_SIZE);
    require(store_use_file(s, fd, BUILD) ||
            (store_make_file(s, fd, BUILD) && store_use_file(s, fd, BUILD)));
    for (size_t from = 0; from + 8 <= size; from += 16) { /* all that may be keys */
        uint64_t key;
        memcpy(&key, data + from, sizeof key);
        for (uint32_t state = 0; store_next(s, key, &state, (void *)out, &parts);)
            place((void *)out, &parts);
    }
    store_free(s);
    close(fd);
}

/* A file with one record, whose sum is right, in the slot that leads to it. */
static void file_of(const uint8_t *data, size_t size)
{
    static _Alignas(16) uint8_t image[FILE_SIZE];
    struct store *s = store_new(FILE_SIZE);
    struct record *r = (void *)(image + 4608);
    int fd = memfd_create("store", MFD_CLOEXEC);
    require(fd >= 0 && store_make_file(s, fd, BUILD)); /* for its header */
    size = (size < 2048 ? size : 2048) & ~(size_t)15;
    require(pread(fd, image, FILE_SIZE, 0) == FILE_SIZE);
    memcpy(r, data, size);
    r->size = (uint32_t)size;
    r->sum = record_sum(r);
    uint64_t slot = r->key >> 40 << 40 | (uint64_t)(size / 16) << 28 | 4608 / 16;
    memcpy(image + 4096 + (r->key & 15) * 8, &slot, sizeof slot);
    close(fd);
    store_free(s);
    one_file(image, 4608 + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ERROR_CLEANUP err = NULL;
    if (!engine) {
        struct engine_config c = {.ops = &ops, .paged = true, .code_bytes = 1 << 18};
        engine = engine_new(&c, &err);
        require(engine);
        fill_rest(&engine->cache);
    }
    if (!size)
        return 0;
    unsigned how = data[size - 1] & 7; /* the rest is aligned as it is kept */
    size--;
    if (how == 0)
        one_record(data, size, true, false);
    else if (how == 1)
        one_file(data, size);
    else if (how == 2 && size >= sizeof(struct record))
        file_of(data, size);
    else
        one_record(data, size & ~(size_t)15, false, how > 3);
    return 0;
}
