/* Virtio network device (VIRTIO 1.3, section 5.1) on a user-mode network (net/nat.h). Everything
 * runs in the loop's thread. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

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

/* Frames that wait for the driver's buffers; beyond that they are lost, as on a wire. */
#define BACKLOG 512

struct config {
    uint8_t mac[6];
    uint16_t status;
};

struct frame {
    size_t len;
    uint8_t data[];
};

struct net {
    struct virtio_device device; /* first */
    struct nat *nat;
    struct frame *backlog[BACKLOG]; /* a ring */
    unsigned first, n_backlog;
    uint8_t frame[HEADER_LEN + NAT_FRAME_MAX]; /* being transmitted */
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

static void deliver(void *arg, const void *data, size_t len)
{
    struct net *n = arg;
    if (n->n_backlog == BACKLOG || len > NAT_FRAME_MAX)
        return;
    struct frame *f = xcalloc(1, sizeof *f + len);
    f->len = len;
    memcpy(f->data, data, len);
    n->backlog[(n->first + n->n_backlog++) % BACKLOG] = f;
    virtio_kick(&n->device, 1u << RX);
}

/* Frames from the guest. The request is given back first: the NAT may answer at once. */
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
            nat_input(n->nat, n->frame + HEADER_LEN, len - HEADER_LEN);
    }
}

static void net_serve(struct virtio_device *d, unsigned q)
{
    if (q == TX)
        serve_tx((struct net *)d);
    else
        serve_rx((struct net *)d);
}

/* Building. */

static const struct virtio_class net_class = {
    .name = "virtio-net",
    .id = 1,
    .n_queues = 2,
    .queue_size = 256,
    .pci_class = 0x020000,
    .serve = net_serve,
};

static void net_destroy(void *opaque)
{
    struct net *n = opaque;
    nat_free(n->nat);
    drop_backlog(n);
    virtio_destroy(&n->device);
    free(n);
}

int virtio_net_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                      const struct machine_config *config, struct error **err)
{
    struct net *n = xcalloc(1, sizeof *n);
    virtio_init(&n->device, &net_class, loop, slat, F_MAC | F_STATUS);
    /* Locally administered; every machine is alone on its network. */
    struct config c = {.mac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56},
                       .status = htole16(STATUS_LINK_UP)};
    memcpy(n->device.config, &c, sizeof c);
    n->device.config_len = sizeof c;
    bus_add_device(pci_bus(host), n, NULL, net_destroy);
    const struct nat_config nat = {.host_loopback = config->host_loopback,
                                   .link_local = config->link_local,
                                   .forwards = config->forwards,
                                   .n_forwards = config->n_forwards,
                                   .hostname = config->hostname};
    n->nat = nat_new(loop, &nat, deliver, n, err);
    if (!n->nat || !virtio_pci_add(host, &n->device, err))
        return error_prefix(err, "network");
    return 0;
}
