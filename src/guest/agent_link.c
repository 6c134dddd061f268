#include "guest/agent_link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/protocol.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#define MAX_SESSIONS 64u

/* Waiting to be taken by the guest: more than all windows together is a guest that does not read
 * what it asks for. */
#define OUT_MAX (2 * MAX_SESSIONS * AGENT_WINDOW)

struct agent_session {
    struct agent_link *link;
    const struct agent_session_ops *ops; /* NULL: nobody listens */
    void *arg;
    uint16_t number;
    size_t input_room;     /* bytes that may be sent */
    size_t output_owed[2]; /* bytes that arrived and were not passed on */
    bool ended;            /* its number may be another one's */
};

struct agent_link {
    struct loop *loop;
    int fd; /* -1: broken */
    loop_fn *on_hello;
    void *arg;
    bool answers;
    bool broken;             /* nothing more goes either way; its sessions are about to be told */
    char nonce[AGENT_NONCE]; /* of the agent that answers */
    struct str in, out;
    struct agent_session *sessions[MAX_SESSIONS];
};

static void link_ready(void *arg, int fd, uint32_t events);

static void rewatch(struct agent_link *l)
{
    if (l->fd >= 0 && !l->broken)
        loop_watch(l->loop, l->fd, EPOLLIN | (l->out.len ? EPOLLOUT : 0), link_ready, l, NULL);
}

static void session_free(void *arg)
{
    struct agent_session *s = arg;
    assert(loop_may_free(s->link->loop));
    free(s);
}

static void session_end(struct agent_session *s, int status)
{
    s->link->sessions[s->number] = NULL;
    s->ended = true;
    if (s->ops)
        s->ops->ended(s->arg, status);
    s->ops = NULL;
    loop_dispose(s->link->loop, session_free, s);
}

static void end_all(struct agent_link *l)
{
    l->answers = false;
    for (unsigned i = 0; i < MAX_SESSIONS; i++)
        if (l->sessions[i])
            session_end(l->sessions[i], -1);
}

static void link_end(void *arg)
{
    struct agent_link *l = arg;
    loop_timer(l->loop, UINT64_MAX, link_end, l);
    if (l->fd < 0)
        return;
    loop_unwatch(l->loop, l->fd);
    l->fd = -1;
    l->broken = true;
    end_all(l);
}

/* The agent broke the rules. Found out wherever something is sent or taken, it is told to the
 * sessions from the loop alone: their owners are in the middle of something. */
static void link_broken(struct agent_link *l)
{
    if (l->fd < 0 || l->broken)
        return;
    l->broken = true;
    loop_unwatch(l->loop, l->fd);
    loop_timer(l->loop, clock_ns(), link_end, l);
}

static void flush(struct agent_link *l)
{
    if (l->fd >= 0 && !l->broken)
        flush_socket(l->fd, &l->out); /* a broken one shows when it is read */
    rewatch(l);
}

static void put(struct agent_link *l, enum agent_type type, unsigned session, const void *data,
                size_t len)
{
    struct agent_frame f = {.length = (uint32_t)len,
                            .session = (uint16_t)session,
                            .type = (uint8_t)type,
                            .magic = AGENT_MAGIC};
    if (l->fd < 0 || l->broken)
        return;
    str_append(&l->out, &f, sizeof f);
    if (len)
        str_append(&l->out, data, len);
    if (l->out.len > OUT_MAX) {
        log_warn("agent: it does not read what it is sent");
        link_broken(l);
    } else {
        flush(l);
    }
}

/* ---- from the agent ---- */

/* A fresh agent knows nothing of what was before it. One that was not answered at once says the
 * same again, which is then on its way behind what we have taken already. */
static void take_hello(struct agent_link *l, const char *nonce, size_t len)
{
    if (len != AGENT_NONCE || (l->answers && !memcmp(nonce, l->nonce, AGENT_NONCE)))
        return;
    end_all(l);
    l->out.len = 0;
    l->answers = true;
    memcpy(l->nonce, nonce, AGENT_NONCE);
    put(l, AGENT_HELLO, 0, nonce, len);
    l->on_hello(l->arg);
}

static void take_output(struct agent_session *s, int which, const char *data, size_t len)
{
    if (s->output_owed[which] + len > AGENT_WINDOW) {
        log_warn("agent: session %u: more output than there was room for", s->number);
        link_broken(s->link);
        return;
    }
    s->output_owed[which] += len;
    if (s->ops)
        s->ops->output(s->arg, which, data, len);
    else
        agent_session_took(s, which, len);
}

