/* A PCI host bridge with one bus, configured through ECAM (PCI Express Base Specification, section
 * 7.2.2), and the type 0 functions on it (PCI Local Bus Specification 3.0, chapter 6). */
#ifndef WIRT_MACHINE_DEVICES_PCI_H
#define WIRT_MACHINE_DEVICES_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/bus.h"

#define PCI_CONFIG_SIZE 256
#define PCI_SLOTS       32
#define PCI_BARS        6
#define PCI_PINS        4

/* Offsets in configuration space. */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* three bytes: interface, subclass, class */
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_FIRST_CAPABILITY = 0x40,
};

struct pci_host;

/* One memory region of a function. */
struct pci_bar {
    uint32_t size; /* bytes, a power of two, at least 16; 0: there is none */
    bus_read_fn *read;
    bus_write_fn *write; /* offset, size and value as for a bus region */
};

/* What a function gives to be put on the bus. The opaque pointer goes to all functions. */
struct pci_function_config {
    const char *name; /* lives as long as the host */
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision;
    uint32_t class_code; /* class << 16 | subclass << 8 | interface */
    struct pci_bar bars[PCI_BARS];
    void *opaque;
    /* A window in configuration space that the function answers itself (NULL: none); called with
     * no lock held, the bytes inside [window, window + window_len). */
    uint8_t window, window_len;
    bus_read_fn *window_read;
    bus_write_fn *window_write;
};

struct pci_function;

/* Where the bridge's parts lie, and the lines behind INTA to INTD, as slot + pin modulo 4 picks
 * them. */
struct pci_host_config {
    uint64_t ecam_base, ecam_size; /* 1 MiB a bus; one bus is populated */
    uint64_t mmio_base, mmio_size; /* below 4 GiB */
    uint64_t high_base, high_size; /* prefetchable, above 4 GiB; size 0: none */
    struct irq_line irqs[PCI_PINS];
};

/* Adds the bridge's regions to the bus, which becomes its owner. NULL with err on failure. */
struct pci_host *pci_host_create(struct bus *bus, const struct pci_host_config *config,
                                 struct error **err);

/* Puts a function into the next free slot, where it stays until the host is freed; the opaque
 * pointer must be good for as long as harts run. NULL with err when all slots are taken. */
struct pci_function *pci_add_function(struct pci_host *host,
                                      const struct pci_function_config *config, struct error **err);

/* The bus that owns the host, and may own the devices behind it. */
struct bus *pci_bus(struct pci_host *host);

/* The slot of a function, 0 to 31. */
unsigned pci_slot(const struct pci_function *f);

/* Appends a capability of len bytes (the id in its first byte; its second, the link, is filled in)
 * to the function's list. Its offset in configuration space, or -1 with err when there is no room.
 * The guest cannot write to it. Before the machine runs. */
int pci_add_capability(struct pci_function *f, const void *data, uint8_t len, struct error **err);

/* Drives the function's interrupt pin INTA, and the interrupt status bit. Any thread. */
void pci_set_intx(struct pci_function *f, bool level);

/* Writes the bridge's node into a device tree under construction by libfdt's sequential calls, at a
 * point where a subnode may begin (the parent has two address and two size cells). irq_parent is
 * the phandle of an interrupt controller with one interrupt cell and no address cells; its
 * interrupt number for line n of the config is that irq_line's `line`. */
int pci_host_fdt(const struct pci_host *host, void *fdt, uint32_t irq_parent, struct error **err);

#endif
