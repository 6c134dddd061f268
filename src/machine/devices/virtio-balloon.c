/* Virtio balloon (VIRTIO 1.3, section 5.5): the host asks the guest for memory, and gives the pages
 * that it gets back to the host's kernel; statistics, and free pages that the guest reports. */
#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio-pci.h"

#define F_STATS_VQ       (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_PAGE_POISON    (1ull << 4)
#define F_PAGE_REPORTING (1ull << 5)

/* Queues 0 and 1 are always these. Drivers number the rest without gaps (Linux) or as the
 * specification lists them; see role_of. */
enum role {
    INFLATE,
    DEFLATE,
    STATS,
    REPORTING,
};

#define N_QUEUES   5
#define PFN_SHIFT  12 /* whatever the guest's page size */
#define PFNS_PIECE 1024

struct config {
    uint32_t num_pages, actual, free_page_hint_cmd_id, poison_val;
};

struct stat_entry {
    uint16_t tag;
    uint64_t value;
} __attribute__((packed));

struct balloon {
    struct virtio_device device; /* first */
    struct slat *slat;
    atomic_bool want_stats;

    /* Guarded by the device's io. The driver's statistics buffer stays with us until new ones are
     * wanted: giving it back asks for them (section 5.5.6.3). */
    bool stats_held;
    uint16_t stats_head;

    pthread_mutex_t stats_lock;
    struct balloon_stats stats; /* guarded by it; target and actual are in the configuration */
};

static uint32_t config_word(struct balloon *b, unsigned offset)
{
    uint32_t v;
    pthread_mutex_lock(&b->device.lock);
    memcpy(&v, b->device.config + offset, sizeof v);
    pthread_mutex_unlock(&b->device.lock);
    return le32toh(v);
}

static enum role role_of(struct balloon *b, unsigned q)
{
    if (q < 2)
        return q == 0 ? INFLATE : DEFLATE;
    return q == 2 && virtio_has(&b->device, F_STATS_VQ) ? STATS : REPORTING;
}

