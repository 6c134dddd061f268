/* Registers and queues, wrong in every way that there is; half of the time mostly right, so that a
 * device's own code is reached. */
#include "hostile.h"

#define ECAM      0x30000000ul
#define ECAM_STEP 0x8000ul
#define PCI_MMIO  0x40000000ul
#define SLOTS     32u

/* Virtio's numbers of devices. */
enum {
    NET = 1,
    BLOCK = 2,
    CONSOLE = 3,
    ENTROPY = 4,
    BALLOON = 5,
    SHARE = 26
};

/* The common configuration's registers, and where the other structures are. */
enum {
    FEATURE_SELECT = 0x00,
    FEATURE = 0x04,
    DRIVER_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    STATUS = 0x14,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_ENABLE = 0x1c,
    QUEUE_DESC = 0x20,
    QUEUE_AVAIL = 0x28,
    QUEUE_USED = 0x30,
    ISR = 0x1000,
    CONFIG = 0x2000,
    NOTIFY = 0x3000,
    REGION = 0x4000,
};

static struct {
    uint64_t bar;
    unsigned id;
} devices[SLOTS];
static unsigned n_devices;

void pci_probe(void)
{
    unsigned n = 0;
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        uint64_t config = ECAM + slot * ECAM_STEP, bar = PCI_MMIO + slot * 0x10000;
        if (read_at(config, 1) != 0x1af4)
            continue;
        write_at(config + 0x10, bar, 2);
        write_at(config + 0x14, 0, 2);
        write_at(config + 4, 6, 1);
        devices[n].bar = bar;
        devices[n++].id = (unsigned)read_at(config + 2, 1) - 0x1040;
    }
    n_devices = n;
}

static void put_all(uint64_t at, const uint64_t *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        write_at(at + i * 8, v[i], 3);
}

/* A request's first bytes: what the device looks at. */
static void fill_block(struct context *c, uint64_t at)
{
    static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 2, 99};
    write_at(at, types[below(c, sizeof types)], 2);
    write_at(at + 4, below(c, 16) ? 0 : odd_value(c), 2);
    write_at(at + 8, below(c, 3) ? below(c, 9000) : odd_value(c), 3); /* the sector */
    if (below(c, 4) == 0) {                                           /* a range to discard */
        write_at(at + 16, below(c, 2) ? below(c, 9000) : odd_value(c), 3);
        write_at(at + 24, odd_value(c), 2);
        write_at(at + 28, below(c, 4), 2);
    }
}

static void fill_share(struct context *c, uint64_t at, uint32_t len)
{
    const uint64_t head[5] = {(below(c, 4) ? len : odd_value(c) & 0xffffffff) | below(c, 60) << 32,
                              rnd(c), below(c, 4) ? 1 + below(c, 4) : odd_value(c),
                              below(c, 2) ? 0 : odd_value(c), 0};
    put_all(at, head, 5);
    for (unsigned i = 40; i < 160; i += 8) { /* small numbers, names such as a/.., and anything */
        uint64_t names = 0x2e2e612f2e2e61ul >> 8 * below(c, 7);
        write_at(at + i, below(c, 3) ? below(c, 2) ? names : below(c, 8) : odd_value(c), 3);
    }
    if (below(c, 8) == 0) { /* INIT, without which all else is refused */
        write_at(at, 40 + 16, 2);
        write_at(at + 4, 26, 2);
        write_at(at + 40, 7 | 38ul << 32, 3);
    }
}

static void fill_net(struct context *c, uint64_t at)
{
    static const uint16_t types[] = {0x0008, 0x0608, 0xdd86};
    static const uint8_t protocols[] = {1, 6, 17, 2};
    for (unsigned i = 0; i < 96; i += 8)
        write_at(at + i, below(c, 2) ? 0 : rnd(c), 3);
    write_at(at + 2, below(c, 4) ? 0 : odd_value(c), 1); /* of the header: lengths to split at */
    write_at(at + 12, 0x5452, 1);                        /* to the router, 52:54:0a:0a:02:02 ... */
    write_at(at + 14, 0x0202000a, 2);
    write_at(at + 24, types[below(c, 3)], 1);
    write_at(at + 26, below(c, 16) ? 0x45 : odd_value(c), 0);
    write_at(at + 35, protocols[below(c, 4)], 0);
    write_at(at + 42, below(c, 2) ? 0x0202000a : 0x0302000a, 2); /* nobody else */
}

