/* What a guest sends its monitor on the agent's port: every byte is the fuzzer's. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/protocol.h"
#include "fuzz.h"
#include "guest/agent_link.h"

struct state {
    struct agent_link *link;
    struct agent_session *session;
};

static void output(void *arg, int which, const char *data, size_t len)
{
    struct state *s = arg;
    if (len > AGENT_PAYLOAD_MAX)
        abort();
    if (which) /* the reader of standard output never catches up */
        agent_session_took(s->session, which, len);
}

static void input_room(void *arg)
{
    struct state *s = arg;
    static const char text[1000];
    agent_session_input(s->session, text, sizeof text);
}

static void ended(void *arg, int status)
{
    struct state *s = arg;
    s->session = NULL;
}

static void hello(void *arg)
{
    static const struct agent_session_ops ops = {output, input_room, ended};
    struct state *s = arg;
    char *command[] = {"true", NULL}, *env[] = {NULL};
    struct wall_exec x = {.command = command, .env = env};
    s->session = agent_run(s->link, &x, 0, 0, &ops, s, NULL);
    if (s->session)
        agent_session_input(s->session, "some input", 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct agent_frame greeting = {
        .length = AGENT_NONCE, .type = AGENT_HELLO, .magic = AGENT_MAGIC};
    static const char nonce[AGENT_NONCE];
    struct state s = {0};
    int sv[2];
    struct loop *loop = loop_new(NULL);
    if (!loop || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
        abort();
    s.link = agent_link_new(loop, sv[0], hello, &s, NULL);
    if (!s.link || send(sv[1], &greeting, sizeof greeting, MSG_DONTWAIT) < 0 ||
        send(sv[1], nonce, sizeof nonce, MSG_DONTWAIT) < 0)
        abort();
    if (send(sv[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        size = 0; /* more than a socket holds */
    shutdown(sv[1], SHUT_WR);
    agent_link_finish(s.link);
    if (s.session)
        abort(); /* it was to be told */
    agent_link_free(s.link);
    loop_free(loop);
    close(sv[0]);
    close(sv[1]);
    return 0;
}
