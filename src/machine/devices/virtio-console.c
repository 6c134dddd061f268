/* Virtio console (VIRTIO 1.3, section 5.3): one port, /dev/hvc0 in a Linux guest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio-pci.h"

enum {
    RX = 0,
    TX = 1,
};

struct config {
    uint16_t cols, rows;
    uint32_t max_nr_ports, emerg_wr;
};

/* The most that is written at once: what a ready pipe or terminal takes without waiting. */
#define PIECE 256

struct console {
    struct virtio_device device; /* first */
    struct loop *loop;
    int in, out;            /* -1: none, at its end, or broken. The loop's thread. */
    bool in_poll, out_poll; /* can be waited for */
    int own_out;            /* a duplicate made here, or -1 */

    /* Guarded by the device's io. */
    uint8_t input[4096];
    size_t n_input, input_done;
    uint32_t tx_done; /* bytes of the first waiting request that are written */
    bool tx_waiting;  /* for the reader */
};

/* Reads when all input was handed over. */
static void fill_input(struct console *c)
{
    if (c->in < 0 || c->input_done < c->n_input)
        return;
    ssize_t n = read(c->in, c->input, sizeof c->input);
    if (n > 0) {
        c->n_input = (size_t)n;
        c->input_done = 0;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        loop_unwatch(c->loop, c->in);
        c->in = -1;
    }
}

static void serve_rx(struct console *c)
{
    struct virtio_device *d = &c->device;
    for (;;) {
        if (!c->in_poll)
            fill_input(c);
        if (c->input_done == c->n_input || !virtio_pop(d, RX))
            return;
        size_t n =
            vq_chain_write(&d->chain, 0, c->input + c->input_done, c->n_input - c->input_done);
        if (!n) {
            virtio_break(d, "receive buffer without room");
            return;
        }
        c->input_done += n;
        virtio_push(d, RX, (uint32_t)n);
    }
}

static bool out_ready_now(const struct console *c)
{
    struct pollfd p = {.fd = c->out, .events = POLLOUT};
    return !c->out_poll || poll(&p, 1, 0) > 0;
}

static void lose_output(struct console *c)
{
    log_warn("virtio-console: output is lost from here on: %s", strerror(errno));
    loop_unwatch(c->loop, c->out);
    c->out = -1;
}

/* A request that the reader is not ready for stays in the queue, so a slow reader slows its
 * guest's driver and nothing else. */
static void serve_tx(struct console *c)
{
    struct virtio_device *d = &c->device;
    c->tx_waiting = false;
    while (!c->tx_waiting && virtio_pop(d, TX)) {
        while (c->tx_done < d->chain.out_len && c->out >= 0) {
            c->tx_waiting = !out_ready_now(c);
            if (c->tx_waiting)
                break;
            uint8_t piece[PIECE];
            size_t len = vq_chain_read(&d->chain, c->tx_done, piece, sizeof piece);
            ssize_t n = write(c->out, piece, len);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                lose_output(c);
            c->tx_done += n > 0 ? (uint32_t)n : 0;
        }
        if (c->tx_waiting) {
            virtqueue_unpop(&d->queues[TX]);
        } else {
            c->tx_done = 0;
            virtio_push(d, TX, 0);
        }
    }
}

static void in_ready(void *opaque, int fd, uint32_t events);
static void out_ready(void *opaque, int fd, uint32_t events);

/* Waits for input while there is none left to hand over, and for the reader while a request waits.
 * io held. */
static void update_watches(struct console *c)
{
    ERROR_CLEANUP err = NULL;
    bool want_in = c->input_done == c->n_input;
    if ((c->in >= 0 && c->in_poll &&
         loop_watch(c->loop, c->in, want_in ? EPOLLIN : 0, in_ready, c, &err) < 0) ||
        (c->out >= 0 && c->out_poll &&
         loop_watch(c->loop, c->out, c->tx_waiting ? EPOLLOUT : 0, out_ready, c, &err) < 0))
        log_warn("virtio-console: %s", error_text(err));
}

static void console_serve(struct virtio_device *d, unsigned q)
{
    struct console *c = (struct console *)d;
    if (q == TX)
        serve_tx(c);
    else
        serve_rx(c);
    update_watches(c);
}

static void console_reset(struct virtio_device *d)
{
    struct console *c = (struct console *)d;
    c->tx_done = 0;
    c->tx_waiting = false;
}

static void in_ready(void *opaque, int fd, uint32_t events)
{
    struct console *c = opaque;
    pthread_mutex_lock(&c->device.io);
    fill_input(c);
    update_watches(c);
    pthread_mutex_unlock(&c->device.io);
    virtio_serve(&c->device, 1u << RX);
}

static void out_ready(void *opaque, int fd, uint32_t events)
{
    struct console *c = opaque;
    virtio_serve(&c->device, 1u << TX);
}

static const struct virtio_class console_class = {
    .name = "virtio-console",
    .id = 3,
    .n_queues = 2,
    .queue_size = 64,
    .pci_class = 0x078000,
    .serve = console_serve,
    .reset = console_reset,
};

static void console_destroy(void *opaque)
{
    struct console *c = opaque;
    if (c->in >= 0)
        loop_unwatch(c->loop, c->in);
    if (c->out >= 0)
        loop_unwatch(c->loop, c->out);
    if (c->own_out >= 0)
        close(c->own_out);
    virtio_destroy(&c->device);
    free(c);
}

/* Whether the loop can wait for fd: epoll refuses files that never block. */
static bool can_poll(struct console *c, int fd, uint32_t events, loop_fd_fn *fn)
{
    if (fd < 0 || loop_watch(c->loop, fd, events, fn, c, NULL) < 0)
        return false;
    loop_unwatch(c->loop, fd);
    return true;
}

int virtio_console_create(struct pci_host *host, struct loop *loop, struct slat *slat, int in,
                          int out, struct error **err)
{
    int own_out = -1;
    if (in >= 0 && in == out) {
        /* The loop watches a descriptor for one purpose. */
        own_out = out = fcntl(out, F_DUPFD_CLOEXEC, 0);
        if (out < 0)
            return error_set(err, errno, "virtio console: duplicate descriptor %d", in);
    }
    struct console *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->in = in;
    c->out = out;
    c->own_out = own_out;
    c->in_poll = can_poll(c, in, EPOLLIN, in_ready);
    c->out_poll = can_poll(c, out, EPOLLOUT, out_ready);
    virtio_init(&c->device, &console_class, loop, slat, 0);
    c->device.config_len = sizeof(struct config);
    bus_add_device(pci_bus(host), c, NULL, console_destroy);
    return virtio_pci_add(host, &c->device, err) ? 0 : -1;
}
