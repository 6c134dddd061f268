#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

/* How long until what the kernel refused (for want of memory) is asked for again. */
#define AGAIN_MS 10

struct watch {
    loop_fd_fn *fn;
    void *arg;
    uint32_t events;
    bool in_epoll;
    bool owed; /* the kernel has yet to be told of `events` */
};

struct timer {
    uint64_t deadline;
    loop_fn *fn;
    void *arg;
};

struct call {
    loop_fn *fn;
    void *arg;
    struct call *next;
};

struct loop {
    int epfd, wakefd;
    bool quit;
    struct watch *watches; /* indexed by fd */
    int n_watches;
    struct timer *timers;
    int n_timers;
    loop_fn *idle;
    void *idle_arg;
    pthread_mutex_t lock; /* guards calls */
    struct call *calls, **calls_tail;
    struct call *ended, **ended_tail; /* what is to be freed */
    bool running, disposing;
    bool owes; /* one of the watches is owed */
};

uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void run_calls(void *arg, int fd, uint32_t events)
{
    struct loop *l = arg;
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    pthread_mutex_lock(&l->lock);
    struct call *c = l->calls;
    l->calls = NULL;
    l->calls_tail = &l->calls;
    pthread_mutex_unlock(&l->lock);
    while (c) {
        struct call *next = c->next;
        c->fn(c->arg);
        free(c);
        c = next;
    }
}

struct loop *loop_new(struct error **err)
{
    struct loop *l = xcalloc(1, sizeof *l);
    l->calls_tail = &l->calls;
    l->ended_tail = &l->ended;
    pthread_mutex_init(&l->lock, NULL);
    l->wakefd = -1;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0) {
        error_set(err, errno, "epoll_create1");
        goto fail;
    }
    l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wakefd < 0) {
        error_set(err, errno, "eventfd");
        goto fail;
    }
    if (loop_watch(l, l->wakefd, EPOLLIN, run_calls, l, err) < 0)
        goto fail;
    return l;
fail:
    loop_free(l);
    return NULL;
}

void loop_dispose(struct loop *l, loop_fn *fn, void *arg)
{
    struct call *c = xcalloc(1, sizeof *c);
    *c = (struct call){.fn = fn, .arg = arg};
    *l->ended_tail = c;
    l->ended_tail = &c->next;
}

bool loop_may_free(const struct loop *l)
{
    return l->disposing || !l->running;
}

static void dispose_all(struct loop *l)
{
    l->disposing = true;
    while (l->ended) {
        struct call *c = l->ended;
        l->ended = c->next;
        if (!l->ended)
            l->ended_tail = &l->ended;
        c->fn(c->arg);
        free(c);
    }
    l->disposing = false;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    assert(!l->running);
    dispose_all(l);
    while (l->calls) {
        struct call *next = l->calls->next;
        free(l->calls);
        l->calls = next;
    }
    if (l->wakefd >= 0)
        close(l->wakefd);
    if (l->epfd >= 0)
        close(l->epfd);
    pthread_mutex_destroy(&l->lock);
    free(l->watches);
    free(l->timers);
    free(l);
}

/* Makes the kernel's set what the watch says. With no events asked for, the descriptor leaves it:
 * epoll reports EPOLLHUP whether asked or not. */
static int tell_kernel(struct loop *l, int fd)
{
    struct watch *w = &l->watches[fd];
    struct epoll_event ev = {.events = w->events, .data.fd = fd};
    int op = !w->events ? EPOLL_CTL_DEL : w->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (w->events || w->in_epoll) {
        int r = epoll_ctl(l->epfd, op, fd, &ev);
        /* One that was closed has left by itself, and its number may be another one's. */
        if (r < 0 && errno == ENOENT && op == EPOLL_CTL_MOD)
            r = epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev);
        if (r < 0 && !(op == EPOLL_CTL_DEL && (errno == ENOENT || errno == EBADF)))
            return -1;
    }
    w->in_epoll = w->events != 0;
    w->owed = false;
    return 0;
}

/* What the kernel refused. */
static void tell_again(struct loop *l)
{
    if (!l->owes)
        return;
    l->owes = false;
    for (int fd = 0; fd < l->n_watches; fd++)
        if (l->watches[fd].owed && tell_kernel(l, fd) < 0)
            l->owes = true;
}

