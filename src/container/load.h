/* config.json out of a bundle, or a config made in memory. */
#ifndef WIRT_CONTAINER_LOAD_H
#define WIRT_CONTAINER_LOAD_H

#include <stddef.h>

#include "container/config.h"
#include "container/container.h"

/* *bundle: the bundle's absolute path; *text: the document as it was read, for the state folder.
 * Both are the caller's to free, also on failure. NULL with err, which names file and field. */
struct config *config_load(const struct container_options *o, char **bundle, char **text,
                           size_t *len, struct error **err);

#endif
