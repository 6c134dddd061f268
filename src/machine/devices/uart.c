/* A 16550A serial port (registers and interrupts: the PC16550D data sheet).
 *
 * Output: the transmitter "sends" at once into a buffer that the event loop empties. When the
 * reader is slow and the buffer fills, the transmitter just stays busy (LSR.THRE clear), so that
 * the guest waits as it would for a slow line; no hart is held up and no byte is lost.
 *
 * Input: bytes wait in a buffer in front of the receive FIFO until the guest listens: its receive
 * interrupt is on, or it polls the line status. Drivers clear the FIFO when they open the port,
 * and what was typed ahead, or piped in, must survive that. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "machine/devices/devices.h"

enum {
    REG_DATA = 0, /* RBR, THR; DLL with DLAB */
    REG_IER = 1,  /* DLM with DLAB */
    REG_IIR = 2,  /* FCR when written */
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCR = 7,
};

enum {
    IER_RX = 0x01,
    IER_TX = 0x02,
    IER_LINE = 0x04,
    IER_MODEM = 0x08,

    IIR_NONE = 0x01,
    IIR_MODEM = 0x00,
    IIR_TX = 0x02,
    IIR_RX = 0x04,
    IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,

    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,

    LCR_DLAB = 0x80,

    MCR_LOOP = 0x10,
    MCR_MASK = 0x1f,

    LSR_DATA = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,

    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
};

#define FIFO_DEPTH  16
#define INPUT_SIZE  1024
#define OUTPUT_SIZE (64 * 1024)

/* Consecutive looks at the line status, nothing else in between, that make a guest a polling
 * reader. Waiting for a transmitter that is ready takes one or two. */
#define POLLING_READS 8

/* How long the end of the machine waits for a reader of its last output. */
#define DRAIN_MS 2000

struct queue {
    uint8_t *data;
    size_t size, start, len;
};

struct uart {
    struct irq_line irq;
    struct loop *loop;
    int in, out;          /* -1: none, at its end, or broken */
    bool in_poll;         /* in can be waited for (a regular file cannot: it is always ready) */
    bool out_poll;        /* the same for out */
    int own_out;          /* a duplicate made here because in and out are one descriptor, or -1 */
    pthread_mutex_t lock; /* guards the rest */
    uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
    uint8_t fifo_data[FIFO_DEPTH];
    struct queue fifo;
    bool overrun;
    bool tx_pending; /* the transmitter became ready and nobody was told */
    unsigned idle_polls;
    struct queue input, output;
    uint8_t input_data[INPUT_SIZE], output_data[OUTPUT_SIZE];
    bool in_paused; /* the input buffer was full */
    bool work;      /* a loop_call of serve is under way */
};

static size_t queue_push(struct queue *q, const uint8_t *data, size_t len)
{
    size_t n = 0;
    for (; n < len && q->len < q->size; n++, q->len++)
        q->data[(q->start + q->len) % q->size] = data[n];
    return n;
}

static uint8_t queue_pop(struct queue *q)
{
    uint8_t byte = q->data[q->start];
    q->start = (q->start + 1) % q->size;
    q->len--;
    return byte;
}

/* The bytes at the front that lie side by side. */
static size_t queue_run(const struct queue *q)
{
    return q->len < q->size - q->start ? q->len : q->size - q->start;
}

static void queue_drop(struct queue *q, size_t n)
{
    q->start = (q->start + n) % q->size;
    q->len -= n;
}

static size_t fifo_depth(const struct uart *u)
{
    return u->fcr & FCR_ENABLE ? FIFO_DEPTH : 1;
}

/* Room for a whole FIFO: a driver that sees THRE sends that many. */
static bool tx_ready(const struct uart *u)
{
    return u->output.size - u->output.len >= FIFO_DEPTH;
}

static void serve(void *opaque);

static void wake_loop(struct uart *u)
{
    if (!u->work) {
        u->work = true;
        loop_call(u->loop, serve, u);
    }
}

/* Reads on once half of a full input buffer is used up. */
static void resume_input(struct uart *u)
{
    if (u->in_paused && u->input.len <= u->input.size / 2) {
        u->in_paused = false;
        wake_loop(u);
    }
}

static void fill_fifo(struct uart *u)
{
    if (u->mcr & MCR_LOOP)
        return;
    while (u->fifo.len < fifo_depth(u) && u->input.len) {
        uint8_t byte = queue_pop(&u->input);
        queue_push(&u->fifo, &byte, 1);
    }
    resume_input(u);
}

