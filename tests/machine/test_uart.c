/* The serial port, as Linux' 8250 driver and polling guests use it. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cm.h"
#include "machine/devices/devices.h"

#define BASE 0x10000000u

enum {
    DATA,
    IER,
    IIR,
    LCR,
    MCR,
    LSR,
    MSR,
    SCR,
};

struct fixture {
    struct bus *bus;
    struct loop *loop;
    struct uart *uart;
    int in[2], out[2]; /* pipes */
    atomic_bool irq;
    pthread_t thread;
    bool running;
};

static void set_irq(void *opaque, unsigned line, bool level)
{
    struct fixture *f = opaque;
    atomic_store(&f->irq, level);
}

static void *loop_thread(void *opaque)
{
    struct fixture *f = opaque;
    loop_run(f->loop, NULL);
    return NULL;
}

static void start(struct fixture *f, int in, int out)
{
    struct irq_line irq = {.fn = set_irq, .opaque = f, .line = 10};
    f->uart = uart_create(f->bus, BASE, irq, f->loop, in, out, NULL);
    assert_non_null(f->uart);
    assert_int_equal(pthread_create(&f->thread, NULL, loop_thread, f), 0);
    f->running = true;
}

static void quit(void *loop)
{
    loop_quit(loop);
}

static void stop(struct fixture *f)
{
    if (f->running) {
        loop_call(f->loop, quit, f->loop);
        pthread_join(f->thread, NULL);
    }
    f->running = false;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->bus = bus_new();
    f->loop = loop_new(NULL);
    *state = f;
    return pipe2(f->in, O_CLOEXEC) || pipe2(f->out, O_CLOEXEC);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    bus_free(f->bus);
    loop_free(f->loop);
    for (int i = 0; i < 2; i++) {
        close(f->in[i]);
        close(f->out[i]);
    }
    free(f);
    return 0;
}

static uint8_t rd(struct fixture *f, unsigned reg)
{
    uint64_t v;
    assert_true(bus_read(f->bus, BASE + reg, 1, &v));
    return (uint8_t)v;
}

static void wr(struct fixture *f, unsigned reg, uint8_t v)
{
    assert_true(bus_write(f->bus, BASE + reg, 1, v));
}

static bool wait_irq(struct fixture *f, bool level)
{
    for (int i = 0; i < 2000; i++) {
        if (f->irq == level)
            return true;
        usleep(1000);
    }
    return false;
}

/* What Linux looks at to find out that this is a 16550A. */
static void probing(void **state)
{
    struct fixture *f = *state;
    start(f, -1, -1);
    wr(f, IER, 0);
    assert_int_equal(rd(f, IER), 0);
    wr(f, IER, 0xff);
    assert_int_equal(rd(f, IER), 0x0f);
    wr(f, IER, 0);
    wr(f, MCR, 0x1a);
    assert_int_equal(rd(f, MSR) & 0xf0, 0x90);
    wr(f, MCR, 0);
    wr(f, SCR, 0x5a);
    assert_int_equal(rd(f, SCR), 0x5a);
    assert_int_equal(rd(f, IIR) >> 6, 0);
    wr(f, IIR, 1);
    assert_int_equal(rd(f, IIR) >> 6, 3);
    wr(f, LCR, 0x80);
    wr(f, DATA, 0x34);
    wr(f, IER, 0x12);
    assert_int_equal(rd(f, DATA), 0x34);
    assert_int_equal(rd(f, IER), 0x12);
    wr(f, LCR, 3);
    assert_int_equal(rd(f, IER), 0);
    assert_int_equal(rd(f, LSR), 0x60);
}

static void loopback(void **state)
{
    struct fixture *f = *state;
    start(f, -1, -1);
    wr(f, IIR, 1);
    wr(f, MCR, 0x10);
    for (unsigned i = 0; i < 17; i++)
        wr(f, DATA, (uint8_t)i);
    assert_int_equal(rd(f, LSR) & 3, 3); /* the FIFO's depth is 16: an overrun */
    assert_int_equal(rd(f, LSR) & 3, 1); /* told once */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rd(f, DATA), i);
    assert_int_equal(rd(f, LSR) & 1, 0);
}

