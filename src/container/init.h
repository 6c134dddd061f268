/* The container's first process, from its birth in the new namespaces to the command. */
#ifndef WIRT_CONTAINER_INIT_H
#define WIRT_CONTAINER_INIT_H

#include "container/cgroup.h"
#include "container/config.h"
#include "container/seccomp.h"

struct init {
    const char *id, *bundle;
    const struct config *config;
    const struct cgroup *cgroup;
    const struct seccomp_filter *filter;
    const int *ns_fds;
    const int *idmapped, *devices; /* as struct mount_context has them */
    int sock;                      /* to the runtime */
    int start;        /* listening socket to wait for `start` at; -1: wait for SYNC_GO */
    int console_sock; /* -1: none */
    int listener;     /* socket to hand a seccomp listener to; -1: none */
    int preserve_fds;
    bool no_pivot, keep_keyring, rootless;
};

void init_main(const struct init *a) __attribute__((noreturn));

#endif
