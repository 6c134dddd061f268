/* Holding a process's other threads still while one of them writes its core file.
 *
 * A thread's registers are all in its struct cpu when it is not in the engine. So a stop is asked
 * for in the process, each thread is called out of the engine, and at the two safe points of its
 * loop, before and behind the engine, it looks and waits. One that is in a system call is let be:
 * its registers are those of its ecall, and when the call ends it comes to a safe point. */
#ifndef WIRT_PROCESS_STOP_H
#define WIRT_PROCESS_STOP_H

#include "process/state.h"

/* t stops the others and answers true; false: another thread is stopping this one, for good. Then t
 * is not to go on but to wait in stop_point. Takes p->threads_lock, which stop_end gives back:
 * until then the list and the registers of those on it hold still. A child that shares its parent's
 * memory has no others. */
bool stop_others(struct thread *t);

/* They stay where they are (forever: the process dies), or go on. */
void stop_end(struct thread *t, bool go_on);

/* A safe point of t: does not return while another thread stops it. */
static inline bool stop_wanted(const struct thread *t)
{
    struct thread *by = atomic_load_explicit(&t->process->stopper, memory_order_acquire);
    return __builtin_expect(by != NULL, false) && by != t && !t->vfork_child;
}
void stop_wait(struct thread *t);

static inline void stop_point(struct thread *t)
{
    if (stop_wanted(t))
        stop_wait(t);
}

#endif
