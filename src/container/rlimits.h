/* Resource limits (getrlimit(2)). */
#ifndef WIRT_CONTAINER_RLIMITS_H
#define WIRT_CONTAINER_RLIMITS_H

#include "container/config.h"

/* The number of a name such as RLIMIT_NOFILE, or -1. */
int rlimit_from_name(const char *name);

/* Sets them on process pid. Done by the parent, which may hold the CAP_SYS_RESOURCE that a process
 * in a new user namespace cannot have. */
int rlimits_apply(pid_t pid, const struct process *p, struct error **err);
/* The process's own limit of open files, which rlimits_apply only raises: with few of them it could
 * not be made ready. Last of all. */
int rlimits_lower(const struct process *p, struct error **err);

#endif