static unsigned rx_trigger(const struct uart *u)
{
    static const uint8_t level[] = {1, 4, 8, 14};
    return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* The interrupt identification, highest priority first. Data below the trigger level is reported
 * as having waited for four characters' time already. */
static uint8_t identify(const struct uart *u)
{
    if ((u->ier & IER_LINE) && u->overrun)
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->fifo.len)
        return u->fifo.len >= rx_trigger(u) ? IIR_RX : IIR_TIMEOUT;
    if ((u->ier & IER_TX) && u->tx_pending)
        return IIR_TX;
    return IIR_NONE;
}

static void update(struct uart *u)
{
    if (u->ier & IER_RX)
        fill_fifo(u);
    irq_set(&u->irq, identify(u) != IIR_NONE);
}

static uint8_t line_status(struct uart *u)
{
    uint8_t lsr = (u->fifo.len ? LSR_DATA : 0) | (u->overrun ? LSR_OVERRUN : 0) |
                  (tx_ready(u) ? LSR_THRE | LSR_TEMT : 0);
    u->overrun = false;
    if (!u->fifo.len && tx_ready(u) && ++u->idle_polls >= POLLING_READS)
        fill_fifo(u);
    return lsr;
}

static uint8_t modem_status(const struct uart *u)
{
    if (!(u->mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    /* Looped back: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD. */
    return (u->mcr & 0x01 ? MSR_DSR : 0) | (u->mcr & 0x02 ? MSR_CTS : 0) |
           (u->mcr & 0x04 ? MSR_RI : 0) | (u->mcr & 0x08 ? MSR_DCD : 0);
}

static uint8_t read_register(struct uart *u, unsigned reg)
{
    bool dlab = u->lcr & LCR_DLAB;
    if (reg != REG_LSR)
        u->idle_polls = 0;
    switch (reg) {
    case REG_DATA:
        if (dlab)
            return u->dll;
        if (!u->fifo.len)
            return 0;
        return queue_pop(&u->fifo);
    case REG_IER: return dlab ? u->dlm : u->ier;
    case REG_IIR: {
        uint8_t iir = identify(u);
        if (iir == IIR_TX)
            u->tx_pending = false;
        return iir | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
    }
    case REG_LCR: return u->lcr;
    case REG_MCR: return u->mcr;
    case REG_LSR: return line_status(u);
    case REG_MSR: return modem_status(u);
    default: return u->scr;
    }
}

static void transmit(struct uart *u, uint8_t byte)
{
    u->tx_pending = false;
    if (u->mcr & MCR_LOOP) {
        if (u->fifo.len < fifo_depth(u))
            queue_push(&u->fifo, &byte, 1);
        else
            u->overrun = true;
    } else if (u->out >= 0) {
        queue_push(&u->output, &byte, 1);
        wake_loop(u);
    }
    u->tx_pending = tx_ready(u);
}

/* Turning the FIFOs on or off empties them. Linux does that after it has enabled the receive
 * interrupt; on a line, nobody would have typed yet, but a pipe has: its bytes wait for the FIFO of
 * the new depth. */
static void take_back(struct uart *u)
{
    while (u->fifo.len && u->input.len < u->input.size) {
        uint8_t byte = u->fifo.data[(u->fifo.start + u->fifo.len - 1) % u->fifo.size];
        u->fifo.len--;
        u->input.start = (u->input.start + u->input.size - 1) % u->input.size;
        u->input.data[u->input.start] = byte;
        u->input.len++;
    }
    u->fifo.len = 0;
}

static void write_fcr(struct uart *u, uint8_t value)
{
    if (value & FCR_CLEAR_RX || u->mcr & MCR_LOOP)
        u->fifo.len = 0;
    else if ((value ^ u->fcr) & FCR_ENABLE)
        take_back(u);
    if (value & FCR_CLEAR_TX)
        u->tx_pending = tx_ready(u); /* what was sent is on the line already */
    u->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | 0xc0) : 0;
}

static void write_register(struct uart *u, unsigned reg, uint8_t value)
{
    bool dlab = u->lcr & LCR_DLAB;
    u->idle_polls = 0;
    switch (reg) {
    case REG_DATA:
        if (dlab)
            u->dll = value;
        else
            transmit(u, value);
        break;
    case REG_IER:
        if (dlab) {
            u->dlm = value;
            break;
        }
        if (value & ~u->ier & IER_TX)
            u->tx_pending = tx_ready(u);
        u->ier = value & (IER_RX | IER_TX | IER_LINE | IER_MODEM);
        break;
    case REG_IIR: write_fcr(u, value); break;
    case REG_LCR: u->lcr = value; break;
    case REG_MCR: u->mcr = value & MCR_MASK; break;
    case REG_SCR: u->scr = value; break;
    }
}

static bool uart_mmio_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct uart *u = opaque;
    *value = 0;
    if (offset > REG_SCR)
        return true;
    pthread_mutex_lock(&u->lock);
    *value = read_register(u, (unsigned)offset);
    update(u);
    pthread_mutex_unlock(&u->lock);
    return true;
}

