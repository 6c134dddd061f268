/* Landlock (the kernel's Documentation/userspace-api/landlock.rst): a second lock on paths, which
 * holds also where there are no namespaces. Its numbers stand here, as a C library's headers may be
 * older than the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jail/steps.h"

#define SYS_LANDLOCK_CREATE_RULESET 444
#define SYS_LANDLOCK_ADD_RULE       445
#define SYS_LANDLOCK_RESTRICT_SELF  446
#define CREATE_RULESET_VERSION      1u
#define RULE_PATH_BENEATH           1

#define FS_WRITE_FILE  0x0002ull
#define FS_READ_FILE   0x0004ull
#define FS_READ_DIR    0x0008ull
#define FS_REMOVE_DIR  0x0010ull
#define FS_REMOVE_FILE 0x0020ull
#define FS_TRUNCATE    0x4000ull
#define FS_READ        (FS_READ_FILE | FS_READ_DIR)
#define FS_WRITE       0x77b2ull /* files, what makes and removes names; but no device nodes */
#define FS_OF_FILE     (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE) /* what a file itself can have */
#define NET_ALL        0x3ull                                       /* TCP: bind, connect */
#define SCOPED_SOCKETS 0x1ull
#define SCOPED_ALL     0x3ull /* abstract sockets, signals */
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

static long kernel_version(void)
{
    return syscall(SYS_LANDLOCK_CREATE_RULESET, NULL, (size_t)0, CREATE_RULESET_VERSION);
}

bool jail_has_landlock(void)
{
    return kernel_version() >= 1;
}

/* A ruleset of what this kernel's version knows of *r, which is then *r. */
static int ruleset_new(long version, struct ruleset *r, struct error **err)
{
    unsigned last = sizeof fs_known / sizeof *fs_known;
    r->fs &= fs_known[version < (long)last ? version - 1 : (long)last - 1];
    r->net = version >= 4 ? r->net : 0;
    r->scoped = version >= 6 ? r->scoped : 0;
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int fd = (int)syscall(SYS_LANDLOCK_CREATE_RULESET, r, size, 0);
    return fd < 0 ? error_set(err, errno, "Landlock") : fd;
}

static int restrict_self(int ruleset, struct error **err)
{
    return syscall(SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0) < 0 ? error_set(err, errno, "Landlock")
                                                               : 0;
}

static int add_folder(int ruleset, const struct jail_folder *f, uint64_t handled,
                      struct error **err)
{
    uint64_t allowed = handled & (FS_READ | (f->readonly ? 0 : FS_WRITE));
    if (!f->only)
        return add_path(ruleset, *f->fd, allowed, err);
    AUTO_CLOSE int fd = openat(*f->fd, f->only, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "%s", f->only);
    return add_path(ruleset, fd, allowed & FS_OF_FILE, err);
}

int jail_landlock(const struct jail_config *c, struct error **err)
{
    long version = kernel_version();
    if (version < 1)
        return 0;
    struct ruleset r = {.fs = UINT64_MAX, .net = c->network ? 0 : NET_ALL, .scoped = SCOPED_ALL};
    AUTO_CLOSE int fd = ruleset_new(version, &r, err);
    if (fd < 0)
        return -1;
    for (unsigned i = 0; i < c->n_folders; i++)
        if (add_folder(fd, &c->folders[i], r.fs, err) < 0)
            return -1;
    AUTO_CLOSE int names = c->network ? open("/etc/resolv.conf", O_PATH | O_CLOEXEC) : -1;
    if (names >= 0 && add_path(fd, names, FS_READ_FILE, err) < 0)
        return -1;
    return restrict_self(fd, err);
}

static int add_place(int ruleset, const struct jail_place *p, uint64_t handled, struct error **err)
{
    static const struct {
        enum jail_access access;
        uint64_t fs;
    } meanings[] = {{JAIL_READ, FS_READ},
                    {JAIL_LIST, FS_READ_DIR},
                    {JAIL_WRITE, FS_WRITE},
                    {JAIL_UNLINK, FS_REMOVE_FILE},
                    {JAIL_RMDIR, FS_REMOVE_DIR}};
    struct stat st;
    uint64_t allowed = 0;
    if (fstat(p->fd, &st) < 0)
        return error_set(err, errno, "Landlock: a place");
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        allowed |= p->access & meanings[i].access ? meanings[i].fs : 0;
    allowed &= handled & (S_ISDIR(st.st_mode) ? UINT64_MAX : FS_OF_FILE);
    return allowed ? add_path(ruleset, p->fd, allowed, err) : 0;
}

/* Signals are not scoped: who was started before is outside. */
int jail_landlock_self(const struct jail_self *j, struct error **err)
{
    long version = j->no_landlock ? 0 : kernel_version();
    if (version < 1)
        return 0;
    struct ruleset r = {
        .fs = j->reads_all ? ~FS_READ : UINT64_MAX, .net = NET_ALL, .scoped = SCOPED_SOCKETS};
    AUTO_CLOSE int fd = ruleset_new(version, &r, err);
    if (fd < 0)
        return -1;
    for (unsigned i = 0; i < j->n_places; i++)
        if (add_place(fd, &j->places[i], r.fs, err) < 0)
            return -1;
    return restrict_self(fd, err);
}
