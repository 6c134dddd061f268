/* The config.json to start from that `wirt-oci spec` writes. */
#ifndef WIRT_CONTAINER_SPEC_H
#define WIRT_CONTAINER_SPEC_H

#include <json-c/json.h>
#include <stdbool.h>

/* A shell in BUNDLE/rootfs, readonly, with a terminal and new namespaces of all usual kinds.
 * rootless: in a user namespace that maps the caller to root, without control groups. The caller
 * frees with json_object_put. */
struct json_object *spec_new(bool rootless);

#endif
