/* Paths of the guest: the sysroot, and the few files below /proc that would show the emulator. */
#ifndef WIRT_PROCESS_PATH_H
#define WIRT_PROCESS_PATH_H

#include <limits.h>

#include "process/state.h"

struct host_path {
    const char *path; /* for the host's calls: the guest's own string, or buffer */
    char buffer[PATH_MAX];
};

/* Where a guest's path leads, for calls that read: below the sysroot when it is absolute and exists
 * there. follow: symbolic links at its end are followed. A path that cannot be read is left to the
 * host's call to refuse. */
void path_resolve(struct thread *t, uint64_t guest_path, bool follow, struct host_path *out);

/* The same for a string of the emulator's own. */
void path_resolve_own(struct process *p, const char *path, bool follow, struct host_path *out);

/* Opens path as openat does where that means another file than the host's: below the sysroot, or
 * one the emulator makes up. False: it is the host's; else *result is a descriptor or -errno. */
bool path_open(struct thread *t, uint64_t guest_path, int flags, unsigned mode, long *result);

/* Whether path is the /proc link that names the running program. */
bool path_is_exe(const char *path);

/* Whether path, as the host's kernel resolves it, is below the sysroot; *inside is the rest. */
bool path_below_sysroot(const struct process *p, const char *path, const char **inside);

/* proc.c: a descriptor of the made-up content of path (cmdline, maps, auxv, cpuinfo), or -1. */
int proc_open(struct process *p, const char *path, int flags);

#endif
