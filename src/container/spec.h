/* An OCI config made in memory: what `wirt run ROOTFS COMMAND` and `wirt-oci spec` start from. */
#ifndef WIRT_CONTAINER_SPEC_H
#define WIRT_CONTAINER_SPEC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum spec_network {
    SPEC_NETWORK_PRIVATE, /* a network namespace with loopback alone, for somebody to fill */
    SPEC_NETWORK_NONE,    /* the same; nobody will */
    SPEC_NETWORK_HOST,    /* the runtime's own */
};

/* NULL, 0 and false mean the default. */
struct spec_options {
    const char *rootfs;      /* default "rootfs", below the bundle */
    const char *const *args; /* NULL-terminated; default {"sh"} */
    const char *const *env;  /* NAME=VALUE, NULL-terminated; added to PATH, TERM */
    const char *cwd;         /* default "/" */
    const char *hostname;    /* default "wirt" */
    const char *user;        /* UID[:GID] */
    const char *cgroups_path;
    const char *const *mounts; /* SOURCE:DESTINATION[:OPTION,...], NULL-terminated; ro, rw, and the
                                  mount options of the OCI runtime specification */
    uint64_t memory;           /* bytes */
    uint64_t cpus;             /* thousandths of a CPU */
    const char *cpuset;        /* "0-3,7" */
    int64_t pids;              /* -1: no limit */
    enum spec_network network;
    bool tty, readonly;
    bool rootless; /* a user namespace that maps the caller to root */
};

/* The caller frees with json_object_put. NULL with err, which names the option. */
struct json_object *container_spec_new(const struct spec_options *o, struct error **err);

#endif