/* Page numbers: doubled, outside, in use; or statistics that cannot be. */
static void fill_balloon(struct context *c, uint64_t at)
{
    uint64_t last = PLAY >> 12;
    for (unsigned i = 0; i < 64; i++) {
        if (below(c, 4))
            last = below(c, 3) ? (PLAY + below(c, PLAY_SIZE)) >> 12 : odd_value(c);
        write_at(at + i * 4, last, 2);
    }
    if (below(c, 3) == 0)
        for (unsigned i = 0; i < 10; i++) {
            write_at(at + i * 10, below(c, 4) ? i : odd_value(c), 1);
            write_at(at + i * 10 + 2, odd_value(c), 3);
        }
}

static void fill(struct context *c, unsigned id, uint64_t at, uint32_t len)
{
    if (at < PLAY || at >= PLAY + PLAY_SIZE - 4096)
        return;
    switch (below(c, 5) ? id : below(c, 30)) {
    case NET: fill_net(c, at); break;
    case BLOCK: fill_block(c, at); break;
    case BALLOON: fill_balloon(c, at); break;
    case SHARE: fill_share(c, at, len); break;
    case CONSOLE: write_at(at, below(c, 3) | below(c, 9) << 32 | below(c, 2) << 48, 3); break;
    default: write_at(at, odd_value(c), 3);
    }
}

struct ring {
    uint64_t desc, avail, used, buffers;
    unsigned size;
};

static void fill_descriptors(struct context *c, unsigned id, const struct ring *r)
{
    for (unsigned i = 0; i < r->size; i++) {
        uint64_t at = below(c, 8) ? r->buffers + below(c, 0x20000) : odd_address(c);
        uint32_t len =
            (uint32_t)(below(c, 6) == 0 ? odd_value(c) : below(c, below(c, 4) ? 4096 : 160));
        uint64_t flags = below(c, 3) ? below(c, 4) : below(c, 40) ? below(c, 8) : rnd(c);
        if (below(c, 3) == 0 || i + 1 == r->size)
            flags &= ~1ul;
        uint64_t next = below(c, 10) ? (i + 1) % r->size : rnd(c);
        write_at(r->desc + i * 16, at, 3);
        write_at(r->desc + i * 16 + 8, len, 2);
        write_at(r->desc + i * 16 + 12, flags, 1);
        write_at(r->desc + i * 16 + 14, next, 1);
        fill(c, id, at, len);
    }
}

static void fill_available(struct context *c, const struct ring *r)
{
    write_at(r->avail, below(c, 2), 1);
    for (unsigned i = 0; i < r->size; i++)
        write_at(r->avail + 4 + 2 * i, below(c, 20) ? below(c, r->size) : rnd(c), 1);
    write_at(r->avail + 4 + 2 * r->size, rnd(c), 1);
    write_at(r->avail + 2, below(c, 10) ? 1 + below(c, r->size) : rnd(c), 1);
}

static void write_address(uint64_t at, uint64_t v)
{
    write_at(at, v, 2);
    write_at(at + 4, v >> 32, 2);
}

#define RINGS     64u /* places for rings, each with its buffers */
#define RING_STEP 0x40000ul

static void set_queue(struct context *c, uint64_t bar, unsigned q, unsigned id)
{
    uint64_t base = PLAY + below(c, RINGS) * RING_STEP;
    struct ring r = {base, base + 0x4000, base + 0x8000, base + 0x10000, 1u << below(c, 9)};
    struct ring told = r;
    if (below(c, 10) == 0)
        told.desc = odd_address(c);
    if (below(c, 10) == 0)
        told.avail = odd_address(c);
    if (below(c, 10) == 0)
        told.used = odd_address(c);
    write_at(bar + QUEUE_SELECT, q, 1);
    write_at(bar + QUEUE_SIZE, below(c, 10) ? r.size : odd_value(c), 1);
    write_address(bar + QUEUE_DESC, told.desc);
    write_address(bar + QUEUE_AVAIL, told.avail);
    write_address(bar + QUEUE_USED, told.used);
    fill_descriptors(c, id, &r);
    fill_available(c, &r);
    write_at(bar + QUEUE_ENABLE, 1, 1);
}

