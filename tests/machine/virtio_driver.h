/* A small virtio driver for tests: a guest's view of the bus, the PCI transport and split queues.
 * It can do everything wrong that a guest can: its rings lie in plain memory. */
#ifndef WIRT_TESTS_MACHINE_VIRTIO_DRIVER_H
#define WIRT_TESTS_MACHINE_VIRTIO_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/loop.h"
#include "fake_slat.h"
#include "machine/bus.h"
#include "machine/devices/pci.h"
#include "machine/devices/virtqueue.h"

#define RAM_BASE  0x80000000u
#define RAM_SIZE  (4u << 20)
#define ECAM_BASE 0x30000000u
#define MMIO_BASE 0x40000000u

/* A board without harts: a bus with a PCI host, memory, a loop in a thread of its own. */
struct rig {
    struct bus *bus;
    struct pci_host *host;
    struct slat *slat;
    struct loop *loop;
    pthread_t thread;
    bool running;
    atomic_bool irq[PCI_PINS]; /* levels of INTA to INTD's lines */
    uint64_t next_free;        /* guest memory handed out so far */
};

void rig_init(struct rig *r);
void rig_start(struct rig *r); /* the loop's thread, after the devices were made */
void rig_free(struct rig *r);

/* Guest memory, aligned to 4096; never given back. */
uint64_t rig_alloc(struct rig *r, uint64_t len);
void *rig_ptr(struct rig *r, uint64_t gpa);

uint64_t rig_read(struct rig *r, uint64_t addr, unsigned size);
void rig_write(struct rig *r, uint64_t addr, unsigned size, uint64_t value);

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct ring {
    uint16_t size;
    struct desc *desc;
    uint16_t *avail; /* flags, idx, ring, used_event */
    uint16_t *used;  /* flags, idx, ring, avail_event */
    uint64_t desc_gpa, avail_gpa, used_gpa;
    uint16_t last_used, next_desc;
};

struct driver {
    struct rig *rig;
    uint64_t ecam; /* the function's configuration space */
    uint64_t common, isr, config, notify;
    uint32_t notify_step;
    uint64_t features; /* accepted */
    struct ring rings[8];
};

/* Finds the function in slot, maps its BAR, walks its capabilities. */
void driver_probe(struct driver *d, struct rig *r, unsigned slot);

/* Resets and negotiates as many of `wanted` as are offered, then sets up n queues of `size` and
 * sets DRIVER_OK. */
void driver_start(struct driver *d, uint64_t wanted, unsigned n, uint16_t size);

uint8_t driver_status(struct driver *d);

/* Puts buffers (flags: VQ_DESC_WRITE or 0) into the queue as one chain, and notifies. */
void driver_submit(struct driver *d, unsigned q, const struct desc *buffers, unsigned n);

/* Puts a chain that starts at descriptor `head` into the queue, and notifies. */
void driver_submit_head(struct driver *d, unsigned q, uint16_t head);

/* The queue's used index. */
uint16_t driver_used(struct driver *d, unsigned q);

/* Waits up to two seconds for the next used buffer. false: none came. */
bool driver_wait(struct driver *d, unsigned q, uint32_t *written);

/* Waits up to two seconds until (status & mask) == value. */
bool driver_wait_status(struct driver *d, uint8_t mask, uint8_t value);

#endif
