/* Building the board: memory, harts, interrupt controllers and devices, and taking it apart. */
#include "machine/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/protocol.h"
#include "base/str.h"
#include "engine/engine.h"
#include "machine/board-build.h"

#define MIB ((uint64_t)1 << 20)

static void on_syscon(void *arg, enum syscon_event event, unsigned status)
{
    machine_request_end(arg, event == SYSCON_REBOOT ? MACHINE_REBOOT : MACHINE_POWEROFF,
                        (int)status);
}

static void on_discard(void *arg)
{
    struct machine *m = arg;
    for (unsigned i = 0; i < m->n_harts; i++)
        hart_request_flush(&m->harts[i]);
}

static void on_timer(void *arg, int fd, uint32_t events)
{
    hart_timer_fired(arg);
}

static int add_pci(struct machine *m, struct error **err)
{
    struct pci_host_config config = {.ecam_base = ECAM_BASE,
                                     .ecam_size = ECAM_SIZE,
                                     .mmio_base = PCI_MMIO_BASE,
                                     .mmio_size = PCI_MMIO_SIZE};
    for (unsigned i = 0; i < PCI_PINS; i++)
        config.irqs[i] = plic_line(m->plic, PCI_IRQ + i);
    m->pci = pci_host_create(m->bus, &config, err);
    if (!m->pci)
        return -1;
    for (unsigned i = 0; i < m->config->n_disks; i++)
        if (virtio_blk_create(m->pci, m->slat, &m->config->disks[i], err) < 0)
            return -1;
    for (unsigned i = 0; i < m->config->n_shares; i++)
        if (virtio_fs_create(m->pci, m->slat, &m->config->shares[i], m->config->n_shares, err) < 0)
            return -1;
    if (m->config->wire && virtio_net_create(m->pci, m->loop, m->slat, m->config->wire, err) < 0)
        return -1;
    m->balloon = virtio_balloon_create(m->pci, m->loop, m->slat, err);
    if (!m->balloon || virtio_rng_create(m->pci, m->loop, m->slat, err) < 0)
        return -1;
    /* Last: with it or without, the others have the same places. */
    if (m->config->agent < 0)
        return 0;
    return virtio_console_create(m->pci, m->loop, m->slat, AGENT_PORT, m->config->agent, err);
}

static int add_devices(struct machine *m, struct error **err)
{
    const struct machine_config *c = m->config;
    m->plic = plic_new(m->bus, PLIC_BASE, m->harts, m->n_harts, err);
    if (!m->plic || clint_add(m, err) < 0)
        return -1;
    m->uart = uart_create(m->bus, UART_BASE, plic_line(m->plic, UART_IRQ), m->loop, c->console_in,
                          c->console_out, err);
    if (!m->uart || rtc_create(m->bus, RTC_BASE, plic_line(m->plic, RTC_IRQ), m->loop, err) < 0 ||
        syscon_create(m->bus, SYSCON_BASE, on_syscon, m, err) < 0)
        return -1;
    return add_pci(m, err);
}

static int add_harts(struct machine *m, struct error **err)
{
    m->harts = xcalloc(m->config->harts, sizeof *m->harts);
    for (unsigned i = 0; i < m->config->harts; i++) {
        struct hart *h = &m->harts[i];
        m->n_harts++; /* board_free destroys it, however far this gets */
        if (hart_init(h, m, i, err) < 0 || engine_attach(m->engine, &h->cpu, err) < 0)
            return -1;
        h->attached = true;
        if (loop_watch(m->loop, h->timer_fd, EPOLLIN, on_timer, h, err) < 0)
            return -1;
    }
    return 0;
}

static int check_config(const struct machine_config *c, struct error **err)
{
    if (!c->kernel.path && !c->firmware.path)
        return error_set(err, 0, "a machine needs a kernel or a firmware: use --kernel");
    if (!c->harts || c->harts > MAX_HARTS)
        return error_set(err, 0, "cpus: %u: a machine has 1 to %u", c->harts, MAX_HARTS);
    if (!c->memory || c->memory % (2 * MIB))
        return error_set(err, 0, "memory: %llu bytes are not a multiple of 2 MiB",
                         (unsigned long long)c->memory);
    return 0;
}

static int open_trace(struct machine *m, struct error **err)
{
    if (!m->config->trace.path)
        return 0;
    m->trace = fdopen(m->config->trace.fd, "we");
    return m->trace ? 0 : error_set(err, errno, "open %s", m->config->trace.path);
}

int board_init(struct machine *m, const struct machine_config *c, struct error **err)
{
    m->config = c;
    m->firmware = c->firmware.path != NULL;
    m->time_start = clock_ns();
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->code_lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    if (check_config(c, err) < 0 || open_trace(m, err) < 0)
        return -1;
    struct engine_config ec = {
        .ops = &hart_ops, .paged = true, .interpret = c->interpret, .trace = m->trace};
    m->loop = loop_new(err);
    m->slat = m->loop ? slat_new(RAM_BASE, c->memory, err) : NULL;
    m->engine = m->slat ? engine_new(&ec, err) : NULL;
    if (!m->engine)
        return -1;
    m->bus = bus_new();
    if (add_harts(m, err) < 0 || add_devices(m, err) < 0)
        return -1;
    slat_on_discard(m->slat, on_discard, m);
    return 0;
}

void board_free(struct machine *m)
{
    bus_free(m->bus);
    for (unsigned i = 0; i < m->n_harts; i++) {
        struct hart *h = &m->harts[i];
        if (h->timer_fd >= 0)
            loop_unwatch(m->loop, h->timer_fd);
        if (h->attached)
            engine_detach(&h->cpu);
        hart_destroy(h);
    }
    free(m->harts);
    engine_free(m->engine);
    slat_free(m->slat);
    loop_free(m->loop);
    if (m->trace)
        fclose(m->trace);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->code_lock);
    pthread_mutex_destroy(&m->lock);
}

int board_reset(struct machine *m, struct error **err)
{
    bus_reset(m->bus); /* first: a disk's thread may still be writing to memory */
    if (slat_reset(m->slat, err) < 0)
        return -1;
    engine_flush(m->engine);
    for (unsigned i = 0; i < m->n_harts; i++)
        hart_reset(&m->harts[i], m->firmware);
    m->end_set = false;
    atomic_store(&m->ending, false);
    return 0;
}

void board_start(struct machine *m)
{
    for (unsigned i = 0; i < m->n_harts; i++) {
        struct hart *h = &m->harts[i];
        bool runs = m->firmware || !i; /* a kernel starts the others by the SBI */
        h->cpu.pc = m->entry;
        h->cpu.x[10] = i;
        h->cpu.x[11] = m->dtb;
        h->cpu.x[12] = m->firmware ? m->fw_info : 0;
        atomic_store(&h->hsm, runs ? HSM_STARTED : HSM_STOPPED);
    }
}
