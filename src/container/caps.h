/* Capabilities (capabilities(7)): names and the five sets. */
#ifndef WIRT_CONTAINER_CAPS_H
#define WIRT_CONTAINER_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "container/config.h"

/* The number of a name such as CAP_CHOWN, or -1. */
int cap_from_name(const char *name);
/* The name of capability n, NULL past the last one known. */
const char *cap_name(int n);

/* The bounding set can only be dropped while CAP_SETPCAP is held, so before the user changes. */
int caps_drop_bounding(const struct capabilities *c, struct error **err);
/* The other four, after the user has changed with PR_SET_KEEPCAPS. */
int caps_apply(const struct capabilities *c, struct error **err);

#endif
