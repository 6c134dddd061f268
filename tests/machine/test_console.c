/* The virtio console's port, driven as a guest would: how it is announced, opened and closed, bytes
 * both ways, a host that is slow or goes, and drivers that come again or misbehave. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "cm.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio.h"
#include "virtio_driver.h"

#define F_MULTIPORT (1ull << 1)
#define NAME        "some.port"

enum {
    RX,
    TX,
    CONTROL_RX,
    CONTROL_TX,
    N_QUEUES,
};

enum {
    DEVICE_READY,
    DEVICE_ADD,
    DEVICE_REMOVE,
    PORT_READY,
    CONSOLE_PORT,
    RESIZE,
    PORT_OPEN,
    PORT_NAME,
};

struct message {
    uint32_t id;
    uint16_t event, value;
    char name[56];
};

struct fixture {
    struct rig rig;
    struct driver d;
    int host, machine; /* the two ends */
    uint64_t gpa;      /* of guest memory: a page for messages, then data */
    struct message *message;
    char *data;
};

#define DATA_LEN (512u << 10)

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];
    rig_init(&f->rig);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->host = pair[0];
    f->machine = pair[1];
    assert_int_equal(
        virtio_console_create(f->rig.host, f->rig.loop, f->rig.slat, NAME, f->machine, NULL), 0);
    rig_start(&f->rig);
    driver_probe(&f->d, &f->rig, 1);
    f->gpa = rig_alloc(&f->rig, 4096 + DATA_LEN);
    f->message = rig_ptr(&f->rig, f->gpa);
    f->data = rig_ptr(&f->rig, f->gpa + 4096);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rig_free(&f->rig); /* the device goes before its descriptor */
    close(f->machine);
    if (f->host >= 0)
        close(f->host);
    free(f);
    return 0;
}

/* What the driver tells the device. */
static void tell(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
    struct message *m = f->message + 1;
    *m = (struct message){.id = id, .event = event, .value = value};
    driver_submit(&f->d, CONTROL_TX, (struct desc[]){{f->gpa + sizeof *m, 8, 0, 0}}, 1);
    assert_true(driver_wait(&f->d, CONTROL_TX, NULL));
}

/* The device's next message has this event and value, for port 0. */
static void expect(struct fixture *f, uint16_t event, uint16_t value)
{
    uint32_t len;
    memset(f->message, 0xff, sizeof *f->message);
    driver_submit(&f->d, CONTROL_RX,
                  (struct desc[]){{f->gpa, sizeof *f->message, VQ_DESC_WRITE, 0}}, 1);
    assert_true(driver_wait(&f->d, CONTROL_RX, &len));
    assert_int_equal(f->message->id, 0);
    assert_int_equal(f->message->event, event);
    assert_int_equal(f->message->value, value);
    assert_int_equal(len, event == PORT_NAME ? 8 + strlen(NAME) : 8);
    if (event == PORT_NAME)
        assert_memory_equal(f->message->name, NAME, strlen(NAME));
}

/* A driver up to the point where a program may open the port. */
static void start(struct fixture *f, uint16_t host_open)
{
    driver_start(&f->d, UINT64_MAX, N_QUEUES, 16);
    assert_true(f->d.features & F_MULTIPORT);
    tell(f, 0, DEVICE_READY, 1);
    expect(f, DEVICE_ADD, 0);
    tell(f, 0, PORT_READY, 1);
    expect(f, PORT_OPEN, host_open);
    expect(f, PORT_NAME, 0);
}

static void offer_buffer(struct fixture *f, uint32_t offset, uint32_t len)
{
    driver_submit(&f->d, RX, (struct desc[]){{f->gpa + 4096 + offset, len, VQ_DESC_WRITE, 0}}, 1);
}

static void say(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->host, text, strlen(text)), strlen(text));
}

/* The guest's next buffer, of at least that size, has this text. */
static void expect_input(struct fixture *f, const char *text)
{
    uint32_t len;
    assert_true(driver_wait(&f->d, RX, &len));
    assert_int_equal(len, strlen(text));
    assert_memory_equal(f->data, text, len);
}

static void no_input(struct fixture *f)
{
    usleep(30000);
    assert_int_equal(driver_used(&f->d, RX), f->d.rings[RX].last_used);
}

static void send_data(struct fixture *f, uint32_t len)
{
    driver_submit(&f->d, TX, (struct desc[]){{f->gpa + 4096, len, 0, 0}}, 1);
}

