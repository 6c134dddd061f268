/* The root of a container without a mount namespace: a mount in the runtime's own, in which the
 * container's mounts are made and with which they go. */
#ifndef WIRT_CONTAINER_SHARED_ROOT_H
#define WIRT_CONTAINER_SHARED_ROOT_H

#include <stdint.h>

#include "base/error.h"

struct shared_root {
    uint64_t below; /* id of the mount that the folder is in without it; 0: there is none to make */
    uint64_t id;    /* of the mount; 0: not made yet, or not written down */
};

/* What has to be known before it is made. */
int shared_root_plan(const char *rootfs, struct shared_root *s, struct error **err);
/* Makes the root a mount of its own. */
int shared_root_make(const char *rootfs, struct shared_root *s, struct error **err);
/* Takes it away with all that is mounted in it, unless somebody has done so. */
int shared_root_remove(const char *rootfs, const struct shared_root *s, struct error **err);

#endif