static void transmit_interrupt(void **state)
{
    struct fixture *f = *state;
    start(f, -1, f->out[1]);
    /* Enabling it twice interrupts twice: a driver checks that (the THRE test). */
    for (int i = 0; i < 2; i++) {
        wr(f, IER, 2);
        assert_true(f->irq);
        assert_int_equal(rd(f, IIR) & 0xf, 2);
        assert_false(f->irq);
        assert_int_equal(rd(f, IIR) & 0xf, 1);
        wr(f, IER, 0);
    }
    wr(f, IER, 2);
    rd(f, IIR);
    wr(f, DATA, 'x');
    assert_true(f->irq); /* sent: ready again */
    char c;
    assert_int_equal(read(f->out[0], &c, 1), 1);
    assert_int_equal(c, 'x');
}

/* 300,000 bytes to a reader that comes late: the transmitter gets busy, nothing is lost. */
static void slow_reader(void **state)
{
    enum {
        TOTAL = 300000
    };
    struct fixture *f = *state;
    start(f, -1, f->out[1]);
    unsigned sent = 0;
    for (int idle = 0; idle < 200;) {
        if (rd(f, LSR) & 0x20) {
            wr(f, DATA, (uint8_t)(sent++ * 7));
            idle = 0;
        } else {
            usleep(1000);
            idle++;
        }
    }
    assert_true(sent > 65536 && sent < TOTAL);
    uint8_t *got = malloc(TOTAL);
    unsigned have = 0;
    while (have < TOTAL) {
        while (sent < TOTAL && (rd(f, LSR) & 0x20))
            wr(f, DATA, (uint8_t)(sent++ * 7));
        ssize_t n = read(f->out[0], got + have, 4096);
        assert_true(n > 0);
        have += (unsigned)n;
    }
    for (unsigned i = 0; i < TOTAL; i++)
        assert_int_equal(got[i], (uint8_t)(i * 7));
    free(got);
}

static void last_output_survives_the_end(void **state)
{
    struct fixture *f = *state;
    start(f, -1, f->out[1]);
    stop(f); /* the loop is gone */
    for (const char *p = "bye"; *p; p++)
        wr(f, DATA, (uint8_t)*p);
    bus_free(f->bus);
    f->bus = NULL;
    char buf[8];
    assert_int_equal(read(f->out[0], buf, sizeof buf), 3);
    assert_memory_equal(buf, "bye", 3);
}

static void broken_reader_does_not_stop_the_guest(void **state)
{
    struct fixture *f = *state;
    close(f->out[0]);
    f->out[0] = -1;
    start(f, -1, f->out[1]);
    for (unsigned i = 0; i < 200000; i++) {
        for (int wait = 0; !(rd(f, LSR) & 0x20) && wait < 1000; wait++)
            usleep(1000);
        wr(f, DATA, 'x');
    }
    assert_int_equal(rd(f, LSR) & 0x20, 0x20);
}

static void receive_interrupt(void **state)
{
    struct fixture *f = *state;
    start(f, f->in[0], -1);
    wr(f, IIR, 0x81); /* trigger level 8 */
    wr(f, IER, 1);
    assert_int_equal(write(f->in[1], "0123456789", 10), 10);
    assert_true(wait_irq(f, true));
    assert_int_equal(rd(f, IIR) & 0xf, 4);
    for (char c = '0'; c <= '9'; c++) {
        assert_int_equal(rd(f, LSR) & 1, 1);
        assert_int_equal(rd(f, DATA), c);
        if (c == '5')
            assert_int_equal(rd(f, IIR) & 0xf, 0xc); /* below the level: the timeout */
    }
    assert_false(f->irq);
    assert_int_equal(rd(f, IIR) & 0xf, 1);
}

/* What was typed before the driver opened the port is still there afterwards, though it clears the
 * FIFOs and reads what is left in them. */