/* Reads `len` bytes; each is what the n-th byte of fill() is. */
static void fill(struct fixture *f)
{
    for (unsigned i = 0; i < DATA_LEN; i++)
        f->data[i] = (char)(i * 7 + (i >> 8));
}

static void read_host(struct fixture *f, char *to, size_t len)
{
    for (size_t have = 0; have < len;) {
        struct pollfd p = {.fd = f->host, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 2000), 1);
        ssize_t n = read(f->host, to + have, len - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
}

static bool host_has(struct fixture *f, int ms)
{
    struct pollfd p = {.fd = f->host, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

static void both_ways(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    tell(f, 0, PORT_OPEN, 1);
    offer_buffer(f, 0, 3);
    offer_buffer(f, 16, 64);
    say(f, "early");
    expect_input(f, "ear");
    uint32_t len;
    assert_true(driver_wait(&f->d, RX, &len));
    assert_int_equal(len, 2);
    assert_memory_equal(f->data + 16, "ly", 2);
    say(f, "later"); /* no buffer is there */
    usleep(10000);
    offer_buffer(f, 0, 64);
    expect_input(f, "later");

    char buf[11];
    memcpy(f->data, "hello ", 6);
    memcpy(f->data + 8192, "world", 5);
    driver_submit(&f->d, TX,
                  (struct desc[]){{f->gpa + 4096, 6, 0, 0}, {f->gpa + 4096 + 8192, 5, 0, 0}}, 2);
    assert_true(driver_wait(&f->d, TX, NULL));
    read_host(f, buf, 11);
    assert_memory_equal(buf, "hello world", 11);
}

static void input_waits_for_the_program(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    offer_buffer(f, 0, 64);
    say(f, "one");
    no_input(f);
    tell(f, 0, PORT_OPEN, 1);
    expect_input(f, "one");
    tell(f, 0, PORT_OPEN, 0);
    offer_buffer(f, 0, 64);
    say(f, "two");
    no_input(f);
    tell(f, 0, PORT_OPEN, 1);
    expect_input(f, "two");
}

static void slow_host(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    tell(f, 0, PORT_OPEN, 1);
    fill(f);
    for (int i = 0; i < 4; i++)
        send_data(f, DATA_LEN); /* requests of more than is handed over at once */
    usleep(50000);
    assert_true(driver_used(&f->d, TX) < 4);
    /* The other direction is not in its way. */
    driver_submit(&f->d, RX, (struct desc[]){{f->gpa + 2048, 16, VQ_DESC_WRITE, 0}}, 1);
    say(f, "x");
    assert_true(driver_wait(&f->d, RX, NULL));
    char *got = malloc(DATA_LEN);
    for (int i = 0; i < 4; i++) {
        read_host(f, got, DATA_LEN);
        assert_memory_equal(got, f->data, DATA_LEN);
    }
    free(got);
    for (int i = 0; i < 4; i++)
        assert_true(driver_wait(&f->d, TX, NULL));
}

static void host_closes(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    tell(f, 0, PORT_OPEN, 1);
    say(f, "bye");
    close(f->host);
    f->host = -1;
    offer_buffer(f, 0, 64);
    expect_input(f, "bye");
    offer_buffer(f, 0, 64);
    expect(f, PORT_OPEN, 0);
    no_input(f);
    for (int i = 0; i < 20; i++) { /* output goes nowhere, and nobody waits */
        send_data(f, DATA_LEN);
        assert_true(driver_wait(&f->d, TX, NULL));
    }
    start(f, 0);
}

static void host_closes_while_output_waits(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    tell(f, 0, PORT_OPEN, 1);
    send_data(f, DATA_LEN);
    send_data(f, DATA_LEN);
    usleep(20000);
    close(f->host);
    f->host = -1;
    assert_true(driver_wait(&f->d, TX, NULL));
    assert_true(driver_wait(&f->d, TX, NULL));
    expect(f, PORT_OPEN, 0);
}

static void next_driver(void **state)
{
    struct fixture *f = *state;
    char *got = malloc(DATA_LEN);
    for (int turn = 0; turn < 3; turn++) {
        start(f, 1);
        tell(f, 0, PORT_OPEN, 1);
        say(f, turn ? "" : "unread");
        offer_buffer(f, 0, 64);
        expect_input(f, "unread");
        say(f, "unread"); /* waits for the next one */
    }
    start(f, 1);
    offer_buffer(f, 0, 64);
    no_input(f); /* the last driver's program is no longer there */
    tell(f, 0, PORT_OPEN, 1);
    expect_input(f, "unread");
    /* Requests of up to 64 KiB arrive whole or not at all, whenever the driver resets. */
    const uint32_t len = 60000;
    fill(f);
    for (int i = 0; i < 8; i++)
        send_data(f, len);
    usleep(50000);
    unsigned pending = 8u - driver_used(&f->d, TX);
    assert_true(pending);
    start(f, 1);
    memset(f->data, 0, DATA_LEN);
    memcpy(f->data, "mark", 4);
    driver_submit(&f->d, TX, (struct desc[]){{f->gpa + 4096, 4, 0, 0}}, 1);
    for (unsigned i = 0; i < 8 - pending; i++) {
        read_host(f, got, len);
        for (unsigned k = 0; k < len; k++)
            assert_int_equal(got[k], (char)(k * 7 + (k >> 8)));
    }
    read_host(f, got, 4);
    assert_memory_equal(got, "mark", 4);
    assert_true(driver_wait(&f->d, TX, NULL));
    assert_false(host_has(f, 30));
    free(got);
}

/* Section 5.3.5: a driver without ports has a console at port 0, which this one is not. */
static void driver_without_ports(void **state)
{
    struct fixture *f = *state;
    driver_start(&f->d, ~F_MULTIPORT, 2, 16);
    offer_buffer(f, 0, 64);
    say(f, "kept");
    send_data(f, 100);
    assert_true(driver_wait(&f->d, TX, NULL));
    no_input(f);
    assert_false(host_has(f, 30));
    start(f, 1);
    tell(f, 0, PORT_OPEN, 1);
    offer_buffer(f, 0, 64);
    expect_input(f, "kept");
}

static void senseless_messages(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    offer_buffer(f, 0, 64);
    say(f, "x");
    static const uint32_t ids[] = {1, 2, 0x10000, UINT32_MAX};
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
        tell(f, ids[i], PORT_READY, 1);
        tell(f, ids[i], PORT_OPEN, 1);
    }
    static const uint16_t events[] = {DEVICE_ADD, DEVICE_REMOVE, CONSOLE_PORT, RESIZE, PORT_NAME,
                                      8,          0x7fff,        UINT16_MAX};
    for (unsigned i = 0; i < sizeof events / sizeof *events; i++)
        tell(f, 0, events[i], 1);
    tell(f, 0, DEVICE_READY, 1); /* again: the port is there already */
    tell(f, 0, DEVICE_READY, 0);
    no_input(f);
    /* Said often and not listened to: what holds at the end is told once. */
    for (int i = 0; i < 100; i++)
        tell(f, 0, PORT_READY, 1);
    expect(f, PORT_OPEN, 1);
    expect(f, PORT_NAME, 0);
    tell(f, 0, PORT_OPEN, 1);
    expect_input(f, "x");
    assert_int_equal(driver_status(&f->d), 15);
}

/* Each breaks the device until its reset, and does not hurt it. */
static void broken_messages(void **state)
{
    struct fixture *f = *state;
    for (int way = 0; way < 4; way++) {
        start(f, 1);
        tell(f, 0, PORT_OPEN, 1);
        struct desc short_message = {f->gpa, 7, 0, 0}, no_message = {f->gpa, 8, VQ_DESC_WRITE, 0},
                    no_room = {f->gpa, 8, 0, 0}, little_room = {f->gpa, 10, VQ_DESC_WRITE, 0};
        switch (way) {
        case 0: driver_submit(&f->d, CONTROL_TX, &short_message, 1); break;
        case 1: driver_submit(&f->d, CONTROL_TX, &no_message, 1); break;
        case 2: driver_submit(&f->d, RX, &no_room, 1); break;
        case 3:
            tell(f, 0, PORT_READY, 1);
            expect(f, PORT_OPEN, 1);
            driver_submit(&f->d, CONTROL_RX, &little_room, 1); /* for the name */
            break;
        }
        assert_true(driver_wait_status(&f->d, VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET));
        if (way == 0)
            say(f, "kept");
    }
    start(f, 1);
    tell(f, 0, PORT_OPEN, 1);
    offer_buffer(f, 0, 64);
    expect_input(f, "kept");
}

static void refuses_what_is_no_stream(void **state)
{
    struct fixture *f = *state;
    int fds[3];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            virtio_console_create(f->rig.host, f->rig.loop, f->rig.slat, NAME, fds[i], NULL), -1);
        close(fds[i]);
    }
}

int main(void)
{
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(input_waits_for_the_program, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_host, setup, teardown),
        cmocka_unit_test_setup_teardown(host_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(host_closes_while_output_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(next_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(driver_without_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(senseless_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_stream, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
