/* The board: what the parts of a machine share. Laid out like qemu's virt. */
#ifndef WIRT_MACHINE_BOARD_H
#define WIRT_MACHINE_BOARD_H

#include <stdio.h>

#include "base/loop.h"
#include "machine/bus.h"
#include "machine/clint.h"
#include "machine/devices/devices.h"
#include "machine/devices/pci.h"
#include "machine/hart.h"
#include "machine/machine.h"
#include "machine/plic.h"
#include "machine/slat.h"

/* Addresses, sizes and interrupt numbers. */
#define RAM_BASE      0x80000000u
#define SYSCON_BASE   0x100000u
#define RTC_BASE      0x101000u
#define RTC_IRQ       11
#define CLINT_BASE    0x2000000u
#define PLIC_BASE     0xc000000u
#define UART_BASE     0x10000000u
#define UART_IRQ      10
#define ECAM_BASE     0x30000000u
#define ECAM_SIZE     0x10000000u
#define PCI_MMIO_BASE 0x40000000u
#define PCI_MMIO_SIZE 0x40000000u
#define PCI_IRQ       32 /* to 35: INTA to INTD */

struct machine {
    const struct machine_config *config;
    struct slat *slat;
    struct bus *bus;
    struct engine *engine;
    struct loop *loop;
    struct plic *plic;
    struct uart *uart;
    struct pci_host *pci;
    struct balloon *balloon;
    struct hart *harts; /* n_harts, a mapping of its own */
    unsigned n_harts;
    FILE *trace;         /* or NULL */
    bool firmware;       /* M mode is the guest's; else the SBI is ours */
    uint64_t time_start; /* clock_ns() at time 0 */

    uint64_t entry;   /* where hart 0 (with firmware: all harts) starts */
    uint64_t dtb;     /* a1 */
    uint64_t fw_info; /* a2, for OpenSBI's fw_dynamic; or 0 */
    uint64_t tohost;  /* guest physical address of an ELF's tohost, or 0 */

    pthread_mutex_t code_lock; /* fence.c: taken before a hart's lock, and the engine's */

    /* Stopping the world */
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* a hart parked or unparked, fences were done, a request came */
    atomic_bool paused, ending; /* what harts are to do at the next safe point */
    unsigned n_parked;          /* harts in pause */
    unsigned n_entered;         /* harts whose thread has tried to be filtered */
    bool unfiltered;            /* and one could not */

    /* Why it ends: set once, under lock, before `ending`. */
    bool end_set;
    enum machine_end end;
    int status;
};

/* The time CSR: ticks of TIMEBASE_HZ. */
uint64_t machine_time(const struct machine *m);
uint64_t machine_time_to_ns(const struct machine *m, uint64_t time); /* saturating */

/* Any thread: the machine is to end (or reboot) like this. The first request counts. */
void machine_request_end(struct machine *m, enum machine_end end, int status);

/* Stops all harts at safe points, and lets them go on. A thread that is no hart. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

/* The SBI's console is the uart. The number of bytes written, fewer when the reader is slow. */
size_t machine_console_write(struct machine *m, const void *data, size_t len);
size_t machine_console_read(struct machine *m, void *data, size_t len);

#endif
