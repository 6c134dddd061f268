/* The machine wall: an unmodified riscv64 operating system on a board laid out like qemu's virt. */
#ifndef WIRT_MACHINE_MACHINE_H
#define WIRT_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What is opened before a machine is jailed (files.h): path is what messages call it, fd the
 * descriptor, 0 as long as it is not open. */
struct machine_file {
    const char *path; /* NULL: none */
    int fd;
};

struct machine_disk {
    const char *path;
    bool readonly;
    int fd; /* as in machine_file */
};

/* A folder that the guest mounts as virtiofs by its tag; or a regular file, which is then in it as
 * MACHINE_SHARE_FILE. */
#define MACHINE_SHARE_FILE "file"

struct machine_share {
    const char *tag, *path; /* the tag: 1 to 36 bytes */
    bool readonly;
    int fd;           /* as in machine_file: the folder, O_PATH */
    const char *only; /* with fd: the one file that is served of it, or NULL; allocated by
                         machine_share_open() */
};

struct machine_config {
    /* Flat Image or ELF; loaded for S mode with the SBI done by the hypervisor. */
    struct machine_file kernel;
    struct machine_file initrd;
    const char *append;           /* kernel command line */
    struct machine_file firmware; /* M-mode image at 0x80000000 (OpenSBI), or an ELF for it; none:
                                     own SBI */
    uint64_t memory;              /* bytes, a multiple of 2 MiB */
    unsigned harts;
    struct machine_disk *disks;
    unsigned n_disks;
    struct machine_share *shares;
    unsigned n_shares;
    int wire; /* to the network (net/link.h); 0: the board has no network card */
    bool interpret;
    bool stats;                /* print statistics on standard error at the end */
    struct machine_file trace; /* for engine_config.trace */
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

/* Runs the machine to its end in this process, whose main thread can do little else from then on
 * (jail/filter.h: JAIL_MACHINE). Its files are open (files.h). Reboot is done inside (the board is
 * reset) and does not return. -1 with err when it could not be built or had to stop: the message
 * names the file or field. */
int machine_run(const struct machine_config *config, struct machine_result *result,
                struct error **err);

#endif
