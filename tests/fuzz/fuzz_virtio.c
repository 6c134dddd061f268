/* Whole devices, behind the bus: the input is a program of register accesses and memory writes,
 * after a driver that sets the queues up decently. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../machine/fake_slat.h"
#include "base/log.h"
#include "fuzz.h"
#include "machine/devices/devices.h"
#include "machine/devices/pci.h"
#include "machine/devices/virtio.h"

#define RAM_BASE  0x80000000u
#define RAM_SIZE  0x10000u
#define ECAM_BASE 0x30000000u
#define MMIO_BASE 0x40000000u
#define BAR_STEP  0x4000u
#define DEVICES   3
#define CONSOLE   2
#define QUEUES    4
#define QSIZE     8

static void nothing(void *opaque, unsigned line, bool level)
{
}

static void write_bus(struct bus *bus, uint64_t addr, unsigned size, uint64_t value)
{
    bus_write(bus, addr, size, value);
}

/* Rings of queue q of device n: a page each, descriptors at 0, available at 0x400, used at 0x800.
 */
static uint64_t queue_page(unsigned n, unsigned q)
{
    return RAM_BASE + 0x1000 * (n * QUEUES + q);
}

static void start_driver(struct bus *bus, unsigned n, uint64_t features)
{
    uint64_t common = MMIO_BASE + n * BAR_STEP, config = ECAM_BASE + ((n + 1) << 15);
    write_bus(bus, config + PCI_BAR0, 4, common);
    write_bus(bus, config + PCI_COMMAND, 2, 6);
    write_bus(bus, common + 0x14, 1, 3);
    for (unsigned word = 0; word < 2; word++) {
        write_bus(bus, common + 8, 4, word);
        write_bus(bus, common + 0xc, 4, (uint32_t)(features >> (32 * word)));
    }
    write_bus(bus, common + 0x14, 1, 11);
    for (unsigned q = 0; q < QUEUES; q++) {
        write_bus(bus, common + 0x16, 2, q);
        write_bus(bus, common + 0x18, 2, QSIZE);
        write_bus(bus, common + 0x20, 8, queue_page(n, q));
        write_bus(bus, common + 0x28, 8, queue_page(n, q) + 0x400);
        write_bus(bus, common + 0x30, 8, queue_page(n, q) + 0x800);
        write_bus(bus, common + 0x1c, 2, 1);
    }
    write_bus(bus, common + 0x14, 1, 15);
}

/* The console's driver says that its port is ready and open. */
static void open_port(struct bus *bus, struct slat *slat)
{
    static const uint16_t messages[][4] = {{0, 0, 3, 1}, {0, 0, 6, 1}};
    uint8_t *page = slat->ram + queue_page(CONSOLE, 3) - RAM_BASE;
    memcpy(page + 0xc00, messages, sizeof messages);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t desc[2] = {queue_page(CONSOLE, 3) + 0xc00 + 8 * i, 8};
        memcpy(page + 16 * i, desc, sizeof desc);
    }
    memcpy(page + 0x400, (uint16_t[]){0, 2, 0, 1}, 8);
    write_bus(bus, MMIO_BASE + CONSOLE * BAR_STEP + 0x3000 + 4 * 3, 2, 3);
}

static void quit(void *loop)
{
    loop_quit(loop);
}

/* Lets the loop do what was asked of it so far. */
static void run_loop(struct loop *loop)
{
    loop_call(loop, quit, loop);
    loop_run(loop, NULL);
}

/* What the host does with its end of the console's port. */
static void host_side(int fd, unsigned op)
{
    char data[4096] = {0};
    if (op % 4 == 0 && write(fd, data, op) < 0 && errno != EAGAIN && errno != EPIPE)
        abort();
    if (op % 4 == 1)
        while (read(fd, data, sizeof data) > 0)
            ;
    if (op == 2)
        shutdown(fd, SHUT_RDWR);
}

