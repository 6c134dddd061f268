/* The life of a hart: its thread, waiting, interrupts and timers. */
#include "machine/hart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/jumps.h"
#include "jail/filter.h"
#include "machine/board.h"

int hart_init(struct hart *h, struct machine *m, unsigned id, struct error **err)
{
    h->m = m;
    h->id = id;
    h->timer_fd = -1;
    h->parked = true; /* until its thread runs */
    atomic_store(&h->hsm, HSM_STOPPED);
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->timer_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    h->contexts = mmap(NULL, N_CONTEXTS * sizeof *h->contexts, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (h->contexts == MAP_FAILED) {
        h->contexts = NULL;
        return error_set(err, errno, "hart %u: memory for its TLBs", id);
    }
    h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (h->timer_fd < 0)
        return error_set(err, errno, "hart %u: timerfd_create", id);
    return 0;
}

void hart_destroy(struct hart *h)
{
    if (h->timer_fd >= 0)
        close(h->timer_fd);
    for (unsigned i = 0; h->contexts && i < N_CONTEXTS; i++)
        jump_cache_free(&h->contexts[i].jumps);
    if (h->contexts)
        munmap(h->contexts, N_CONTEXTS * sizeof *h->contexts);
    free(h->drops);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->timer_lock);
    pthread_mutex_destroy(&h->lock);
}

void hart_reset(struct hart *h, bool firmware)
{
    memset(h->cpu.x, 0, sizeof h->cpu.x);
    memset(h->cpu.f, 0, sizeof h->cpu.f);
    h->cpu.frm = h->cpu.fflags = 0;
    h->cpu.res_addr = UINT64_MAX;
    h->cpu.mode = firmware ? PRIV_M : PRIV_S;
    h->mstatus = MSTATUS_UXL | MSTATUS_SXL;
    h->medeleg = h->mideleg = h->mie = 0;
    h->mtvec = h->mepc = h->mcause = h->mtval = h->mscratch = h->mcounteren = h->menvcfg = 0;
    h->stvec = h->sepc = h->scause = h->stval = h->sscratch = h->scounteren = h->senvcfg = 0;
    h->mcycle_offset = h->mcountinhibit = 0;
    h->counts_instret = false;
    h->satp = 0;
    memset(h->pmpaddr, 0, sizeof h->pmpaddr);
    memset(h->pmpcfg, 0, sizeof h->pmpcfg);
    h->pmp_used = firmware;
    if (!firmware) {
        /* What an M-mode firmware such as OpenSBI leaves to S mode. */
        h->medeleg = ~(1u << CAUSE_ECALL_S | 1u << CAUSE_ECALL_M) & 0xb3ffu;
        h->mideleg = IP_S;
        h->mcounteren = h->scounteren = 7;
        h->menvcfg = (uint64_t)1 << 63; /* STCE */
    }
    atomic_store(&h->ip, 0);
    atomic_store(&h->lines, 0);
    h->stimecmp = h->mtimecmp = h->armed = UINT64_MAX;
    h->wfi = false;
    memset(h->current, 0, sizeof h->current);
    struct fence all = {.asid = NO_ASID};
    context_fence(h, &all);
    engine_fp_changed(&h->cpu);
    hart_update_mode(h);
    h->returns_stale = true;
}

void hart_sync(struct hart *h)
{
    if (h->context_stale) {
        h->context_stale = false;
        context_select(h);
    }
    if (h->returns_stale) {
        h->returns_stale = false;
        engine_forget_returns(&h->cpu);
    }
}

uint64_t hart_pending(const struct hart *h)
{
    return atomic_load(&h->ip) | atomic_load(&h->lines);
}

void hart_kick(struct hart *h)
{
    engine_request_exit(&h->cpu);
    if (atomic_load(&h->sleeping)) {
        pthread_mutex_lock(&h->lock);
        pthread_cond_signal(&h->wake);
        pthread_mutex_unlock(&h->lock);
    }
}

static void set_bits(struct hart *h, atomic_uint_fast64_t *word, uint64_t bits, bool level)
{
    if (!level)
        atomic_fetch_and(word, ~bits);
    else if (bits & ~atomic_fetch_or(word, bits))
        hart_kick(h);
}

void hart_set_ip(struct hart *h, uint64_t bits, bool level)
{
    set_bits(h, &h->ip, bits, level);
}

void hart_set_line(struct hart *h, enum irq irq, bool level)
{
    set_bits(h, &h->lines, IP(irq), level);
}

/* Sets the interrupt bits of the timers that are due, and the descriptor for the next one. A
 * descriptor set too early is left: it fires, and is then set again. timer_lock held. */
static void update_timers(struct hart *h)
{
    uint64_t now = machine_time(h->m), next = UINT64_MAX;
    bool stce = h->menvcfg >> 63;
    if (stce) {
        hart_set_ip(h, IP(IRQ_STI), now >= h->stimecmp);
        if (now < h->stimecmp)
            next = h->stimecmp;
    }
    hart_set_ip(h, IP(IRQ_MTI), now >= h->mtimecmp);
    if (now < h->mtimecmp && h->mtimecmp < next)
        next = h->mtimecmp;
    if (next >= h->armed)
        return;
    uint64_t ns = machine_time_to_ns(h->m, next);
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)}};
    if (ns > (uint64_t)INT64_MAX / 2)
        return; /* not in this life */
    if (timerfd_settime(h->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0) {
        /* A hart would sleep for ever. */
        log_error("hart %u: timerfd_settime: %s", h->id, strerror(errno));
        machine_request_end(h->m, MACHINE_STOPPED, 125);
    }
    h->armed = next;
}

