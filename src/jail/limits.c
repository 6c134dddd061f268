#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "jail/steps.h"

/* RLIMIT_FSIZE stays the user's: a share's files, a disk and a log may have any size. RLIMIT_NOFILE
 * is what the process can open at all: a share takes as much as it may. */
#define FDS_WITHOUT_FOLDERS 1024u

static int lower(int which, rlim_t to, const char *name, struct error **err)
{
    struct rlimit l;
    if (getrlimit((__rlimit_resource_t)which, &l) < 0)
        return error_set(err, errno, "%s", name);
    l.rlim_max = l.rlim_max < to ? l.rlim_max : to;
    l.rlim_cur = l.rlim_max;
    return setrlimit((__rlimit_resource_t)which, &l) < 0 ? error_set(err, errno, "%s", name) : 0;
}

int jail_limits(const struct jail_config *c, bool namespaces, struct error **err)
{
    if (lower(RLIMIT_CORE, 0, "RLIMIT_CORE", err) < 0 ||
        lower(RLIMIT_MEMLOCK, 0, "RLIMIT_MEMLOCK", err) < 0 ||
        lower(RLIMIT_MSGQUEUE, 0, "RLIMIT_MSGQUEUE", err) < 0)
        return -1;
    if (!c->n_folders && lower(RLIMIT_NOFILE, FDS_WITHOUT_FOLDERS, "RLIMIT_NOFILE", err) < 0)
        return -1;
    /* In a user namespace of its own the process counts its own threads only. */
    if (namespaces && geteuid() != 0 && lower(RLIMIT_NPROC, c->threads, "RLIMIT_NPROC", err) < 0)
        return -1;
    return prctl(PR_SET_DUMPABLE, 0) < 0 ? error_set(err, errno, "PR_SET_DUMPABLE") : 0;
}

int jail_limits_self(uint64_t file_size, struct error **err)
{
    if (lower(RLIMIT_CORE, 0, "RLIMIT_CORE", err) < 0 ||
        lower(RLIMIT_MEMLOCK, 0, "RLIMIT_MEMLOCK", err) < 0 ||
        lower(RLIMIT_MSGQUEUE, 0, "RLIMIT_MSGQUEUE", err) < 0 ||
        lower(RLIMIT_NOFILE, FDS_WITHOUT_FOLDERS, "RLIMIT_NOFILE", err) < 0)
        return -1;
    /* A leak detector at the end is a process. */
    if (jail_has_filters() && lower(RLIMIT_NPROC, 0, "RLIMIT_NPROC", err) < 0)
        return -1;
    if (!file_size)
        return 0;
    /* A file that has become too large is an error of that write. */
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
        return error_set(err, errno, "SIGXFSZ");
    return lower(RLIMIT_FSIZE, file_size, "RLIMIT_FSIZE", err);
}

int jail_no_console(struct error **err)
{
    AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return error_set(err, errno, "/dev/null");
    return 0;
}

/* The lowest that is kept from `from` on; UINT_MAX: none is. */
static unsigned next_kept(const struct jail_config *c, int spare, unsigned from)
{
    unsigned next = from <= STDERR_FILENO ? from : UINT_MAX;
    if ((unsigned)spare >= from && (unsigned)spare < next)
        next = (unsigned)spare;
    for (unsigned i = 0; i < c->n_keep; i++) /* -1, which is none, is UINT_MAX */
        if ((unsigned)c->keep[i] >= from && (unsigned)c->keep[i] < next)
            next = (unsigned)c->keep[i];
    for (unsigned i = 0; i < c->n_folders; i++)
        if ((unsigned)*c->folders[i].fd >= from && (unsigned)*c->folders[i].fd < next)
            next = (unsigned)*c->folders[i].fd;
    return next;
}

int jail_close_others(const struct jail_config *c, int spare, struct error **err)
{
    for (unsigned from = 0; from != UINT_MAX;) {
        const unsigned kept = next_kept(c, spare, from);
        const unsigned last = kept == UINT_MAX ? kept : kept - 1;
        if (kept > from && syscall(SYS_close_range, from, last, 0) < 0)
            return error_set(err, errno, "close_range");
        from = kept == UINT_MAX ? kept : kept + 1;
    }
    return 0;
}
