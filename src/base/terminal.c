#include "base/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* How often what failed without a hang-up is tried. */
#define TRIES 3

static int set_terminal(int fd, const struct termios *t)
{
    int r;
    do
        r = tcsetattr(fd, TCSADRAIN, t);
    while (r < 0 && errno == EINTR); /* of the wait for what is on its way */
    return r;
}

int raw_terminal_enter(struct raw_terminal *t, int fd, struct error **err)
{
    *t = (struct raw_terminal){.fd = -1};
    struct termios saved;
    if (tcgetattr(fd, &saved) < 0) {
        /* EIO: it was one, and is gone */
        if (errno == ENOTTY || errno == EINVAL || errno == EBADF || errno == EIO)
            return 0;
        return error_set(err, errno, "look at the terminal");
    }
    struct termios raw = saved;
    cfmakeraw(&raw);
    if (set_terminal(fd, &raw) < 0)
        return error_set(err, errno, "make the terminal raw");
    *t = (struct raw_terminal){.fd = fd, .saved = saved};
    return 0;
}

void raw_terminal_leave(struct raw_terminal *t)
{
    if (t->fd >= 0 && set_terminal(t->fd, &t->saved) < 0 && errno != EIO)
        log_warn("the terminal stays raw, reset(1) puts it back: %s", strerror(errno));
    t->fd = -1;
}

/* Whether it is for good that it failed with EIO. */
static bool hung_up(int master)
{
    struct pollfd p = {.fd = master};
    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

ssize_t terminal_read(int master, void *data, size_t len)
{
    for (int tries = 1;; tries++) {
        ssize_t n = read(master, data, len);
        if (n >= 0 || (errno != EIO && errno != EINTR))
            return n;
        if (errno == EIO && (hung_up(master) || tries == TRIES))
            return 0;
    }
}

ssize_t terminal_write(int master, const void *data, size_t len)
{
    for (int tries = 1;; tries++) {
        ssize_t n = write(master, data, len);
        if (n >= 0 || (errno != EIO && errno != EINTR))
            return n;
        if (errno == EIO && (hung_up(master) || tries == TRIES))
            return (ssize_t)len;
    }
}
