/* Virtio network device (VIRTIO 1.3, section 5.1) on a user-mode network: libslirp answers for a
 * router with DHCP and DNS, and makes the guest's connections its own sockets. No privilege and no
 * interface of the host's is needed. Everything runs in the loop's thread. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio-pci.h"

#define F_MAC    (1ull << 5)
#define F_STATUS (1ull << 16)

enum {
    RX = 0,
    TX = 1,
};

#define STATUS_LINK_UP 1
#define HEADER_LEN     12 /* struct virtio_net_hdr, with num_buffers */
#define NUM_BUFFERS_AT 10
#define FRAME_MAX      (64 * 1024)

/* Frames that wait for the driver's buffers; beyond that they are lost, as on a wire. */
#define BACKLOG 512

/* The network as the guest sees it: the addresses that users of qemu know. */
#define NET_ADDRESS 0x0a000200 /* 10.0.2.0 */
#define NET_MASK    0xffffff00
#define NET_ROUTER  0x0a000202
#define NET_DNS     0x0a000203
#define NET_GUEST   0x0a00020f /* what DHCP gives */

struct config {
    uint8_t mac[6];
    uint16_t status;
};

struct frame {
    size_t len;
    uint8_t data[];
};

/* A descriptor of libslirp's, by its number. */
struct socket_state {
    uint32_t watched;  /* events in the loop */
    uint32_t wanted;   /* events of this round */
    uint32_t happened; /* events since the last round */
    bool listed;       /* in net->fds */
};

struct net {
    struct virtio_device device; /* first */
    struct loop *loop;
    Slirp *slirp;
    bool filled; /* libslirp was asked which descriptors to wait for */
    struct socket_state *sockets;
    int n_sockets;
    int *fds; /* those that were named in this round or are still watched */
    int n_fds, cap_fds;
    struct frame *backlog[BACKLOG]; /* a ring */
    unsigned first, n_backlog;
    uint8_t frame[HEADER_LEN + FRAME_MAX]; /* being transmitted */
};

/* Frames to the guest. */

static void drop_backlog(struct net *n)
{
    for (; n->n_backlog; n->n_backlog--, n->first = (n->first + 1) % BACKLOG)
        free(n->backlog[n->first]);
}

static void serve_rx(struct net *n)
{
    struct virtio_device *d = &n->device;
    while (n->n_backlog && virtio_pop(d, RX)) {
        struct frame *f = n->backlog[n->first];
        if (d->chain.in_len < HEADER_LEN) {
            virtio_break(d, "receive buffer without room for a header");
            return;
        }
        uint32_t written = 0;
        if (d->chain.in_len >= HEADER_LEN + f->len) {
            uint8_t header[HEADER_LEN] = {[NUM_BUFFERS_AT] = 1};
            vq_chain_write(&d->chain, 0, header, HEADER_LEN);
            vq_chain_write(&d->chain, HEADER_LEN, f->data, f->len);
            written = HEADER_LEN + (uint32_t)f->len;
        }
        n->first = (n->first + 1) % BACKLOG;
        n->n_backlog--;
        free(f);
        virtio_push(d, RX, written);
    }
}

static ssize_t send_packet(const void *data, size_t len, void *opaque)
{
    struct net *n = opaque;
    if (n->n_backlog == BACKLOG || len > FRAME_MAX)
        return (ssize_t)len;
    struct frame *f = xcalloc(1, sizeof *f + len);
    f->len = len;
    memcpy(f->data, data, len);
    n->backlog[(n->first + n->n_backlog++) % BACKLOG] = f;
    virtio_kick(&n->device, 1u << RX);
    return (ssize_t)len;
}

/* Frames from the guest. The request is given back first: libslirp may answer at once. */
static void serve_tx(struct net *n)
{
    struct virtio_device *d = &n->device;
    while (virtio_pop(d, TX)) {
        if (d->chain.out_len < HEADER_LEN) {
            virtio_break(d, "frame without a header");
            return;
        }
        size_t len = vq_chain_read(&d->chain, 0, n->frame, sizeof n->frame);
        bool whole = len == d->chain.out_len;
        virtio_push(d, TX, 0);
        if (whole)
            slirp_input(n->slirp, n->frame + HEADER_LEN, (int)len - HEADER_LEN);
    }
}

