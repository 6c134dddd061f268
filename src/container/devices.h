/* Device nodes of the container: the default ones and config.json's. */
#ifndef WIRT_CONTAINER_DEVICES_H
#define WIRT_CONTAINER_DEVICES_H

#include "container/mounts.h"

/* Makes /dev/null and so on, linux.devices, and the links /dev/fd, /dev/stdin, /dev/ptmx ... */
int devices_create(struct mount_context *m, struct error **err);

/* What the control group allows: config.json's rules, then the devices that are there. The caller
 * frees the list. */
struct device_rule *devices_rules(const struct config *c, size_t *len);

#endif
