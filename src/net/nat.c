#include "net/nat.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/str.h"
#include "net/flows.h"
#include "net/own.h"

/* A descriptor of libslirp's, by its number. */
struct socket_state {
    uint32_t watched;  /* events in the loop */
    uint32_t wanted;   /* events of this round */
    uint32_t happened; /* events since the last round */
    bool listed;       /* in nat->fds */
};

struct nat {
    struct loop *loop;
    Slirp *slirp;
    nat_deliver_fn *deliver;
    void *arg;
    struct net_own *own;
    struct net_flows flows;
    struct net_rules rules;
    bool told;   /* of a closed address: once is enough */
    bool filled; /* libslirp was asked which descriptors to wait for */
    struct socket_state *sockets;
    int n_sockets;
    int *fds; /* those that were named in this round or are still watched */
    int n_fds, cap_fds;
};

static bool is_own(void *arg, const struct net_address *a)
{
    return net_own_is(((struct nat *)arg)->own, a);
}

static bool answers(void *arg, const struct net_flow *f)
{
    return net_flows_has(&((struct nat *)arg)->flows, f);
}

/* Frames. */

static ssize_t send_packet(const void *data, size_t len, void *opaque)
{
    struct nat *n = opaque;
    struct net_flow f;
    if (net_filter_opens(&n->rules, data, len, &f))
        net_flows_add(&n->flows, &f);
    n->deliver(n->arg, data, len);
    return (ssize_t)len;
}

void nat_input(struct nat *n, const void *frame, size_t len)
{
    uint8_t answer[NET_REFUSAL_MAX];
    if (len > NAT_FRAME_MAX)
        return;
    switch (net_filter(&n->rules, frame, len)) {
    case NET_PASS: slirp_input(n->slirp, frame, (int)len); return;
    case NET_DROP: return;
    case NET_REFUSE: break;
    }
    if (!n->told)
        log_info("network: the guest was refused an address of the host or its link; --network "
                 "nat:host-loopback and nat:link-local open them");
    n->told = true;
    size_t answer_len = net_refusal(frame, len, answer);
    if (answer_len)
        n->deliver(n->arg, answer, answer_len);
}

/* Waiting for libslirp's sockets. Each round of the loop tells it what happened, and asks what to
 * wait for next. */

static struct socket_state *socket_state(struct nat *n, int fd)
{
    if (fd >= n->n_sockets) {
        int count = fd + 16;
        n->sockets = xrealloc(n->sockets, (size_t)count * sizeof *n->sockets);
        memset(n->sockets + n->n_sockets, 0, (size_t)(count - n->n_sockets) * sizeof *n->sockets);
        n->n_sockets = count;
    }
    return &n->sockets[fd];
}

static void socket_ready(void *opaque, int fd, uint32_t events)
{
    struct nat *n = opaque;
    socket_state(n, fd)->happened |= events;
}

