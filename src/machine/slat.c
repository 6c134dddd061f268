#include "machine/slat.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/str.h"

struct slat {
    uint8_t *ram;
    uint64_t base, size;
    uint8_t *map; /* ram with a guard page on each side */
    size_t map_len;
    _Atomic uint8_t *state; /* enum page_state bits, one byte a page */

    pthread_mutex_t lock; /* guards changes */
    struct code_change *changes;
    unsigned n_changes, cap_changes;
    atomic_uint have_changes; /* n_changes, readable without the lock */

    void (*on_discard)(void *opaque);
    void *discard_opaque;

    atomic_uint_fast64_t faults, resident, ballooned, discarded, code_writes;
};

struct slat *slat_new(uint64_t base, uint64_t size, struct error **err)
{
    if (!size || size % PAGE_SIZE || base % PAGE_SIZE || size > (uint64_t)1 << 46) {
        error_set(err, 0, "memory: %llu bytes are not a possible size of RAM",
                  (unsigned long long)size);
        return NULL;
    }
    struct slat *s = xcalloc(1, sizeof *s);
    s->base = base;
    s->size = size;
    s->map_len = size + 2 * PAGE_SIZE;
    pthread_mutex_init(&s->lock, NULL);
    s->map = mmap(NULL, s->map_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        error_set(err, errno, "memory: address space for %llu bytes", (unsigned long long)size);
        goto fail;
    }
    s->ram = s->map + PAGE_SIZE;
    if (mprotect(s->ram, size, PROT_READ | PROT_WRITE) < 0) {
        error_set(err, errno, "memory: %llu bytes", (unsigned long long)size);
        goto fail;
    }
    s->state = calloc(size / PAGE_SIZE, 1);
    if (!s->state) {
        error_set(err, ENOMEM, "memory: page states");
        goto fail;
    }
    return s;
fail:
    slat_free(s);
    return NULL;
}

void slat_free(struct slat *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, s->map_len);
    free(s->state);
    free(s->changes);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int slat_reset(struct slat *s, struct error **err)
{
    if (madvise(s->ram, s->size, MADV_DONTNEED) < 0)
        return error_set(err, errno, "memory: giving back all pages");
    memset((void *)s->state, 0, s->size / PAGE_SIZE);
    s->n_changes = 0;
    atomic_store(&s->have_changes, 0);
    atomic_store(&s->resident, 0);
    atomic_store(&s->ballooned, 0);
    return 0;
}

uint64_t slat_base(const struct slat *s)
{
    return s->base;
}

uint64_t slat_size(const struct slat *s)
{
    return s->size;
}

void slat_on_discard(struct slat *s, void (*fn)(void *opaque), void *opaque)
{
    s->on_discard = fn;
    s->discard_opaque = opaque;
}

/* Whether [gpa, gpa + len) is RAM, for any values. */
static bool is_ram(const struct slat *s, uint64_t gpa, uint64_t len)
{
    uint64_t offset = gpa - s->base;
    return offset < s->size && len <= s->size - offset;
}

static int by_entry(const void *a, const void *b)
{
    const struct code_change *x = a, *y = b;
    if (x->page != y->page)
        return x->page < y->page ? -1 : 1;
    if (x->hart != y->hart)
        return x->hart < y->hart ? -1 : 1;
    return x->va < y->va ? -1 : x->va > y->va;
}

static unsigned without_doubles(struct code_change *list, unsigned n)
{
    unsigned kept = 0;
    qsort(list, n, sizeof *list, by_entry);
    for (unsigned i = 0; i < n; i++)
        if (!i || by_entry(&list[i], &list[kept - 1]) != 0)
            list[kept++] = list[i];
    return kept;
}

unsigned code_changes_merge(struct code_change *list, unsigned n)
{
    unsigned kept = without_doubles(list, n);
    if (kept <= n / 2)
        return kept;
    for (unsigned i = 0; i < kept; i++)
        list[i].va = NO_VA;
    return without_doubles(list, kept);
}