static bool uart_mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct uart *u = opaque;
    if (offset > REG_SCR)
        return true;
    pthread_mutex_lock(&u->lock);
    write_register(u, (unsigned)offset, (uint8_t)value);
    update(u);
    pthread_mutex_unlock(&u->lock);
    return true;
}

size_t uart_write(struct uart *u, const void *data, size_t len)
{
    pthread_mutex_lock(&u->lock);
    size_t n = u->out < 0 ? len : queue_push(&u->output, data, len);
    if (u->out >= 0)
        wake_loop(u);
    pthread_mutex_unlock(&u->lock);
    return n;
}

size_t uart_read(struct uart *u, void *data, size_t len)
{
    uint8_t *bytes = data;
    size_t n = 0;
    pthread_mutex_lock(&u->lock);
    while (n < len && u->input.len)
        bytes[n++] = queue_pop(&u->input);
    resume_input(u);
    pthread_mutex_unlock(&u->lock);
    return n;
}

/* The rest runs in the loop's thread, which alone changes in and out after creation. */

/* Writes what the descriptor takes without waiting. A terminal or pipe that is ready takes a
 * small piece; more could wait for its reader. The lock is not held during the write: only this
 * thread moves the front of the output queue. */
static bool write_output(struct uart *u)
{
    uint8_t piece[256];
    pthread_mutex_lock(&u->lock);
    size_t len = queue_run(&u->output);
    if (len > sizeof piece)
        len = sizeof piece;
    memcpy(piece, u->output.data + u->output.start, len);
    pthread_mutex_unlock(&u->lock);
    if (!len)
        return false;
    ssize_t n = write(u->out, piece, len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    pthread_mutex_lock(&u->lock);
    if (n < 0) {
        log_warn("serial port: output is lost from here on: %s", strerror(errno));
        loop_unwatch(u->loop, u->out);
        u->out = -1;
        u->output.len = 0;
    } else {
        bool was_ready = tx_ready(u);
        queue_drop(&u->output, (size_t)n);
        if (!was_ready && tx_ready(u))
            u->tx_pending = true;
    }
    update(u);
    pthread_mutex_unlock(&u->lock);
    return n > 0;
}

/* Reads what there is room for. false: nothing came, or there is no more room. */
static bool read_input(struct uart *u)
{
    uint8_t buf[INPUT_SIZE];
    pthread_mutex_lock(&u->lock);
    size_t room = u->in_paused ? 0 : u->input.size - u->input.len; /* only grows meanwhile */
    pthread_mutex_unlock(&u->lock);
    if (!room)
        return false;
    ssize_t n = read(u->in, buf, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    pthread_mutex_lock(&u->lock);
    if (n <= 0) {
        loop_unwatch(u->loop, u->in);
        u->in = -1;
    } else {
        queue_push(&u->input, buf, (size_t)n);
        u->in_paused = u->input.len == u->input.size;
        update(u);
    }
    pthread_mutex_unlock(&u->lock);
    return n > 0;
}

static void in_ready(void *opaque, int fd, uint32_t events)
{
    struct uart *u = opaque;
    read_input(u);
    serve(u);
}

static void out_ready(void *opaque, int fd, uint32_t events)
{
    struct uart *u = opaque;
    write_output(u);
    serve(u);
}

static bool is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) > 0;
}