static int compare_pfns(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void move_pages(struct balloon *b, enum role role, uint32_t first, uint32_t n)
{
    uint64_t gpa = (uint64_t)first << PFN_SHIFT, len = (uint64_t)n << PFN_SHIFT;
    /* Pages that are no RAM are the guest's mistake, and its own loss. */
    if (role == INFLATE)
        slat_discard(b->slat, gpa, len, true);
    else
        slat_deflate(b->slat, gpa, len);
}

/* A list of page numbers. They are sorted, as one call for a run of pages is much cheaper than one
 * for each page. */
static void serve_pages(struct balloon *b, unsigned q, enum role role)
{
    struct virtio_device *d = &b->device;
    while (virtio_pop(d, q)) {
        uint32_t pfns[PFNS_PIECE];
        size_t len;
        for (size_t at = 0; (len = vq_chain_read(&d->chain, at, pfns, sizeof pfns)); at += len) {
            size_t n = len / sizeof *pfns;
            for (size_t i = 0; i < n; i++)
                pfns[i] = le32toh(pfns[i]);
            qsort(pfns, n, sizeof *pfns, compare_pfns);
            for (size_t i = 0, run; i < n; i += run) {
                for (run = 1; i + run < n && pfns[i + run] == pfns[i] + run; run++)
                    ;
                move_pages(b, role, pfns[i], (uint32_t)run);
            }
        }
        virtio_push(d, q, 0);
    }
}

static void parse_stats(struct balloon *b)
{
    struct stat_entry entries[2 * BALLOON_N_STATS];
    size_t len = vq_chain_read(&b->device.chain, 0, entries, sizeof entries);
    pthread_mutex_lock(&b->stats_lock);
    for (size_t i = 0; i < len / sizeof *entries; i++) {
        uint16_t tag = le16toh(entries[i].tag);
        if (tag < BALLOON_N_STATS) {
            b->stats.value[tag] = le64toh(entries[i].value);
            b->stats.known |= 1u << tag;
        }
    }
    b->stats.time_ns = clock_ns();
    pthread_mutex_unlock(&b->stats_lock);
}

static void serve_stats(struct balloon *b, unsigned q)
{
    struct virtio_device *d = &b->device;
    while (virtio_pop(d, q)) {
        if (b->stats_held) {
            virtio_break(d, "two statistics buffers at once");
            return;
        }
        parse_stats(b);
        b->stats_held = true;
        b->stats_head = d->chain.head;
    }
    if (b->stats_held && atomic_exchange(&b->want_stats, false)) {
        b->stats_held = false;
        d->chain.head = b->stats_head;
        d->chain.n_out = d->chain.n_in = 0;
        virtio_push(d, q, 0);
    }
}

/* Free pages, as the buffers of a request. When the driver wants to find a pattern in them later
 * that is not zeros, they have to stay. */
static void serve_reports(struct balloon *b, unsigned q)
{
    struct virtio_device *d = &b->device;
    bool keep =
        virtio_has(d, F_PAGE_POISON) && config_word(b, offsetof(struct config, poison_val)) != 0;
    while (virtio_pop(d, q)) {
        for (unsigned i = d->chain.n_out; i < d->chain.n_out + d->chain.n_in && !keep; i++)
            slat_discard(b->slat, d->chain.segments[i].gpa, d->chain.segments[i].len, false);
        virtio_push(d, q, 0);
    }
}

static void balloon_serve(struct virtio_device *d, unsigned q)
{
    struct balloon *b = (struct balloon *)d;
    enum role role = role_of(b, q);
    switch (role) {
    case INFLATE:
    case DEFLATE: serve_pages(b, q, role); break;
    case STATS: serve_stats(b, q); break;
    case REPORTING: serve_reports(b, q); break;
    }
}

/* The driver writes `actual` and `poison_val`. */
static void config_written(struct virtio_device *d, unsigned offset, unsigned size, uint32_t value)
{
    unsigned field = offset & ~3u;
    if (field != offsetof(struct config, actual) && field != offsetof(struct config, poison_val))
        return;
    for (unsigned i = 0; i < size; i++)
        d->config[offset + i] = (uint8_t)(value >> (8 * i));
}

static void balloon_reset(struct virtio_device *d)
{
    struct balloon *b = (struct balloon *)d;
    b->stats_held = false;
    pthread_mutex_lock(&d->lock);
    memset(d->config + offsetof(struct config, actual), 0, 4);
    memset(d->config + offsetof(struct config, poison_val), 0, 4);
    pthread_mutex_unlock(&d->lock);
    pthread_mutex_lock(&b->stats_lock);
    memset(&b->stats, 0, sizeof b->stats);
    pthread_mutex_unlock(&b->stats_lock);
}

void balloon_set_target(struct balloon *b, uint64_t bytes)
{
    uint64_t pages = bytes >> PFN_SHIFT;
    uint32_t v = htole32(pages > UINT32_MAX ? UINT32_MAX : (uint32_t)pages);
    virtio_set_config(&b->device, offsetof(struct config, num_pages), &v, sizeof v);
}

void balloon_get_stats(struct balloon *b, struct balloon_stats *out)
{
    pthread_mutex_lock(&b->stats_lock);
    *out = b->stats;
    pthread_mutex_unlock(&b->stats_lock);
    out->running = virtio_get_status(&b->device) & VIRTIO_DRIVER_OK;
    out->target = (uint64_t)config_word(b, offsetof(struct config, num_pages)) << PFN_SHIFT;
    out->actual = (uint64_t)config_word(b, offsetof(struct config, actual)) << PFN_SHIFT;
}

void balloon_request_stats(struct balloon *b)
{
    atomic_store(&b->want_stats, true);
    virtio_kick(&b->device, 1u << STATS);
}

static const struct virtio_class balloon_class = {
    .name = "virtio-balloon",
    .id = 5,
    .n_queues = N_QUEUES,
    .queue_size = 128,
    .pci_class = 0x00ff00,
    .serve = balloon_serve,
    .config_written = config_written,
    .reset = balloon_reset,
};

static void balloon_destroy(void *opaque)
{
    struct balloon *b = opaque;
    pthread_mutex_destroy(&b->stats_lock);
    virtio_destroy(&b->device);
    free(b);
}

struct balloon *virtio_balloon_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                                      struct error **err)
{
    struct balloon *b = xcalloc(1, sizeof *b);
    b->slat = slat;
    pthread_mutex_init(&b->stats_lock, NULL);
    virtio_init(&b->device, &balloon_class, loop, slat,
                F_STATS_VQ | F_DEFLATE_ON_OOM | F_PAGE_POISON | F_PAGE_REPORTING);
    /* Reported pages are to be given back, not looked at: touching would make them present. */
    for (unsigned q = STATS + 1; q < N_QUEUES; q++)
        b->device.queues[q].unmapped = true;
    b->device.config_len = sizeof(struct config);
    bus_add_device(pci_bus(host), b, NULL, balloon_destroy);
    return virtio_pci_add(host, &b->device, err) ? b : NULL;
}
