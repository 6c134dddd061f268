/* What the process wall's workload gets of namespaces and identity: host name, network, bind mounts
 * and user. Everything else it shares with the host: a container is the stronger wall. */
#ifndef WIRT_GUEST_CONFINE_H
#define WIRT_GUEST_CONFINE_H

#include "guest/spec.h"
#include "image/rootfs.h"

struct confine {
    const struct guest_spec *spec;
    struct rootfs_user user;
    bool set_user;
};

/* Refuses options that this caller may not have. */
int confine_check(const struct guest_spec *s, struct error **err);

/* In the child: enters what the options ask for. */
int confine_apply(const struct confine *c, struct error **err);

#endif
