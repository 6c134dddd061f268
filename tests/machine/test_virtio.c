/* Virtio devices through the PCI transport, driven as a guest would: entropy, balloon, and
 * what every device does with a driver that misbehaves. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cm.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio.h"
#include "virtio_driver.h"

#define ALL_FEATURES UINT64_MAX

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    rig_init(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    free(*state);
    return 0;
}

static void rng_driver(struct rig *r, struct driver *d)
{
    assert_int_equal(virtio_rng_create(r->host, r->loop, r->slat, NULL), 0);
    rig_start(r);
    driver_probe(d, r, 1);
}

static void rng_fills_buffers(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    driver_start(&d, ALL_FEATURES, 1, 8);
    uint64_t gpa = rig_alloc(r, 4096);
    uint8_t *p = rig_ptr(r, gpa), zeros[32] = {0};
    uint32_t written;
    for (int i = 0; i < 20; i++) { /* more than once around the ring */
        memset(p, 0, 128);
        driver_submit(&d, 0, (struct desc[]){{gpa, 32, VQ_DESC_WRITE, 0}, {gpa + 64, 32, 2, 0}}, 2);
        assert_true(driver_wait(&d, 0, &written));
        assert_int_equal(written, 64);
        assert_memory_not_equal(p, zeros, 32);
        assert_memory_equal(p + 32, zeros, 32);
        assert_memory_not_equal(p + 64, zeros, 32);
    }
}

static void interrupt_and_its_acknowledgement(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    driver_start(&d, VIRTIO_F_VERSION_1, 1, 8);
    uint64_t gpa = rig_alloc(r, 4096);
    driver_submit(&d, 0, (struct desc[]){{gpa, 32, VQ_DESC_WRITE, 0}}, 1);
    assert_true(driver_wait(&d, 0, NULL));
    for (int i = 0; i < 2000 && !r->irq[1]; i++)
        usleep(1000);
    assert_true(r->irq[1]);
    assert_int_equal(rig_read(r, d.isr, 1), 1);
    assert_false(r->irq[1]);
    assert_int_equal(rig_read(r, d.isr, 1), 0);
}

static void features_must_be_a_subset(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    static const struct {
        uint32_t low, high;
        bool ok;
    } sets[] = {
        {0, 1, true}, {0, 0, false}, {1u << 28, 1, true}, {1u << 27, 1, false}, {0, 3, false}};
    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
        rig_write(r, d.common + 0x14, 1, 0);
        rig_write(r, d.common + 0x14, 1, 3);
        rig_write(r, d.common + 8, 4, 0);
        rig_write(r, d.common + 0xc, 4, sets[i].low);
        rig_write(r, d.common + 8, 4, 1);
        rig_write(r, d.common + 0xc, 4, sets[i].high);
        rig_write(r, d.common + 0x14, 1, 11);
        assert_int_equal(driver_status(&d), sets[i].ok ? 11 : 3);
        rig_write(r, d.common + 0x14, 1, 15);
        assert_int_equal(driver_status(&d), sets[i].ok ? 15 : 3);
    }
}

static void broken_driver_needs_a_reset(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    uint64_t gpa = rig_alloc(r, 4096);
    for (int round = 0; round < 2; round++) {
        driver_start(&d, ALL_FEATURES, 1, 8);
        driver_submit(&d, 0, (struct desc[]){{0x1000, 32, VQ_DESC_WRITE, 0}}, 1);
        assert_true(driver_wait_status(&d, VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET));
        assert_int_equal(rig_read(r, d.isr, 1) & 2, 2); /* a configuration change tells it */
        driver_submit(&d, 0, (struct desc[]){{gpa, 32, VQ_DESC_WRITE, 0}}, 1);
        usleep(20000);
        assert_int_equal(driver_used(&d, 0), 0);
        driver_start(&d, ALL_FEATURES, 1, 8); /* resets */
        driver_submit(&d, 0, (struct desc[]){{gpa, 32, VQ_DESC_WRITE, 0}}, 1);
        assert_true(driver_wait(&d, 0, NULL));
    }
}

static void bad_queue_area_breaks(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    driver_start(&d, ALL_FEATURES, 0, 8);
    rig_write(r, d.common + 0x16, 2, 0);
    rig_write(r, d.common + 0x20, 8, 0x1234);
    rig_write(r, d.common + 0x1c, 2, 1);
    assert_int_equal(driver_status(&d) & VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET);
    assert_int_equal(rig_read(r, d.common + 0x1c, 2), 0);
}

