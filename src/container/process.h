/* The last steps of a process on its way into a container, for its first one and for exec. */
#ifndef WIRT_CONTAINER_PROCESS_H
#define WIRT_CONTAINER_PROCESS_H

#include "container/config.h"
#include "container/seccomp.h"

/* From here on, until the command is executed, nobody in the container may trace the process or
 * open what its /proc folder leads to; what it clones is hidden too. Comes before a namespace is
 * joined whose processes could see it. Of use against those without CAP_SYS_PTRACE over the user
 * namespace that the runtime was executed in. */
int process_hide(struct error **err);

bool selinux_enabled(void);
/* Labels of security modules, for the execution. proc: the host's (procfs_open). */
int process_set_labels(const struct process *p, int proc, struct error **err);
/* A session of its own (setsid, a keyring unless keep_keyring), scheduling, ioprio, umask. */
int process_set_session(const struct process *p, bool keep_keyring, struct error **err);
/* Goes to process.cwd, inside the root for certain. */
int process_chdir(const struct process *p, struct error **err);
/* The file that args[0] names, searched in PATH of its own environment. The caller frees. */
char *process_find(const struct process *p, struct error **err);

struct listener {
    int sock; /* from seccomp_connect; -1: none */
    pid_t pid;
    const char *state; /* JSON */
};

/* User, capabilities, no_new_privs, seccomp, and the command itself. Descriptors from 3 + preserve
 * on are closed by the exec. sock hears SYNC_EXECUTING before. Returns only on failure. */
int process_execute(const struct process *p, const char *file, const struct seccomp_filter *f,
                    const struct listener *l, int preserve_fds, int sock, struct error **err);

/* oom_score_adj of another process, written while it is still the parent's to set. */
int process_set_oom_score(pid_t pid, const struct process *p, struct error **err);

/* A CPU list such as 0-3,7 as affinity of the calling process. */
int process_set_cpus(const char *list, const char *field, struct error **err);

#endif
