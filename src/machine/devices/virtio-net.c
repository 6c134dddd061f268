/* Virtio network device (VIRTIO 1.3, section 5.1): frames between the queues and a wire, a
 * SOCK_SEQPACKET socket (net/link.h). What the guest has no buffers for stays in the socket.
 * Everything runs in the loop's thread. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio-pci.h"
#include "net/nat.h"

#define F_MAC    (1ull << 5)
#define F_STATUS (1ull << 16)

enum {
    RX = 0,
    TX = 1,
};

#define STATUS_LINK_UP 1
#define HEADER_LEN     12 /* struct virtio_net_hdr, with num_buffers */
#define NUM_BUFFERS_AT 10

/* Frames of one turn, so that the loop's other devices get theirs. */
#define BURST 64

struct config {
    uint8_t mac[6];
    uint16_t status;
};

struct net {
    struct virtio_device device; /* first */
    struct loop *loop;
    int fd;
    bool up;        /* somebody is at the wire's other end */
    bool reading;   /* the loop tells when a frame comes */
    bool sending;   /* a frame in `out` waits for room in the socket */
    size_t in_len;  /* of a frame in `in` that waits for a buffer; 0: none */
    size_t out_len; /* with its header */
    uint8_t in[NAT_FRAME_MAX];
    uint8_t out[HEADER_LEN + NAT_FRAME_MAX];
};

static void wire_ready(void *arg, int fd, uint32_t events);

static void watch(struct net *n)
{
    ERROR_CLEANUP err = NULL;
    uint32_t events = (n->reading ? EPOLLIN : 0u) | (n->sending ? EPOLLOUT : 0u);
    if (loop_watch(n->loop, n->fd, events, wire_ready, n, &err) < 0)
        log_warn("virtio-net: %s", error_text(err));
}

static void wire_is_gone(struct net *n)
{
    log_warn("virtio-net: the network's process ended; the guest is cut off");
    n->up = n->sending = false;
    loop_unwatch(n->loop, n->fd);
}

/* Frames to the guest. */

/* Has a frame in n->in. */
static bool receive(struct net *n)
{
    if (n->in_len)
        return true;
    ssize_t len = recv(n->fd, n->in, sizeof n->in, MSG_DONTWAIT);
    if (len <= 0) {
        if (!len || !refused_for_now(errno))
            wire_is_gone(n);
        return false;
    }
    n->in_len = (size_t)len;
    return true;
}

static void serve_rx(struct net *n)
{
    struct virtio_device *d = &n->device;
    bool buffers = true;
    for (int i = 0; n->up && i < BURST && receive(n) && (buffers = virtio_pop(d, RX)); i++) {
        if (d->chain.in_len < HEADER_LEN) {
            virtio_break(d, "receive buffer without room for a header");
            return;
        }
        uint32_t written = 0;
        if (d->chain.in_len >= HEADER_LEN + n->in_len) {
            uint8_t header[HEADER_LEN] = {[NUM_BUFFERS_AT] = 1};
            vq_chain_write(&d->chain, 0, header, HEADER_LEN);
            vq_chain_write(&d->chain, HEADER_LEN, n->in, n->in_len);
            written = HEADER_LEN + (uint32_t)n->in_len;
        }
        n->in_len = 0;
        virtio_push(d, RX, written);
    }
    /* Without buffers, the driver's next kick goes on. */
    if (n->up && n->reading != buffers) {
        n->reading = buffers;
        watch(n);
    }
}

/* Frames from the guest. */

/* false: the frame in n->out waits. */
static bool transmit(struct net *n)
{
    size_t len = n->out_len - HEADER_LEN;
    if (!n->up || !len || send(n->fd, n->out + HEADER_LEN, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (refused_for_now(errno))
        return false;
    if (errno != EMSGSIZE)
        wire_is_gone(n);
    return true;
}

static void serve_tx(struct net *n)
{
    struct virtio_device *d = &n->device;
    while (!n->sending && virtio_pop(d, TX)) {
        if (d->chain.out_len < HEADER_LEN) {
            virtio_break(d, "frame without a header");
            return;
        }
        n->out_len = vq_chain_read(&d->chain, 0, n->out, sizeof n->out);
        bool whole = n->out_len == d->chain.out_len;
        virtio_push(d, TX, 0);
        if (whole && !transmit(n)) {
            n->sending = true;
            watch(n);
        }
    }
}

static void wire_ready(void *arg, int fd, uint32_t events)
{
    struct net *n = arg;
    if (n->sending && events & (EPOLLOUT | EPOLLHUP | EPOLLERR) && transmit(n)) {
        n->sending = false;
        if (n->up)
            watch(n);
        virtio_serve(&n->device, 1u << TX);
    }
    if (!n->up || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (virtio_running(&n->device)) {
        virtio_serve(&n->device, 1u << RX);
    } else { /* until the driver starts, which serves the queue */
        n->reading = false;
        watch(n);
    }
}

static void net_serve(struct virtio_device *d, unsigned q)
{
    if (q == TX)
        serve_tx((struct net *)d);
    else
        serve_rx((struct net *)d);
}

static void net_reset(struct virtio_device *d)
{
    struct net *n = (struct net *)d;
    n->in_len = 0;
}

/* Building. */

static const struct virtio_class net_class = {
    .name = "virtio-net",
    .id = 1,
    .n_queues = 2,
    .queue_size = 256,
    .pci_class = 0x020000,
    .serve = net_serve,
    .reset = net_reset,
};

static void net_destroy(void *opaque)
{
    struct net *n = opaque;
    if (n->up)
        loop_unwatch(n->loop, n->fd);
    virtio_destroy(&n->device);
    free(n);
}

int virtio_net_create(struct pci_host *host, struct loop *loop, struct slat *slat, int fd,
                      struct error **err)
{
    struct net *n = xcalloc(1, sizeof *n);
    n->loop = loop;
    n->fd = fd;
    virtio_init(&n->device, &net_class, loop, slat, F_MAC | F_STATUS);
    /* Locally administered; every machine is alone on its network. */
    struct config c = {.mac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56},
                       .status = htole16(STATUS_LINK_UP)};
    memcpy(n->device.config, &c, sizeof c);
    n->device.config_len = sizeof c;
    bus_add_device(pci_bus(host), n, NULL, net_destroy);
    n->up = n->reading = true;
    if (loop_watch(loop, fd, EPOLLIN, wire_ready, n, err) < 0) {
        n->up = false;
        return error_prefix(err, "network");
    }
    return virtio_pci_add(host, &n->device, err) ? 0 : error_prefix(err, "network");
}
