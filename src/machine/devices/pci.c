#include "machine/devices/pci.h"

#include <endian.h>
#include <libfdt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum {
    COMMAND_MEMORY = 0x0002,
    COMMAND_MASTER = 0x0004,
    COMMAND_INTX_OFF = 0x0400,

    STATUS_INTERRUPT = 0x0008,
    STATUS_CAPABILITIES = 0x0010,
};

#define BUS_ECAM_SIZE      (1u << 20)
#define FUNCTION_ECAM_SIZE 4096u

struct pci_function {
    struct pci_host *host;
    struct pci_function_config c;
    unsigned slot;
    uint8_t config[PCI_CONFIG_SIZE]; /* what a read gives */
    uint8_t writable[PCI_CONFIG_SIZE];
    uint16_t capabilities_end; /* first free byte */
    uint8_t last_capability;
    bool intx;     /* the pin's level before masking */
    bool asserted; /* counted in host->asserted */
};

struct pci_host {
    struct bus *bus;
    struct pci_host_config c;
    pthread_mutex_t lock; /* guards configuration spaces and interrupt levels */
    struct pci_function *slots[PCI_SLOTS];
    unsigned asserted[PCI_PINS]; /* functions that pull each line */
};

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static void put16(uint8_t *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

struct bus *pci_bus(struct pci_host *host)
{
    return host->bus;
}

unsigned pci_slot(const struct pci_function *f)
{
    return f->slot;
}

/* The line that a slot's INTA is wired to: slots take turns, as on a backplane. */
static unsigned intx_line(unsigned slot, unsigned pin)
{
    return (slot + pin) % PCI_PINS;
}

/* Brings the shared line in agreement with the function's pin and mask. The lock is held. */
static void update_intx(struct pci_function *f)
{
    bool level = f->intx && !(f->config[PCI_COMMAND + 1] & (COMMAND_INTX_OFF >> 8));
    if (level == f->asserted)
        return;
    f->asserted = level;
    unsigned line = intx_line(f->slot, 0);
    unsigned *n = &f->host->asserted[line];
    *n += level ? 1 : -1u;
    irq_set(&f->host->c.irqs[line], *n > 0);
}

void pci_set_intx(struct pci_function *f, bool level)
{
    pthread_mutex_lock(&f->host->lock);
    f->intx = level;
    if (level)
        f->config[PCI_STATUS] |= STATUS_INTERRUPT;
    else
        f->config[PCI_STATUS] &= (uint8_t)~STATUS_INTERRUPT;
    update_intx(f);
    pthread_mutex_unlock(&f->host->lock);
}

/* Configuration space. */

static struct pci_function *ecam_function(struct pci_host *h, uint64_t offset)
{
    if (offset >= BUS_ECAM_SIZE)
        return NULL; /* no bridges, so no bus but the first */
    uint64_t devfn = offset / FUNCTION_ECAM_SIZE;
    return devfn % 8 ? NULL : h->slots[devfn / 8];
}

static bool in_window(const struct pci_function *f, unsigned reg, unsigned size)
{
    return f->c.window_read && reg >= f->c.window &&
           reg + size <= (unsigned)f->c.window + f->c.window_len;
}

static bool ecam_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct pci_host *h = opaque;
    struct pci_function *f = ecam_function(h, offset);
    unsigned reg = offset % FUNCTION_ECAM_SIZE;
    if (!f) {
        *value = UINT64_MAX >> (64 - 8 * size); /* nobody answers: a master abort reads as ones */
        return true;
    }
    *value = 0;
    if (reg + size > PCI_CONFIG_SIZE)
        return true;
    if (in_window(f, reg, size))
        return f->c.window_read(f->c.opaque, reg - f->c.window, size, value);
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < size; i++)
        *value |= (uint64_t)f->config[reg + i] << (8 * i);
    pthread_mutex_unlock(&h->lock);
    return true;
}

static bool ecam_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_host *h = opaque;
    struct pci_function *f = ecam_function(h, offset);
    unsigned reg = offset % FUNCTION_ECAM_SIZE;
    if (!f || reg + size > PCI_CONFIG_SIZE)
        return true;
    if (in_window(f, reg, size))
        return f->c.window_write(f->c.opaque, reg - f->c.window, size, value);
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < size; i++) {
        uint8_t *byte = &f->config[reg + i], mask = f->writable[reg + i];
        *byte = (uint8_t)((*byte & ~mask) | ((uint8_t)(value >> (8 * i)) & mask));
    }
    update_intx(f);
    pthread_mutex_unlock(&h->lock);
    return true;
}

/* Memory space. */

/* The base address register that decodes [addr, addr + size), or -1. The lock is held. */
static int decode(const struct pci_function *f, uint64_t addr, unsigned size, uint64_t *offset)
{
    if (!(f->config[PCI_COMMAND] & COMMAND_MEMORY))
        return -1;
    for (int i = 0; i < PCI_BARS; i++) {
        uint32_t len = f->c.bars[i].size;
        uint32_t base = get32(f->config + PCI_BAR0 + 4 * i) & ~(uint32_t)0xf;
        if (len && base && addr >= base && addr - base < len && len - (addr - base) >= size) {
            *offset = addr - base;
            return i;
        }
    }
    return -1;
}

