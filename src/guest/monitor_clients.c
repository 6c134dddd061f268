/* Who is connected to the control socket, and who of them is attached. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "guest/monitor_internal.h"

#define MAX_CLIENTS 128

/* After an accept that failed. */
#define ACCEPT_AGAIN_NS 100000000u

/* ---- requests ---- */

static void line_request(struct client *c, const char *line, size_t len)
{
    peer_request(c->arg, line, len);
}

/* Requests are answered in their order. */
static bool line_full(struct client *c)
{
    struct peer *p = c->arg;
    return p->asked != NULL;
}

static void line_took(struct client *c)
{
}

static void line_closed(struct client *c)
{
    peer_closed(c->arg);
}

static const struct client_ops line_ops = {
    .request = line_request, .full = line_full, .took = line_took, .closed = line_closed};

/* ---- frames of who is attached ---- */

static void attached_frame(struct client *c, enum frame_type type, const char *data, size_t len)
{
    struct peer *p = c->arg;
    struct monitor *m = p->m;
    ERROR_CLEANUP err = NULL;
    switch (type) {
    case FRAME_STDIN:
        if (p->sends_input)
            stream_input(m->w.main, data, len);
        break;
    case FRAME_EOF:
        if (p->sends_input)
            stream_input_end(m->w.main);
        break;
    case FRAME_RESIZE:
        if (monitor_frame_size(data, len, &m->size))
            monitor_resize(m);
        break;
    case FRAME_SIGNAL:
        if (len == 1 && !m->ended && m->wall->signal(m->g, &m->w, (unsigned char)data[0], &err) < 0)
            log_debug("signal: %s", error_text(err));
        break;
    default: client_drop(c); /* frames that only go the other way */
    }
}

static bool attached_full(struct client *c)
{
    struct peer *p = c->arg;
    return p->sends_input && stream_full(p->m->w.main);
}

/* Tells one that took nothing for a while what it has missed. */
static void tell_left_out(struct peer *p)
{
    if (!p->left_out)
        return;
    AUTO_FREE char *said =
        xasprintf("wirt: %llu bytes of output were left out: they were not taken in time%s\n",
                  (unsigned long long)p->left_out, p->m->g->spec.tty ? "\r" : "");
    frame_append(&p->c->out, FRAME_STDERR, said, strlen(said));
    p->left_out = 0;
}

static void attached_took(struct client *c)
{
    struct peer *p = c->arg;
    if (!p->stalled || c->out.len > BACKLOG_MAX / 2)
        return;
    p->stalled = false;
    tell_left_out(p);
}

static const struct client_ops attached_ops = {
    .frame = attached_frame, .full = attached_full, .took = attached_took, .closed = line_closed};

void peer_attach(struct peer *p, bool sends_input)
{
    p->attached = true;
    p->sends_input = sends_input;
    client_become(p->c, &attached_ops, p);
}

/* ---- coming and going ---- */

static void peer_dispose(void *arg)
{
    free(arg);
}

void peer_closed(struct peer *p)
{
    struct peer **at = &p->m->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    peer_forget(p);
    loop_dispose(p->m->loop, peer_dispose, p);
}

static struct peer *peer_new(struct monitor *m, int fd)
{
    struct peer *p = xcalloc(1, sizeof *p);
    *p = (struct peer){.m = m, .next = m->peers};
    m->peers = p;
    p->c = client_new(m->loop, fd, &line_ops, p);
    return p;
}

static void listener_ready(void *arg, int fd, uint32_t events);

static void listen_again(void *arg)
{
    struct monitor *m = arg;
    loop_watch(m->loop, m->listener, EPOLLIN, listener_ready, m, NULL);
}

static void listener_ready(void *arg, int fd, uint32_t events)
{
    struct monitor *m = arg;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0) {
        /* Too many descriptors, no memory: whoever waits is there still a little later. */
        loop_watch(m->loop, fd, 0, listener_ready, m, NULL);
        loop_timer(m->loop, clock_ns() + ACCEPT_AGAIN_NS, listen_again, m);
        return;
    }
    int n = 0;
    for (struct peer *p = m->peers; p; p = p->next)
        n++;
    if (n >= MAX_CLIENTS)
        close(conn);
    else
        peer_new(m, conn);
}

int monitor_clients_listen(struct monitor *m, struct error **err)
{
    m->listener = control_listen(m->g, err);
    if (m->listener < 0)
        return -1;
    return loop_watch(m->loop, m->listener, EPOLLIN, listener_ready, m, err);
}

void monitor_client_first(struct monitor *m, int fd, bool frames)
{
    struct peer *p = peer_new(m, fd);
    p->holds = frames;
    if (frames)
        peer_attach(p, true);
    peer_answer(p, NULL);
    client_send(p->c);
}

void monitor_clients_lost(struct monitor *m, const char *why)
{
    AUTO_FREE char *said = xasprintf("wirt: %s%s\n", why, m->g->spec.tty ? "\r" : "");
    for (struct peer *p = m->peers; p; p = p->next) {
        if (!p->attached)
            continue;
        p->lost = true;
        frame_append(&p->c->out, FRAME_STDERR, said, strlen(said));
        client_send(p->c);
    }
}

void monitor_clients_exit(struct monitor *m)
{
    for (struct peer *p = m->peers; p; p = p->next) {
        if (p->attached) {
            char status = (char)(p->lost && !m->g->exit_status ? 125 : m->g->exit_status);
            tell_left_out(p);
            frame_append(&p->c->out, FRAME_EXIT, &status, 1);
            client_finish(p->c);
        } else if (p->waits) {
            peer_answer_exit(p);
            client_finish(p->c);
        }
    }
}

bool monitor_clients_pending(struct monitor *m)
{
    for (struct peer *p = m->peers; p; p = p->next)
        if (p->c->out.len)
            return true;
    return false;
}

void monitor_clients_free(struct monitor *m)
{
    while (m->peers)
        client_close(m->peers->c);
}
