/* What a machine works on: opened before it is jailed, by the monitor or by the launcher. */
#ifndef WIRT_MACHINE_FILES_H
#define WIRT_MACHINE_FILES_H

#include "machine/machine.h"

/* Opens what has a path and no descriptor yet; they are never closed. -1 with err, which names the
 * path. */
int machine_open_files(struct machine_config *c, struct error **err);

#endif
