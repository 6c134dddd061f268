/* Root file systems as folders: what kind of programs they hold, and where a command is in them.
 * A root file system is hostile: its symbolic links are followed inside it only. */
#ifndef WIRT_IMAGE_ROOTFS_H
#define WIRT_IMAGE_ROOTFS_H

#include <stdbool.h>

#include "base/error.h"

enum program_kind {
    PROGRAM_NONE,    /* no such file, or no program */
    PROGRAM_NATIVE,  /* x86-64 ELF */
    PROGRAM_RISCV64, /* riscv64 ELF */
    PROGRAM_FOREIGN, /* ELF for something else */
    PROGRAM_SCRIPT,  /* begins with #! */
};

/* What an open file is. Reads at offset 0 and leaves the position alone. */
enum program_kind program_kind_of_fd(int fd);
enum program_kind program_kind_of(const char *path);

/* Opens a path as a process whose root is rootfd would see it (openat2, RESOLVE_IN_ROOT). An fd
 * (CLOEXEC), or -1 with errno. flags as in openat2. */
int rootfs_open(int rootfd, const char *path, int flags);

/* What kind of programs a root file system holds: its shell's, or that of the first programs found
 * in its /bin, /usr/bin, /sbin and /. PROGRAM_NONE when there are none. */
enum program_kind rootfs_kind(const char *rootfs);

/* Where a command is in a root file system: as given when it has a slash, else the first
 * executable in path (as $PATH). An owned path inside the root; NULL with err: ENOENT or EACCES.
 * kind may be NULL. */
char *rootfs_find_command(const char *rootfs, const char *command, const char *workdir,
                          const char *path, enum program_kind *kind, struct error **err);

struct rootfs_user {
    unsigned uid, gid;
    unsigned groups[64];
    unsigned n_groups;
    char *home; /* owned; NULL: not known */
};

/* USER or USER:GROUP, names or numbers, by the root's /etc/passwd and /etc/group. NULL or "": root.
 */
int rootfs_lookup_user(const char *rootfs, const char *user, struct rootfs_user *out,
                       struct error **err);

#endif
