/* What all virtio devices share: status, feature negotiation, configuration space, queues, and the
 * hand-over from the hart that notifies to the thread that serves (VIRTIO 1.3, chapters 2 and 3).
 * A device is this plus a struct virtio_class; a transport (virtio-pci.c) lets the guest reach it.
 *
 * Threads. A notification marks the queue and wakes the device's loop; queues are served there,
 * with `io` held, so the hart goes on at once. `lock` guards the registers and is held briefly.
 * Order: io before lock. A reset by the driver takes io, so it waits for the request under way, and
 * for that one only. */
#ifndef WIRT_MACHINE_DEVICES_VIRTIO_H
#define WIRT_MACHINE_DEVICES_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "machine/devices/virtqueue.h"

#define VIRTIO_MAX_QUEUES 8
#define VIRTIO_MAX_CONFIG 64

/* Device status bits, section 2.1. */
enum {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128,
};

/* Interrupt reasons (section 4.1.4.5). */
enum {
    VIRTIO_ISR_QUEUE = 1,
    VIRTIO_ISR_CONFIG = 2,
};

/* Feature bits that are not a device type's (chapter 6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

struct virtio_device;

struct virtio_class {
    const char *name;
    uint16_t id; /* chapter 5 */
    unsigned n_queues;
    uint16_t queue_size;
    uint32_t pci_class;

    /* Serves queue q. In the device's loop, io held. */
    void (*serve)(struct virtio_device *d, unsigned q);
    /* The driver wrote to the configuration space; may be NULL. A hart's thread, lock held. */
    void (*config_written)(struct virtio_device *d, unsigned offset, unsigned size, uint32_t value);
    /* Drops what belongs to the driver's last life; may be NULL. io held, lock not. */
    void (*reset)(struct virtio_device *d);
};

struct virtio_device {
    const struct virtio_class *class;
    struct loop *loop; /* serves the queues */
    uint64_t offered;  /* features */
    void (*set_irq)(void *opaque, bool level);
    void *irq_opaque;

    pthread_mutex_t io;
    struct virtqueue queues[VIRTIO_MAX_QUEUES]; /* set up under io and lock, served under io */
    struct vq_chain chain;                      /* the request being served */

    atomic_uint kicked;  /* queues to serve, a bit each */
    atomic_bool waking;  /* a loop_call of the serving function is under way */
    atomic_bool leaving; /* somebody wants io: no further request is taken */

    pthread_mutex_t lock;
    uint64_t accepted; /* features; final once FEATURES_OK is set */
    uint8_t status;
    uint8_t isr;
    uint8_t generation;
    bool config_changed; /* since the driver last read it */
    uint8_t config[VIRTIO_MAX_CONFIG];
    unsigned config_len;
};

/* Fills in *d, which the caller has zeroed. offered: the device type's own feature bits. slat, loop
 * and class outlive the device. */
void virtio_init(struct virtio_device *d, const struct virtio_class *class, struct loop *loop,
                 struct slat *slat, uint64_t offered);
void virtio_destroy(struct virtio_device *d);

/* For the class's serve function. The next request of queue q is in d->chain; false when there is
 * none, when the driver broke the queue (the device then needs a reset), or when to stop. */
bool virtio_pop(struct virtio_device *d, unsigned q);

/* Gives d->chain back, and interrupts the guest when it wants that. */
void virtio_push(struct virtio_device *d, unsigned q, uint32_t written);

/* The request in d->chain is one that this kind of device cannot make sense of, or the queue is
 * broken: the device stops until it is reset. io held. */
void virtio_break(struct virtio_device *d, const char *why);

/* Whether the driver accepted all these features. */
bool virtio_has(struct virtio_device *d, uint64_t features);

/* Whether the driver runs and nothing is broken. io held. */
bool virtio_running(struct virtio_device *d);

/* Serves queues (a bit each) soon. Any thread. */
void virtio_kick(struct virtio_device *d, unsigned queues);

/* Serves queues now. In the device's loop, no lock held. */
void virtio_serve(struct virtio_device *d, unsigned queues);

/* Changes bytes of the configuration space, and tells the driver unless it is not running. Any
 * thread, lock not held. */
void virtio_set_config(struct virtio_device *d, unsigned offset, const void *data, unsigned len);

/* For transports: what the driver reads and writes. Any thread, no lock held. */

uint8_t virtio_get_status(struct virtio_device *d);
void virtio_set_status(struct virtio_device *d, uint8_t status); /* 0: reset */
void virtio_accept(struct virtio_device *d, unsigned word, uint32_t features);
uint8_t virtio_read_isr(struct virtio_device *d); /* and clears it */
uint64_t virtio_read_config(struct virtio_device *d, uint64_t offset, unsigned size);
void virtio_write_config(struct virtio_device *d, uint64_t offset, unsigned size, uint64_t value);
void virtio_enable_queue(struct virtio_device *d, unsigned q);

#endif
