#include "container/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIRST = 3,
    KEEP_MAX = 8
};

int descriptors_check(int preserve, struct error **err)
{
    if (preserve < 0 || preserve > 65536)
        return error_set(err, 0, "--preserve-fds: %d is no number of descriptors", preserve);
    for (int fd = 0; fd < FIRST + preserve; fd++) {
        int flags = fcntl(fd, F_GETFD);
        /* What came through an execve is not closed by one; what this program opens always is. */
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            continue;
        if (fd < FIRST)
            return error_set(err, 0, "standard stream %d is not open", fd);
        return error_set(err, 0,
                         "--preserve-fds (with LISTEN_FDS): descriptor %d is to be passed to the "
                         "container and is not open",
                         fd);
    }
    return 0;
}

int descriptors_fill_streams(struct error **err)
{
    /* open answers the lowest number that is free. */
    for (;;) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return error_set(err, errno, "open /dev/null");
        if (fd >= FIRST) {
            close(fd);
            return 0;
        }
    }
}

static int close_between(int first, int last, struct error **err)
{
    if (first <= last && close_range((unsigned)first, (unsigned)last, 0) < 0)
        return error_set(err, errno, "close_range");
    return 0;
}

/* Nothing can be looked up below it, and it is not the host's file. */
static int check_harmless(int fd, struct error **err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, errno, "descriptor %d", fd);
    if (!S_ISSOCK(st.st_mode) && !(S_ISCHR(st.st_mode) && isatty(fd)))
        return error_set(err, 0, "descriptor %d would go into the container (mode %o)", fd,
                         st.st_mode);
    return 0;
}

int descriptors_leave(int preserve, const int *keep, size_t len, struct error **err)
{
    int sorted[KEEP_MAX], n = 0, next = FIRST + preserve;
    for (size_t i = 0; i < len; i++) {
        int at = n;
        if (keep[i] < 0)
            continue;
        if (n == KEEP_MAX)
            return error_set(err, 0, "more than %d descriptors are kept", KEEP_MAX);
        if (check_harmless(keep[i], err) < 0)
            return -1;
        for (; at > 0 && sorted[at - 1] > keep[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = keep[i];
        n++;
    }
    for (int i = 0; i < n; i++) {
        if (close_between(next, sorted[i] - 1, err) < 0)
            return -1;
        if (sorted[i] >= next)
            next = sorted[i] + 1;
    }
    return close_between(next, INT_MAX, err);
}
