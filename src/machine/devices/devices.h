/* All devices that a board may have; each is one file.
 *
 * A create function puts the device on the bus, which becomes its owner: the caller frees the bus
 * after a failure too. Descriptors, loop and memory stay the caller's and outlive the bus. */
#ifndef WIRT_MACHINE_DEVICES_DEVICES_H
#define WIRT_MACHINE_DEVICES_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "machine/bus.h"
#include "machine/machine.h"
#include "machine/memory.h"

/* A 16550A serial port (compatible "ns16550a"; reg-shift 0, 1-byte accesses). */

#define UART_SIZE 0x100

struct uart;

/* in, out: descriptors for its input and output, or -1; they stay the caller's, must outlive the
 * bus, and are used from the loop's thread. NULL with err on failure. */
struct uart *uart_create(struct bus *bus, uint64_t base, struct irq_line irq, struct loop *loop,
                         int in, int out, struct error **err);

/* Queues bytes for the output as if the guest had transmitted them (the SBI's debug console). The
 * number taken, less than len when the reader is slow. Any thread. */
size_t uart_write(struct uart *uart, const void *data, size_t len);

/* Takes up to len bytes of the input that the guest has not seen yet (the SBI's debug console).
 * The number taken. Any thread. */
size_t uart_read(struct uart *uart, void *data, size_t len);

/* Goldfish real-time clock (compatible "google,goldfish-rtc"): the host's time, with an alarm. */

#define RTC_SIZE 0x1000

int rtc_create(struct bus *bus, uint64_t base, struct irq_line irq, struct loop *loop,
               struct error **err);

/* The test finisher (compatible "sifive,test1", "sifive,test0", "syscon"): a store that ends the
 * machine. */

#define SYSCON_SIZE 0x1000

enum syscon_event {
    SYSCON_POWEROFF, /* status: 0, or the failure code that the guest gave */
    SYSCON_REBOOT,
};

/* What the guest stores to end the machine; the device tree names them too. */
enum {
    SYSCON_FAIL = 0x3333,
    SYSCON_PASS = 0x5555,
    SYSCON_RESET = 0x7777,
};

/* fn is called in the thread of the hart that stored. */
typedef void syscon_fn(void *arg, enum syscon_event event, unsigned status);

int syscon_create(struct bus *bus, uint64_t base, syscon_fn *fn, void *arg, struct error **err);

/* Virtio devices, functions on the PCI bus in the order of creation. Their configuration and
 * queues are documented in VIRTIO 1.3, chapter 5. */

struct pci_host;

/* A disk: a raw image, a regular file of whole 512-byte sectors. The file is locked against other
 * machines that write it. It becomes the device's; if it is not open yet, it is opened. */
int machine_disk_open(struct machine_disk *disk, struct error **err); /* sets disk->fd */
int virtio_blk_create(struct pci_host *host, struct slat *slat, const struct machine_disk *disk,
                      struct error **err);

/* A folder of the host's, one of n_shares. The process's limit of open files is raised as far as
 * it goes. */
int machine_share_open(struct machine_share *share, struct error **err); /* sets fd and only */
int virtio_fs_create(struct pci_host *host, struct slat *slat, const struct machine_share *share,
                     unsigned n_shares, struct error **err);

/* Random bytes of the host. */
int virtio_rng_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                      struct error **err);

/* A network card. fd: the wire, a SOCK_SEQPACKET socket on which each packet is a frame
 * (net/link.h); when its other end closes, the guest is cut off. */
int virtio_net_create(struct pci_host *host, struct loop *loop, struct slat *slat, int fd,
                      struct error **err);

/* A port for a program in the guest, found by its name (/dev/vportNp0 in a Linux guest, the name in
 * /sys/class/virtio-ports). fd: a connected stream socket, its host's side; when that is at its
 * end, the guest is told that nobody is connected. name outlives the bus. */
int virtio_console_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                          const char *name, int fd, struct error **err);

struct balloon;

/* The balloon; NULL with err on failure. */
struct balloon *virtio_balloon_create(struct pci_host *host, struct loop *loop, struct slat *slat,
                                      struct error **err);

/* Bytes of its memory that the guest shall put into the balloon, rounded down to 4 KiB: the guest
 * sees to it soon, as far as it can. Survives a reset. Any thread. */
void balloon_set_target(struct balloon *b, uint64_t bytes);

/* Indexes of balloon_stats.value: the guest's view, in bytes or counts since its boot. */
enum balloon_stat {
    BALLOON_SWAP_IN,
    BALLOON_SWAP_OUT,
    BALLOON_MAJOR_FAULTS,
    BALLOON_MINOR_FAULTS,
    BALLOON_FREE,
    BALLOON_TOTAL,
    BALLOON_AVAILABLE, /* as MemAvailable of /proc/meminfo */
    BALLOON_CACHES,
    BALLOON_HUGE_ALLOCATED,
    BALLOON_HUGE_FAILED,
    BALLOON_N_STATS,
};

struct balloon_stats {
    bool running;            /* a driver is at work */
    uint64_t target, actual; /* bytes */
    unsigned known;          /* which of value the guest gave, a bit each */
    uint64_t value[BALLOON_N_STATS];
    uint64_t time_ns; /* clock_ns() when it gave them; 0: never */
};

/* What is known now. Any thread. */
void balloon_get_stats(struct balloon *b, struct balloon_stats *out);

/* Asks the guest for fresh statistics; they come within milliseconds when it is awake. Any
 * thread. */
void balloon_request_stats(struct balloon *b);

#endif
