/* Paths inside a container's root file system, resolved as the container would: a symbolic link or
 * ".." an image holds can never lead outside (openat2(2), RESOLVE_IN_ROOT), nor can a link of
 * procfs to an open file of ours. */
#ifndef WIRT_CONTAINER_ROOT_H
#define WIRT_CONTAINER_ROOT_H

#include <sys/types.h>

#include "base/error.h"

/* Opens what exists. flags as in open(2); O_CLOEXEC is added. -1 with errno. */
int root_open(int rootfd, const char *path, int flags);
/* The same for the kernel's own file systems: fails with ELOOP at any symbolic link. */
int root_open_no_links(int rootfd, const char *path, int flags);

/* Makes the folder and what is missing above it, following links inside the root. Answers an
 * O_PATH descriptor of it. */
int root_mkdir(int rootfd, const char *path, mode_t mode, struct error **err);

/* The same for an empty file (a mount point for a bind mount of a file). */
int root_mkfile(int rootfd, const char *path, struct error **err);

/* Opens (making it) the folder above path; *base is the last component, inside path. */
int root_open_parent(int rootfd, const char *path, const char **base, struct error **err);

#endif
