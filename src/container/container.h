/* The container wall: an OCI runtime bundle run by the host kernel, behind namespaces and control
 * groups. */
#ifndef WIRT_CONTAINER_CONTAINER_H
#define WIRT_CONTAINER_CONTAINER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* The life of a container as the OCI runtime specification has it. State is kept below root/ID. */
struct container_options {
    const char *root;           /* state folder; NULL: the default one */
    const char *bundle;         /* folder of config.json */
    const char *config;         /* config file instead of BUNDLE/config.json; NULL: that one */
    const char *pid_file;       /* or NULL */
    const char *console_socket; /* AF_UNIX socket that gets the terminal's master; or NULL */
    int console_fd_out;         /* socket of the caller that gets the master instead; -1: none */
    int preserve_fds;
    bool no_pivot;
    bool detach;
    bool systemd_cgroup;
    bool keep;
};

/* create: everything set up, the process waits for start. Stdio is the caller's. Answers the init
 * process's pid. */
int container_create(const char *id, const struct container_options *o, pid_t *pid,
                     struct error **err);
int container_start(const char *root, const char *id, struct error **err);
int container_kill(const char *root, const char *id, int signal, bool all, struct error **err);
int container_delete(const char *root, const char *id, bool force, struct error **err);
int container_pause(const char *root, const char *id, struct error **err);
int container_resume(const char *root, const char *id, struct error **err);

/* create, start, wait, delete: answers the command's exit status (128 + n for signal n). */
int container_run(const char *id, const struct container_options *o, int *status,
                  struct error **err);

#endif