static void take_room(struct agent_session *s, const char *data, size_t len)
{
    struct agent_room r;
    if (len != sizeof r)
        return;
    memcpy(&r, data, sizeof r);
    if (r.stream != AGENT_INPUT || r.bytes > AGENT_WINDOW - s->input_room)
        return;
    s->input_room += r.bytes;
    if (s->ops)
        s->ops->input_room(s->arg);
}

static void take_frame(struct agent_link *l, const struct agent_frame *f, const char *data)
{
    if (f->type == AGENT_HELLO) {
        take_hello(l, data, f->length);
        return;
    }
    struct agent_session *s = f->session < MAX_SESSIONS ? l->sessions[f->session] : NULL;
    if (!s)
        return;
    switch (f->type) {
    case AGENT_OUTPUT: take_output(s, 0, data, f->length); break;
    case AGENT_ERROR: take_output(s, 1, data, f->length); break;
    case AGENT_ROOM: take_room(s, data, f->length); break;
    case AGENT_EXIT:
        if (f->length == 1)
            session_end(s, (unsigned char)data[0]);
        break;
    default: log_debug("agent: frame of type %u", f->type);
    }
}

/* Where the next hello begins in what is no frame, or the end: a reset of the guest may have cut a
 * frame short. */
static size_t find_hello(const char *data, size_t len)
{
    static const struct agent_frame hello = {
        .length = AGENT_NONCE, .type = AGENT_HELLO, .magic = AGENT_MAGIC};
    const char *at = memmem(data, len, &hello, sizeof hello);
    size_t keep = sizeof hello - 1;
    return at ? (size_t)(at - data) : len > keep ? len - keep : 0;
}

static void take_all(struct agent_link *l)
{
    size_t done = 0;
    while (l->fd >= 0 && !l->broken && l->in.len - done >= sizeof(struct agent_frame)) {
        struct agent_frame f;
        const char *data = l->in.data + done;
        size_t left = l->in.len - done;
        memcpy(&f, data, sizeof f);
        if (f.magic != AGENT_MAGIC || f.length > AGENT_PAYLOAD_MAX) {
            size_t skip = 1 + find_hello(data + 1, left - 1);
            done += skip;
            if (left - skip < sizeof f)
                break;
            continue;
        }
        if (left - sizeof f < f.length)
            break;
        done += sizeof f + f.length;
        take_frame(l, &f, data + sizeof f);
    }
    str_drop(&l->in, done);
}

/* One read: false when there is nothing more now or for ever. What the kernel refuses for the
 * moment is read again. */
static bool take_some(struct agent_link *l)
{
    char buf[65536];
    ssize_t n = recv(l->fd, buf, sizeof buf, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0 && refused_for_now(errno))
        return true;
    if (n <= 0) {
        link_end(l);
        return false;
    }
    str_append(&l->in, buf, (size_t)n);
    take_all(l);
    return !l->broken;
}

static void link_ready(void *arg, int fd, uint32_t events)
{
    struct agent_link *l = arg;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        take_some(l);
    if (l->fd >= 0)
        flush(l);
}

void agent_link_finish(struct agent_link *l)
{
    while (l && l->fd >= 0 && !l->broken && take_some(l))
        ;
    if (l)
        link_end(l);
}

/* ---- the link ---- */

struct agent_link *agent_link_new(struct loop *loop, int fd, loop_fn *on_hello, void *arg,
                                  struct error **err)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        error_set(err, errno, "make the agent's socket nonblocking");
        return NULL;
    }
    struct agent_link *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->fd = fd;
    l->on_hello = on_hello;
    l->arg = arg;
    if (loop_watch(loop, fd, EPOLLIN, link_ready, l, err) < 0) {
        free(l);
        return NULL;
    }
    return l;
}

/* Behind its sessions. */
static void link_free(void *arg)
{
    struct agent_link *l = arg;
    str_free(&l->in);
    str_free(&l->out);
    free(l);
}

void agent_link_free(struct agent_link *l)
{
    if (!l)
        return;
    assert(loop_may_free(l->loop));
    loop_timer(l->loop, UINT64_MAX, link_end, l);
    if (l->fd >= 0)
        loop_unwatch(l->loop, l->fd);
    for (unsigned i = 0; i < MAX_SESSIONS; i++)
        if (l->sessions[i])
            loop_dispose(l->loop, session_free, l->sessions[i]);
    loop_dispose(l->loop, link_free, l);
}

bool agent_link_answers(const struct agent_link *l)
{
    return l && l->answers;
}

