/* The machine wall: an unmodified riscv64 operating system on a board laid out like qemu's virt. */
#ifndef WIRT_MACHINE_MACHINE_H
#define WIRT_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/nat.h"

struct machine_disk {
    const char *path;
    bool readonly;
};

/* A folder that the guest mounts as virtiofs by its tag; or a regular file, which is then in it as
 * MACHINE_SHARE_FILE. */
#define MACHINE_SHARE_FILE "file"

struct machine_share {
    const char *tag, *path; /* the tag: 1 to 36 bytes */
    bool readonly;
};

struct machine_config {
    const char
        *kernel; /* flat Image or ELF; loaded for S mode with the SBI done by the hypervisor */
    const char *initrd;
    const char *append; /* kernel command line */
    const char
        *firmware;   /* M-mode image at 0x80000000 (OpenSBI), or an ELF for it; NULL: own SBI */
    uint64_t memory; /* bytes, a multiple of 2 MiB */
    unsigned harts;
    const struct machine_disk *disks;
    unsigned n_disks;
    const struct machine_share *shares;
    unsigned n_shares;
    bool network;       /* user-mode NAT */
    bool host_loopback; /* the host is open to the guest: struct net_rules in net/filter.h */
    bool link_local;    /* so is the host's link */
    const struct nat_forward *forwards;
    unsigned n_forwards;
    const char *hostname;
    bool interpret;
    bool stats;        /* print statistics on standard error at the end */
    const char *trace; /* file for engine_config.trace, or NULL */
    int console_in,
        console_out; /* the uart's, -1 for none; a terminal is the caller's to set raw */
    int control; /* stream socket for requests (control.h): one JSON object a line, answered in the
                    same way; -1: none */
    int agent;   /* stream socket that leads to the agent in the guest (agent/protocol.h), by a port
                    of a virtio console; -1: the board has no such console */
};

enum machine_end {
    MACHINE_POWEROFF, /* exit status 0, or what the test device's failure code says */
    MACHINE_REBOOT,
    MACHINE_STOPPED, /* by request on the control socket or SIGTERM */
};

struct machine_result {
    enum machine_end end;
    int status;   /* exit status for the shell */
    bool started; /* its harts ran; told also of one that had to stop */
};

/* Runs the machine to its end in this process. Reboot is done inside (the board is reset) and does
 * not return. -1 with err when it could not be built or had to stop: the message names the file or
 * field. */
int machine_run(const struct machine_config *config, struct machine_result *result,
                struct error **err);

#endif
