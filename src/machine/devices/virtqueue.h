/* Split virtqueues, from the device's side (VIRTIO 1.3, section 2.7), with indirect descriptors and
 * event indexes.
 *
 * Every address, length and index in a ring is the guest's, changes under our feet, and is checked
 * after it was copied. A queue with a bad one is broken: nothing is taken from it any more until
 * the driver resets the device. Not thread-safe: one thread serves a queue at a time. */
#ifndef WIRT_MACHINE_DEVICES_VIRTQUEUE_H
#define WIRT_MACHINE_DEVICES_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "machine/memory.h"

/* The largest queue, and so the longest chain of descriptors. */
#define VQ_MAX_SIZE 256

/* Descriptor flags. */
enum {
    VQ_DESC_NEXT = 1,
    VQ_DESC_WRITE = 2,
    VQ_DESC_INDIRECT = 4,
};

struct virtqueue {
    struct slat *slat;

    /* Set by the driver while the queue is disabled. */
    uint16_t size;
    uint64_t desc, driver, device; /* guest-physical addresses of the three areas */

    bool indirect, event_idx; /* negotiated features */
    bool unmapped; /* buffers are only named, never touched: segments have no host address */

    bool enabled;
    const char *broken; /* what the driver did wrong, or NULL */

    /* Host addresses of the areas while enabled. */
    void *desc_table, *avail, *used;
    uint16_t next_avail, next_used;
    uint16_t signalled_used; /* next_used when the driver was last told */
};

struct vq_segment {
    void *base; /* NULL in an unmapped queue */
    uint64_t gpa;
    uint32_t len; /* never 0 */
};

/* One request: n_out segments that the device reads, then n_in that it writes. */
struct vq_chain {
    uint16_t head;
    unsigned n_out, n_in;
    uint32_t out_len, in_len; /* bytes in all */
    struct vq_segment segments[VQ_MAX_SIZE];
};

/* Starts a queue with its size and areas as set. false, and broken set: size or areas are wrong. */
bool virtqueue_enable(struct virtqueue *vq);

/* Forgets everything but slat and unmapped, and gives the queue a size. */
void virtqueue_reset(struct virtqueue *vq, uint16_t size);

/* Takes the next request. false: there is none, or the queue is (now) broken. An empty queue asks
 * the driver to be told of the next request. */
bool virtqueue_pop(struct virtqueue *vq, struct vq_chain *chain);

/* Puts the last chain back, as if it had not been taken. */
void virtqueue_unpop(struct virtqueue *vq);

/* Gives a request back, its first `written` writable bytes filled in. */
void virtqueue_push(struct virtqueue *vq, const struct vq_chain *chain, uint32_t written);

/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtqueue_should_signal(struct virtqueue *vq);

/* Copies at most len bytes from the readable part, skipping offset bytes; the number copied. */
size_t vq_chain_read(const struct vq_chain *chain, size_t offset, void *to, size_t len);

/* Copies at most len bytes into the writable part, skipping offset bytes; the number copied. */
size_t vq_chain_write(const struct vq_chain *chain, size_t offset, const void *from, size_t len);

/* The pieces of [offset, offset + len) of the readable (or writable) part, for readv and writev:
 * iov has room for VQ_MAX_SIZE. The number of pieces. */
int vq_chain_iov(const struct vq_chain *chain, bool writable, size_t offset, size_t len,
                 struct iovec *iov);

#endif
