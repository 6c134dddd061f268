/* Running a machine: its threads, and how it ends. */
#include "machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "jail/filter.h"
#include "machine/board-build.h"
#include "machine/boot.h"
#include "machine/control.h"

#define NS_PER_TICK (1000000000u / TIMEBASE_HZ)

uint64_t machine_time(const struct machine *m)
{
    return (clock_ns() - m->time_start) / NS_PER_TICK;
}

uint64_t machine_time_to_ns(const struct machine *m, uint64_t time)
{
    uint64_t ns;
    if (__builtin_mul_overflow(time, NS_PER_TICK, &ns) ||
        __builtin_add_overflow(ns, m->time_start, &ns))
        return UINT64_MAX;
    return ns;
}

static void quit_loop(void *arg)
{
    struct machine *m = arg;
    loop_quit(m->loop);
}

static void kick_all(struct machine *m)
{
    for (unsigned i = 0; i < m->n_harts; i++)
        hart_kick(&m->harts[i]);
}

void machine_request_end(struct machine *m, enum machine_end end, int status)
{
    pthread_mutex_lock(&m->lock);
    bool first = !m->end_set;
    if (first) {
        m->end_set = true;
        m->end = end;
        m->status = status;
        atomic_store(&m->ending, true);
        pthread_cond_broadcast(&m->changed);
    }
    pthread_mutex_unlock(&m->lock);
    if (first) {
        kick_all(m);
        loop_call(m->loop, quit_loop, m);
    }
}

void machine_pause(struct machine *m)
{
    atomic_store(&m->paused, true);
    kick_all(m);
    pthread_mutex_lock(&m->lock);
    while (m->n_parked < m->n_harts && !atomic_load(&m->ending))
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

void machine_resume(struct machine *m)
{
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->paused, false);
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

size_t machine_console_write(struct machine *m, const void *data, size_t len)
{
    return uart_write(m->uart, data, len);
}

size_t machine_console_read(struct machine *m, void *data, size_t len)
{
    return uart_read(m->uart, data, len);
}

/* They are filtered when this answers: nobody is told of a machine that is not. */
static int start_threads(struct machine *m, struct error **err)
{
    m->n_entered = 0;
    for (unsigned i = 0; i < m->n_harts; i++) {
        struct hart *h = &m->harts[i];
        int e = pthread_create(&h->thread, NULL, hart_main, h);
        if (e)
            return error_set(err, e, "hart %u: pthread_create", i);
        h->thread_started = true;
    }
    pthread_mutex_lock(&m->lock);
    while (m->n_entered < m->n_harts)
        pthread_cond_wait(&m->changed, &m->lock);
    bool filtered = !m->unfiltered;
    pthread_mutex_unlock(&m->lock);
    return filtered ? 0 : error_set(err, 0, "a hart's system calls could not be filtered");
}

static void join_threads(struct machine *m)
{
    for (unsigned i = 0; i < m->n_harts; i++) {
        struct hart *h = &m->harts[i];
        if (h->thread_started)
            pthread_join(h->thread, NULL);
        h->thread_started = false;
    }
}

/* From power-on until it ends or reboots. */
static int run_once(struct machine *m, struct control *control, bool *started, struct error **err)
{
    if (board_reset(m, err) < 0 || boot_load(m, err) < 0)
        return -1;
    board_start(m);
    int ret = start_threads(m, err);
    if (!ret) {
        ret = control_started(control, err);
        *started = ret == 0;
    }
    if (!ret)
        ret = loop_run(m->loop, err);
    machine_request_end(m, MACHINE_STOPPED, 1); /* when it was an error that ended the loop */
    join_threads(m);
    return ret;
}

static void on_signal(void *arg, int fd, uint32_t events)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) == sizeof info)
        machine_request_end(arg, MACHINE_STOPPED, 128 + (int)info.ssi_signo);
}

/* Signals that end the machine come through the loop; harts never see one. */
static int watch_signals(struct machine *m, sigset_t *old, int *fd, struct error **err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, old);
    *fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (*fd < 0)
        return error_set(err, errno, "signalfd");
    return loop_watch(m->loop, *fd, EPOLLIN, on_signal, m, err);
}

static int run(struct machine *m, const struct machine_config *config, bool *started,
               struct error **err)
{
    int signal_fd = -1, ret = -1;
    sigset_t old;
    struct control *control = NULL;
    if (watch_signals(m, &old, &signal_fd, err) < 0)
        goto out;
    if (config->control >= 0) {
        control = control_new(m, config->control, err);
        if (!control)
            goto out;
    }
    /* From here on files are looked into, and then a guest runs. */
    if (jail_filter(JAIL_MACHINE, err) < 0)
        goto out;
    do
        ret = run_once(m, control, started, err);
    while (!ret && m->end == MACHINE_REBOOT);
out:
    control_free(control);
    if (signal_fd >= 0) {
        loop_unwatch(m->loop, signal_fd);
        close(signal_fd);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ret;
}

int machine_run(const struct machine_config *config, struct machine_result *result,
                struct error **err)
{
    /* A reader of a console that goes away is an error of that write, not the machine's end. */
    void (*old_sigpipe)(int) = signal(SIGPIPE, SIG_IGN);
    struct machine *m = xcalloc(1, sizeof *m);
    *result = (struct machine_result){0};
    int ret = board_init(m, config, err);
    if (!ret)
        ret = run(m, config, &result->started, err);
    if (!ret && config->stats)
        control_print_stats(m, stderr);
    if (!ret)
        *result = (struct machine_result){.end = m->end, .status = m->status, .started = true};
    board_free(m);
    free(m);
    signal(SIGPIPE, old_sigpipe);
    return ret;
}
