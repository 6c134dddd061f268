/* How much memory the host has left: for this process, so the control groups that it is in count
 * as hosts of their own. */
#ifndef WIRT_GUEST_HOSTMEM_H
#define WIRT_GUEST_HOSTMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct host_memory {
    uint64_t total, available; /* bytes; available: without swapping, caches given up */
    bool stalled;              /* tasks waited for memory lately (pressure stall information) */
};

/* The files of procfs that tell it, open: who looks again and again need not be let into /proc. */
struct host_memory_files {
    int meminfo, pressure, groups; /* pressure: -1 when the kernel does not tell it */
};

int host_memory_open(struct host_memory_files *f, struct error **err);
void host_memory_close(struct host_memory_files *f);

/* The scarcest of: the machine (/proc/meminfo), and each control group with a limit, v1 or v2, from
 * that of the process which opened the files up. */
int host_memory_read(const struct host_memory_files *f, struct host_memory *out,
                     struct error **err);

#endif
