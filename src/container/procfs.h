/* Writing to procfs. Where a process's label, its ids or a sysctl are set, the file has to be the
 * one that is meant: with something else mounted there, or a link laid, the write would change
 * another file of procfs, or nothing at all (CVE-2019-16884, CVE-2025-52881). */
#ifndef WIRT_CONTAINER_PROCFS_H
#define WIRT_CONTAINER_PROCFS_H

#include "base/error.h"

/* /proc of the mount namespace we are in, which is really a procfs, from its root on. It stays that
 * one when a mount namespace is joined whose /proc could be anything. The caller closes. */
int procfs_open(struct error **err);

/* Writes text to the existing file path below it, which nothing is mounted over and no magic link
 * leads out of. */
int procfs_write(int proc, const char *path, const char *text, struct error **err);

#endif