static void add_change(struct slat *s, uint64_t page, uint32_t hart, uint64_t va)
{
    pthread_mutex_lock(&s->lock);
    if (s->n_changes == s->cap_changes) {
        if (s->n_changes)
            s->n_changes = code_changes_merge(s->changes, s->n_changes);
        if (s->n_changes >= s->cap_changes / 2) {
            s->cap_changes = s->cap_changes ? 2 * s->cap_changes : 64;
            s->changes = xrealloc(s->changes, s->cap_changes * sizeof *s->changes);
        }
    }
    s->changes[s->n_changes++] = (struct code_change){.page = page, .va = va, .hart = hart};
    atomic_store(&s->have_changes, s->n_changes);
    pthread_mutex_unlock(&s->lock);
}

/* Makes the page present; answers its state before. */
static uint8_t touch(struct slat *s, uint64_t index, uint8_t set, uint8_t clear)
{
    uint8_t old = atomic_load_explicit(&s->state[index], memory_order_relaxed), new;
    do {
        new = (uint8_t)((old & ~(clear | PAGE_BALLOONED)) | PAGE_PRESENT | set);
        if (old & PAGE_CODE & clear)
            new |= PAGE_CODE_CHANGED;
    } while (new != old && !atomic_compare_exchange_weak(&s->state[index], &old, new));
    if (!(old & PAGE_PRESENT)) {
        atomic_fetch_add_explicit(&s->faults, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&s->resident, 1, memory_order_relaxed);
    }
    if (old & PAGE_BALLOONED)
        atomic_fetch_sub_explicit(&s->ballooned, 1, memory_order_relaxed);
    return old;
}

void *slat_load_page(struct slat *s, uint64_t gpa)
{
    uint64_t offset = (gpa - s->base) & ~(uint64_t)(PAGE_SIZE - 1);
    if (offset >= s->size)
        return NULL;
    if (!(atomic_load_explicit(&s->state[offset / PAGE_SIZE], memory_order_relaxed) & PAGE_PRESENT))
        touch(s, offset / PAGE_SIZE, 0, 0);
    return s->ram + offset;
}

void *slat_store_page(struct slat *s, uint64_t gpa, uint32_t hart, uint64_t va)
{
    uint64_t offset = (gpa - s->base) & ~(uint64_t)(PAGE_SIZE - 1);
    if (offset >= s->size)
        return NULL;
    uint8_t old = touch(s, offset / PAGE_SIZE, PAGE_STORE, PAGE_CODE);
    if (old & PAGE_CODE)
        atomic_fetch_add_explicit(&s->code_writes, 1, memory_order_relaxed);
    if (old & (PAGE_CODE | PAGE_CODE_CHANGED))
        add_change(s, s->base + offset, hart, va & ~(uint64_t)(PAGE_SIZE - 1));
    return s->ram + offset;
}

bool slat_mark_code(struct slat *s, uint64_t page, bool *search)
{
    *search = false;
    uint64_t index = (page - s->base) / PAGE_SIZE;
    if (page - s->base >= s->size)
        return false;
    uint8_t old = atomic_load(&s->state[index]), new;
    do {
        /* A changed page stays so: fence.i has still to look at it. */
        if (old & (PAGE_CODE | PAGE_CODE_CHANGED))
            return false;
        new = (uint8_t)((old & ~PAGE_STORE) | PAGE_CODE);
    } while (!atomic_compare_exchange_weak(&s->state[index], &old, new));
    *search = old & PAGE_STORE;
    return true;
}

/* A write that goes through no store TLB. Of a page that has changed already too: whoever made it
 * so may yet have to put it into the list. */
static void note_write(struct slat *s, uint64_t index)
{
    if (!(atomic_load(&s->state[index]) & (PAGE_CODE | PAGE_CODE_CHANGED)))
        return;
    uint8_t old = touch(s, index, 0, PAGE_CODE);
    if (old & PAGE_CODE)
        atomic_fetch_add_explicit(&s->code_writes, 1, memory_order_relaxed);
    if (old & (PAGE_CODE | PAGE_CODE_CHANGED))
        add_change(s, s->base + index * PAGE_SIZE, CHANGE_NO_HART, 0);
}

void slat_note_change(struct slat *s, uint64_t page)
{
    if (page - s->base < s->size)
        note_write(s, (page - s->base) / PAGE_SIZE);
}

