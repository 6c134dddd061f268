#include "guest/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/str.h"
#include "base/terminal.h"
#include "guest/control.h"

#define CTRL_P 0x10
#define CTRL_Q 0x11

/* So long a guest may take to take what was typed before the keys that detach. */
#define DETACH_NS 2000000000u

struct attach {
    int fd;
    const struct attach_options *o;
    struct str out, in; /* to the monitor; from it, not yet a whole frame */
    bool seen_ctrl_p, input_ended, done;
    bool at_terminal; /* the input is a terminal's, for a guest that has one */
    int input_code;   /* why not all of the input could be read (errno); 0: it was */
    enum attach_end end;
    int status;
};

static void send_size(struct attach *a)
{
    struct winsize ws;
    if (!a->o->tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0)
        return;
    unsigned char p[4] = {(unsigned char)ws.ws_row, (unsigned char)(ws.ws_row >> 8),
                          (unsigned char)ws.ws_col, (unsigned char)(ws.ws_col >> 8)};
    frame_append(&a->out, FRAME_RESIZE, p, sizeof p);
}

/* Looks for the detach keys, docker's ctrl-p ctrl-q; a ctrl-p that is followed by something else is
 * passed on with it. */
static void take_input(struct attach *a, const char *data, size_t len)
{
    STR_CLEANUP pass = {0};
    for (size_t i = 0; i < len; i++) {
        if (a->o->tty && a->seen_ctrl_p) {
            a->seen_ctrl_p = false;
            if (data[i] == CTRL_Q) {
                a->done = true;
                a->end = ATTACH_DETACHED;
                break;
            }
            char c = CTRL_P;
            str_append(&pass, &c, 1);
        }
        if (a->o->tty && data[i] == CTRL_P)
            a->seen_ctrl_p = true;
        else
            str_append(&pass, &data[i], 1);
    }
    if (pass.len)
        frame_append(&a->out, FRAME_STDIN, pass.data, pass.len);
}

static void read_input(struct attach *a)
{
    char buf[16384];
    ssize_t n = terminal_read(STDIN_FILENO, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        take_input(a, buf, (size_t)n);
        return;
    }
    a->input_code = n < 0 ? errno : 0;
    a->input_ended = true;
    /* A terminal that has gone: the guest's is still there, for the next one who attaches. */
    if (!a->at_terminal)
        frame_append(&a->out, FRAME_EOF, "", 0);
}

static int take_frames(struct attach *a, struct error **err)
{
    size_t done = 0;
    while (done < a->in.len) {
        enum frame_type type;
        const char *p;
        size_t len;
        int64_t n = frame_parse(a->in.data + done, a->in.len - done, &type, &p, &len);
        if (n < 0)
            return error_set(err, 0, "the guest's monitor sent something that is not a frame");
        if (n == 0)
            break;
        done += (size_t)n;
        if (type == FRAME_EXIT && len == 1) {
            a->done = true;
            a->end = ATTACH_EXITED;
            a->status = (unsigned char)p[0];
        } else if (type == FRAME_STDOUT || type == FRAME_STDERR) {
            int fd = type == FRAME_STDERR ? STDERR_FILENO : STDOUT_FILENO;
            if (write_all(fd, p, len) == 0)
                continue;
            if (errno != EPIPE)
                return error_set(err, errno, "write the guest's output");
            /* Nobody reads it any more. A command of wirt exec learns of it by SIGHUP. */
            a->done = true;
            a->end = ATTACH_EXITED;
            a->status = 128 + SIGPIPE;
            break;
        }
    }
    if (done)
        memmove(a->in.data, a->in.data + done, a->in.len - done);
    a->in.len -= done;
    return 0;
}

static int read_monitor(struct attach *a, struct error **err)
{
    char buf[32768];
    ssize_t n = recv(a->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n < 0 && refused_for_now(errno))
        return 0;
    if (n <= 0)
        return error_set(err, n < 0 ? errno : 0, "the guest's monitor is gone");
    str_append(&a->in, buf, (size_t)n);
    return take_frames(a, err);
}

static void write_monitor(struct attach *a)
{
    ssize_t n = send(a->fd, a->out.data, a->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0)
        return; /* a broken connection shows when it is read */
    memmove(a->out.data, a->out.data + n, a->out.len - (size_t)n);
    a->out.len -= (size_t)n;
}

static void take_signals(struct attach *a, int fd)
{
    struct signalfd_siginfo si;
    while (read(fd, &si, sizeof si) == (ssize_t)sizeof si) {
        unsigned char sig = (unsigned char)si.ssi_signo;
        if (sig == SIGWINCH)
            send_size(a);
        else if (a->o->sig_proxy)
            frame_append(&a->out, FRAME_SIGNAL, &sig, 1);
        else {
            a->done = true;
            a->end = ATTACH_DETACHED;
        }
    }
}

static int relay(struct attach *a, int signals, struct error **err)
{
    send_size(a);
    while (!a->done) {
        bool read_in = a->o->input && !a->input_ended && a->out.len < FRAME_MAX;
        struct pollfd p[3] = {
            {.fd = a->fd, .events = (short)(POLLIN | (a->out.len ? POLLOUT : 0))},
            {.fd = signals, .events = POLLIN},
            {.fd = read_in ? STDIN_FILENO : -1, .events = POLLIN},
        };
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (p[1].revents)
            take_signals(a, signals);
        if (p[2].revents)
            read_input(a);
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && read_monitor(a, err) < 0)
            return -1;
        if (a->out.len)
            write_monitor(a);
    }
    return 0;
}

/* What was typed before the keys that detach is the guest's. */
static int give_rest(struct attach *a, struct error **err)
{
    uint64_t end = clock_ns() + DETACH_NS, now;
    struct pollfd p = {.fd = a->fd, .events = POLLOUT};
    while (a->out.len && (now = clock_ns()) < end) {
        int n = poll(&p, 1, (int)((end - now) / 1000000) + 1);
        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (n > 0 && p.revents & (POLLHUP | POLLERR)) {
            if (read_monitor(a, err) < 0)
                return -1;
            if (a->end == ATTACH_EXITED)
                return 0; /* it has ended meanwhile */
        } else if (n > 0) {
            write_monitor(a);
        }
    }
    return a->out.len ? error_set(err, 0, "detached, but the guest has not taken all of its input")
                      : 0;
}

int attach_run(int fd, const struct attach_options *o, enum attach_end *end, int *status,
               struct error **err)
{
    static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    struct attach a = {.fd = fd, .o = o};
    sigset_t set, before;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaddset(&set, passed[i]);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, &before);
    AUTO_CLOSE int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return error_set(err, errno, "signalfd");
    struct raw_terminal raw = {.fd = -1};
    int r = o->tty && o->input ? raw_terminal_enter(&raw, STDIN_FILENO, err) : 0;
    a.at_terminal = raw.fd >= 0;
    if (r == 0)
        r = relay(&a, signals, err);
    if (r == 0 && a.end == ATTACH_DETACHED)
        r = give_rest(&a, err);
    raw_terminal_leave(&raw);
    if (r == 0 && a.input_code && (a.end == ATTACH_DETACHED || a.status == 0))
        r = error_set(err, 0, "read standard input: %s", strerror(a.input_code));
    else if (a.input_code)
        log_warn("read standard input: %s", strerror(a.input_code));
    sigprocmask(SIG_SETMASK, &before, NULL);
    str_free(&a.out);
    str_free(&a.in);
    *end = a.end;
    *status = a.status;
    return r;
}
