#include "engine/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/pages.h"
#include "base/str.h"
#include "engine/record.h"

#define HEADER_BYTES ((size_t)4096)
#define PROBES       16u                /* slots that a record may be in, one after the other */
#define WINDOW       ((size_t)64 << 10) /* of a file, read at once */
#define INDEX_CHUNK  ((size_t)16 << 10)
#define SAVE_MIN     32u         /* fewer records are not worth the trouble */
#define BYTES_A_SLOT 512u        /* of the file, so that about half of the slots are used */
#define NEW_LIMIT    (32u << 20) /* bytes of records in memory */
#define MIN_FILE     (2 * HEADER_BYTES)
#define MAX_FILE     ((size_t)RECORD_ALIGN << 28) /* what offsets in slots reach */

/* A file's first bytes. */
struct header {
    char magic[8];
    uint64_t build, size; /* see store_use_file; bytes of the whole file */
    uint64_t used;        /* where the next record goes */
};

static const char magic[8] = "wirtrec1";

/* A slot: of the key bits 63:40; the record's size and offset, in RECORD_ALIGN. 0: it is free. */
#define SLOT(key, size, offset) \
    ((key) >> 40 << 40 | (uint64_t)(size) / RECORD_ALIGN << 28 | (uint64_t)(offset) / RECORD_ALIGN)
#define SLOT_TAG(slot)    ((slot) >> 40)
#define SLOT_SIZE(slot)   (((slot) >> 28 & 0xfff) * RECORD_ALIGN)
#define SLOT_OFFSET(slot) (((slot)&0xfffffff) * RECORD_ALIGN)

struct store {
    size_t limit;
    /* The file. */
    int fd;
    uint64_t build;
    size_t size;
    uint8_t *window; /* WINDOW bytes that were read at once; NULL: there is no file */
    size_t window_at, window_len;
    size_t next;     /* behind the record that was found last */
    uint8_t *index;  /* the slots, as far as they were read: by INDEX_CHUNK bytes, */
    uint8_t *loaded; /* a byte each */
    /* What was made here, behind each other. */
    uint8_t *memory;
    size_t used, ready;
    uint32_t *offsets; /* of all, in RECORD_ALIGN */
    uint32_t n, n_saved, capacity;
    uint32_t *table; /* of numbers + 1, by key */
    uint32_t table_bits;
};

static size_t n_slots(size_t size)
{
    return (size_t)1 << (63 - __builtin_clzll(size / BYTES_A_SLOT));
}

/* The last slots have their probes behind them. */
static size_t records_start(size_t size)
{
    return HEADER_BYTES + (n_slots(size) + PROBES) * 8;
}

static size_t index_bytes(size_t size)
{
    return records_start(size) - HEADER_BYTES;
}

struct store *store_new(size_t limit)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->limit = limit < MAX_FILE ? limit : MAX_FILE;
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    store_forget(s);
    if (s->window)
        munmap(s->window, WINDOW);
    if (s->index)
        munmap(s->index, index_bytes(s->size));
    free(s->loaded);
    free(s);
}

/* --- In memory --- */

static const struct record *own(const struct store *s, uint32_t n)
{
    return (const struct record *)(const void *)(s->memory + (size_t)s->offsets[n] * RECORD_ALIGN);
}

static uint32_t slot_of(const struct store *s, uint64_t key)
{
    return (uint32_t)(key & ((1u << s->table_bits) - 1));
}

static void enter(struct store *s, uint32_t n)
{
    uint32_t mask = (1u << s->table_bits) - 1, at = slot_of(s, own(s, n)->key);
    while (s->table[at])
        at = (at + 1) & mask;
    s->table[at] = n + 1;
}

static void grow_table(struct store *s)
{
    s->table_bits = s->table_bits ? s->table_bits + 1 : 10;
    free(s->table);
    s->table = xcalloc((size_t)1 << s->table_bits, sizeof *s->table);
    for (uint32_t n = 0; n < s->n; n++)
        enter(s, n);
}

/* Not the child's: see store_forget. false: there is none to be had, as under a limit of address
 * space, and none is needed. */
