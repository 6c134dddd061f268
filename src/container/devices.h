/* Device nodes of the container: the default ones and config.json's. */
#ifndef WIRT_CONTAINER_DEVICES_H
#define WIRT_CONTAINER_DEVICES_H

#include "container/mounts.h"

/* Makes /dev/null and so on, linux.devices, and the links /dev/fd, /dev/stdin, /dev/ptmx ... */
int devices_create(struct mount_context *m, struct error **err);

/* In a user namespace nodes cannot be made: those of linux.devices are made before, in the state
 * folder dirfd (with which they go), owned as the namespace maps it. Answers a mount of each in an
 * array that the caller frees with devices_free; NULL when there is nothing to prepare. */
int devices_prepare(const struct config *c, int dirfd, int **trees, struct error **err);
void devices_free(const struct config *c, int *trees);

/* What the control group allows: config.json's rules, then the devices that are there. The caller
 * frees the list. */
struct device_rule *devices_rules(const struct config *c, size_t *len);

#endif