static void start_device(struct context *c, uint64_t bar, unsigned id)
{
    write_at(bar + STATUS, 0, 0);
    write_at(bar + STATUS, 1, 0);
    write_at(bar + STATUS, 3, 0);
    for (uint32_t word = 0; word < 2; word++) {
        write_at(bar + FEATURE_SELECT, word, 2);
        uint64_t offered = read_at(bar + FEATURE, 2);
        write_at(bar + DRIVER_SELECT, word, 2);
        uint64_t wanted = below(c, 2) ? offered : (offered & rnd(c)) | word;
        write_at(bar + DRIVER_FEATURE, below(c, 10) ? wanted : rnd(c), 2);
    }
    write_at(bar + STATUS, 11, 0);
    for (unsigned q = 0; q < 5; q++)
        if (below(c, 8))
            set_queue(c, bar, q, id);
    write_at(bar + STATUS, 15, 0);
}

void device_step(struct context *c)
{
    if (!n_devices)
        return;
    unsigned i = (unsigned)below(c, n_devices), id = devices[i].id;
    uint64_t bar = devices[i].bar, ring;
    if (below(c, 3) == 0)
        start_device(c, bar, id);
    for (unsigned n = 1 + (unsigned)below(c, 8); n; n--)
        switch (below(c, 10)) {
        case 0: set_queue(c, bar, (unsigned)below(c, 6), id); break;
        case 1: write_at(bar + below(c, REGION), odd_value(c), (unsigned)below(c, 4)); break;
        case 2: read_at(bar + below(c, REGION), (unsigned)below(c, 4)); break;
        case 3: write_at(bar + CONFIG + below(c, 64), odd_value(c), (unsigned)below(c, 4)); break;
        case 4: write_at(bar + STATUS, rnd(c), 0); break;
        case 5: read_at(bar + ISR, 0); break;
        case 6: /* some more are available, or very many */
            ring = PLAY + below(c, RINGS) * RING_STEP + 0x4000;
            write_at(ring + 2, read_at(ring + 2, 1) + (below(c, 20) ? 1 : rnd(c)), 1);
            break;
        default: write_at(bar + NOTIFY + 4 * below(c, 6), below(c, 4), 1);
        }
}

void mmio_step(struct context *c)
{
    static const struct {
        uint64_t at, len;
    } regions[] = {{0x101000, 0x1000},     {0x2000000, 0x10000}, /* CLINT */
                   {0xc000000, 0x600000},                        /* PLIC */
                   {0x10000000, 0x100},                          /* the serial port */
                   {0x30000000, 0x100000},                       /* configuration space */
                   {0x40000000, 0x200000},                       /* where devices are mapped */
                   {0, RAM_BASE},          {RAM_END, 1ul << 32}, {1ul << 34, 1ul << 34}};
    unsigned r = (unsigned)below(c, sizeof regions / sizeof *regions);
    uint64_t a = regions[r].at + below(c, regions[r].len);
    if (below(c, 4))
        a &= ~7ul;
    if (a >> 12 == 0x100 || (a + 7) >> 12 == 0x100) /* the test finisher ends the run */
        return;
    if (below(c, 16) == 0)
        __asm__ volatile("amoadd.w x0, %0, (%1)" ::"r"(rnd(c)), "r"(a & ~3ul) : "memory");
    else if (below(c, 2))
        write_at(a, odd_value(c), (unsigned)below(c, 4));
    else
        read_at(a, (unsigned)below(c, 4));
}

void config_step(struct context *c)
{
    uint64_t a = ECAM + below(c, 16) * ECAM_STEP + (below(c, 16) ? 0 : 0x1000) +
                 below(c, below(c, 4) ? 0x80 : 0x1000);
    if (below(c, 2))
        write_at(a, odd_value(c), (unsigned)below(c, 4));
    else
        read_at(a, (unsigned)below(c, 4));
    if (below(c, 4) == 0)
        pci_probe();
}
