/* A thread of a device's own, with a loop in it: a device whose requests may take long serves its
 * queues there, so that it holds up neither the harts nor the other devices. */
#ifndef WIRT_MACHINE_DEVICES_WORKER_H
#define WIRT_MACHINE_DEVICES_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "base/loop.h"
#include "jail/filter.h"

struct worker {
    struct loop *loop;
    const char *name;      /* for messages; lives as long as the worker */
    enum jail_thread kind; /* the system calls that it may make */
    loop_fn *enter;        /* runs first in the thread, before it is filtered; or NULL */
    void *enter_arg;
    pthread_t thread;
    bool started;
    sem_t entered;     /* it is filtered, or: */
    struct error *why; /* it is not */
};

/* Starts the thread, with all signals blocked; it is filtered when this answers. The caller has
 * zeroed *w and set name, kind and enter, and in any case calls worker_stop. */
int worker_start(struct worker *w, struct error **err);

/* Ends the thread, after what it is doing, and frees the loop. */
void worker_stop(struct worker *w);

#endif
