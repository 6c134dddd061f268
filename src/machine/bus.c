#include "machine/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct device {
    void *opaque;
    void (*reset)(void *);
    void (*destroy)(void *);
};

struct bus {
    struct bus_region *regions; /* sorted by base, none overlapping */
    unsigned n_regions;
    struct device *devices;
    unsigned n_devices;
};

struct bus *bus_new(void)
{
    return xcalloc(1, sizeof(struct bus));
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    while (bus->n_devices) {
        struct device *d = &bus->devices[--bus->n_devices];
        if (d->destroy)
            d->destroy(d->opaque);
    }
    free(bus->devices);
    free(bus->regions);
    free(bus);
}

int bus_add_region(struct bus *bus, const struct bus_region *region, struct error **err)
{
    uint64_t last;
    if (!region->size || __builtin_add_overflow(region->base, region->size - 1, &last))
        return error_set(err, 0, "device %s: 0x%llx bytes at 0x%llx are no address range",
                         region->name, (unsigned long long)region->size,
                         (unsigned long long)region->base);
    unsigned at = 0;
    while (at < bus->n_regions && bus->regions[at].base < region->base)
        at++;
    const struct bus_region *below = at ? &bus->regions[at - 1] : NULL;
    const struct bus_region *above = at < bus->n_regions ? &bus->regions[at] : NULL;
    const struct bus_region *other = below && region->base - below->base < below->size ? below
                                     : above && above->base <= last                    ? above
                                                                                       : NULL;
    if (other)
        return error_set(err, 0, "device %s at 0x%llx overlaps device %s at 0x%llx", region->name,
                         (unsigned long long)region->base, other->name,
                         (unsigned long long)other->base);
    bus->regions = xrealloc(bus->regions, (bus->n_regions + 1) * sizeof *bus->regions);
    memmove(bus->regions + at + 1, bus->regions + at, (bus->n_regions - at) * sizeof *bus->regions);
    bus->regions[at] = *region;
    bus->n_regions++;
    return 0;
}

void bus_add_device(struct bus *bus, void *opaque, void (*reset)(void *), void (*destroy)(void *))
{
    bus->devices = xrealloc(bus->devices, (bus->n_devices + 1) * sizeof *bus->devices);
    bus->devices[bus->n_devices++] = (struct device){opaque, reset, destroy};
}

void bus_reset(struct bus *bus)
{
    for (unsigned i = 0; i < bus->n_devices; i++)
        if (bus->devices[i].reset)
            bus->devices[i].reset(bus->devices[i].opaque);
}

/* The region that takes this access, or NULL. */
static const struct bus_region *find_region(const struct bus *bus, uint64_t addr, unsigned size)
{
    unsigned low = 0, high = bus->n_regions;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (bus->regions[mid].base <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    if (!low)
        return NULL;
    const struct bus_region *r = &bus->regions[low - 1];
    uint64_t offset = addr - r->base;
    if (offset >= r->size || r->size - offset < size || (offset & (size - 1)) || !(r->sizes & size))
        return NULL;
    return r;
}

bool bus_read(const struct bus *bus, uint64_t addr, unsigned size, uint64_t *value)
{
    const struct bus_region *r = find_region(bus, addr, size);
    return r && r->read(r->opaque, addr - r->base, size, value);
}

bool bus_write(const struct bus *bus, uint64_t addr, unsigned size, uint64_t value)
{
    const struct bus_region *r = find_region(bus, addr, size);
    return r && r->write(r->opaque, addr - r->base, size, value);
}
