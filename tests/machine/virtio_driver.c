#include "virtio_driver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"

static void set_irq(void *opaque, unsigned line, bool level)
{
    struct rig *r = opaque;
    atomic_store(&r->irq[line - 32], level);
}

void rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    r->slat = fake_slat_new(RAM_BASE, RAM_SIZE);
    r->next_free = RAM_BASE;
    r->bus = bus_new();
    r->loop = loop_new(NULL);
    assert_non_null(r->loop);
    struct pci_host_config config = {.ecam_base = ECAM_BASE,
                                     .ecam_size = 256 << 20,
                                     .mmio_base = MMIO_BASE,
                                     .mmio_size = 1 << 30};
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.irqs[i] = (struct irq_line){.fn = set_irq, .opaque = r, .line = 32 + i};
    r->host = pci_host_create(r->bus, &config, NULL);
    assert_non_null(r->host);
}

static void *loop_thread(void *opaque)
{
    struct rig *r = opaque;
    loop_run(r->loop, NULL);
    return NULL;
}

void rig_start(struct rig *r)
{
    bus_reset(r->bus);
    assert_int_equal(pthread_create(&r->thread, NULL, loop_thread, r), 0);
    r->running = true;
}

static void quit(void *loop)
{
    loop_quit(loop);
}

void rig_free(struct rig *r)
{
    if (r->running) {
        loop_call(r->loop, quit, r->loop);
        pthread_join(r->thread, NULL);
    }
    bus_free(r->bus);
    loop_free(r->loop);
    fake_slat_free(r->slat);
}

uint64_t rig_alloc(struct rig *r, uint64_t len)
{
    uint64_t gpa = r->next_free;
    r->next_free += (len + 4095) & ~4095ull;
    assert_true(r->next_free <= RAM_BASE + RAM_SIZE);
    return gpa;
}

void *rig_ptr(struct rig *r, uint64_t gpa)
{
    return r->slat->ram + (gpa - RAM_BASE);
}

uint64_t rig_read(struct rig *r, uint64_t addr, unsigned size)
{
    uint64_t value;
    assert_true(bus_read(r->bus, addr, size, &value));
    return value;
}

void rig_write(struct rig *r, uint64_t addr, unsigned size, uint64_t value)
{
    assert_true(bus_write(r->bus, addr, size, value));
}

void driver_probe(struct driver *d, struct rig *r, unsigned slot)
{
    memset(d, 0, sizeof *d);
    d->rig = r;
    d->ecam = ECAM_BASE + ((uint64_t)slot << 15);
    uint64_t bar = MMIO_BASE + ((uint64_t)slot << 16);
    assert_int_equal(rig_read(r, d->ecam + PCI_VENDOR_ID, 2), 0x1af4);
    rig_write(r, d->ecam + PCI_BAR0, 4, bar);
    rig_write(r, d->ecam + PCI_COMMAND, 2, 6);
    unsigned at = (unsigned)rig_read(r, d->ecam + PCI_CAPABILITIES, 1);
    for (; at; at = (unsigned)rig_read(r, d->ecam + at + 1, 1)) {
        assert_int_equal(rig_read(r, d->ecam + at, 1), 9);
        uint64_t where = bar + rig_read(r, d->ecam + at + 8, 4);
        switch (rig_read(r, d->ecam + at + 3, 1)) {
        case 1: d->common = where; break;
        case 2:
            d->notify = where;
            d->notify_step = (uint32_t)rig_read(r, d->ecam + at + 16, 4);
            break;
        case 3: d->isr = where; break;
        case 4: d->config = where; break;
        }
    }
    assert_true(d->common && d->notify && d->isr);
}

uint8_t driver_status(struct driver *d)
{
    return (uint8_t)rig_read(d->rig, d->common + 0x14, 1);
}

static void set_status(struct driver *d, uint8_t status)
{
    rig_write(d->rig, d->common + 0x14, 1, status);
}

