/* Virtio entropy device: random bytes of the host's (VIRTIO 1.3, section 5.4). */
#include <stdlib.h>
#include <sys/random.h>

#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio-pci.h"

/* The most that one request gets: a driver that wants more asks again. */
#define MAX_BYTES 4096

static void rng_serve(struct virtio_device *d, unsigned q)
{
    while (virtio_pop(d, q)) {
        uint8_t bytes[MAX_BYTES];
        size_t len = d->chain.in_len < MAX_BYTES ? d->chain.in_len : MAX_BYTES;
        if (!len) {
            virtio_break(d, "request without room for random bytes");
            return;
        }
        /* Does not wait once the host has booted; may be cut short by a signal. */
        ssize_t n = getrandom(bytes, len, 0);
        if (n < 0)
            n = 0;
        virtio_push(d, q, (uint32_t)vq_chain_write(&d->chain, 0, bytes, (size_t)n));
    }
}

static const struct virtio_class rng_class = {
    .name = "virtio-rng",
    .id = 4,
    .n_queues = 1,
    .queue_size = 64,
    .pci_class = 0x00ff00,
    .serve = rng_serve,
};

static void rng_destroy(void *opaque)
{
    virtio_destroy(opaque);
    free(opaque);
}

int virtio_rng_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                      struct error **err)
{
    struct virtio_device *d = xcalloc(1, sizeof *d);
    virtio_init(d, &rng_class, loop, slat, 0);
    bus_add_device(pci_bus(host), d, NULL, rng_destroy);
    return virtio_pci_add(host, d, err) ? 0 : -1;
}
