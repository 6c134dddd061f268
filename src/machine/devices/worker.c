#include "machine/devices/worker.h"

#include <signal.h>

#include "base/log.h"

static void *run(void *opaque)
{
    struct worker *w = opaque;
    ERROR_CLEANUP err = NULL;
    if (w->enter)
        w->enter(w->enter_arg);
    int r = jail_filter(w->kind, &w->why);
    sem_post(&w->entered);
    if (r == 0 && loop_run(w->loop, &err) < 0)
        log_error("%s: %s", w->name, error_text(err));
    return NULL;
}

int worker_start(struct worker *w, struct error **err)
{
    sem_init(&w->entered, 0, 0);
    w->loop = loop_new(err);
    if (!w->loop)
        return -1;
    sigset_t all, old;
    sigfillset(&all); /* signals are for the program's other threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        return error_set(err, rc, "thread");
    w->started = true;
    while (sem_wait(&w->entered) < 0)
        ;
    return w->why ? error_set(err, 0, "%s: %s", w->name, error_text(w->why)) : 0;
}

static void quit(void *loop)
{
    loop_quit(loop);
}

void worker_stop(struct worker *w)
{
    if (w->started) {
        loop_call(w->loop, quit, w->loop);
        pthread_join(w->thread, NULL);
    }
    error_free(&w->why);
    loop_free(w->loop);
}
