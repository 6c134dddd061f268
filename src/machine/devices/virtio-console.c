/* Virtio console (VIRTIO 1.3, section 5.3) with one port, which is no console: a stream of bytes
 * between a socket of the host's and a program in the guest, /dev/vportNp0 in a Linux guest.
 *
 * Input waits in the socket until the guest has the port open and a buffer for it, so what one
 * driver has not taken is there for the next. Output that the socket does not take waits in the
 * queue. Either way, a slow side slows the other one's end of this port and nothing else. */
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

/* Port 0's queues, and those for control messages. */
enum {
    RX = 0,
    TX = 1,
    CONTROL_RX = 2,
    CONTROL_TX = 3,
    N_QUEUES = 4,
};

#define F_MULTIPORT (1ull << 1)

struct config {
    uint16_t cols, rows;
    uint32_t max_nr_ports, emerg_wr;
};

struct control {
    uint32_t id; /* of the port */
    uint16_t event, value;
};

enum event {
    DEVICE_READY = 0,
    DEVICE_ADD = 1,
    PORT_READY = 3,
    PORT_OPEN = 6,
    PORT_NAME = 7,
};

/* Output is handed over in pieces of at most so many bytes. */
#define PIECE (64u << 10)

/* Requests that are served before other devices and timers get their turn. */
#define TURN 64

struct console {
    struct virtio_device device; /* first */
    struct loop *loop;
    const char *name;

    /* Guarded by the device's io; the watch is changed in the loop's thread only. */
    int fd;            /* -1: the host's side is closed */
    uint32_t watched;  /* events that the loop waits for */
    unsigned messages; /* for the driver, a bit for each event; they wait for a buffer */
    bool added, ready; /* the port: announced to the driver; set up by it */
    bool open;         /* a program of the guest has it open */
    bool rx_empty;     /* no buffer for input; the driver notifies when there is one */
    uint32_t tx_done;  /* bytes of the first waiting request that are sent or in rest */

    /* The end of a piece that the socket had no room for. A reset leaves it alone: requests up to
     * PIECE arrive whole or not at all, so a reader need not expect half a frame. */
    uint8_t rest[PIECE];
    size_t n_rest, rest_done;
};

/* The host's side. */

static void close_host(struct console *c)
{
    loop_unwatch(c->loop, c->fd);
    c->fd = -1;
    c->n_rest = 0;
    if (c->ready) {
        c->messages |= 1u << PORT_OPEN;
        virtio_kick(&c->device, 1u << CONTROL_RX); /* not now: a request is in the chain */
    }
}

/* A transfer has failed, for now or for good. */
static void transfer_failed(struct console *c)
{
    if (refused_for_now(errno))
        return;
    if (errno != EPIPE && errno != ECONNRESET)
        log_warn("virtio-console: port %s is closed: %s", c->name, strerror(errno));
    close_host(c);
}

/* Sends what the socket takes; the number of bytes. */
static size_t send_some(struct console *c, struct iovec *iov, int n)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        transfer_failed(c);
    return sent < 0 ? 0 : (size_t)sent;
}

/* Receives what there is; the number of bytes. */
static size_t receive_some(struct console *c, struct iovec *iov, int n)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t got = recvmsg(c->fd, &m, MSG_DONTWAIT);
    if (got < 0)
        transfer_failed(c);
    if (got == 0)
        close_host(c);
    return got < 0 ? 0 : (size_t)got;
}

/* Whether further output can be sent, or dropped. */
static bool flush_rest(struct console *c)
{
    if (c->n_rest) {
        struct iovec iov = {c->rest + c->rest_done, c->n_rest - c->rest_done};
        c->rest_done += send_some(c, &iov, 1);
        if (c->rest_done >= c->n_rest)
            c->n_rest = 0;
    }
    return !c->n_rest;
}

static void host_ready(void *opaque, int fd, uint32_t events);

/* Waits for input that the guest can take, and for room for the rest. io held. */
static void update_watch(struct console *c)
{
    ERROR_CLEANUP err = NULL;
    bool want_input = c->open && !c->rx_empty && virtio_running(&c->device);
    uint32_t events = (want_input ? EPOLLIN : 0u) | (c->n_rest ? EPOLLOUT : 0u);
    if (c->fd < 0 || events == c->watched)
        return;
    if (loop_watch(c->loop, c->fd, events, host_ready, c, &err) < 0)
        log_warn("virtio-console: %s", error_text(err));
    else
        c->watched = events;
}

static void host_ready(void *opaque, int fd, uint32_t events)
{
    struct console *c = opaque;
    pthread_mutex_lock(&c->device.io);
    flush_rest(c);
    update_watch(c); /* also when no driver is there to be served */
    pthread_mutex_unlock(&c->device.io);
    virtio_serve(&c->device, 1u << RX | 1u << TX);
}

/* The port's queues. */

static void serve_rx(struct console *c)
{
    struct virtio_device *d = &c->device;
    struct iovec iov[VQ_MAX_SIZE];
    c->rx_empty = false;
    for (unsigned i = 0; i < TURN && c->open && c->fd >= 0; i++) {
        if (!virtio_pop(d, RX)) {
            c->rx_empty = true;
            return;
        }
        if (!d->chain.in_len) {
            virtio_break(d, "receive buffer without room");
            return;
        }
        int n = vq_chain_iov(&d->chain, true, 0, d->chain.in_len, iov);
        size_t got = receive_some(c, iov, n);
        if (!got) {
            virtqueue_unpop(&d->queues[RX]);
            return;
        }
        virtio_push(d, RX, (uint32_t)got);
    }
}

/* A driver that knows no ports takes port 0 for a console, and would have the guest's messages and
 * a login in a stream that is neither's: its output is dropped, and it gets no input. */
