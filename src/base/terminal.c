#include "base/terminal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
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

/* Also one that has hung up, which answers EIO. Leaves errno alone. */
static bool is_terminal(int fd)
{
    int before = errno;
    struct stat st;
    struct termios t;
    bool is =
        fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && (tcgetattr(fd, &t) == 0 || errno == EIO);
    errno = before;
    return is;
}

/* Whether it is for good that it failed with EIO. */
static bool hung_up(int master)
{
    struct pollfd p = {.fd = master};
    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

ssize_t terminal_read(int fd, void *data, size_t len)
{
    for (int tries = 1;; tries++) {
        ssize_t n = read(fd, data, len);
        if (n >= 0 || (errno != EIO && errno != EINTR))
            return n;
        if (errno == EINTR)
            continue;
        if (!is_terminal(fd))
            return -1;
        if (hung_up(fd) || tries == TRIES)
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

bool terminal_input_room(const struct terminal_input *in)
{
    return !in->ended && in->start == in->end;
}

int terminal_input_take(struct terminal_input *in, int fd)
{
    ssize_t n = terminal_read(fd, in->data, sizeof in->data);
    if (n < 0 && errno == EAGAIN)
        return 0;
    in->start = 0;
    if (n > 0) {
        in->end = (size_t)n;
        in->inside_line = terminal_ends(in->data[n - 1]) > 1;
        return 0;
    }
    in->ended = true;
    in->end = terminal_ends(in->inside_line ? 0 : '\n');
    memcpy(in->data, TERMINAL_END, in->end);
    return n < 0 ? -1 : 0;
}

int terminal_input_give(struct terminal_input *in, int master)
{
    ssize_t n = terminal_write(master, in->data + in->start, in->end - in->start);
    if (n < 0 && errno == EAGAIN)
        return 0;
    in->start = n < 0 ? in->end : in->start + (size_t)n;
    return n < 0 ? -1 : 0;
}
