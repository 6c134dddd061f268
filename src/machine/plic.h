/* The platform-level interrupt controller, as on qemu's virt: 95 sources; two contexts a hart, M
 * first. RISC-V Platform-Level Interrupt Controller Specification. */
#ifndef WIRT_MACHINE_PLIC_H
#define WIRT_MACHINE_PLIC_H

#include "machine/bus.h"

#define PLIC_SOURCES 96 /* numbers 1 .. 95 */
#define PLIC_SIZE    0x600000u

struct hart;
struct plic;

/* Adds it to the bus, which owns it. */
struct plic *plic_new(struct bus *bus, uint64_t base, struct hart *harts, unsigned n_harts,
                      struct error **err);

/* The line of source `line`, for a device. */
struct irq_line plic_line(struct plic *p, unsigned line);

#endif