static bool make_memory(struct store *s)
{
    void *p = mmap(NULL, NEW_LIMIT, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    madvise(p, NEW_LIMIT, MADV_DONTFORK);
    s->memory = p;
    return true;
}

bool store_add(struct store *s, const struct record *r)
{
    size_t room = s->limit < NEW_LIMIT ? s->limit : NEW_LIMIT;
    if (room - s->used < r->size || (!s->memory && !make_memory(s)))
        return false;
    pages_ahead(s->memory, room, s->used + r->size, &s->ready, MADV_POPULATE_WRITE);
    memcpy(s->memory + s->used, r, r->size);
    if (s->n == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 512;
        s->offsets = xrealloc(s->offsets, s->capacity * sizeof *s->offsets);
    }
    s->offsets[s->n] = (uint32_t)(s->used / RECORD_ALIGN);
    s->used += r->size;
    if (2 * (s->n + 1) > 1u << s->table_bits || !s->table)
        grow_table(s);
    enter(s, s->n++);
    return true;
}

void store_forget(struct store *s)
{
    if (s->memory)
        munmap(s->memory, NEW_LIMIT);
    free(s->offsets);
    free(s->table);
    s->memory = NULL;
    s->offsets = s->table = NULL;
    s->used = s->ready = 0;
    s->n = s->n_saved = s->capacity = s->table_bits = 0;
}

/* The next with the key behind number *at - 1 of its probes. */
static bool next_own(struct store *s, uint64_t key, uint32_t *at, struct record *out)
{
    uint32_t mask = (1u << s->table_bits) - 1;
    if (!s->table)
        return false;
    for (uint32_t n; (n = s->table[(slot_of(s, key) + *at) & mask]); ++*at) {
        const struct record *r = own(s, n - 1);
        if (r->key != key)
            continue;
        memcpy(out, r, r->size);
        ++*at;
        return true;
    }
    return false;
}

/* --- In the file --- */

static size_t slot_at(size_t size, uint64_t key)
{
    return HEADER_BYTES + (size_t)(key & (n_slots(size) - 1)) * 8;
}

static bool good_header(const struct store *s, const struct header *h)
{
    return memcmp(h->magic, magic, sizeof magic) == 0 && h->build == s->build &&
           h->size == s->size && h->used >= records_start(s->size) && h->used <= s->size &&
           h->used % RECORD_ALIGN == 0;
}

static bool read_all(int fd, void *to, size_t n, size_t at)
{
    return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

static bool write_all(int fd, const void *from, size_t n, size_t at)
{
    return pwrite(fd, from, n, (off_t)at) == (ssize_t)n;
}

/* The lock is of the process: the descriptor is shared with those that inherited it. */
static bool lock_file(int fd, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &l) == 0;
}

/* Whether no limit of this process's is in the way, for which it would be sent a signal. */
static bool may_grow(const struct store *s)
{
    struct rlimit r;
    return getrlimit(RLIMIT_FSIZE, &r) == 0 && r.rlim_cur >= s->size;
}

/* Makes the file empty. The lock is held. What readers still see of the old one, they check. */
static bool start_over(const struct store *s, int fd, struct header *h)
{
    struct stat st;
    *h = (struct header){.build = s->build, .size = s->size, .used = records_start(s->size)};
    memcpy(h->magic, magic, sizeof magic);
    if (fstat(fd, &st) < 0)
        return false;
    if ((size_t)st.st_size != s->size || /* else it never gets shorter, where holes can be made */
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)s->size) < 0)
        if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)s->size) < 0)
            return false;
    return write_all(fd, h, sizeof *h, 0);
}

static bool is_begun(const struct store *s, int fd, struct header *h)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (size_t)st.st_size == s->size && read_all(fd, h, sizeof *h, 0) &&
           good_header(s, h);
}

static void set_build(struct store *s, uint64_t build)
{
    s->build = build;
    s->size = s->limit & ~(size_t)4095;
}

