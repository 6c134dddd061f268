#include "machine/devices/virtio.h"

#include <string.h>

#include "base/log.h"

void virtio_init(struct virtio_device *d, const struct virtio_class *class, struct loop *loop,
                 struct slat *slat, uint64_t offered)
{
    d->class = class;
    d->loop = loop;
    d->offered = offered | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
    pthread_mutex_init(&d->io, NULL);
    pthread_mutex_init(&d->lock, NULL);
    for (unsigned q = 0; q < class->n_queues; q++) {
        d->queues[q].slat = slat;
        virtqueue_reset(&d->queues[q], class->queue_size);
    }
}

void virtio_destroy(struct virtio_device *d)
{
    pthread_mutex_destroy(&d->io);
    pthread_mutex_destroy(&d->lock);
}

/* Interrupts. */

static void raise_isr(struct virtio_device *d, uint8_t reason)
{
    d->isr |= reason;
    if (d->set_irq)
        d->set_irq(d->irq_opaque, true);
}

uint8_t virtio_read_isr(struct virtio_device *d)
{
    pthread_mutex_lock(&d->lock);
    uint8_t isr = d->isr;
    d->isr = 0;
    if (d->set_irq)
        d->set_irq(d->irq_opaque, false);
    pthread_mutex_unlock(&d->lock);
    return isr;
}

/* Status and features. */

static void reset(struct virtio_device *d)
{
    atomic_store(&d->leaving, true);
    pthread_mutex_lock(&d->io);
    atomic_store(&d->leaving, false);
    if (d->class->reset)
        d->class->reset(d);
    pthread_mutex_lock(&d->lock);
    for (unsigned q = 0; q < d->class->n_queues; q++)
        virtqueue_reset(&d->queues[q], d->class->queue_size);
    atomic_store(&d->kicked, 0);
    d->accepted = 0;
    d->status = 0;
    d->isr = 0;
    d->config_changed = false;
    if (d->set_irq)
        d->set_irq(d->irq_opaque, false);
    pthread_mutex_unlock(&d->lock);
    pthread_mutex_unlock(&d->io);
}

uint8_t virtio_get_status(struct virtio_device *d)
{
    pthread_mutex_lock(&d->lock);
    uint8_t status = d->status;
    pthread_mutex_unlock(&d->lock);
    return status;
}

void virtio_set_status(struct virtio_device *d, uint8_t status)
{
    if (!status) {
        reset(d);
        return;
    }
    pthread_mutex_lock(&d->lock);
    /* The driver only adds bits; NEEDS_RESET is ours. */
    uint8_t added = status & ~d->status & ~VIRTIO_NEEDS_RESET;
    /* Section 3.1.1: FEATURES_OK reads back as 0 when the subset is not one that we can serve. */
    if ((added & VIRTIO_FEATURES_OK) &&
        ((d->accepted & ~d->offered) || !(d->accepted & VIRTIO_F_VERSION_1)))
        added &= ~VIRTIO_FEATURES_OK;
    if ((added & VIRTIO_DRIVER_OK) && !((d->status | added) & VIRTIO_FEATURES_OK))
        added &= ~VIRTIO_DRIVER_OK;
    d->status |= added;
    pthread_mutex_unlock(&d->lock);
    if (added & VIRTIO_DRIVER_OK)
        virtio_kick(d, (1u << d->class->n_queues) - 1);
}

void virtio_accept(struct virtio_device *d, unsigned word, uint32_t features)
{
    pthread_mutex_lock(&d->lock);
    if (word < 2 && !(d->status & VIRTIO_FEATURES_OK)) {
        unsigned shift = 32 * word;
        d->accepted &= ~((uint64_t)UINT32_MAX << shift);
        d->accepted |= (uint64_t)features << shift;
    }
    pthread_mutex_unlock(&d->lock);
}

bool virtio_has(struct virtio_device *d, uint64_t features)
{
    pthread_mutex_lock(&d->lock);
    bool has = (d->accepted & features) == features;
    pthread_mutex_unlock(&d->lock);
    return has;
}

bool virtio_running(struct virtio_device *d)
{
    uint8_t status = virtio_get_status(d);
    return (status & VIRTIO_DRIVER_OK) && !(status & VIRTIO_NEEDS_RESET);
}

