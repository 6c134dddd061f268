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

/* The scarcest of: the machine (/proc/meminfo), and each control group with a limit, v1 or v2, from
 * the caller's up. */
int host_memory_read(struct host_memory *out, struct error **err);

#endif
