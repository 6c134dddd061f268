/* The test finisher of SiFive's cores, as on qemu's virt board: a 32-bit store of a magic number
 * powers the machine off or resets it. */
#include <stdlib.h>

#include "base/str.h"
#include "machine/devices/devices.h"

struct syscon {
    syscon_fn *fn;
    void *arg;
};

static bool syscon_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return true;
}

static bool syscon_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct syscon *s = opaque;
    if (offset != 0)
        return true;
    switch (value & 0xffff) {
    case SYSCON_FAIL: s->fn(s->arg, SYSCON_POWEROFF, (value >> 16) & 0xffff); break;
    case SYSCON_PASS: s->fn(s->arg, SYSCON_POWEROFF, 0); break;
    case SYSCON_RESET: s->fn(s->arg, SYSCON_REBOOT, 0); break;
    }
    return true;
}

int syscon_create(struct bus *bus, uint64_t base, syscon_fn *fn, void *arg, struct error **err)
{
    struct syscon *s = xcalloc(1, sizeof *s);
    *s = (struct syscon){.fn = fn, .arg = arg};
    bus_add_device(bus, s, NULL, free);
    return bus_add_region(bus,
                          &(struct bus_region){.name = "test",
                                               .base = base,
                                               .size = SYSCON_SIZE,
                                               .sizes = 2 | 4,
                                               .opaque = s,
                                               .read = syscon_read,
                                               .write = syscon_write},
                          err);
}
