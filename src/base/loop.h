/* An event loop: epoll, with descriptors and timers. One thread runs it; loop_wake may be called
 * from any.
 *
 * The rule of what lives in a loop: nothing is freed while a callback runs, as somebody up the
 * stack may be about to go on with it. What ends takes itself out (watches, timers, lists) at once
 * and hands itself to loop_dispose; a function that frees such a thing begins with
 * assert(loop_may_free(loop)). */
#ifndef WIRT_BASE_LOOP_H
#define WIRT_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct loop;

/* events: EPOLLIN and so on, as in epoll_ctl(2). */
typedef void loop_fd_fn(void *arg, int fd, uint32_t events);
typedef void loop_fn(void *arg);

struct loop *loop_new(struct error **err);
void loop_free(struct loop *l);

/* Calls fn when fd has one of events. An fd is watched once; calling again replaces events, fn and
 * arg. events 0 stops calling but keeps the slot. The fd stays the caller's and must be removed
 * before it is closed. 0, or -1 with err and nothing changed. With err NULL nobody could do
 * anything about it: it is then the loop that tries again until the kernel takes it, which for what
 * cannot be watched at all (EPERM: a regular file) is never. */
int loop_watch(struct loop *l, int fd, uint32_t events, loop_fd_fn *fn, void *arg,
               struct error **err);
void loop_unwatch(struct loop *l, int fd);

/* Calls fn once, at CLOCK_MONOTONIC deadline_ns. The same fn and arg given again moves the
 * deadline; UINT64_MAX cancels. */
void loop_timer(struct loop *l, uint64_t deadline_ns, loop_fn *fn, void *arg);

/* Called after every round, before the loop sleeps (for libraries that have to be polled). May be
 * NULL. */
void loop_idle(struct loop *l, loop_fn *fn, void *arg);

/* Calls fn(arg), which frees arg, when no callback runs: after this round, or in loop_free. It may
 * do nothing else with the loop than loop_dispose. */
void loop_dispose(struct loop *l, loop_fn *fn, void *arg);
/* Whether this is such a moment: fn of loop_dispose runs, or the loop does not. */
bool loop_may_free(const struct loop *l);

/* Runs until loop_quit. 0, or -1 with err. */
int loop_run(struct loop *l, struct error **err);
void loop_quit(struct loop *l);

/* Makes the loop call fn(arg) in its own thread soon. Any thread; not for signal handlers. */
void loop_call(struct loop *l, loop_fn *fn, void *arg);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

#endif
