/* A guest's OCI runtime configuration (opencontainers runtime-spec, config.md, config-linux.md). */
#ifndef WIRT_GUEST_CONTAINER_SPEC_H
#define WIRT_GUEST_CONTAINER_SPEC_H

#include "guest/guest.h"
#include "image/rootfs.h"

/* Where wirt-riscv64 is in a container of riscv64 programs: on the container's own /dev, so that
 * nothing is left in the root file system. */
#define CONTAINER_EMULATOR "/dev/.wirt-riscv64"

/* The command as the container runs it: for a riscv64 root through the emulator, which with reports
 * tells on SPAWN_REPORT_FD how its start went. Owned. Errors ENOENT and EACCES when it is not in
 * the root. */
char **container_command(const struct guest_spec *s, char *const *command, char *const *env,
                         const char *workdir, bool reports, struct error **err);

/* config.json. emulator: host path of wirt-riscv64, or NULL when the root is native. */
json_object *container_spec(const struct guest *g, const char *emulator, struct error **err);

/* linux.seccomp. */
json_object *container_filter(bool confine);

/* linux.resources for limits that are not 0. */
json_object *container_resources(const struct guest_limits *l);

#endif
