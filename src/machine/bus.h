/* The physical address space outside RAM: which device answers at which address, and the interrupt
 * lines that devices drive.
 *
 * Threads. Regions and devices are added while the board is built, before a hart or the event loop
 * runs, and stay until bus_free: so a lookup takes no lock. A device's functions are called by any
 * hart's thread and, for what its descriptors report, by the event loop's thread. Each device
 * guards its own registers with one mutex of its own. The order, outermost first: device, PCI
 * host, interrupt controller. A device may drive an irq_line with its mutex held; an interrupt
 * controller therefore calls no device. No device waits for input or output with its mutex
 * held. */
#ifndef WIRT_MACHINE_BUS_H
#define WIRT_MACHINE_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* offset is relative to the region's base and aligned to size, and the access lies inside the
 * region. Answers false when the register does not exist: the hart then takes an access fault. */
typedef bool bus_read_fn(void *opaque, uint64_t offset, unsigned size, uint64_t *value);
typedef bool bus_write_fn(void *opaque, uint64_t offset, unsigned size, uint64_t value);

struct bus_region {
    const char *name; /* for messages; lives as long as the bus */
    uint64_t base, size;
    unsigned sizes; /* access sizes in bytes that the device takes, or'ed: 1 | 2 | 4 | 8 */
    void *opaque;
    bus_read_fn *read;
    bus_write_fn *write;
};

struct bus;

struct bus *bus_new(void);

/* Calls the destroy functions of all devices, the last added first. NULL is fine. */
void bus_free(struct bus *bus);

/* Adds a region. -1 with err when it is empty, wraps around, or overlaps another. */
int bus_add_region(struct bus *bus, const struct bus_region *region, struct error **err);

/* Makes the bus the owner of a device: reset puts it into its power-on state (all harts are
 * stopped then; called in the event loop's thread or before it runs), destroy frees it. Either may
 * be NULL. */
void bus_add_device(struct bus *bus, void *opaque, void (*reset)(void *), void (*destroy)(void *));

/* Resets all devices in the order in which they were added. */
void bus_reset(struct bus *bus);

/* One access of 1, 2, 4 or 8 bytes. false: no device there, not aligned, or not of a size the
 * device takes: an access fault. *value is zero-extended. Any thread. */
bool bus_read(const struct bus *bus, uint64_t addr, unsigned size, uint64_t *value);
bool bus_write(const struct bus *bus, uint64_t addr, unsigned size, uint64_t value);

/* A level-triggered interrupt line, as the interrupt controller hands it to a device. */
struct irq_line {
    void (*fn)(void *opaque, unsigned line, bool level);
    void *opaque;
    unsigned line;
};

/* Drives the line; driving the level it has already is free of effect. Any thread. */
static inline void irq_set(const struct irq_line *irq, bool level)
{
    if (irq->fn)
        irq->fn(irq->opaque, irq->line, level);
}

#endif