static void typed_ahead(void **state)
{
    struct fixture *f = *state;
    start(f, f->in[0], f->out[1]);
    assert_int_equal(write(f->in[1], "root\n", 5), 5);
    usleep(50000);
    for (const char *p = "boot messages"; *p; p++) {
        assert_int_equal(rd(f, LSR) & 0x20, 0x20);
        wr(f, DATA, (uint8_t)*p);
    }
    wr(f, IIR, 1);
    wr(f, IIR, 7);
    wr(f, IIR, 0);
    rd(f, LSR);
    rd(f, DATA);
    rd(f, IIR);
    rd(f, MSR);
    wr(f, IIR, 1);
    wr(f, IER, 5);
    char line[5];
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(rd(f, LSR) & 1, 1);
        line[i] = (char)rd(f, DATA);
    }
    assert_memory_equal(line, "root\n", 5);
}

/* Linux' order: the receive interrupt is enabled first, the FIFOs after it. */
static void fifos_enabled_last(void **state)
{
    struct fixture *f = *state;
    start(f, f->in[0], f->out[1]);
    assert_int_equal(write(f->in[1], "root\n", 5), 5);
    usleep(50000);
    wr(f, IIR, 0);
    wr(f, IER, 5);
    assert_int_equal(rd(f, LSR) & 1, 1);
    wr(f, IIR, 1);
    char line[5];
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(rd(f, LSR) & 1, 1);
        line[i] = (char)rd(f, DATA);
    }
    assert_memory_equal(line, "root\n", 5);
}

static void polling_reader(void **state)
{
    struct fixture *f = *state;
    start(f, f->in[0], -1);
    assert_int_equal(write(f->in[1], "hi", 2), 2);
    char got[2];
    for (unsigned i = 0; i < 2; i++) {
        int n = 0;
        while (!(rd(f, LSR) & 1) && n++ < 2000)
            usleep(1000);
        got[i] = (char)rd(f, DATA);
    }
    assert_memory_equal(got, "hi", 2);
}

/* Much input at once, from a pipe and from a file, which cannot be waited for. */
static void long_input(void **state)
{
    struct fixture *f = *state;
    char name[] = "/tmp/wirt-uart-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    for (unsigned i = 0; i < 20000; i++)
        assert_int_equal(write(fd, &(uint8_t){(uint8_t)(i * 3)}, 1), 1);
    lseek(fd, 0, SEEK_SET);
    start(f, fd, -1);
    wr(f, IIR, 1);
    wr(f, IER, 1);
    for (unsigned i = 0; i < 20000; i++) {
        int n = 0;
        while (!(rd(f, LSR) & 1) && n++ < 2000)
            usleep(1000);
        assert_int_equal(rd(f, DATA), (uint8_t)(i * 3));
    }
    usleep(20000);
    assert_int_equal(rd(f, LSR) & 1, 0);
    stop(f);
    close(fd);
}

/* The SBI's console shares both directions. */
static void debug_console(void **state)
{
    struct fixture *f = *state;
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    start(f, sv[0], sv[0]); /* one descriptor for both */
    assert_int_equal(uart_write(f->uart, "out", 3), 3);
    char buf[8];
    assert_int_equal(read(sv[1], buf, sizeof buf), 3);
    assert_memory_equal(buf, "out", 3);
    assert_int_equal(write(sv[1], "in", 2), 2);
    size_t n = 0;
    for (int i = 0; i < 2000 && n < 2; i++, usleep(1000))
        n += uart_read(f->uart, buf + n, sizeof buf - n);
    assert_memory_equal(buf, "in", 2);
    stop(f);
    close(sv[0]);
    close(sv[1]);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(probing, setup, teardown),
        cmocka_unit_test_setup_teardown(loopback, setup, teardown),
        cmocka_unit_test_setup_teardown(transmit_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(last_output_survives_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_reader_does_not_stop_the_guest, setup, teardown),
        cmocka_unit_test_setup_teardown(receive_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(typed_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(fifos_enabled_last, setup, teardown),
        cmocka_unit_test_setup_teardown(polling_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(long_input, setup, teardown),
        cmocka_unit_test_setup_teardown(debug_console, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
