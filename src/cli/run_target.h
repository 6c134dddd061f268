/* What `wirt run` is to run, found out from its first word. */
#ifndef WIRT_CLI_RUN_TARGET_H
#define WIRT_CLI_RUN_TARGET_H

#include "base/error.h"
#include "guest/spec.h"

/* Fills in rootfs or program or a disk, foreign, the wall when it is open, and the command from the
 * words that follow. target NULL: none was given, which only a machine can do without. Error code
 * ENOEXEC: it is there, but not something that can be run. */
int run_target(struct guest_spec *s, const char *target, char **words, const char *platform,
               struct error **err);

#endif
