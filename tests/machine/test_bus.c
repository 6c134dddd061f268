/* The bus: who answers at an address, and who is refused. Also the two smallest devices. */
#include <stdlib.h>
#include <time.h>

#include "cm.h"
#include "machine/bus.h"
#include "machine/devices/devices.h"

static bool echo_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = (uint64_t)(uintptr_t)opaque << 32 | offset << 8 | size;
    return true;
}

static bool refuse_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return false;
}

static int add(struct bus *bus, uint64_t base, uint64_t size, unsigned sizes, uintptr_t tag)
{
    ERROR_CLEANUP err = NULL;
    return bus_add_region(bus,
                          &(struct bus_region){.name = "echo",
                                               .base = base,
                                               .size = size,
                                               .sizes = sizes,
                                               .opaque = (void *)tag,
                                               .read = echo_read,
                                               .write = refuse_write},
                          &err);
}

static void lookup(void **state)
{
    struct bus *bus = bus_new();
    uint64_t v;
    assert_false(bus_read(bus, 0, 4, &v));
    assert_int_equal(add(bus, 0x3000, 0x1000, 15, 3), 0);
    assert_int_equal(add(bus, 0x1000, 0x100, 4, 1), 0);
    assert_int_equal(add(bus, 0x2000, 6, 15, 2), 0);
    assert_true(bus_read(bus, 0x3ff8, 8, &v) && v == (3ull << 32 | 0xff8 << 8 | 8));
    assert_true(bus_read(bus, 0x1000, 4, &v) && v == (1ull << 32 | 4));
    assert_true(bus_read(bus, 0x10fc, 4, &v));
    assert_true(bus_read(bus, 0x2004, 2, &v));
    assert_false(bus_read(bus, 0x2004, 4, &v)); /* crosses the end */
    assert_false(bus_read(bus, 0x2006, 1, &v));
    assert_false(bus_read(bus, 0x1100, 4, &v)); /* past the end */
    assert_false(bus_read(bus, 0xfff, 1, &v));
    assert_false(bus_read(bus, 0x1002, 4, &v)); /* not aligned */
    assert_false(bus_read(bus, 0x1000, 8, &v)); /* not of a size it takes */
    assert_false(bus_read(bus, UINT64_MAX - 7, 8, &v));
    assert_false(bus_write(bus, 0x3000, 4, 0)); /* the device refuses */
    bus_free(bus);
}

static void overlaps(void **state)
{
    struct bus *bus = bus_new();
    assert_int_equal(add(bus, 0x1000, 0x1000, 15, 1), 0);
    assert_int_equal(add(bus, 0x1fff, 1, 15, 2), -1);
    assert_int_equal(add(bus, 0xfff, 2, 15, 2), -1);
    assert_int_equal(add(bus, 0, 0x10000, 15, 2), -1);
    assert_int_equal(add(bus, 0x3000, 0, 15, 2), -1);
    assert_int_equal(add(bus, UINT64_MAX, 2, 15, 2), -1);
    assert_int_equal(add(bus, 0x2000, 1, 15, 2), 0);
    assert_int_equal(add(bus, 0xfff, 1, 15, 2), 0);
    assert_int_equal(add(bus, UINT64_MAX, 1, 15, 2), 0);
    bus_free(bus);
}

struct ending {
    enum syscon_event event;
    unsigned status, calls;
};

static void note_end(void *arg, enum syscon_event event, unsigned status)
{
    struct ending *e = arg;
    *e = (struct ending){event, status, e->calls + 1};
}

static void syscon_ends_the_machine(void **state)
{
    struct bus *bus = bus_new();
    struct ending e = {0};
    assert_int_equal(syscon_create(bus, 0x100000, note_end, &e, NULL), 0);
    assert_true(bus_write(bus, 0x100000, 4, 0x1234));
    assert_true(bus_write(bus, 0x100004, 4, 0x5555));
    assert_int_equal(e.calls, 0);
    assert_true(bus_write(bus, 0x100000, 4, 0x5555));
    assert_int_equal(e.event, SYSCON_POWEROFF);
    assert_int_equal(e.status, 0);
    assert_true(bus_write(bus, 0x100000, 4, 42 << 16 | 0x3333));
    assert_int_equal(e.event, SYSCON_POWEROFF);
    assert_int_equal(e.status, 42);
    assert_true(bus_write(bus, 0x100000, 4, 0x7777));
    assert_int_equal(e.event, SYSCON_REBOOT);
    assert_int_equal(e.calls, 3);
    bus_free(bus);
}

static uint64_t rtc_time(struct bus *bus)
{
    uint64_t low = 0, high = 0;
    assert_true(bus_read(bus, 0x101000, 4, &low) && bus_read(bus, 0x101004, 4, &high));
    return high << 32 | low;
}

struct rtc_irq {
    bool level;
    struct loop *loop;
};

static void rtc_irq(void *opaque, unsigned line, bool level)
{
    struct rtc_irq *i = opaque;
    i->level = level;
    if (level)
        loop_quit(i->loop);
}

static void rtc_tells_time_and_wakes(void **state)
{
    struct bus *bus = bus_new();
    struct loop *loop = loop_new(NULL);
    struct rtc_irq irq = {.loop = loop};
    struct irq_line line = {.fn = rtc_irq, .opaque = &irq, .line = 11};
    assert_int_equal(rtc_create(bus, 0x101000, line, loop, NULL), 0);
    uint64_t now = rtc_time(bus);
    assert_true(now / 1000000000 - (uint64_t)time(NULL) + 1 <= 2);

    uint64_t alarm = now + 20000000;
    assert_true(bus_write(bus, 0x101010, 4, 1));
    assert_true(bus_write(bus, 0x10100c, 4, alarm >> 32));
    assert_true(bus_write(bus, 0x101008, 4, (uint32_t)alarm));
    assert_int_equal(loop_run(loop, NULL), 0); /* until the interrupt */
    assert_true(irq.level);
    assert_true(rtc_time(bus) >= alarm);
    assert_true(bus_write(bus, 0x10101c, 4, 1));
    assert_false(irq.level);

    /* The guest sets its clock: only its own view moves. */
    assert_true(bus_write(bus, 0x101004, 4, 5));
    assert_true(bus_write(bus, 0x101000, 4, 7));
    uint64_t set = rtc_time(bus);
    assert_true(set >= (5ull << 32 | 7) && set < (5ull << 32 | 7) + 2000000000);
    bus_free(bus);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup),
        cmocka_unit_test(overlaps),
        cmocka_unit_test(syscon_ends_the_machine),
        cmocka_unit_test(rtc_tells_time_and_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