bool store_make_file(struct store *s, int fd, uint64_t build)
{
    struct header h;
    set_build(s, build);
    if (s->size < MIN_FILE || !may_grow(s) || !lock_file(fd, F_WRLCK))
        return false;
    bool good = is_begun(s, fd, &h) || /* by now */
                start_over(s, fd, &h);
    return lock_file(fd, F_UNLCK) && good;
}

/* What it says is to be read, once more perhaps. */
static void begin_index(struct store *s)
{
    size_t chunks = index_bytes(s->size) / INDEX_CHUNK + 1;
    if (!s->index) {
        s->index = pages_alloc(index_bytes(s->size));
        s->loaded = xcalloc(chunks, 1);
    }
    memset(s->loaded, 0, chunks);
}

bool store_use_file(struct store *s, int fd, uint64_t build)
{
    struct header h;
    set_build(s, build);
    if (s->size < MIN_FILE || !is_begun(s, fd, &h))
        return false;
    s->fd = fd;
    s->window = pages_alloc(WINDOW);
    if (h.used > records_start(s->size)) /* else there is nothing to be found */
        begin_index(s);
    return true;
}

/* The PROBES slots for a key. NULL: they cannot be read. */
static const uint8_t *slots_of(struct store *s, uint64_t key)
{
    size_t at = slot_at(s->size, key) - HEADER_BYTES, all = index_bytes(s->size);
    for (size_t n = at / INDEX_CHUNK; n <= (at + PROBES * 8 - 1) / INDEX_CHUNK; n++) {
        size_t from = n * INDEX_CHUNK, len = all - from < INDEX_CHUNK ? all - from : INDEX_CHUNK;
        if (!s->loaded[n] && !read_all(s->fd, s->index + from, len, HEADER_BYTES + from))
            return NULL;
        s->loaded[n] = 1;
    }
    return s->index + at;
}

/* The size bytes of the file at `at`, out of the window, which is moved there if they are not in
 * it. NULL: there are no such. */
static const void *look(struct store *s, size_t at, size_t size)
{
    if (at < s->window_at || at + size > s->window_at + s->window_len) {
        ssize_t n = pread(s->fd, s->window, WINDOW, (off_t)at);
        s->window_at = at;
        s->window_len = n < 0 ? 0 : (size_t)n;
    }
    return at + size <= s->window_at + s->window_len ? s->window + (at - s->window_at) : NULL;
}

/* Copies the record there, if it is one, with this key. */
static bool take(struct store *s, uint64_t key, size_t at, size_t size, struct record *out,
                 struct record_parts *parts)
{
    const struct record *r =
        size >= sizeof *r && size <= RECORD_MAX && at < s->size && size <= s->size - at
            ? look(s, at, size)
            : NULL;
    if (!r || r->key != key)
        return false;
    memcpy(out, r, size);
    if (!record_parse(out, size, parts))
        return false;
    s->next = at + size;
    return true;
}

/* Programs do again what they did: behind the record that was found last is probably the next. */
static bool take_following(struct store *s, uint64_t key, struct record *out,
                           struct record_parts *parts)
{
    const struct record *r = s->next && s->next < s->size ? look(s, s->next, sizeof *r) : NULL;
    return r && r->key == key && take(s, key, s->next, r->size, out, parts);
}

static bool next_in_file(struct store *s, uint64_t key, uint32_t *probe, struct record *out,
                         struct record_parts *parts)
{
    uint64_t slots[PROBES];
    if (!s->index || *probe > PROBES)
        return false;
    if (*probe == 0) {
        *probe = 1;
        if (take_following(s, key, out, parts))
            return true;
    }
    const uint8_t *at = slots_of(s, key);
    if (!at)
        return false;
    memcpy(slots, at, sizeof slots);
    while (*probe <= PROBES) {
        uint64_t slot = slots[(*probe)++ - 1];
        if (!slot)
            break;
        if (SLOT_TAG(slot) == SLOT_TAG(key) &&
            take(s, key, SLOT_OFFSET(slot), SLOT_SIZE(slot), out, parts))
            return true;
    }
    *probe = PROBES + 1;
    return false;
}