/* Functions stay until the end, so what is found may be called after the lock is gone. */
static const struct pci_bar *find_bar(struct pci_host *h, uint64_t addr, unsigned size,
                                      void **opaque, uint64_t *offset)
{
    const struct pci_bar *bar = NULL;
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < PCI_SLOTS && !bar; i++) {
        struct pci_function *f = h->slots[i];
        int n = f ? decode(f, addr, size, offset) : -1;
        if (n >= 0) {
            bar = &f->c.bars[n];
            *opaque = f->c.opaque;
        }
    }
    pthread_mutex_unlock(&h->lock);
    return bar;
}

static bool mmio_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct pci_host *h = opaque;
    void *device;
    const struct pci_bar *bar = find_bar(h, h->c.mmio_base + offset, size, &device, &offset);
    if (bar)
        return bar->read(device, offset, size, value);
    *value = UINT64_MAX >> (64 - 8 * size);
    return true;
}

static bool mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_host *h = opaque;
    void *device;
    const struct pci_bar *bar = find_bar(h, h->c.mmio_base + offset, size, &device, &offset);
    return bar ? bar->write(device, offset, size, value) : true;
}

/* No function has a 64-bit base address register, so nothing answers in the high window. */
static bool high_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = UINT64_MAX >> (64 - 8 * size);
    return true;
}

static bool high_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return true;
}

/* Building. */

static void function_reset(struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
        f->config[i] &= (uint8_t)~f->writable[i];
    f->intx = false;
    f->config[PCI_STATUS] &= (uint8_t)~STATUS_INTERRUPT;
    update_intx(f);
}

static void host_reset(void *opaque)
{
    struct pci_host *h = opaque;
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (h->slots[i])
            function_reset(h->slots[i]);
    pthread_mutex_unlock(&h->lock);
}