static void setup_ring(struct driver *d, unsigned q, uint16_t size)
{
    struct rig *r = d->rig;
    struct ring *ring = &d->rings[q];
    *ring = (struct ring){.size = size};
    ring->desc_gpa = rig_alloc(r, sizeof(struct desc) * size);
    ring->avail_gpa = rig_alloc(r, 6 + 2ull * size);
    ring->used_gpa = rig_alloc(r, 6 + 8ull * size);
    ring->desc = rig_ptr(r, ring->desc_gpa);
    ring->avail = rig_ptr(r, ring->avail_gpa);
    ring->used = rig_ptr(r, ring->used_gpa);
    rig_write(r, d->common + 0x16, 2, q);
    rig_write(r, d->common + 0x18, 2, size);
    rig_write(r, d->common + 0x20, 8, ring->desc_gpa);
    rig_write(r, d->common + 0x28, 4, ring->avail_gpa & UINT32_MAX);
    rig_write(r, d->common + 0x2c, 4, ring->avail_gpa >> 32);
    rig_write(r, d->common + 0x30, 8, ring->used_gpa);
    rig_write(r, d->common + 0x1c, 2, 1);
    assert_int_equal(rig_read(r, d->common + 0x1c, 2), 1);
    assert_int_equal(rig_read(r, d->common + 0x1e, 2), q);
}

void driver_start(struct driver *d, uint64_t wanted, unsigned n, uint16_t size)
{
    struct rig *r = d->rig;
    set_status(d, 0);
    assert_int_equal(driver_status(d), 0);
    set_status(d, 1);
    set_status(d, 3);
    uint64_t offered = 0;
    for (unsigned word = 0; word < 2; word++) {
        rig_write(r, d->common + 0, 4, word);
        offered |= rig_read(r, d->common + 4, 4) << (32 * word);
    }
    d->features = offered & wanted;
    for (unsigned word = 0; word < 2; word++) {
        rig_write(r, d->common + 8, 4, word);
        rig_write(r, d->common + 0xc, 4, (uint32_t)(d->features >> (32 * word)));
    }
    set_status(d, 11);
    assert_int_equal(driver_status(d), 11);
    for (unsigned q = 0; q < n; q++)
        setup_ring(d, q, size);
    set_status(d, 15);
}

void driver_submit_head(struct driver *d, unsigned q, uint16_t head)
{
    struct ring *ring = &d->rings[q];
    uint16_t idx = ring->avail[1];
    ring->avail[2 + idx % ring->size] = head;
    __atomic_store_n(&ring->avail[1], (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
    rig_write(d->rig, d->notify + q * d->notify_step, 2, q);
}

void driver_submit(struct driver *d, unsigned q, const struct desc *buffers, unsigned n)
{
    struct ring *ring = &d->rings[q];
    uint16_t head = ring->next_desc % ring->size;
    for (unsigned i = 0; i < n; i++) {
        uint16_t at = (uint16_t)((head + i) % ring->size);
        ring->desc[at] = buffers[i];
        if (i + 1 < n) {
            ring->desc[at].flags |= VQ_DESC_NEXT;
            ring->desc[at].next = (uint16_t)((at + 1) % ring->size);
        }
    }
    ring->next_desc = (uint16_t)(ring->next_desc + n);
    driver_submit_head(d, q, head);
}

uint16_t driver_used(struct driver *d, unsigned q)
{
    return __atomic_load_n(&d->rings[q].used[1], __ATOMIC_ACQUIRE);
}

bool driver_wait(struct driver *d, unsigned q, uint32_t *written)
{
    struct ring *ring = &d->rings[q];
    for (int i = 0; i < 2000; i++) {
        if (driver_used(d, q) != ring->last_used) {
            if (written)
                memcpy(written, &ring->used[2 + 4 * (ring->last_used % ring->size) + 2], 4);
            ring->last_used++;
            return true;
        }
        usleep(1000);
    }
    return false;
}

bool driver_wait_status(struct driver *d, uint8_t mask, uint8_t value)
{
    for (int i = 0; i < 2000; i++) {
        if ((driver_status(d) & mask) == value)
            return true;
        usleep(1000);
    }
    return false;
}
