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

/* /proc/self/NAME, /proc/thread-self/NAME or /proc/PID/NAME of this process: NAME; else NULL. */
static const char *own_proc_file(const char *path)
{
    if (!str_starts(path, "/proc/"))
        return NULL;
    const char *rest = path + 6;
    if (str_starts(rest, "self/"))
        return rest + 5;
    if (str_starts(rest, "thread-self/"))
        return rest + 12;
    char pid[16];
    int n = snprintf(pid, sizeof pid, "%d/", (int)getpid());
    return str_starts(rest, pid) ? rest + n : NULL;
}

bool path_is_exe(const char *path)
{
    const char *name = own_proc_file(path);
    return name && strcmp(name, "exe") == 0;
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
    char link[48];
    snprintf(link, sizeof link, "/proc/self/fd/%ld", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n > 0)
        out[n] = '\0';
    else if (snprintf(out, PATH_MAX, "%s%s", p->sysroot, path) >= PATH_MAX)
        n = -1;
    else
        n = 1; /* no /proc here: right as long as no absolute link is on the way */
    HOST_CALL(SYS_close, fd);
    return n > 0;
}

static bool resolve(struct process *p, const char *path, bool follow, char *out)
{
    if (path_is_exe(path) && follow) {
        if (strlen(p->exe_host) >= PATH_MAX)
            return false;
        strcpy(out, p->exe_host);
        return true;
    }
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

bool path_open(struct thread *t, uint64_t guest_path, int flags, unsigned mode, long *result)
{
    struct process *p = t->process;
    char path[PATH_MAX];
    if (!fetch(p, guest_path, path))
        return false;
    const char *name = own_proc_file(path);
    if (name || strcmp(path, "/proc/cpuinfo") == 0) {
        if (name && strcmp(name, "exe") == 0) {
            *result = HOST_CALL(SYS_openat, AT_FDCWD, p->exe_host, flags, mode);
            return true;
        }
        int fd = proc_open(p, name ? name : "cpuinfo", flags);
        *result = fd;
        return fd >= 0;
    }
    if (!p->sysroot || is_hosts(path))
        return false;
    /* A file that is not there is not made there either: the sysroot is for reading. */
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) || (flags & O_TMPFILE) == O_TMPFILE)
        return false;
    *result = open_below(t, path, flags);
    return *result != -ENOENT && *result != -ENOTDIR && *result != -EXDEV;
}
