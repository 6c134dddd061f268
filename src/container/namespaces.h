/* Namespaces: made, joined, and set up inside. */
#ifndef WIRT_CONTAINER_NAMESPACES_H
#define WIRT_CONTAINER_NAMESPACES_H

#include "container/config.h"

/* Opens every namespace that is given by path, and checks that it is of its type. fds[k] is -1 for
 * the others. */
int namespaces_open(const struct config *c, int fds[NS_COUNT], struct error **err);
void namespaces_close(int fds[NS_COUNT]);

/* CLONE_* of the namespaces to be made. */
unsigned long namespaces_new_flags(const struct config *c);
bool namespaces_new(const struct config *c, enum ns_kind k);

/* Joins those given by path, user first; what only the outer user may join goes before it. The pid
 * namespace holds for children alone. */
int namespaces_join(const int fds[NS_COUNT], struct error **err);

/* Writes /proc/PID/uid_map and gid_map, by newuidmap(1) and newgidmap(1) where the runtime itself
 * may not. */
int namespaces_map_ids(pid_t pid, const struct id_maps *uids, const struct id_maps *gids,
                       struct error **err);

/* Whether the runtime has no power over the host: not root, or root of a user namespace only (which
 * is how podman without root calls its runtime). */
bool namespaces_rootless(void);
/* pid and every process of its pid namespace, if that is not ours; those of namespaces below it are
 * not among them. The caller frees. */
int namespaces_procs(pid_t pid, pid_t **pids, size_t *len, struct error **err);

/* Inside the new namespaces: host name, domain name, loopback up, time offsets, sysctl. proc: from
 * procfs_open, before any was joined. */
int namespaces_configure(const struct config *c, int proc, struct error **err);

#endif