static bool connected(struct console *c)
{
    return c->fd >= 0 && virtio_has(&c->device, F_MULTIPORT);
}

/* Sends a piece of the request in the chain; whether that was the last. */
static bool send_piece(struct console *c)
{
    const struct vq_chain *chain = &c->device.chain;
    if (!connected(c) || c->tx_done >= chain->out_len)
        return true;
    struct iovec iov[VQ_MAX_SIZE];
    uint32_t left = chain->out_len - c->tx_done, len = left < PIECE ? left : PIECE;
    int n = vq_chain_iov(chain, false, c->tx_done, len, iov);
    size_t sent = send_some(c, iov, n);
    c->rest_done = 0;
    if (c->fd >= 0)
        c->n_rest = vq_chain_read(chain, c->tx_done + sent, c->rest, len - sent);
    c->tx_done += len;
    return len == left;
}

static void serve_tx(struct console *c)
{
    struct virtio_device *d = &c->device;
    for (unsigned i = 0; i < TURN; i++) {
        if (!flush_rest(c) || !virtio_pop(d, TX))
            return;
        if (send_piece(c)) {
            c->tx_done = 0;
            virtio_push(d, TX, 0);
        } else {
            virtqueue_unpop(&d->queues[TX]);
        }
    }
    virtio_kick(d, 1u << TX);
}

/* Control messages. They are kept as one bit for each kind, so a driver that asks and does not
 * listen costs nothing. */

static void serve_control_rx(struct console *c)
{
    /* The name comes last: who finds the port by it finds it connected. */
    static const enum event order[] = {DEVICE_ADD, PORT_OPEN, PORT_NAME};
    struct virtio_device *d = &c->device;
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
        enum event event = order[i];
        if (!(c->messages & 1u << event))
            continue;
        if (!virtio_pop(d, CONTROL_RX))
            return;
        struct control m = {.event = htole16((uint16_t)event),
                            .value = htole16(event == PORT_OPEN && c->fd >= 0)};
        size_t name_len = event == PORT_NAME ? strlen(c->name) : 0;
        size_t len = vq_chain_write(&d->chain, 0, &m, sizeof m);
        len += vq_chain_write(&d->chain, len, c->name, name_len);
        if (len < sizeof m + name_len) {
            virtio_break(d, "control receive buffer without room for a message");
            return;
        }
        c->messages &= ~(1u << event);
        virtio_push(d, CONTROL_RX, (uint32_t)len);
    }
}

/* A message of the driver's. One about a port that there is not, or of a kind that there is not,
 * means nothing. */
static void take_message(struct console *c, const struct control *m)
{
    bool value = le16toh(m->value) != 0;
    uint16_t event = le16toh(m->event);
    if (event == DEVICE_READY && value && !c->added) {
        c->added = true;
        c->messages |= 1u << DEVICE_ADD;
    }
    if (le32toh(m->id) != 0)
        return;
    /* Also without DEVICE_READY: a guest that wakes from hibernation knows its ports. */
    if (event == PORT_READY) {
        c->ready = value;
        c->messages |= value ? 1u << PORT_NAME | 1u << PORT_OPEN : 0;
    } else if (event == PORT_OPEN) {
        c->open = value;
    }
}

static void serve_control_tx(struct console *c)
{
    struct virtio_device *d = &c->device;
    for (unsigned i = 0; i < TURN; i++) {
        struct control m;
        if (!virtio_pop(d, CONTROL_TX))
            return;
        if (vq_chain_read(&d->chain, 0, &m, sizeof m) < sizeof m) {
            virtio_break(d, "control message of less than 8 bytes");
            return;
        }
        take_message(c, &m);
        virtio_push(d, CONTROL_TX, 0);
    }
    virtio_kick(d, 1u << CONTROL_TX);
}

static void console_serve(struct virtio_device *d, unsigned q)
{
    struct console *c = (struct console *)d;
    if (q == RX) {
        serve_rx(c);
    } else if (q == TX) {
        serve_tx(c);
    } else if (virtio_has(d, F_MULTIPORT)) {
        if (q == CONTROL_TX)
            serve_control_tx(c);
        serve_control_rx(c);
    }
    update_watch(c);
}

static void console_reset(struct virtio_device *d)
{
    struct console *c = (struct console *)d;
    c->messages = 0;
    c->added = c->ready = c->open = c->rx_empty = false;
    c->tx_done = 0;
}

static const struct virtio_class console_class = {
    .name = "virtio-console",
    .id = 3,
    .n_queues = N_QUEUES,
    .queue_size = 64,
    .pci_class = 0x078000,
    .serve = console_serve,
    .reset = console_reset,
};

static void console_destroy(void *opaque)
{
    struct console *c = opaque;
    if (c->fd >= 0)
        loop_unwatch(c->loop, c->fd);
    virtio_destroy(&c->device);
    free(c);
}

int virtio_console_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                          const char *name, int fd, struct error **err)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 && errno != ENOTSOCK)
        return error_set(err, errno, "port %s: descriptor %d", name, fd);
    if (type != SOCK_STREAM)
        return error_set(err, 0, "port %s: descriptor %d must be a stream socket", name, fd);
    struct console *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->name = name;
    c->fd = fd;
    virtio_init(&c->device, &console_class, loop, slat, F_MULTIPORT);
    struct config config = {.max_nr_ports = htole32(1)};
    memcpy(c->device.config, &config, sizeof config);
    c->device.config_len = sizeof config;
    bus_add_device(pci_bus(host), c, NULL, console_destroy);
    return virtio_pci_add(host, &c->device, err) ? 0 : -1;
}
