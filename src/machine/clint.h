/* The core-local interruptor, as on qemu's virt (SiFive's CLINT, the same as ACLINT's MSWI and
 * MTIMER): software interrupts and the timer of M mode. */
#ifndef WIRT_MACHINE_CLINT_H
#define WIRT_MACHINE_CLINT_H

#include "machine/bus.h"

struct machine;

int clint_add(struct machine *m, struct error **err);

#endif