void agent_link_poweroff(struct agent_link *l, int status)
{
    uint8_t byte = (uint8_t)status;
    put(l, AGENT_POWEROFF, 0, &byte, 1);
}

static void put_size(struct agent_link *l, unsigned session, unsigned rows, unsigned columns)
{
    struct agent_size size = {.rows = (uint16_t)rows, .columns = (uint16_t)columns};
    put(l, AGENT_RESIZE, session, &size, sizeof size);
}

void agent_link_resize(struct agent_link *l, unsigned rows, unsigned columns)
{
    put_size(l, AGENT_CONSOLE, rows, columns);
}

/* ---- sessions ---- */

static void put_string(struct str *s, const char *text)
{
    str_append(s, text, strlen(text) + 1);
}

static int put_command(struct str *s, const struct wall_exec *x, unsigned rows, unsigned columns,
                       struct error **err)
{
    size_t n_args = strv_len(x->command), n_env = strv_len(x->env);
    if (n_args > UINT16_MAX || n_env > UINT16_MAX)
        return error_set(err, E2BIG, "a command of %zu words in %zu variables", n_args, n_env);
    struct agent_run run = {.tty = x->tty,
                            .size = {.rows = (uint16_t)rows, .columns = (uint16_t)columns},
                            .n_args = (uint16_t)n_args,
                            .n_env = (uint16_t)n_env};
    str_append(s, &run, sizeof run);
    put_string(s, x->user ? x->user : "");
    put_string(s, x->workdir ? x->workdir : "/");
    for (size_t i = 0; i < n_args; i++)
        put_string(s, x->command[i]);
    for (size_t i = 0; i < n_env; i++)
        put_string(s, x->env[i]);
    if (s->len > AGENT_PAYLOAD_MAX)
        return error_set(err, E2BIG,
                         "command and environment have %zu bytes: a machine takes at most %u",
                         s->len, AGENT_PAYLOAD_MAX);
    return 0;
}

struct agent_session *agent_run(struct agent_link *l, const struct wall_exec *x, unsigned rows,
                                unsigned columns, const struct agent_session_ops *ops, void *arg,
                                struct error **err)
{
    STR_CLEANUP command = {0};
    unsigned number = 0;
    while (number < MAX_SESSIONS && l->sessions[number])
        number++;
    if (!l->answers) {
        error_set(err, 0, "no agent answers in the machine");
        return NULL;
    }
    if (number == MAX_SESSIONS) {
        error_set(err, 0, "%u commands run in the machine, and that is the most", MAX_SESSIONS);
        return NULL;
    }
    if (put_command(&command, x, rows, columns, err) < 0)
        return NULL;
    struct agent_session *s = xcalloc(1, sizeof *s);
    *s = (struct agent_session){
        .link = l, .ops = ops, .arg = arg, .number = (uint16_t)number, .input_room = AGENT_WINDOW};
    l->sessions[number] = s;
    put(l, AGENT_RUN, number, command.data, command.len);
    return s;
}

size_t agent_session_input(struct agent_session *s, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len && s->input_room && !s->ended) {
        size_t n = len - done;
        if (n > s->input_room)
            n = s->input_room;
        if (n > AGENT_DATA_MAX)
            n = AGENT_DATA_MAX;
        put(s->link, AGENT_INPUT, s->number, data + done, n);
        s->input_room -= n;
        done += n;
    }
    return done;
}

void agent_session_input_end(struct agent_session *s)
{
    put(s->link, AGENT_INPUT, s->number, NULL, 0);
}

void agent_session_signal(struct agent_session *s, int sig)
{
    uint8_t byte = (uint8_t)sig;
    put(s->link, AGENT_SIGNAL, s->number, &byte, 1);
}

void agent_session_resize(struct agent_session *s, unsigned rows, unsigned columns)
{
    put_size(s->link, s->number, rows, columns);
}

void agent_session_took(struct agent_session *s, int which, size_t bytes)
{
    if (bytes > s->output_owed[which])
        bytes = s->output_owed[which];
    if (!bytes || s->ended)
        return;
    s->output_owed[which] -= bytes;
    struct agent_room r = {.bytes = (uint32_t)bytes, .stream = which ? AGENT_ERROR : AGENT_OUTPUT};
    put(s->link, AGENT_ROOM, s->number, &r, sizeof r);
}

void agent_session_leave(struct agent_session *s)
{
    s->ops = NULL;
    for (int which = 0; which < 2; which++)
        agent_session_took(s, which, s->output_owed[which]);
}