static const struct {
    int slirp;
    uint32_t epoll;
} event_map[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

#define N_EVENTS (sizeof event_map / sizeof *event_map)

static int add_poll(int fd, int events, void *opaque)
{
    struct nat *n = opaque;
    struct socket_state *s = socket_state(n, fd);
    for (unsigned i = 0; i < N_EVENTS; i++)
        if (events & event_map[i].slirp)
            s->wanted |= event_map[i].epoll;
    if (!s->listed) {
        if (n->n_fds == n->cap_fds) {
            n->cap_fds = n->cap_fds ? 2 * n->cap_fds : 16;
            n->fds = xrealloc(n->fds, (size_t)n->cap_fds * sizeof *n->fds);
        }
        n->fds[n->n_fds++] = fd;
        s->listed = true;
    }
    return fd;
}

static int get_revents(int fd, void *opaque)
{
    uint32_t happened = socket_state(opaque, fd)->happened;
    int events = 0;
    for (unsigned i = 0; i < N_EVENTS; i++)
        if (happened & event_map[i].epoll)
            events |= event_map[i].slirp;
    return events;
}

static void watch(struct nat *n, int fd, struct socket_state *s)
{
    ERROR_CLEANUP err = NULL;
    if (s->wanted == s->watched)
        return;
    s->watched = s->wanted;
    if (!s->wanted)
        loop_unwatch(n->loop, fd);
    else if (loop_watch(n->loop, fd, s->wanted, socket_ready, n, &err) < 0)
        log_warn("network: %s", error_text(err));
}

static void timeout(void *opaque)
{
    /* Nothing to do but to have woken the loop: net_round follows. */
}

static void net_round(void *opaque)
{
    struct nat *n = opaque;
    if (n->filled)
        slirp_pollfds_poll(n->slirp, 0, get_revents, n);
    for (int i = 0; i < n->n_fds; i++)
        n->sockets[n->fds[i]].wanted = n->sockets[n->fds[i]].happened = 0;
    uint32_t wait_ms = UINT32_MAX;
    slirp_pollfds_fill(n->slirp, &wait_ms, add_poll, n);
    n->filled = true;

    int kept = 0;
    for (int i = 0; i < n->n_fds; i++) {
        struct socket_state *s = &n->sockets[n->fds[i]];
        watch(n, n->fds[i], s);
        s->listed = s->wanted != 0;
        if (s->listed)
            n->fds[kept++] = n->fds[i];
    }
    n->n_fds = kept;
    loop_timer(n->loop,
               wait_ms == UINT32_MAX ? UINT64_MAX : clock_ns() + (uint64_t)wait_ms * 1000000,
               timeout, n);
}

/* Called before libslirp closes a descriptor. */
static void unregister_poll_fd(int fd, void *opaque)
{
    struct nat *n = opaque;
    if (fd < 0)
        return;
    struct socket_state *s = socket_state(n, fd);
    loop_unwatch(n->loop, fd);
    s->watched = s->wanted = s->happened = 0;
}

static void register_poll_fd(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
    /* libslirp is only called in the loop's thread, whose round is not over yet. */
}

static void guest_error(const char *msg, void *opaque)
{
    log_debug("network: %s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
    return (int64_t)clock_ns();
}

struct nat_timer {
    struct loop *loop;
    SlirpTimerCb cb;
    void *cb_opaque;
};

static void timer_due(void *opaque)
{
    struct nat_timer *t = opaque;
    t->cb(t->cb_opaque);
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    struct nat *n = opaque;
    struct nat_timer *t = xcalloc(1, sizeof *t);
    *t = (struct nat_timer){.loop = n->loop, .cb = cb, .cb_opaque = cb_opaque};
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct nat_timer *t = timer;
    loop_timer(t->loop, UINT64_MAX, timer_due, t);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct nat_timer *t = timer;
    loop_timer(t->loop, (uint64_t)expire_ms * 1000000, timer_due, t);
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = register_poll_fd,
    .unregister_poll_fd = unregister_poll_fd,
    .notify = notify,
};

static struct in_addr address(uint32_t host_order)
{
    return (struct in_addr){.s_addr = htonl(host_order)};
}

static struct in6_addr address6(uint64_t interface)
{
    const uint64_t parts[2] = {htobe64(NET_PREFIX6), htobe64(interface)};
    struct in6_addr a;
    memcpy(&a, parts, sizeof a);
    return a;
}

static int start_slirp(struct nat *n, const struct nat_config *config, struct error **err)
{
    bool udp = false;
    for (unsigned i = 0; i < config->n_forwards; i++)
        udp = udp || config->forwards[i].udp;
    SlirpConfig c = {
        .version = 1,
        .in_enabled = true,
        .vnetwork = address(NET_ADDRESS),
        .vnetmask = address(NET_MASK),
        .vhost = address(NET_ROUTER),
        .vdhcp_start = address(NET_GUEST),
        .vnameserver = address(NET_DNS),
        .in6_enabled = true,
        .vprefix_addr6 = address6(0),
        .vprefix_len = 64,
        .vhost6 = address6(2),
        .vnameserver6 = address6(3),
        .vhostname = config->hostname,
        /* A second lock behind the filter. It would also lock up what a guest answers on a
         * published UDP port, which the filter can tell apart. */
        .disable_host_loopback = !config->host_loopback && !udp,
    };
    n->slirp = slirp_new(&c, &callbacks, n);
    if (!n->slirp)
        return error_set(err, 0, "the user-mode network cannot be started");
    for (unsigned i = 0; i < config->n_forwards; i++) {
        const struct nat_forward *f = &config->forwards[i];
        struct in_addr host = address(f->host_addr);
        if (slirp_add_hostfwd(n->slirp, f->udp, host, f->host_port, address(NET_GUEST),
                              f->guest_port) < 0) {
            int code = errno;
            char text[INET_ADDRSTRLEN];
            return error_set(err, code, "forward %s port %u of %s to the guest's port %u",
                             f->udp ? "UDP" : "TCP", f->host_port,
                             inet_ntop(AF_INET, &host, text, sizeof text), f->guest_port);
        }
    }
    return 0;
}

struct nat *nat_new(struct loop *loop, const struct nat_config *config, nat_deliver_fn *deliver,
                    void *arg, struct error **err)
{
    struct nat *n = xcalloc(1, sizeof *n);
    n->loop = loop;
    n->deliver = deliver;
    n->arg = arg;
    n->rules = (struct net_rules){.host_loopback = config->host_loopback,
                                  .link_local = config->link_local,
                                  .own = is_own,
                                  .answers = answers,
                                  .arg = n};
    n->own = net_own_new(err);
    if (!n->own || start_slirp(n, config, err) < 0) {
        nat_free(n);
        return NULL;
    }
    loop_idle(loop, net_round, n);
    return n;
}

void nat_free(struct nat *n)
{
    if (!n)
        return;
    loop_idle(n->loop, NULL, NULL);
    loop_timer(n->loop, UINT64_MAX, timeout, n);
    for (int fd = 0; fd < n->n_sockets; fd++)
        if (n->sockets[fd].watched)
            loop_unwatch(n->loop, fd);
    if (n->slirp)
        slirp_cleanup(n->slirp);
    net_own_free(n->own);
    free(n->sockets);
    free(n->fds);
    free(n);
}
