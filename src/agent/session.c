#include "agent/session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "agent/command.h"
#include "base/cleanup.h"

/* More than a terminal's buffers hold. */
#define TTY_BUFFERS (128u << 10)

static const enum agent_type output_type[2] = {AGENT_OUTPUT, AGENT_ERROR};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void refuse(struct port *p, unsigned number, bool tty, const char *why)
{
    AUTO_FREE char *text = xasprintf("wirt: %s%s\n", why, tty ? "\r" : "");
    port_send(p, number, tty ? AGENT_OUTPUT : AGENT_ERROR, text, strlen(text));
    port_send(p, number, AGENT_EXIT, &(uint8_t){STATUS_AGENT}, 1);
}

int session_start(struct session **s, struct port *p, const struct agent_frame *f,
                  const uint8_t *payload, const char *refusal)
{
    ERROR_CLEANUP err = NULL;
    struct command c;
    int io[3], result = command_parse(&c, payload, f->length);
    pid_t pid = result < 0 || refusal ? -1 : command_start(&c, io, &err);
    *s = NULL;
    if (pid > 0) {
        *s = xcalloc(1, sizeof **s);
        **s = (struct session){.number = f->session, .tty = c.tty, .pid = pid, .in = io[0]};
        (*s)->out[0] = (struct output){.fd = io[1], .room = AGENT_WINDOW};
        (*s)->out[1] = (struct output){.fd = io[2], .room = AGENT_WINDOW};
    } else if (result == 0) {
        refuse(p, f->session, c.tty, refusal ? refusal : error_text(err));
    }
    command_free(&c);
    return result;
}

void session_free(struct session *s)
{
    if (s->pid) {
        kill(s->pid, SIGKILL); /* which may not lead a process group yet */
        killpg(s->pid, SIGKILL);
    }
    close_fd(&s->in);
    close_fd(&s->out[0].fd);
    close_fd(&s->out[1].fd);
    str_free(&s->input);
    free(s);
}

/* Into the command. */

static void drop_input(struct session *s)
{
    s->input_owed += s->input.len - s->input_done;
    s->input_done = 0;
    str_free(&s->input);
    close_fd(&s->in);
}

static void push_input(struct session *s)
{
    while (s->in >= 0 && s->input_done < s->input.len) {
        ssize_t n = write(s->in, s->input.data + s->input_done, s->input.len - s->input_done);
        if (n < 0 && errno != EAGAIN)
            drop_input(s); /* EPIPE: the command does not want it */
        if (n <= 0)
            return;
        s->input_done += (size_t)n;
        s->input_owed += (size_t)n;
    }
    s->input.len = s->input_done = 0;
    if (s->input_ends)
        close_fd(&s->in);
}

/* Not for each byte, but before the host waits for it. */
static void give_room(struct session *s, struct port *p)
{
    if (!s->input_owed || (s->input.len && s->input_owed < AGENT_WINDOW / 4))
        return;
    struct agent_room room = {.bytes = (uint32_t)s->input_owed, .stream = AGENT_INPUT};
    port_send(p, s->number, AGENT_ROOM, &room, sizeof room);
    s->input_owed = 0;
}

static int take_input(struct session *s, struct port *p, const uint8_t *data, size_t len)
{
    size_t waiting = s->input.len - s->input_done;
    if (waiting + s->input_owed + len > AGENT_WINDOW)
        return -1;
    if (!len && !s->tty)
        s->input_ends = true;
    if (s->input_done) {
        memmove(s->input.data, s->input.data + s->input_done, waiting);
        s->input.len = waiting;
        s->input_done = 0;
    }
    str_append(&s->input, data, len);
    if (s->in < 0)
        drop_input(s);
    push_input(s);
    give_room(s, p);
    return 0;
}

static int take_room(struct session *s, const struct agent_room *r)
{
    if (r->stream != AGENT_OUTPUT && r->stream != AGENT_ERROR)
        return -1;
    struct output *o = &s->out[r->stream == AGENT_ERROR];
    if (r->bytes > AGENT_WINDOW - o->room)
        return -1;
    o->room += r->bytes;
    return 0;
}

int session_frame(struct session *s, struct port *p, const struct agent_frame *f,
                  const uint8_t *payload)
{
    struct agent_size size;
    struct agent_room room;
    switch (f->type) {
    case AGENT_INPUT: return take_input(s, p, payload, f->length);
    case AGENT_SIGNAL:
        if (f->length != 1)
            return -1;
        if (s->pid)
            kill(s->pid, payload[0]); /* a number that is no signal does nothing */
        return 0;
    case AGENT_RESIZE:
        if (f->length != sizeof size)
            return -1;
        memcpy(&size, payload, sizeof size);
        if (s->tty && s->in >= 0)
            command_resize(s->in, &size, NULL);
        return 0;
    case AGENT_ROOM:
        if (f->length != sizeof room)
            return -1;
        memcpy(&room, payload, sizeof room);
        return take_room(s, &room);
    default: return -1;
    }
}

/* Out of the command. */

void session_ended(struct session *s, int status)
{
    s->pid = 0;
    s->status = (uint8_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    drop_input(s);
    for (int i = 0; i < 2; i++) {
        /* What it had written. A terminal's end is seen when it is read empty: the kernel hangs it
         * up as its session's leader ends, and tells of one of its buffers only. */
        int n = 0;
        if (s->tty)
            n = TTY_BUFFERS;
        else if (s->out[i].fd >= 0 && ioctl(s->out[i].fd, FIONREAD, &n) < 0)
            n = 0;
        s->out[i].left = (size_t)n;
    }
}

static bool may_pass(const struct session *s, int i)
{
    return s->out[i].fd >= 0 && s->out[i].room;
}

/* One frame; after the process has ended all that is left, as nothing would call us again. */
static void pass_output(struct session *s, struct port *p, int i)
{
    struct output *o = &s->out[i];
    uint8_t data[AGENT_DATA_MAX - sizeof(struct agent_frame)]; /* the kernel's buffer is 16 KiB */
    do {
        size_t most = o->room < sizeof data ? o->room : sizeof data;
        if (!s->pid && o->left < most)
            most = o->left;
        ssize_t n = most ? read(o->fd, data, most) : 0;
        if (n < 0 && errno == EAGAIN && s->pid)
            return;
        if (n <= 0) {
            close_fd(&o->fd);
            return;
        }
        port_send(p, s->number, output_type[i], data, (size_t)n);
        o->room -= (uint32_t)n;
        o->left -= s->pid ? 0 : (size_t)n;
    } while (!s->pid && o->room);
}

void session_poll(const struct session *s, struct pollfd fds[SESSION_FDS], bool may_read)
{
    /* What nothing is wanted of is left out: of its hang-up poll would tell at once, and again. */
    fds[0] = (struct pollfd){.fd = s->input.len ? s->in : -1, .events = POLLOUT};
    for (int i = 0; i < 2; i++)
        fds[1 + i] =
            (struct pollfd){.fd = may_read && may_pass(s, i) ? s->out[i].fd : -1, .events = POLLIN};
}

bool session_pass(struct session *s, struct port *p, const struct pollfd fds[SESSION_FDS],
                  bool may_read)
{
    if (fds[0].revents)
        push_input(s);
    give_room(s, p);
    for (int i = 0; may_read && i < 2; i++)
        if (may_pass(s, i) && (fds[1 + i].revents || !s->pid))
            pass_output(s, p, i);
    if (s->pid || s->out[0].fd >= 0 || s->out[1].fd >= 0)
        return false;
    port_send(p, s->number, AGENT_EXIT, &s->status, 1);
    return true;
}