void hart_set_timer(struct hart *h, uint64_t *compare, uint64_t value)
{
    pthread_mutex_lock(&h->timer_lock);
    *compare = value;
    update_timers(h);
    pthread_mutex_unlock(&h->timer_lock);
}

void hart_timer_fired(struct hart *h)
{
    uint64_t count;
    if (read(h->timer_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_error("hart %u: timer: %s", h->id, strerror(errno));
    pthread_mutex_lock(&h->timer_lock);
    h->armed = UINT64_MAX;
    update_timers(h);
    pthread_mutex_unlock(&h->timer_lock);
}

static bool must_look(const struct hart *h)
{
    return atomic_load(&h->m->paused) || atomic_load(&h->m->ending);
}

/* wfi: until an interrupt is pending and enabled in mie, whatever mstatus says; or something else
 * wants the hart. */
static void wait_for_interrupt(struct hart *h)
{
    h->wfi = false;
    if (hart_pending(h) & h->mie)
        return;
    pthread_mutex_lock(&h->lock);
    hart_park(h);
    atomic_store(&h->sleeping, true);
    while (!(hart_pending(h) & h->mie) && !must_look(h))
        pthread_cond_wait(&h->wake, &h->lock);
    atomic_store(&h->sleeping, false);
    hart_unpark(h);
    pthread_mutex_unlock(&h->lock);
}

/* HSM: stopped until another hart starts it. */
static void wait_for_start(struct hart *h)
{
    pthread_mutex_lock(&h->lock);
    hart_park(h);
    atomic_store(&h->sleeping, true);
    while (h->hsm == HSM_STOPPED && !must_look(h))
        pthread_cond_wait(&h->wake, &h->lock);
    atomic_store(&h->sleeping, false);
    hart_unpark(h);
    bool start = h->hsm == HSM_START_PENDING;
    pthread_mutex_unlock(&h->lock);
    if (!start)
        return;
    h->mstatus &= ~MSTATUS_SIE;
    h->satp = 0;
    memset(h->current, 0, sizeof h->current);
    h->mie = 0;
    h->cpu.pc = h->start_pc;
    h->cpu.x[10] = h->start_a0;
    h->cpu.x[11] = h->start_a1;
    hart_set_priv(h, h->m->firmware ? PRIV_M : PRIV_S);
    pthread_mutex_lock(&h->lock);
    atomic_store(&h->hsm, HSM_STARTED);
    pthread_mutex_unlock(&h->lock);
}

/* Stop the world: parked until resumed. */
static void wait_for_resume(struct hart *h)
{
    struct machine *m = h->m;
    pthread_mutex_lock(&h->lock);
    hart_park(h);
    pthread_mutex_unlock(&h->lock);
    pthread_mutex_lock(&m->lock);
    m->n_parked++;
    pthread_cond_broadcast(&m->changed);
    while (atomic_load(&m->paused) && !atomic_load(&m->ending))
        pthread_cond_wait(&m->changed, &m->lock);
    m->n_parked--;
    pthread_mutex_unlock(&m->lock);
    pthread_mutex_lock(&h->lock);
    hart_unpark(h);
    pthread_mutex_unlock(&h->lock);
}

static void handle_trap(struct hart *h)
{
    struct trap t = h->cpu.trap;
    if (t.cause == CAUSE_ECALL_S && !h->m->firmware)
        sbi_call(h);
    else
        hart_trap(h, t.cause, t.tval);
}

void *hart_main(void *arg)
{
    struct hart *h = arg;
    ERROR_CLEANUP err = NULL;
    bool filtered = jail_filter(JAIL_HART, &err) == 0;
    if (!filtered) {
        log_error("hart %u: %s", h->id, error_text(err));
        machine_request_end(h->m, MACHINE_STOPPED, 125);
    }
    pthread_mutex_lock(&h->m->lock);
    h->m->n_entered++;
    h->m->unfiltered |= !filtered;
    pthread_cond_broadcast(&h->m->changed);
    pthread_mutex_unlock(&h->m->lock);
    pthread_mutex_lock(&h->lock);
    hart_unpark(h);
    pthread_mutex_unlock(&h->lock);
    for (;;) {
        if (atomic_exchange(&h->cpu.exit_request, 0))
            hart_serve(h);
        if (atomic_load(&h->m->ending))
            break;
        if (atomic_load(&h->m->paused)) {
            wait_for_resume(h);
            continue;
        }
        if (h->hsm != HSM_STARTED) {
            wait_for_start(h);
            continue;
        }
        if (h->wfi) {
            wait_for_interrupt(h);
            continue;
        }
        hart_take_interrupt(h);
        hart_sync(h);
        if (engine_run(&h->cpu) == EXIT_TRAP)
            handle_trap(h);
    }
    pthread_mutex_lock(&h->lock);
    hart_park(h);
    pthread_mutex_unlock(&h->lock);
    pthread_mutex_lock(&h->m->lock);
    pthread_cond_broadcast(&h->m->changed);
    pthread_mutex_unlock(&h->m->lock);
    return NULL;
}
