/* The container wall: an OCI runtime bundle run by the host kernel, behind namespaces and control
 * groups (runtime-spec 1.2).
 *
 * Every call may fork, and create, run and exec leave descriptors and signal masks as they were.
 * They are for single-threaded callers: a forked process allocates memory. */
#ifndef WIRT_CONTAINER_CONTAINER_H
#define WIRT_CONTAINER_CONTAINER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* The life of a container as the OCI runtime specification has it. State is kept below root/ID. */
struct container_options {
    const char *root;           /* state folder; NULL: the default one */
    const char *bundle;         /* folder of config.json; NULL: the current one */
    const char *config;         /* config file instead of BUNDLE/config.json; NULL: that one */
    struct json_object *spec;   /* the config itself instead of a file; the caller's; or NULL */
    const char *pid_file;       /* or NULL */
    const char *console_socket; /* AF_UNIX socket that gets the terminal's master; or NULL */
    int console_fd_out;         /* connected socket that gets the master instead; 0 or -1: none */
    int preserve_fds;           /* that many descriptors after the first three stay open */
    bool no_pivot;
    bool no_new_keyring;
    bool detach;          /* run: return when the command has been executed */
    bool systemd_cgroup;  /* refused: see container_create */
    bool cgroup_disabled; /* no control group at all */
    bool keep;            /* run: no delete at the end */
};

/* create: everything set up, the process waits for start. Stdio is the caller's. Answers the init
 * process's pid. */
int container_create(const char *id, const struct container_options *o, pid_t *pid,
                     struct error **err);
int container_start(const char *root, const char *id, struct error **err);
int container_kill(const char *root, const char *id, int signal, bool all, struct error **err);
/* Of a stopped container; with force of any, and then none at all is no error. */
int container_delete(const char *root, const char *id, bool force, struct error **err);
int container_pause(const char *root, const char *id, struct error **err);
int container_resume(const char *root, const char *id, struct error **err);

/* create, start, wait, delete: answers the command's exit status (128 + n for signal n). Signals
 * are forwarded to the command, and the caller's terminal is connected when the config asks for
 * one and no console socket is given. */
int container_run(const char *id, const struct container_options *o, int *status,
                  struct error **err);

/* The state as runtime.md has it (ociVersion, id, status, pid, bundle, annotations) and created,
 * rootfs, owner. The caller frees with json_object_put. NULL with err. */
struct json_object *container_state(const char *root, const char *id, struct error **err);
/* An array of such states, of all containers below root. */
struct json_object *container_list(const char *root, struct error **err);
/* Process ids in the container, as the runtime sees them; the caller frees. */
int container_pids(const char *root, const char *id, pid_t **pids, size_t *len, struct error **err);
/* Usage, in the shape of runc's `events --stats`. */
struct json_object *container_stats(const char *root, const char *id, struct error **err);
/* Blocks until the kernel has killed in the container for lack of memory (1) or it is over (0). */
int container_wait_oom(const char *root, const char *id, struct error **err);
/* Sets limits: an object as linux.resources is. */
int container_update(const char *root, const char *id, struct json_object *resources,
                     struct error **err);

/* exec: one more process in a running container. What is NULL, -1 or false is as the container's
 * own process has it. */
struct exec_options {
    const char *root;
    struct json_object *process; /* a `process` object; the caller's. Else the fields below */
    const char *const *args;     /* NULL-terminated */
    const char *const *env;      /* more variables; NULL-terminated; or NULL */
    const char *const *caps;     /* more capabilities, by name; NULL-terminated; or NULL */
    const char *const *gids;     /* more groups, by number; NULL-terminated; or NULL */
    const char *cwd, *user;      /* user: UID[:GID] */
    const char *apparmor, *selinux;
    const char *pid_file, *console_socket, *cgroup; /* cgroup: below the container's */
    int console_fd_out;                             /* as in container_options */
    int preserve_fds;
    bool tty, detach, no_new_privileges;
    bool ignore_paused; /* wait until the container is resumed; else it is refused while paused */
};
int container_exec(const char *id, const struct exec_options *o, int *status, struct error **err);

/* What this runtime can do (features.md). The caller frees. */
struct json_object *container_features(void);

/* Call first in main() of a program that creates, runs or enters containers: makes sure that a
 * container cannot write to the program's own file through /proc/PID/exe. May execute the program
 * again, with the same arguments. */
int container_protect_binary(char **argv, struct error **err);

#endif
