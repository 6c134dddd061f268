#include "process/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

/* Folders that are the host's whatever the sysroot has there: the kernel's own, and scratch space
 * that a guest shares with native programs. */
static const char *const host_folders[] = {"/proc", "/dev", "/sys", "/tmp"};

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is_hosts(const char *path)
{
    for (size_t i = 0; i < sizeof host_folders / sizeof *host_folders; i++)
        if (below(path, host_folders[i]))
            return true;
    return false;
}

bool path_below_sysroot(const struct process *p, const char *path, const char **inside)
{
    if (!p->sysroot || !below(path, p->sysroot))
        return false;
    *inside = path + strlen(p->sysroot);
    return **inside == '/';
}

/* Copies the guest's string when it may need looking at; false: leave it to the host. */
static bool fetch(struct process *p, uint64_t guest_path, char *buffer)
{
    char first[6];
    if (!p->sysroot) { /* then only /proc matters: a cheap look first */
        if (guest_read(first, guest_path, sizeof first) || memcmp(first, "/proc/", 6) != 0)
            return false;
    }
    long n = guest_strnlen((const char *)guest_path, PATH_MAX);
    if (n <= 0 || n >= PATH_MAX || guest_read(buffer, guest_path, (size_t)n))
        return false;
    buffer[n] = '\0';
    return buffer[0] == '/';
}

bool descriptor_path(int fd, char out[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n <= 0)
        return false;
    out[n] = '\0';
    return true;
}

/* openat2 refuses bits that openat ignores. */
#define OPEN_FLAGS                                                                          \
    (O_ACCMODE | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC | O_DIRECT | \
     0100000 /* O_LARGEFILE */ | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC)
#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static long open_below(struct thread *t, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags & (flags & O_PATH ? PATH_FLAGS : OPEN_FLAGS)),
                           .resolve = RESOLVE_IN_ROOT};
    uint64_t fd = (uint64_t)t->process->sysroot_fd;
    return host_wait(t, SYS_openat2, fd, (uint64_t)path, (uint64_t)&how, sizeof how, 0, 0);
}

/* The path by which the host knows what `path` below the sysroot is: links may lead anywhere, and
 * an absolute one means the sysroot's root. */
static bool find_below(struct process *p, const char *path, bool follow, char *out)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
                           .resolve = RESOLVE_IN_ROOT};
    long fd = HOST_CALL(SYS_openat2, p->sysroot_fd, path, &how, sizeof how);
    if (fd < 0)
        return false;
    bool found = descriptor_path((int)fd, out);
    if (!found) /* no /proc here: right as long as no absolute link is on the way */
        found = snprintf(out, PATH_MAX, "%s%s", p->sysroot, path) < PATH_MAX;
    HOST_CALL(SYS_close, fd);
    return found;
}

static bool resolve(struct process *p, const char *path, bool follow, char *out)
{
    struct proc_file f;
    if (follow && proc_parse(path, &f) && strcmp(f.name, "exe") == 0)
        return proc_exe(p, &f, false, out);
    return p->sysroot && !is_hosts(path) && find_below(p, path, follow, out);
}

void path_resolve(struct thread *t, uint64_t guest_path, bool follow, struct host_path *out)
{
    char path[PATH_MAX];
    out->path = (const char *)guest_path;
    if (fetch(t->process, guest_path, path) && resolve(t->process, path, follow, out->buffer))
        out->path = out->buffer;
}

void path_resolve_own(struct process *p, const char *path, bool follow, struct host_path *out)
{
    out->path = path;
    if (path[0] == '/' && resolve(p, path, follow, out->buffer))
        out->path = out->buffer;
}

/* A file of /proc that is not what the host has there. */
static bool open_proc(struct thread *t, const struct proc_file *f, int flags, long *result)
{
    char path[PATH_MAX];
    if (strcmp(f->name, "exe") != 0) {
        *result = proc_open(t->process, f, flags);
        return *result >= 0;
    }
    if ((flags & O_NOFOLLOW) || !proc_exe(t->process, f, false, path))
        return false;
    *result = HOST_CALL(SYS_openat, AT_FDCWD, path, flags);
    return true;
}

bool path_open(struct thread *t, int dirfd, uint64_t guest_path, int flags, unsigned mode,
               long *result)
{
    struct process *p = t->process;
    char path[PATH_MAX];
    struct proc_file f;
    if (proc_find(dirfd, guest_path, &f))
        return open_proc(t, &f, flags, result);
    if (!p->sysroot || !fetch(p, guest_path, path))
        return false;
    if (is_hosts(path))
        return false;
    /* A file that is not there is not made there either: the sysroot is for reading. */
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) || (flags & O_TMPFILE) == O_TMPFILE)
        return false;
    *result = open_below(t, path, flags);
    return *result != -ENOENT && *result != -ENOTDIR && *result != -EXDEV;
}