/* Every register, of every width, with odd values: no crash, and the device works after a reset. */
static void registers_take_anything(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    static const uint64_t values[] = {0, 1, 0xff, 0xffff, UINT32_MAX, UINT64_MAX};
    for (unsigned v = 0; v < sizeof values / sizeof *values; v++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned at = 0; at + size <= 0x4000; at += at < 0x60 ? size : 0x1000 - 0x40) {
                uint64_t got;
                at &= ~(size - 1);
                bus_write(r->bus, d.common + at, size, values[v]);
                bus_read(r->bus, d.common + at, size, &got);
            }
    rig_write(r, d.common + 0x16, 2, 77); /* a queue that is not there */
    assert_int_equal(rig_read(r, d.common + 0x18, 2), 0);
    driver_start(&d, ALL_FEATURES, 1, 8);
    uint64_t gpa = rig_alloc(r, 4096);
    driver_submit(&d, 0, (struct desc[]){{gpa, 32, VQ_DESC_WRITE, 0}}, 1);
    assert_true(driver_wait(&d, 0, NULL));
}

/* Section 4.1.4.9: the structures can be reached through configuration space alone. */
static void configuration_access_window(void **state)
{
    struct rig *r = *state;
    struct driver d;
    rng_driver(r, &d);
    uint64_t cap = 0;
    for (unsigned at = (unsigned)rig_read(r, d.ecam + PCI_CAPABILITIES, 1); at;
         at = (unsigned)rig_read(r, d.ecam + at + 1, 1))
        if (rig_read(r, d.ecam + at + 3, 1) == 5)
            cap = d.ecam + at;
    assert_true(cap);
    rig_write(r, cap + 4, 1, 0);
    rig_write(r, cap + 8, 4, 0x14);
    rig_write(r, cap + 12, 4, 1);
    rig_write(r, cap + 16, 1, 1);
    assert_int_equal(driver_status(&d), 1);
    assert_int_equal(rig_read(r, cap + 16, 1), 1);
    rig_write(r, cap + 8, 4, 0xfffffff0); /* outside: nothing happens */
    rig_write(r, cap + 16, 4, UINT32_MAX);
    assert_int_equal(rig_read(r, cap + 16, 4), 0);
    assert_int_equal(driver_status(&d), 1);
}

enum {
    BALLOON_STATS = 1 << 1,
    BALLOON_REPORTING = 1 << 5,
};

static void balloon_inflates_and_deflates(void **state)
{
    struct rig *r = *state;
    struct driver d;
    struct balloon *b = virtio_balloon_create(r->host, r->loop, r->slat, NULL);
    struct balloon_stats stats;
    assert_non_null(b);
    rig_start(r);
    driver_probe(&d, r, 1);
    driver_start(&d, VIRTIO_F_VERSION_1, 2, 8);
    rig_read(r, d.isr, 1);
    balloon_set_target(b, 5 * 4096 + 100);
    assert_int_equal(rig_read(r, d.isr, 1), 2);
    assert_int_equal(rig_read(r, d.config, 4), 5);

    uint64_t gpa = rig_alloc(r, 4096);
    uint32_t *pfns = rig_ptr(r, gpa);
    uint32_t first = (RAM_BASE >> 12) + 512;
    const uint32_t list[] = {first + 2, first, first + 1, first + 9, 1 /* no RAM */, UINT32_MAX};
    memcpy(pfns, list, sizeof list);
    memset(rig_ptr(r, (uint64_t)first << 12), 0xee, 4096);
    driver_submit(&d, 0, (struct desc[]){{gpa, 12, 0, 0}, {gpa + 12, sizeof list - 12, 0, 0}}, 2);
    assert_true(driver_wait(&d, 0, NULL));
    assert_int_equal(r->slat->ballooned, 4 * 4096);
    assert_int_equal(r->slat->discards, 2); /* three pages side by side, and one */
    assert_int_equal(*(uint8_t *)rig_ptr(r, (uint64_t)first << 12), 0);
    rig_write(r, d.config + 4, 4, 4);
    balloon_get_stats(b, &stats);
    assert_true(stats.running);
    assert_int_equal(stats.target, 5 * 4096);
    assert_int_equal(stats.actual, 4 * 4096);

    driver_submit(&d, 1, (struct desc[]){{gpa, 8, 0, 0}}, 1);
    assert_true(driver_wait(&d, 1, NULL));
    assert_int_equal(r->slat->deflated, 2 * 4096);
    /* A wish outlives a reset, what the driver said does not. */
    driver_start(&d, VIRTIO_F_VERSION_1, 2, 8);
    balloon_get_stats(b, &stats);
    assert_int_equal(stats.target, 5 * 4096);
    assert_int_equal(stats.actual, 0);
}

