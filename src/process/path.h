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

/* The path by which the host's kernel knows what fd is open on; false: there is no /proc. */
bool descriptor_path(int fd, char out[PATH_MAX]);

/* Opens path as openat does where that means another file than the host's: below the sysroot, or
 * one the emulator makes up. False: it is the host's; else *result is a descriptor or -errno. */
bool path_open(struct thread *t, int dirfd, uint64_t guest_path, int flags, unsigned mode,
               long *result);

/* Whether path, as the host's kernel resolves it, is below the sysroot; *inside is the rest. */
bool path_below_sysroot(const struct process *p, const char *path, const char **inside);

/* A file below /proc that speaks of a process, and so has to speak of the guest in it. */
struct proc_file {
    char folder[64]; /* "/proc/self", "/proc/17/task/18": as the host knows it; "/proc" */
    char name[24];   /* in there */
    bool own;        /* this process, or a thread of it */
};

/* procfs.c: whether dirfd and a path of the guest's name such a file, by whatever way; cheap where
 * they do not. */
bool proc_find(int dirfd, uint64_t guest_path, struct proc_file *out);
/* The same of an absolute path. */
bool proc_parse(const char *path, struct proc_file *out);
/* The program that runs in that process, for its link "exe": as the host knows it, or (guest) the
 * guest. False: it is the host's to say, the process is not a guest's. */
bool proc_exe(const struct process *p, const struct proc_file *f, bool guest, char out[PATH_MAX]);

/* proc.c: a descriptor of the made-up content of such a file, or -1: it is the host's. */
int proc_open(struct process *p, const struct proc_file *f, int flags);

#endif
