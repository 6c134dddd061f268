/* What a host sends the agent in its guest: any bytes before and after its answer to HELLO, and
 * frames for sessions that are there. Commands are taken apart, not run: a session here has a pipe
 * for its input and no process. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/session.h"
#include "fuzz.h"

#define NUMBER 7

struct state {
    struct port port;
    struct session *session;
};

static struct session *new_session(bool tty)
{
    int sv[2], out[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out) < 0)
        abort();
    close(sv[1]);
    if (write(out[1], "some output", 11) != 11)
        abort();
    close(out[1]);
    struct session *s = calloc(1, sizeof *s);
    *s = (struct session){.number = NUMBER, .tty = tty, .in = sv[0]};
    s->out[0] = (struct output){.fd = out[0], .room = AGENT_WINDOW};
    s->out[1] = (struct output){.fd = -1, .room = AGENT_WINDOW};
    return s;
}

static int frame(void *arg, const struct agent_frame *f, const uint8_t *payload)
{
    struct state *s = arg;
    struct command c;
    if (f->length > AGENT_PAYLOAD_MAX)
        abort();
    if (f->type == AGENT_RUN) {
        int r = command_parse(&c, payload, f->length);
        for (char **a = r == 0 ? c.args : NULL; a && *a; a++)
            (void)strlen(*a);
        command_free(&c);
        return r;
    }
    return f->session == NUMBER ? session_frame(s->session, &s->port, f, payload) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size < 60000 ? size : 60000};
    struct state s = {0};
    int sv[2];
    signal(SIGPIPE, SIG_IGN); /* as the agent has it */
    char path[32];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        abort();
    snprintf(path, sizeof path, "/dev/fd/%d", sv[0]);
    if (port_open(&s.port, path, NULL) < 0)
        abort();
    uint64_t how = take(&in, 1);
    s.session = new_session(how & 1);
    enum port_state state = PORT_OK;
    for (bool answered = false; state == PORT_OK && (in.left || !answered); answered = true) {
        struct input part = {in.data, how & 2 ? in.left : in.left / 2};
        if (part.left && send(sv[1], part.data, part.left, MSG_NOSIGNAL) != (ssize_t)part.left)
            abort();
        in.data += part.left;
        in.left -= part.left;
        if (answered && how & 4 && port_flush(&s.port, NULL) < 0)
            break;
        if (!answered && send(sv[1], &s.port.hello, sizeof s.port.hello, MSG_NOSIGNAL) < 0)
            abort();
        struct pollfd fds[SESSION_FDS];
        for (unsigned i = 0; i < 4 && state == PORT_OK; i++) {
            state = port_receive(&s.port, frame, &s, NULL);
            session_poll(s.session, fds, true);
            if (poll(fds, SESSION_FDS, 0) > 0 && session_pass(s.session, &s.port, fds, true))
                break;
        }
        how |= 2; /* the rest at once */
        if (!in.left && answered)
            break;
    }
    session_free(s.session);
    port_close(&s.port);
    close(sv[0]);
    close(sv[1]);
    return 0;
}