static void put_stat(uint8_t *p, uint16_t tag, uint64_t value)
{
    memcpy(p, &tag, 2);
    memcpy(p + 2, &value, 8);
}

static void balloon_statistics(void **state)
{
    struct rig *r = *state;
    struct driver d;
    struct balloon *b = virtio_balloon_create(r->host, r->loop, r->slat, NULL);
    struct balloon_stats stats;
    rig_start(r);
    driver_probe(&d, r, 1);
    driver_start(&d, VIRTIO_F_VERSION_1 | BALLOON_STATS, 3, 8);
    uint64_t gpa = rig_alloc(r, 4096);
    uint8_t *p = rig_ptr(r, gpa);
    put_stat(p, BALLOON_FREE, 12345678);
    put_stat(p + 10, 999, 1); /* unknown: ignored */
    put_stat(p + 20, BALLOON_TOTAL, 1ull << 40);
    driver_submit(&d, 2, (struct desc[]){{gpa, 30, 0, 0}}, 1);
    for (int i = 0; i < 2000; i++, usleep(1000)) {
        balloon_get_stats(b, &stats);
        if (stats.time_ns)
            break;
    }
    assert_int_equal(stats.known, 1 << BALLOON_FREE | 1 << BALLOON_TOTAL);
    assert_int_equal(stats.value[BALLOON_FREE], 12345678);
    assert_int_equal(stats.value[BALLOON_TOTAL], 1ull << 40);
    assert_int_equal(driver_used(&d, 2), 0); /* kept until new ones are wanted */
    balloon_request_stats(b);
    assert_true(driver_wait(&d, 2, NULL));
    balloon_request_stats(b); /* before the driver answers: waits for its buffer */
    put_stat(p, BALLOON_FREE, 5);
    driver_submit(&d, 2, (struct desc[]){{gpa, 30, 0, 0}}, 1);
    assert_true(driver_wait(&d, 2, NULL));
    balloon_get_stats(b, &stats);
    assert_int_equal(stats.value[BALLOON_FREE], 5);
}

/* Drivers that number only the queues they use, and such as follow the specification. */
static void balloon_free_page_reports(void **state)
{
    struct rig *r = *state;
    struct driver d;
    assert_non_null(virtio_balloon_create(r->host, r->loop, r->slat, NULL));
    rig_start(r);
    driver_probe(&d, r, 1);
    static const struct {
        uint64_t features;
        unsigned queue;
    } ways[] = {{BALLOON_REPORTING, 2},
                {BALLOON_REPORTING | BALLOON_STATS, 3},
                {BALLOON_REPORTING | BALLOON_STATS, 4}};
    for (unsigned i = 0; i < 3; i++) {
        driver_start(&d, VIRTIO_F_VERSION_1 | ways[i].features, ways[i].queue + 1, 8);
        uint64_t before = r->slat->discarded, gpa = RAM_BASE + (2 << 20);
        driver_submit(&d, ways[i].queue,
                      (struct desc[]){{gpa, 1 << 20, VQ_DESC_WRITE, 0},
                                      {gpa + (1 << 20), 4096, VQ_DESC_WRITE, 0}},
                      2);
        assert_true(driver_wait(&d, ways[i].queue, NULL));
        assert_int_equal(r->slat->discarded - before, (1 << 20) + 4096);
    }
    /* A driver that wants its pattern back keeps its pages. */
    driver_start(&d, VIRTIO_F_VERSION_1 | BALLOON_REPORTING | 1 << 4, 3, 8);
    rig_write(r, d.config + 12, 4, 0xaaaaaaaa);
    uint64_t before = r->slat->discarded;
    driver_submit(&d, 2, (struct desc[]){{RAM_BASE + (2 << 20), 4096, VQ_DESC_WRITE, 0}}, 1);
    assert_true(driver_wait(&d, 2, NULL));
    assert_int_equal(r->slat->discarded, before);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rng_fills_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupt_and_its_acknowledgement, setup, teardown),
        cmocka_unit_test_setup_teardown(features_must_be_a_subset, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_driver_needs_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_queue_area_breaks, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_take_anything, setup, teardown),
        cmocka_unit_test_setup_teardown(configuration_access_window, setup, teardown),
        cmocka_unit_test_setup_teardown(balloon_inflates_and_deflates, setup, teardown),
        cmocka_unit_test_setup_teardown(balloon_statistics, setup, teardown),
        cmocka_unit_test_setup_teardown(balloon_free_page_reports, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
