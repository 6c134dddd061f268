#include "machine/devices/virtqueue.h"

#include <endian.h>
#include <string.h>

/* The areas' layouts: section 2.7.5 (descriptors), 2.7.6 (available ring), 2.7.8 (used ring). */

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct avail {
    uint16_t flags, idx;
    uint16_t ring[]; /* size entries, then used_event */
};

struct used_elem {
    uint32_t id, len;
};

struct used {
    uint16_t flags, idx;
    struct used_elem ring[]; /* size entries, then avail_event */
};

enum {
    AVAIL_NO_INTERRUPT = 1
};

/* Ring indexes and events. Sequentially consistent: each side first says how far it is and then
 * looks at whether the other wants to be woken, so neither may be reordered. */

static uint16_t load16(const uint16_t *p)
{
    return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
}

static void store16(uint16_t *p, uint16_t v)
{
    __atomic_store_n(p, htole16(v), __ATOMIC_SEQ_CST);
}

static const uint16_t *used_event(const struct virtqueue *vq)
{
    const struct avail *avail = vq->avail;
    return &avail->ring[vq->size];
}

static uint16_t *avail_event(const struct virtqueue *vq)
{
    struct used *used = vq->used;
    return (uint16_t *)(void *)&used->ring[vq->size];
}

static bool set_broken(struct virtqueue *vq, const char *what)
{
    vq->broken = what;
    return false;
}

void virtqueue_reset(struct virtqueue *vq, uint16_t size)
{
    *vq = (struct virtqueue){.slat = vq->slat, .unmapped = vq->unmapped, .size = size};
}

bool virtqueue_enable(struct virtqueue *vq)
{
    if (!vq->size || vq->size > VQ_MAX_SIZE || (vq->size & (vq->size - 1)))
        return set_broken(vq, "queue size is no power of two up to 256");
    if (vq->desc % 16 || vq->driver % 2 || vq->device % 4)
        return set_broken(vq, "queue area is not aligned");
    /* Each ring ends with an event index, whether it was negotiated or not. */
    size_t avail_len = sizeof(struct avail) + sizeof(uint16_t) * ((size_t)vq->size + 1);
    size_t used_len = sizeof(struct used) + sizeof(struct used_elem) * vq->size + sizeof(uint16_t);
    vq->desc_table = slat_host(vq->slat, vq->desc, sizeof(struct desc) * vq->size, false);
    vq->avail = slat_host(vq->slat, vq->driver, avail_len, false);
    vq->used = slat_host(vq->slat, vq->device, used_len, true);
    if (!vq->desc_table || !vq->avail || !vq->used)
        return set_broken(vq, "queue area is not in memory");
    vq->enabled = true;
    return true;
}

/* Adds the buffer of d to the chain. */
static bool add_segment(struct virtqueue *vq, struct vq_chain *chain, const struct desc *d)
{
    unsigned n = chain->n_out + chain->n_in;
    bool writable = d->flags & VQ_DESC_WRITE;
    uint32_t *total = writable ? &chain->in_len : &chain->out_len;
    struct vq_segment *s = &chain->segments[n];
    if (n == VQ_MAX_SIZE)
        return set_broken(vq, "descriptor chain is too long");
    if (!writable && chain->n_in)
        return set_broken(vq, "readable buffer after a writable one");
    if (!d->len)
        return set_broken(vq, "buffer of length 0");
    if (__builtin_add_overflow(*total, d->len, total))
        return set_broken(vq, "buffers of 4 GiB or more");
    *s = (struct vq_segment){.gpa = d->addr, .len = d->len};
    if (!vq->unmapped && !(s->base = slat_host(vq->slat, d->addr, d->len, writable)))
        return set_broken(vq, "buffer is not in memory");
    if (writable)
        chain->n_in++;
    else
        chain->n_out++;
    return true;
}

/* The guest may change a descriptor at any time: it is read once, and only the copy is believed. */
static struct desc read_desc(const void *table, unsigned i)
{
    struct desc d;
    memcpy(&d, (const char *)table + i * sizeof d, sizeof d);
    __asm__ volatile("" ::: "memory");
    return (struct desc){.addr = le64toh(d.addr),
                         .len = le32toh(d.len),
                         .flags = le16toh(d.flags),
                         .next = le16toh(d.next)};
}

/* Follows a chain in a table of n descriptors. A chain that takes more steps than there are
 * descriptors goes in a circle. */