struct code_change *slat_take_changes(struct slat *s, unsigned *n)
{
    *n = 0;
    if (!atomic_load(&s->have_changes))
        return NULL;
    pthread_mutex_lock(&s->lock);
    struct code_change *list = s->changes;
    *n = s->n_changes;
    s->changes = NULL;
    s->n_changes = s->cap_changes = 0;
    atomic_store(&s->have_changes, 0);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < *n; i++) {
        _Atomic uint8_t *state = &s->state[(list[i].page - s->base) / PAGE_SIZE];
        uint8_t old = atomic_load(state);
        while (!atomic_compare_exchange_weak(
            state, &old, (uint8_t)((old & ~(PAGE_CODE_CHANGED | PAGE_STORE)) | PAGE_CODE)))
            ;
    }
    return list;
}

void *slat_host(struct slat *s, uint64_t gpa, uint64_t len, bool write)
{
    if (!len)
        len = 1;
    if (!is_ram(s, gpa, len))
        return NULL;
    uint64_t offset = gpa - s->base;
    for (uint64_t i = offset / PAGE_SIZE; i <= (offset + len - 1) / PAGE_SIZE; i++) {
        if (!(atomic_load_explicit(&s->state[i], memory_order_relaxed) & PAGE_PRESENT))
            touch(s, i, 0, 0);
        if (write)
            note_write(s, i);
    }
    return s->ram + offset;
}

void slat_wrote(struct slat *s, uint64_t gpa, uint64_t len)
{
    if (!len || !is_ram(s, gpa, len))
        return;
    uint64_t offset = gpa - s->base;
    for (uint64_t i = offset / PAGE_SIZE; i <= (offset + len - 1) / PAGE_SIZE; i++)
        note_write(s, i);
}

bool slat_read(struct slat *s, uint64_t gpa, void *to, uint64_t len)
{
    const void *from = slat_host(s, gpa, len, false);
    if (from)
        memcpy(to, from, len);
    return from;
}

bool slat_write(struct slat *s, uint64_t gpa, const void *from, uint64_t len)
{
    void *to = slat_host(s, gpa, len, true);
    if (to)
        memcpy(to, from, len);
    return to;
}

bool slat_discard(struct slat *s, uint64_t gpa, uint64_t len, bool ballooned)
{
    if (!is_ram(s, gpa, len))
        return false;
    uint64_t first = (gpa - s->base + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t end = (gpa - s->base + len) / PAGE_SIZE;
    if (first >= end)
        return true;
    for (uint64_t i = first; i < end; i++) {
        note_write(s, i);
        uint8_t old = atomic_load(&s->state[i]), new;
        do
            new = (uint8_t)((old & ~PAGE_PRESENT) | (ballooned ? PAGE_BALLOONED : 0));
        while (!atomic_compare_exchange_weak(&s->state[i], &old, new));
        if (old & PAGE_PRESENT) {
            atomic_fetch_sub_explicit(&s->resident, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&s->discarded, 1, memory_order_relaxed);
        }
        if ((new & ~old) & PAGE_BALLOONED)
            atomic_fetch_add_explicit(&s->ballooned, 1, memory_order_relaxed);
    }
    /* The host's mapping stays: a store that still hits an old TLB entry reaches the guest's own
     * page and nothing else. */
    bool ok = madvise(s->ram + first * PAGE_SIZE, (end - first) * PAGE_SIZE, MADV_DONTNEED) == 0;
    if (s->on_discard)
        s->on_discard(s->discard_opaque);
    return ok;
}

void slat_deflate(struct slat *s, uint64_t gpa, uint64_t len)
{
    if (!is_ram(s, gpa, len))
        return;
    uint64_t first = (gpa - s->base + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t end = (gpa - s->base + len) / PAGE_SIZE;
    for (uint64_t i = first; i < end; i++)
        if (atomic_fetch_and(&s->state[i], (uint8_t)~PAGE_BALLOONED) & PAGE_BALLOONED)
            atomic_fetch_sub_explicit(&s->ballooned, 1, memory_order_relaxed);
}

void slat_get_stats(struct slat *s, struct slat_stats *out)
{
    *out = (struct slat_stats){
        .ram_bytes = s->size,
        .faults = atomic_load(&s->faults),
        .resident_pages = atomic_load(&s->resident),
        .ballooned_pages = atomic_load(&s->ballooned),
        .discarded_pages = atomic_load(&s->discarded),
        .code_writes = atomic_load(&s->code_writes),
    };
}