void virtio_break(struct virtio_device *d, const char *why)
{
    pthread_mutex_lock(&d->lock);
    bool first = !(d->status & VIRTIO_NEEDS_RESET);
    d->status |= VIRTIO_NEEDS_RESET;
    /* Section 2.1.2: the driver is told by a configuration change. */
    if (first && (d->status & VIRTIO_DRIVER_OK))
        raise_isr(d, VIRTIO_ISR_CONFIG);
    pthread_mutex_unlock(&d->lock);
    if (first)
        log_warn("%s: the guest's driver is broken, the device stops until it is reset: %s",
                 d->class->name, why);
}

/* Configuration space. Accesses may have any size and place: what is beyond the end reads as 0. */

uint64_t virtio_read_config(struct virtio_device *d, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    pthread_mutex_lock(&d->lock);
    if (d->config_changed) {
        d->config_changed = false;
        d->generation++;
    }
    for (unsigned i = 0; i < size; i++)
        if (offset + i < d->config_len)
            value |= (uint64_t)d->config[offset + i] << (8 * i);
    pthread_mutex_unlock(&d->lock);
    return value;
}

void virtio_write_config(struct virtio_device *d, uint64_t offset, unsigned size, uint64_t value)
{
    if (!d->class->config_written || offset >= d->config_len || size > 4)
        return;
    pthread_mutex_lock(&d->lock);
    d->class->config_written(d, (unsigned)offset, size, (uint32_t)value);
    pthread_mutex_unlock(&d->lock);
}

void virtio_set_config(struct virtio_device *d, unsigned offset, const void *data, unsigned len)
{
    pthread_mutex_lock(&d->lock);
    memcpy(d->config + offset, data, len);
    d->config_changed = true;
    if (d->status & VIRTIO_DRIVER_OK)
        raise_isr(d, VIRTIO_ISR_CONFIG);
    pthread_mutex_unlock(&d->lock);
}

/* Queues. */

void virtio_enable_queue(struct virtio_device *d, unsigned q)
{
    pthread_mutex_lock(&d->io);
    pthread_mutex_lock(&d->lock);
    struct virtqueue *vq = &d->queues[q];
    vq->indirect = d->accepted & VIRTIO_F_INDIRECT_DESC;
    vq->event_idx = d->accepted & VIRTIO_F_EVENT_IDX;
    if (!vq->enabled)
        virtqueue_enable(vq);
    pthread_mutex_unlock(&d->lock);
    if (vq->broken)
        virtio_break(d, vq->broken);
    pthread_mutex_unlock(&d->io);
}

/* The kicked queues. In the device's loop. */
static void serve_kicked(void *opaque)
{
    struct virtio_device *d = opaque;
    atomic_store(&d->waking, false); /* before kicked is read: a later kick wakes again */
    pthread_mutex_lock(&d->io);
    unsigned queues = atomic_exchange(&d->kicked, 0);
    for (unsigned q = 0; q < d->class->n_queues; q++)
        if ((queues & (1u << q)) && virtio_running(d))
            d->class->serve(d, q);
    pthread_mutex_unlock(&d->io);
}

void virtio_kick(struct virtio_device *d, unsigned queues)
{
    atomic_fetch_or(&d->kicked, queues);
    if (!atomic_exchange(&d->waking, true))
        loop_call(d->loop, serve_kicked, d);
}

void virtio_serve(struct virtio_device *d, unsigned queues)
{
    atomic_fetch_or(&d->kicked, queues);
    serve_kicked(d);
}

bool virtio_pop(struct virtio_device *d, unsigned q)
{
    struct virtqueue *vq = &d->queues[q];
    if (atomic_load(&d->leaving) || !vq->enabled)
        return false;
    if (virtqueue_pop(vq, &d->chain))
        return true;
    if (vq->broken)
        virtio_break(d, vq->broken);
    return false;
}

void virtio_push(struct virtio_device *d, unsigned q, uint32_t written)
{
    struct virtqueue *vq = &d->queues[q];
    virtqueue_push(vq, &d->chain, written);
    if (virtqueue_should_signal(vq)) {
        pthread_mutex_lock(&d->lock);
        raise_isr(d, VIRTIO_ISR_QUEUE);
        pthread_mutex_unlock(&d->lock);
    }
}
