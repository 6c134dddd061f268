/* Landlock (the kernel's Documentation/userspace-api/landlock.rst): a second lock on paths, which
 * holds also where there are no namespaces. Its numbers stand here, as a C library's headers may be
 * older than the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail/steps.h"

#define SYS_LANDLOCK_CREATE_RULESET 444
#define SYS_LANDLOCK_ADD_RULE       445
#define SYS_LANDLOCK_RESTRICT_SELF  446
#define CREATE_RULESET_VERSION      1u
#define RULE_PATH_BENEATH           1

#define FS_READ_FILE 0x0004ull
#define FS_READ      0x000cull /* files and folders */
#define FS_WRITE     0x77b2ull /* files, what makes and removes names; but no device nodes */
#define NET_ALL      0x3ull    /* TCP: bind, connect */
#define SCOPED_ALL   0x3ull    /* abstract sockets, signals */
/* Bits of accesses to files that each version knows, from 1 on. */
static const uint64_t fs_known[] = {0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};

struct ruleset {
    uint64_t fs, net, scoped;
};

struct path_beneath {
    uint64_t allowed;
    int fd;
} __attribute__((packed));

static int add_path(int ruleset, int fd, uint64_t allowed, struct error **err)
{
    struct path_beneath p = {.allowed = allowed, .fd = fd};
    return syscall(SYS_LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, &p, 0) < 0
               ? error_set(err, errno, "Landlock: a path")
               : 0;
}

int jail_landlock(const struct jail_config *c, struct error **err)
{
    long version = syscall(SYS_LANDLOCK_CREATE_RULESET, NULL, (size_t)0, CREATE_RULESET_VERSION);
    if (version < 1)
        return 0;
    unsigned last = sizeof fs_known / sizeof *fs_known;
    uint64_t fs = fs_known[version < (long)last ? version - 1 : (long)last - 1];
    struct ruleset r = {.fs = fs,
                        .net = version >= 4 && !c->network ? NET_ALL : 0,
                        .scoped = version >= 6 ? SCOPED_ALL : 0};
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    AUTO_CLOSE int fd = (int)syscall(SYS_LANDLOCK_CREATE_RULESET, &r, size, 0);
    if (fd < 0)
        return error_set(err, errno, "Landlock");
    for (unsigned i = 0; i < c->n_folders; i++) {
        uint64_t allowed = FS_READ | (c->folders[i].readonly ? 0 : FS_WRITE);
        if (add_path(fd, *c->folders[i].fd, allowed & fs, err) < 0)
            return -1;
    }
    AUTO_CLOSE int names = c->network ? open("/etc/resolv.conf", O_PATH | O_CLOEXEC) : -1;
    if (names >= 0 && add_path(fd, names, FS_READ_FILE, err) < 0)
        return -1;
    return syscall(SYS_LANDLOCK_RESTRICT_SELF, fd, 0) < 0 ? error_set(err, errno, "Landlock") : 0;
}
