/* Hooks: programs of the caller, run at steps of the life of a container with its state on their
 * standard input (config.md, POSIX-platform Hooks). */
#ifndef WIRT_CONTAINER_HOOKS_H
#define WIRT_CONTAINER_HOOKS_H

#include "container/config.h"

/* Runs them in order; stops at the first that fails or takes too long. Of the poststop hooks the
 * rest run nevertheless, and a failure is a warning (runtime.md, Lifecycle, step 13). state: the
 * JSON text. A hook's timeout holds for all of it, also for reading its state. One without `env`
 * has the runtime's environment if it runs in the runtime's namespaces, and none if it runs in the
 * container's (createContainer, startContainer). */
int hooks_run(const struct hooks *h, enum hook_kind kind, const char *state, struct error **err);

#endif
