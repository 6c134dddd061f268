/* One list of allowed system calls for each kind of thread (seccomp(2)); any other call ends the
 * whole process with SIGSYS. A thread's filter also holds for the threads that it starts, and can
 * only become narrower. */
#ifndef WIRT_JAIL_FILTER_H
#define WIRT_JAIL_FILTER_H

#include <stdbool.h>

#include "base/error.h"

enum jail_thread {
    JAIL_MACHINE,  /* a machine's main thread: boots, runs the loop of devices, starts harts */
    JAIL_HART,     /* runs guest code */
    JAIL_DISK,     /* serves a disk */
    JAIL_SHARE,    /* serves a shared folder: the only one that opens anything */
    JAIL_NETWORK,  /* the network's process: the only one that makes sockets */
    JAIL_LAUNCHER, /* the unjailed parent of both, which only waits and passes signals on */
    JAIL_MACHINE_MONITOR, /* a machine's monitor: keeps its guest's folder, relays bytes */
    JAIL_MONITOR,         /* another guest's monitor: signals its processes, keeps control groups */
    JAIL_THREADS,
};

/* Whether filters are in this build. Sanitizers make system calls of their own at any time (maps,
 * files, ptrace): a sanitized build has all of the jail but the filters. */
bool jail_has_filters(void);

/* Narrows the calling thread for good; sets no_new_privs. */
int jail_filter(enum jail_thread kind, struct error **err);

#endif