static bool walk(struct virtqueue *vq, struct vq_chain *chain, const void *table, unsigned n,
                 unsigned i, bool in_indirect)
{
    for (unsigned steps = 0; steps < n; steps++) {
        if (i >= n)
            return set_broken(vq, "descriptor index is out of range");
        struct desc d = read_desc(table, i);
        if (d.flags & VQ_DESC_INDIRECT) {
            if (!vq->indirect || in_indirect)
                return set_broken(vq, "indirect descriptor where there may be none");
            if (d.flags & VQ_DESC_NEXT)
                return set_broken(vq, "indirect descriptor with a next one");
            if (!d.len || d.len % sizeof d || d.len / sizeof d > VQ_MAX_SIZE)
                return set_broken(vq, "indirect table of a wrong length");
            const void *indirect = slat_host(vq->slat, d.addr, d.len, false);
            if (!indirect)
                return set_broken(vq, "indirect table is not in memory");
            return walk(vq, chain, indirect, d.len / sizeof d, 0, true);
        }
        if (!add_segment(vq, chain, &d))
            return false;
        if (!(d.flags & VQ_DESC_NEXT))
            return true;
        i = d.next;
    }
    return set_broken(vq, "descriptor chain is a loop");
}

/* The requests that wait, after asking to be told of more when there are none. */
static uint16_t waiting(struct virtqueue *vq)
{
    const struct avail *avail = vq->avail;
    uint16_t n = load16(&avail->idx) - vq->next_avail;
    if (!n && vq->event_idx) {
        store16(avail_event(vq), vq->next_avail);
        n = load16(&avail->idx) - vq->next_avail;
    }
    return n;
}

bool virtqueue_pop(struct virtqueue *vq, struct vq_chain *chain)
{
    if (!vq->enabled || vq->broken)
        return false;
    uint16_t n = waiting(vq);
    if (!n)
        return false;
    if (n > vq->size)
        return set_broken(vq, "available index runs ahead of the queue's size");
    const struct avail *avail = vq->avail;
    chain->head = load16(&avail->ring[vq->next_avail % vq->size]);
    chain->n_out = chain->n_in = 0;
    chain->out_len = chain->in_len = 0;
    if (!walk(vq, chain, vq->desc_table, vq->size, chain->head, false))
        return false;
    vq->next_avail++;
    return true;
}

void virtqueue_unpop(struct virtqueue *vq)
{
    vq->next_avail--;
}

void virtqueue_push(struct virtqueue *vq, const struct vq_chain *chain, uint32_t written)
{
    uint32_t left = written;
    for (unsigned i = chain->n_out; i < chain->n_out + chain->n_in && left; i++) {
        uint32_t len = chain->segments[i].len < left ? chain->segments[i].len : left;
        slat_wrote(vq->slat, chain->segments[i].gpa, len);
        left -= len;
    }
    struct used *used = vq->used;
    struct used_elem *e = &used->ring[vq->next_used % vq->size];
    *e = (struct used_elem){.id = htole32(chain->head), .len = htole32(written)};
    store16(&used->idx, ++vq->next_used);
}

bool virtqueue_should_signal(struct virtqueue *vq)
{
    if (!vq->enabled || vq->next_used == vq->signalled_used)
        return false;
    uint16_t old = vq->signalled_used, new = vq->next_used;
    vq->signalled_used = new;
    const struct avail *avail = vq->avail;
    if (!vq->event_idx)
        return !(load16(&avail->flags) & AVAIL_NO_INTERRUPT);
    /* Section 2.7.10: the event lies among the entries just pushed, modulo 2^16. */
    return (uint16_t)(new - load16(used_event(vq)) - 1) < (uint16_t)(new - old);
}

int vq_chain_iov(const struct vq_chain *chain, bool writable, size_t offset, size_t len,
                 struct iovec *iov)
{
    unsigned first = writable ? chain->n_out : 0;
    unsigned end = writable ? chain->n_out + chain->n_in : chain->n_out;
    int n = 0;
    for (unsigned i = first; i < end && len; i++) {
        const struct vq_segment *s = &chain->segments[i];
        if (offset >= s->len) {
            offset -= s->len;
            continue;
        }
        size_t piece = s->len - offset < len ? s->len - offset : len;
        iov[n++] = (struct iovec){.iov_base = (char *)s->base + offset, .iov_len = piece};
        offset = 0;
        len -= piece;
    }
    return n;
}

size_t vq_chain_read(const struct vq_chain *chain, size_t offset, void *to, size_t len)
{
    struct iovec iov[VQ_MAX_SIZE];
    int n = vq_chain_iov(chain, false, offset, len, iov);
    size_t done = 0;
    for (int i = 0; i < n; done += iov[i++].iov_len)
        memcpy((char *)to + done, iov[i].iov_base, iov[i].iov_len);
    return done;
}

size_t vq_chain_write(const struct vq_chain *chain, size_t offset, const void *from, size_t len)
{
    struct iovec iov[VQ_MAX_SIZE];
    int n = vq_chain_iov(chain, true, offset, len, iov);
    size_t done = 0;
    for (int i = 0; i < n; done += iov[i++].iov_len)
        memcpy(iov[i].iov_base, (const char *)from + done, iov[i].iov_len);
    return done;
}
