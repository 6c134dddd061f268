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
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "jail/filter.h"

/* A folder of the host's that stays reachable: a share's root. */
struct jail_folder {
    int *
        fd; /* O_PATH; inside, it is replaced by one to the folder alone, of which ".." is itself */
    bool readonly;
    /* The one file of it that is meant, or NULL. Inside, nothing else of the folder is there; what
     * replaces the file outside is another one, and not seen. */
    const char *only;
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
    /* Called after each step, in the process that took it: for who measures what a jail costs
     * (tests/machine/jail_cost.c). May be NULL. */
    void (*step)(void *arg, const char *name);
    void *step_arg;
    /* The child's last step, before the caller hears that it is there: when it fails, so does
     * jail_fork. May be NULL. */
    int (*last)(struct error **err);
};

/* As fork(2), in a process that has one thread: 1 in the caller, with *pid and the child's pidfd; 0
 * in the child, which is jailed; -1 with err. The child is killed when the caller ends. When
 * namespaces are not to be had here (where user namespaces are forbidden, an ordinary user cannot
 * make any), it goes on with the rest, filters, Landlock, no new privileges and limits, and warns
 * of what that rest does not hold; never because of what was lacking for the moment (memory,
 * descriptors, processes). Error ESTALE: a folder is not at its place any more. err must not be
 * NULL. */
int jail_fork(const struct jail_config *c, pid_t *pid, int *pidfd, struct error **err);

/* What stays possible with files at a place: a folder and all below it, or one file. */
enum jail_access {
    JAIL_READ = 1,   /* read files, list folders */
    JAIL_LIST = 2,   /* list folders */
    JAIL_WRITE = 4,  /* write files; make, rename and remove names, but of devices */
    JAIL_UNLINK = 8, /* remove files' names */
    JAIL_RMDIR = 16, /* remove empty folders */
};

struct jail_place {
    int fd; /* O_PATH is enough */
    unsigned access;
};

/* The jail of a process that stays where it is: a guest's monitor, as soon as its guest is there,
 * which has started all that it will ever start. */
struct jail_self {
    enum jail_thread kind;
    uint64_t capabilities; /* of root's, those that stay: a bit each */
    const struct jail_place *places;
    unsigned n_places;
    bool reads_all;     /* places say what may be changed; reading is not restricted */
    bool no_landlock;   /* places are not held */
    uint64_t file_size; /* the largest file that it writes; 0: as the user has it */
};

/* Narrows the calling process, which has one thread, for good: no new privileges, capabilities,
 * limits (no core, no new process), Landlock where the kernel has it, and the filter of its kind.
 * A sanitized build has capabilities and limits only: its run-time reads and starts what it wants.
 */
int jail_self(const struct jail_self *j, struct error **err);

#endif
