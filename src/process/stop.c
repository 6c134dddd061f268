#include "process/stop.h"

#include <sys/syscall.h>
#include <time.h>

#include "process/signal.h"

#define ROUND_NS    1000000
#define MOST_ROUNDS 2000 /* a thread looks at each back edge: this is not reached */

static void nap(void)
{
    struct timespec t = {.tv_nsec = ROUND_NS};
    HOST_CALL(SYS_nanosleep, &t, 0);
}

bool stop_others(struct thread *t)
{
    struct process *p = t->process;
    struct thread *nobody = NULL;
    if (t->vfork_child)
        return true;
    if (!atomic_compare_exchange_strong(&p->stopper, &nobody, t))
        return false;
    pthread_mutex_lock(&p->threads_lock);
    for (struct thread *o = p->threads; o; o = o->next)
        if (o != t)
            engine_request_exit(&o->cpu);
    for (struct thread *o = p->threads; o; o = o->next)
        for (int i = 0; o != t && atomic_load(&o->translated) && i < MOST_ROUNDS; i++)
            nap();
    return true;
}

void stop_end(struct thread *t, bool go_on)
{
    struct process *p = t->process;
    if (t->vfork_child)
        return;
    if (go_on)
        atomic_store(&p->stopper, NULL);
    pthread_mutex_unlock(&p->threads_lock);
}

void stop_wait(struct thread *t)
{
    /* Open to none of the guest's signals: the first one that ends a process has come already. */
    signal_block_all();
    while (stop_wanted(t))
        nap();
    signal_unblock(t);
}