/* host: the other end of the console's port. */
static void step(struct bus *bus, struct slat *slat, struct loop *loop, int host, struct input *in)
{
    unsigned op = (unsigned)take(in, 1), size = 1u << (op >> 4) % 4;
    uint64_t value;
    switch (op % 8) {
    case 0: bus_read(bus, MMIO_BASE + take(in, 2), size, &value); break;
    case 1: {
        uint64_t at = MMIO_BASE + take(in, 2);
        bus_write(bus, at, size, take(in, size));
        break;
    }
    case 2: {
        uint64_t at = ECAM_BASE + take(in, 3);
        bus_write(bus, at, size, take(in, size));
        break;
    }
    case 3: bus_read(bus, ECAM_BASE + take(in, 3), size, &value); break;
    case 4: { /* a descriptor */
        uint64_t queue = take(in, 1), slot = take(in, 1) % (2 * QSIZE), addr = take(in, 2);
        uint32_t len = (uint32_t)take(in, 2), link = (uint32_t)take(in, 2);
        uint8_t *p = slat->ram + queue % (DEVICES * QUEUES) * 0x1000 + 16 * slot;
        addr += RAM_BASE;
        memcpy(p, &addr, 8);
        memcpy(p + 8, &len, 4);
        memcpy(p + 12, &(uint32_t){(link & 7) | (link >> 4 & 15) << 16}, 4);
        break;
    }
    case 5: { /* an entry of the available ring, and a notification */
        unsigned n = (unsigned)take(in, 1), q = n / DEVICES % QUEUES;
        n %= DEVICES;
        uint16_t *avail = (uint16_t *)(void *)(slat->ram + queue_page(n, q) - RAM_BASE + 0x400);
        avail[2 + avail[1] % QSIZE] = (uint16_t)take(in, 1) % (QSIZE + 1);
        avail[1]++;
        write_bus(bus, MMIO_BASE + n * BAR_STEP + 0x3000 + 4 * q, 2, q);
        run_loop(loop);
        break;
    }
    case 6: { /* any bytes anywhere */
        uint64_t at = take(in, 2);
        value = take(in, size);
        memcpy(slat->ram + (at < RAM_SIZE - 8 ? at : 0), &value, size);
        break;
    }
    case 7:
        host_side(host, (unsigned)take(in, 1));
        run_loop(loop);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size < 4096 ? size : 4096};
    struct slat *slat = fake_slat_new(RAM_BASE, RAM_SIZE);
    struct bus *bus = bus_new();
    struct loop *loop = loop_new(NULL);
    struct pci_host_config config = {.ecam_base = ECAM_BASE,
                                     .ecam_size = 256 << 20,
                                     .mmio_base = MMIO_BASE,
                                     .mmio_size = 1 << 30};
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.irqs[i].fn = nothing;
    log_init("fuzz", LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    struct pci_host *host = pci_host_create(bus, &config, NULL);
    int port[2], little = 0; /* room, so that output has to wait */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, port) < 0 ||
        setsockopt(port[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) < 0)
        abort();
    struct balloon *b = virtio_balloon_create(host, loop, slat, NULL);
    if (!host || !b || virtio_rng_create(host, loop, slat, NULL) < 0 ||
        virtio_console_create(host, loop, slat, "port", port[1], NULL) < 0)
        abort();
    bus_reset(bus);
    /* What the devices offer: with a feature too many, there is no driver and little to find. */
    static const uint64_t own[DEVICES] = {0x36, 0, 2};
    uint64_t features = take(&in, 1), ring = VIRTIO_F_VERSION_1 | (take(&in, 1) & 3) << 28;
    for (unsigned n = 0; n < DEVICES; n++)
        start_driver(bus, n, ring | (features & own[n]));
    if (take(&in, 1) & 1)
        open_port(bus, slat);
    while (in.left) {
        step(bus, slat, loop, port[0], &in);
        if (in.left % 16 == 0)
            balloon_request_stats(b);
    }
    run_loop(loop);
    bus_free(bus);
    loop_free(loop);
    fake_slat_free(slat);
    close(port[0]);
    close(port[1]);
    return 0;
}