#define IN_FILE (UINT32_C(1) << 31)

bool store_next(struct store *s, uint64_t key, uint32_t *at, struct record *out,
                struct record_parts *parts)
{
    if (!(*at & IN_FILE)) {
        if (next_own(s, key, at, out))
            return record_parse(out, out->size, parts);
        *at = IN_FILE;
    }
    uint32_t probe = *at & ~IN_FILE;
    bool found = next_in_file(s, key, &probe, out, parts);
    *at = probe | IN_FILE;
    return found;
}

/* --- Saving --- */

/* Whether the record in a slot is this one, by another's doing; not if it has become unreadable. */
static bool is_same(int fd, uint64_t slot, const struct record *r)
{
    uint8_t other[RECORD_MAX];
    return SLOT_TAG(slot) == SLOT_TAG(r->key) && SLOT_SIZE(slot) == r->size &&
           read_all(fd, other, r->size, SLOT_OFFSET(slot)) && memcmp(other, r, r->size) == 0;
}

/* Where record number n begins in memory, or for n the end. */
static size_t own_offset(const struct store *s, uint32_t n)
{
    return n == s->n ? s->used : (size_t)s->offsets[n] * RECORD_ALIGN;
}

/* Makes an index lead to r at `offset`: in its first free slot; when there is none, in one that is
 * another's. */
static void put_slot(const struct store *s, int fd, uint8_t *index, const struct record *r,
                     size_t offset)
{
    uint64_t slots[PROBES];
    uint8_t *at = index + (slot_at(s->size, r->key) - HEADER_BYTES);
    uint32_t probe = 0;
    memcpy(slots, at, sizeof slots);
    for (; probe < PROBES && slots[probe]; probe++)
        if (is_same(fd, slots[probe], r))
            return;
    if (probe == PROBES)
        probe = (uint32_t)(r->sum % PROBES);
    slots[probe] = SLOT(r->key, r->size, offset);
    memcpy(at, slots, sizeof slots);
}

/* Enters the records from n_saved to end, the first of which is at `base` in the file. The index is
 * read and written whole: by slots it would be two system calls each. */
static bool update_index(const struct store *s, int fd, uint32_t end, size_t base)
{
    size_t size = index_bytes(s->size), from = own_offset(s, s->n_saved);
    AUTO_FREE uint8_t *index = malloc(size);
    if (!index || !read_all(fd, index, size, HEADER_BYTES))
        return false;
    for (uint32_t n = s->n_saved; n < end; n++)
        put_slot(s, fd, index, own(s, n), base + own_offset(s, n) - from);
    return write_all(fd, index, size, HEADER_BYTES);
}

/* Appends what was not saved yet. Records come first, what leads to them last: whoever stops in
 * between leaves bytes that nobody finds. The lock is held. */
static bool append(struct store *s, int fd)
{
    struct header h;
    size_t from = own_offset(s, s->n_saved), room = s->size - records_start(s->size);
    uint32_t end = s->n;
    while (own_offset(s, end) - from > room)
        end--;
    if (end == s->n_saved)
        return false; /* a record that fits in no file of this size */
    if ((!is_begun(s, fd, &h) || s->size - h.used < own_offset(s, end) - from) &&
        !start_over(s, fd, &h))
        return false;
    size_t bytes = own_offset(s, end) - from, base = h.used;
    h.used += bytes;
    if (!write_all(fd, s->memory + from, bytes, base) || !write_all(fd, &h, sizeof h, 0))
        return false;
    if (!update_index(s, fd, end, base))
        return false;
    s->n_saved = end;
    return true;
}

bool store_is_dirty(const struct store *s)
{
    return s->window && s->n - s->n_saved >= SAVE_MIN;
}

void store_save(struct store *s, int fd)
{
    if (!store_is_dirty(s) || !may_grow(s) || !lock_file(fd, F_WRLCK))
        return;
    bool written = append(s, fd);
    lock_file(fd, F_UNLCK);
    if (written)
        begin_index(s); /* for fork's children */
    else
        s->n_saved = s->n; /* a full disk will be no emptier */
}
