/* Which descriptors a process on its way into a container holds.
 *
 * The rule: from the first moment at which a path is looked up inside the container in the
 * process's name (process.cwd, the command, the interpreters that it names, a hook), the process
 * holds its standard streams, what its caller passes (preserve_fds), and besides those nothing
 * that a path could lead through. Close-on-exec does not do: execve(2) resolves all of these names
 * while such descriptors are still open, so that a link or a "#!" line that says
 * /proc/self/fd/7/../../bin/x would reach the host through an open folder of it (CVE-2024-21626).
 *
 * So what is still needed then, to hear of the start and to tell errors, are sockets: their entry
 * in /proc/self/fd cannot be opened, and nothing is below it. */
#ifndef WIRT_CONTAINER_DESCRIPTORS_H
#define WIRT_CONTAINER_DESCRIPTORS_H

#include <stddef.h>

#include "base/error.h"

/* By the runtime, before anything else: the standard streams and the first `preserve` descriptors
 * after them are open, and come from the caller. Else one of the runtime's own would get such a
 * number, and go to the container with it. */
int descriptors_check(int preserve, struct error **err);

/* The same of a program that begins: a standard stream that is closed becomes /dev/null. */
int descriptors_fill_streams(struct error **err);

/* Closes all but the standard streams, the `preserve` after them, and those of keep (entries of -1
 * do not count), which have to be sockets or terminals: anything else is an error. */
int descriptors_leave(int preserve, const int *keep, size_t len, struct error **err);

#endif