static void net_serve(struct virtio_device *d, unsigned q)
{
    if (q == TX)
        serve_tx((struct net *)d);
    else
        serve_rx((struct net *)d);
}

/* Waiting for libslirp's sockets. Each round of the loop tells it what happened, and asks what to
 * wait for next. */

static struct socket_state *socket_state(struct net *n, int fd)
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
    struct net *n = opaque;
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
    struct net *n = opaque;
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

static void watch(struct net *n, int fd, struct socket_state *s)
{
    ERROR_CLEANUP err = NULL;
    if (s->wanted == s->watched)
        return;
    s->watched = s->wanted;
    if (!s->wanted)
        loop_unwatch(n->loop, fd);
    else if (loop_watch(n->loop, fd, s->wanted, socket_ready, n, &err) < 0)
        log_warn("virtio-net: %s", error_text(err));
}

static void timeout(void *opaque)
{
    /* Nothing to do but to have woken the loop: net_round follows. */
}

static void net_round(void *opaque)
{
    struct net *n = opaque;
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
    struct net *n = opaque;
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
    log_debug("virtio-net: %s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
    return (int64_t)clock_ns();
}

struct net_timer {
    struct loop *loop;
    SlirpTimerCb cb;
    void *cb_opaque;
};

static void timer_due(void *opaque)
{
    struct net_timer *t = opaque;
    t->cb(t->cb_opaque);
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    struct net *n = opaque;
    struct net_timer *t = xcalloc(1, sizeof *t);
    *t = (struct net_timer){.loop = n->loop, .cb = cb, .cb_opaque = cb_opaque};
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct net_timer *t = timer;
    loop_timer(t->loop, UINT64_MAX, timer_due, t);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct net_timer *t = timer;
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

/* Building. */

static const struct virtio_class net_class = {
    .name = "virtio-net",
    .id = 1,
    .n_queues = 2,
    .queue_size = 256,
    .pci_class = 0x020000,
    .serve = net_serve,
};

static struct in_addr address(uint32_t host_order)
{
    return (struct in_addr){.s_addr = htonl(host_order)};
}

static int start_slirp(struct net *n, const struct machine_config *config, struct error **err)
{
    SlirpConfig c = {
        .version = 1,
        .in_enabled = true,
        .vnetwork = address(NET_ADDRESS),
        .vnetmask = address(NET_MASK),
        .vhost = address(NET_ROUTER),
        .vdhcp_start = address(NET_GUEST),
        .vnameserver = address(NET_DNS),
        .vhostname = config->hostname,
        .disable_host_loopback = !config->host_loopback,
    };
    n->slirp = slirp_new(&c, &callbacks, n);
    if (!n->slirp)
        return error_set(err, 0, "the user-mode network cannot be started");
    for (unsigned i = 0; i < config->n_forwards; i++) {
        const struct machine_forward *f = &config->forwards[i];
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

static void net_destroy(void *opaque)
{
    struct net *n = opaque;
    loop_idle(n->loop, NULL, NULL);
    loop_timer(n->loop, UINT64_MAX, timeout, n);
    for (int fd = 0; fd < n->n_sockets; fd++)
        if (n->sockets[fd].watched)
            loop_unwatch(n->loop, fd);
    if (n->slirp)
        slirp_cleanup(n->slirp);
    drop_backlog(n);
    free(n->sockets);
    free(n->fds);
    virtio_destroy(&n->device);
    free(n);
}

int virtio_net_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                      const struct machine_config *config, struct error **err)
{
    struct net *n = xcalloc(1, sizeof *n);
    n->loop = loop;
    virtio_init(&n->device, &net_class, loop, slat, F_MAC | F_STATUS);
    /* Locally administered; every machine is alone on its network. */
    struct config c = {.mac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56},
                       .status = htole16(STATUS_LINK_UP)};
    memcpy(n->device.config, &c, sizeof c);
    n->device.config_len = sizeof c;
    bus_add_device(pci_bus(host), n, NULL, net_destroy);
    if (start_slirp(n, config, err) < 0 || !virtio_pci_add(host, &n->device, err))
        return error_prefix(err, "network");
    loop_idle(loop, net_round, n);
    return 0;
}
