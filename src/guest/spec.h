/* What a guest is asked to be: the answer to `wirt run`'s options, kept in the guest's config.json.
 */
#ifndef WIRT_GUEST_SPEC_H
#define WIRT_GUEST_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/json.h"

enum wall_kind {
    WALL_AUTO, /* decided by what is to run */
    WALL_CONTAINER,
    WALL_PROCESS,
    WALL_MACHINE,
};

enum network_kind {
    NETWORK_DEFAULT, /* none for a container, the host's for a process, NAT for a machine */
    NETWORK_NONE,
    NETWORK_HOST,
    NETWORK_NAT, /* and behind it, what is open to the guest: NETWORK_NAT + NETWORK_OPENS_... */
};

enum {
    NETWORK_OPENS_HOST = 1, /* the host: its loopback and its own addresses */
    NETWORK_OPENS_LINK = 2, /* link-local addresses and clouds' metadata services */
};

struct guest_limits {
    uint64_t memory;    /* bytes; 0: none */
    uint64_t cpu_milli; /* thousandths of a CPU; 0: none */
    uint64_t pids;      /* 0: none */
};

struct guest_mount {
    char *source, *target; /* absolute */
    bool readonly;
};

struct guest_port {
    uint32_t host_addr; /* IPv4, host byte order; 0: all */
    uint16_t host_port, guest_port;
    bool udp;
};

struct guest_disk {
    char *path;
    bool readonly;
    bool raw; /* its bytes are the disk, whatever they look like */
};

struct guest_spec {
    enum wall_kind wall;
    char *image;    /* as the user wrote it */
    char *rootfs;   /* absolute host path of the root file system; NULL: none */
    char *program;  /* absolute host path of a single program; NULL: a root file system */
    bool foreign;   /* the root's programs are riscv64 */
    char **command; /* argv for the guest; empty: the image's or the wall's default */
    char **env;     /* NAME=VALUE, what the user asked for */
    char *workdir, *user, *hostname;
    struct guest_mount *mounts;
    unsigned n_mounts;
    enum network_kind network;
    struct guest_port *ports;
    unsigned n_ports;
    struct guest_limits limits;
    bool tty, interactive, auto_remove, read_only;
    char *kernel, *initrd, *append, *firmware;
    struct guest_disk *disks;
    unsigned n_disks;
    bool interpret, stats;
    bool confine; /* a process in a jail: the container wall makes it */
    char *trace;
};

const char *wall_name(enum wall_kind w);
/* -1 with err when s is no wall's name. */
int wall_parse(const char *s, enum wall_kind *w, struct error **err);
const char *network_name(enum network_kind n);
bool network_opens(enum network_kind n, int what);
int network_parse(const char *s, enum network_kind *n, struct error **err);

json_object *spec_to_json(const struct guest_spec *s);
/* Fills a zeroed spec. What is damaged is an error that names the field. */
int spec_from_json(struct guest_spec *s, json_object *o, struct error **err);
void spec_free(struct guest_spec *s);

#endif