int loop_watch(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
               struct error **err)
{
    if (fd >= l->n_watches) {
        int n = fd + 16;
        l->watches = xrealloc(l->watches, (size_t)n * sizeof *l->watches);
        memset(l->watches + l->n_watches, 0, (size_t)(n - l->n_watches) * sizeof *l->watches);
        l->n_watches = n;
    }
    struct watch *w = &l->watches[fd], before = *w;
    w->fn = fn;
    w->arg = arg;
    w->events = events;
    if (tell_kernel(l, fd) == 0)
        return 0;
    int code = errno;
    if (err)
        *w = before;
    else
        w->owed = l->owes = true;
    return error_set(err, code, "epoll_ctl on descriptor %d", fd);
}

void loop_unwatch(struct loop *l, int fd)
{
    if (fd < 0 || fd >= l->n_watches)
        return;
    struct watch *w = &l->watches[fd];
    *w = (struct watch){.in_epoll = w->in_epoll};
    if (tell_kernel(l, fd) < 0)
        w->owed = l->owes = true;
}

void loop_timer(struct loop *l, uint64_t deadline_ns, loop_fn *fn, void *arg)
{
    struct timer *t = NULL;
    for (int i = 0; i < l->n_timers; i++)
        if (l->timers[i].fn == fn && l->timers[i].arg == arg)
            t = &l->timers[i];
    if (deadline_ns == UINT64_MAX) {
        if (t)
            *t = l->timers[--l->n_timers];
        return;
    }
    if (!t) {
        l->timers = xrealloc(l->timers, (size_t)(l->n_timers + 1) * sizeof *l->timers);
        t = &l->timers[l->n_timers++];
    }
    *t = (struct timer){.deadline = deadline_ns, .fn = fn, .arg = arg};
}

void loop_idle(struct loop *l, loop_fn *fn, void *arg)
{
    l->idle = fn;
    l->idle_arg = arg;
}

static void run_timers(struct loop *l)
{
    uint64_t now = clock_ns();
    /* A timer is removed before its function runs, which may set it again; the scan starts over as
     * the array moved. */
    for (int i = 0; i < l->n_timers;) {
        struct timer t = l->timers[i];
        if (t.deadline > now) {
            i++;
            continue;
        }
        l->timers[i] = l->timers[--l->n_timers];
        t.fn(t.arg);
        i = 0;
    }
}

static int next_timeout_ms(const struct loop *l)
{
    uint64_t first = l->owes ? clock_ns() + AGAIN_MS * 1000000u : UINT64_MAX;
    for (int i = 0; i < l->n_timers; i++)
        if (l->timers[i].deadline < first)
            first = l->timers[i].deadline;
    if (first == UINT64_MAX)
        return -1;
    uint64_t now = clock_ns();
    if (first <= now)
        return 0;
    uint64_t ms = (first - now + 999999) / 1000000;
    return ms > 1000000 ? 1000000 : (int)ms;
}

int loop_run(struct loop *l, struct error **err)
{
    struct epoll_event evs[32];
    l->running = true;
    while (!l->quit) {
        dispose_all(l);
        if (l->idle)
            l->idle(l->idle_arg);
        if (l->quit)
            break;
        tell_again(l);
        int n = epoll_wait(l->epfd, evs, 32, next_timeout_ms(l));
        if (n < 0 && errno != EINTR && errno != ENOMEM) {
            l->running = false;
            return error_set(err, errno, "epoll_wait");
        }
        for (int i = 0; i < n && !l->quit; i++) {
            int fd = evs[i].data.fd;
            /* an earlier callback of this round may have removed it */
            if (fd < l->n_watches && l->watches[fd].fn && l->watches[fd].events)
                l->watches[fd].fn(l->watches[fd].arg, fd, evs[i].events);
        }
        run_timers(l);
    }
    l->quit = l->running = false;
    dispose_all(l);
    return 0;
}

void loop_quit(struct loop *l)
{
    l->quit = true;
}

void loop_call(struct loop *l, loop_fn *fn, void *arg)
{
    struct call *c = xcalloc(1, sizeof *c);
    c->fn = fn;
    c->arg = arg;
    pthread_mutex_lock(&l->lock);
    *l->calls_tail = c;
    l->calls_tail = &c->next;
    pthread_mutex_unlock(&l->lock);
    uint64_t one = 1;
    /* EAGAIN: a wake-up is already pending. Nothing else is known to happen, and is tried again:
     * who is not woken may sleep for ever. */
    for (int tries = 0; tries < 3; tries++)
        if (write(l->wakefd, &one, sizeof one) > 0 || errno == EAGAIN)
            break;
}
