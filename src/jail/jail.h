/* The jail of a process that hostile input reaches: a machine, and the process that has its
 * network.
 *
 * What it works on is opened before and passed as descriptors. Inside, there is nothing of the
 * host to name: new user, mount, pid, ipc, uts, cgroup and (but for a network's process) network
 * namespaces; an empty, read-only root, the old one gone; no capability but a share's over files;
 * no new privileges; no core dumps; Landlock, where the kernel has it, against every path and
 * every abstract socket and signal outside; and one list of allowed system calls for each kind of
 * thread (jail/filter.h).
 *
 * jail_fork() makes the process and does all but the filter. */
#ifndef WIRT_JAIL_JAIL_H
#define WIRT_JAIL_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* A folder of the host's that stays reachable: a share's root. */
struct jail_folder {
    int *
        fd; /* O_PATH; inside, it is replaced by one to the folder alone, of which ".." is itself */
    bool readonly;
};

struct jail_config {
    const char *name; /* in messages, and the process's own name */
    bool network;     /* stays in the caller's network namespace, and can look up names there */
    struct jail_folder *folders;
    unsigned n_folders;
    bool console; /* standard input and output stay; else they become /dev/null */
    /* Descriptors that stay open, in any order, besides standard error and the folders'; all others
     * are closed. */
    const int *keep;
    unsigned n_keep;
    unsigned threads; /* most threads at one time */
};

/* As fork(2), in a process that has one thread: 1 in the caller, with *pid and the child's pidfd; 0
 * in the child, which is jailed; -1 with err. The child is killed when the caller ends. When
 * namespaces are not to be had here (where user namespaces are forbidden, an ordinary user cannot
 * make any), it says so once and goes on with the rest: what is left then are the filters,
 * Landlock, no new privileges and limits. */
int jail_fork(const struct jail_config *c, pid_t *pid, int *pidfd, struct error **err);

#endif