static void host_destroy(void *opaque)
{
    struct pci_host *h = opaque;
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        free(h->slots[i]);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

struct pci_host *pci_host_create(struct bus *bus, const struct pci_host_config *config,
                                 struct error **err)
{
    struct pci_host *h = xcalloc(1, sizeof *h);
    h->bus = bus;
    h->c = *config;
    pthread_mutex_init(&h->lock, NULL);
    bus_add_device(bus, h, host_reset, host_destroy);
    const struct bus_region regions[] = {
        {.name = "pci configuration",
         .base = config->ecam_base,
         .size = config->ecam_size,
         .sizes = 1 | 2 | 4,
         .opaque = h,
         .read = ecam_read,
         .write = ecam_write},
        {.name = "pci memory",
         .base = config->mmio_base,
         .size = config->mmio_size,
         .sizes = 1 | 2 | 4 | 8,
         .opaque = h,
         .read = mmio_read,
         .write = mmio_write},
        {.name = "pci high memory",
         .base = config->high_base,
         .size = config->high_size,
         .sizes = 1 | 2 | 4 | 8,
         .opaque = h,
         .read = high_read,
         .write = high_write},
    };
    for (unsigned i = 0; i < sizeof regions / sizeof *regions; i++)
        if (regions[i].size && bus_add_region(bus, &regions[i], err) < 0)
            return NULL;
    return h;
}

struct pci_function *pci_add_function(struct pci_host *host,
                                      const struct pci_function_config *config, struct error **err)
{
    unsigned slot = 1; /* slot 0 is the bridge's own, by custom */
    while (slot < PCI_SLOTS && host->slots[slot])
        slot++;
    if (slot == PCI_SLOTS) {
        error_set(err, 0, "no free PCI slot for %s: a machine has at most %d devices", config->name,
                  PCI_SLOTS - 1);
        return NULL;
    }
    struct pci_function *f = xcalloc(1, sizeof *f);
    f->host = host;
    f->c = *config;
    f->slot = slot;
    f->capabilities_end = PCI_FIRST_CAPABILITY;

    put16(f->config + PCI_VENDOR_ID, config->vendor);
    put16(f->config + PCI_DEVICE_ID, config->device);
    put16(f->config + PCI_SUBSYSTEM_VENDOR_ID, config->subsystem_vendor);
    put16(f->config + PCI_SUBSYSTEM_ID, config->subsystem);
    put32(f->config + PCI_REVISION, config->class_code << 8 | config->revision);
    f->config[PCI_INTERRUPT_PIN] = 1;

    put16(f->writable + PCI_COMMAND, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_OFF);
    f->writable[PCI_INTERRUPT_LINE] = 0xff;
    /* The bits of a base address register below its size stay 0: so its size is found (section
     * 6.2.5.1). All are 32-bit and not prefetchable. */
    for (int i = 0; i < PCI_BARS; i++)
        if (config->bars[i].size)
            put32(f->writable + PCI_BAR0 + 4 * i, ~(config->bars[i].size - 1));
    pthread_mutex_lock(&host->lock);
    host->slots[slot] = f;
    pthread_mutex_unlock(&host->lock);
    return f;
}

int pci_add_capability(struct pci_function *f, const void *data, uint8_t len, struct error **err)
{
    unsigned at = f->capabilities_end;
    if (at + len > PCI_CONFIG_SIZE)
        return error_set(err, 0, "%s: no room for a PCI capability of %u bytes", f->c.name, len);
    memcpy(f->config + at, data, len);
    f->config[at + 1] = 0;
    f->config[f->last_capability ? f->last_capability + 1 : PCI_CAPABILITIES] = (uint8_t)at;
    f->config[PCI_STATUS] |= STATUS_CAPABILITIES;
    f->last_capability = (uint8_t)at;
    f->capabilities_end = (uint16_t)((at + len + 3) & ~3u);
    return (int)at;
}

/* The device tree. */

/* First cell of a PCI address: the space code, bits 25:24 (IEEE 1275 PCI bus binding). */
enum {
    SPACE_MEMORY_32 = 0x02000000,
    SPACE_MEMORY_64 = 0x43000000, /* prefetchable */
};

static unsigned put_cells64(fdt32_t *cells, uint64_t v)
{
    cells[0] = cpu_to_fdt32((uint32_t)(v >> 32));
    cells[1] = cpu_to_fdt32((uint32_t)v);
    return 2;
}

/* One entry of `ranges`: bus and host addresses are the same. */
static unsigned put_range(fdt32_t *cells, uint32_t space, uint64_t base, uint64_t size)
{
    unsigned n = 0;
    cells[n++] = cpu_to_fdt32(space);
    n += put_cells64(cells + n, base);
    n += put_cells64(cells + n, base);
    n += put_cells64(cells + n, size);
    return n;
}

static int put_interrupt_map(const struct pci_host *h, void *fdt, uint32_t irq_parent)
{
    /* Slots repeat every four, so the mask looks at two bits of the device number, and the pin. */
    const fdt32_t mask[] = {cpu_to_fdt32(0x1800), 0, 0, cpu_to_fdt32(7)};
    fdt32_t map[PCI_PINS * PCI_PINS * 6];
    unsigned n = 0;
    for (unsigned slot = 0; slot < PCI_PINS; slot++) {
        for (unsigned pin = 0; pin < PCI_PINS; pin++) {
            map[n++] = cpu_to_fdt32(slot << 11);
            map[n++] = 0;
            map[n++] = 0;
            map[n++] = cpu_to_fdt32(pin + 1);
            map[n++] = cpu_to_fdt32(irq_parent);
            map[n++] = cpu_to_fdt32(h->c.irqs[intx_line(slot, pin)].line);
        }
    }
    int rc = fdt_property(fdt, "interrupt-map-mask", mask, sizeof mask);
    return rc ? rc : fdt_property(fdt, "interrupt-map", map, (int)(n * sizeof *map));
}

static int put_node(const struct pci_host *h, void *fdt, uint32_t irq_parent)
{
    fdt32_t reg[4], ranges[14];
    put_cells64(reg, h->c.ecam_base);
    put_cells64(reg + 2, h->c.ecam_size);
    unsigned n = put_range(ranges, SPACE_MEMORY_32, h->c.mmio_base, h->c.mmio_size);
    if (h->c.high_size)
        n += put_range(ranges + n, SPACE_MEMORY_64, h->c.high_base, h->c.high_size);
    const fdt32_t buses[] = {0, cpu_to_fdt32((uint32_t)(h->c.ecam_size / BUS_ECAM_SIZE) - 1)};

    char name[32];
    snprintf(name, sizeof name, "pci@%llx", (unsigned long long)h->c.ecam_base);
    int rc = fdt_begin_node(fdt, name);
    rc = rc ? rc : fdt_property_string(fdt, "compatible", "pci-host-ecam-generic");
    rc = rc ? rc : fdt_property_string(fdt, "device_type", "pci");
    rc = rc ? rc : fdt_property(fdt, "reg", reg, sizeof reg);
    rc = rc ? rc : fdt_property_u32(fdt, "#address-cells", 3);
    rc = rc ? rc : fdt_property_u32(fdt, "#size-cells", 2);
    rc = rc ? rc : fdt_property_u32(fdt, "#interrupt-cells", 1);
    rc = rc ? rc : fdt_property_u32(fdt, "linux,pci-domain", 0);
    rc = rc ? rc : fdt_property(fdt, "bus-range", buses, sizeof buses);
    rc = rc ? rc : fdt_property(fdt, "ranges", ranges, (int)(n * sizeof *ranges));
    rc = rc ? rc : fdt_property(fdt, "dma-coherent", NULL, 0);
    rc = rc ? rc : put_interrupt_map(h, fdt, irq_parent);
    return rc ? rc : fdt_end_node(fdt);
}

int pci_host_fdt(const struct pci_host *host, void *fdt, uint32_t irq_parent, struct error **err)
{
    int rc = put_node(host, fdt, irq_parent);
    return rc ? error_set(err, 0, "device tree: pci node: %s", fdt_strerror(rc)) : 0;
}