/* Waits for the descriptors as far as there is room for input and there are bytes for output. */
static void serve(void *opaque)
{
    struct uart *u = opaque;
    pthread_mutex_lock(&u->lock);
    u->work = false;
    pthread_mutex_unlock(&u->lock);

    while (u->out >= 0 && (!u->out_poll || is_ready(u->out, POLLOUT)) && write_output(u))
        ;
    while (u->in >= 0 && !u->in_poll && read_input(u))
        ;

    pthread_mutex_lock(&u->lock);
    bool want_in = !u->in_paused, want_out = u->output.len > 0;
    pthread_mutex_unlock(&u->lock);
    ERROR_CLEANUP err = NULL;
    if ((u->in >= 0 && u->in_poll &&
         loop_watch(u->loop, u->in, want_in ? EPOLLIN : 0, in_ready, u, &err) < 0) ||
        (u->out >= 0 && u->out_poll &&
         loop_watch(u->loop, u->out, want_out ? EPOLLOUT : 0, out_ready, u, &err) < 0))
        log_warn("serial port: %s", error_text(err));
}

static void uart_reset(void *opaque)
{
    struct uart *u = opaque;
    pthread_mutex_lock(&u->lock);
    u->ier = u->lcr = u->mcr = u->scr = u->fcr = 0;
    u->dll = 12; /* 9600 baud of a 1.8432 MHz clock; nothing depends on it */
    u->dlm = 0;
    u->fifo.start = u->fifo.len = 0;
    u->overrun = u->tx_pending = false;
    u->idle_polls = 0;
    update(u);
    pthread_mutex_unlock(&u->lock);
}

/* The loop has stopped: what the guest sent last still goes out. */
static void drain_output(struct uart *u)
{
    while (u->out >= 0 && u->output.len) {
        struct pollfd p = {.fd = u->out, .events = POLLOUT};
        if (u->out_poll && poll(&p, 1, DRAIN_MS) <= 0)
            break;
        write_output(u);
    }
}

static void uart_destroy(void *opaque)
{
    struct uart *u = opaque;
    drain_output(u);
    if (u->in >= 0)
        loop_unwatch(u->loop, u->in);
    if (u->out >= 0)
        loop_unwatch(u->loop, u->out);
    if (u->own_out >= 0)
        close(u->own_out);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

/* Whether the loop can wait for fd: epoll refuses (EPERM) files that never block. For another
 * reason, which would have us block in the loop, -1. */
static int can_poll(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
                    struct error **err)
{
    struct error *why = NULL;
    if (fd < 0)
        return 0;
    if (loop_watch(loop, fd, events, fn, arg, &why) < 0) {
        if (error_code(why) == EPERM) {
            error_free(&why);
            return 0;
        }
        if (err)
            *err = why;
        else
            error_free(&why);
        return -1;
    }
    loop_unwatch(loop, fd);
    return 1;
}

struct uart *uart_create(struct bus *bus, uint64_t base, struct irq_line irq, struct loop *loop,
                         int in, int out, struct error **err)
{
    int own_out = -1;
    if (in >= 0 && in == out) {
        /* The loop watches a descriptor for one purpose. */
        own_out = out = fcntl(out, F_DUPFD_CLOEXEC, 0);
        if (out < 0) {
            error_set(err, errno, "serial port: duplicate descriptor %d", in);
            return NULL;
        }
    }
    struct uart *u = xcalloc(1, sizeof *u);
    u->irq = irq;
    u->loop = loop;
    u->in = in;
    u->out = out;
    u->own_out = own_out;
    int in_poll = can_poll(loop, in, EPOLLIN, in_ready, u, err);
    int out_poll = in_poll < 0 ? -1 : can_poll(loop, out, EPOLLOUT, out_ready, u, err);
    if (out_poll < 0) {
        if (own_out >= 0)
            close(own_out);
        free(u);
        return NULL;
    }
    u->in_poll = in_poll;
    u->out_poll = out_poll;
    u->fifo = (struct queue){.data = u->fifo_data, .size = FIFO_DEPTH};
    u->input = (struct queue){.data = u->input_data, .size = INPUT_SIZE};
    u->output = (struct queue){.data = u->output_data, .size = OUTPUT_SIZE};
    pthread_mutex_init(&u->lock, NULL);
    bus_add_device(bus, u, uart_reset, uart_destroy);
    uart_reset(u);
    if (bus_add_region(bus,
                       &(struct bus_region){.name = "uart",
                                            .base = base,
                                            .size = UART_SIZE,
                                            .sizes = 1,
                                            .opaque = u,
                                            .read = uart_mmio_read,
                                            .write = uart_mmio_write},
                       err) < 0)
        return NULL;
    pthread_mutex_lock(&u->lock);
    wake_loop(u);
    pthread_mutex_unlock(&u->lock);
    return u;
}
