/* Threads and processes that the guest makes and ends. */
#ifndef WIRT_PROCESS_THREAD_H
#define WIRT_PROCESS_THREAD_H

#include "process/state.h"

/* clone and clone3, in clone3's terms. Addresses are the guest's; 0: absent. */
struct clone_request {
    uint64_t flags; /* without the exit signal */
    uint64_t exit_signal;
    uint64_t stack; /* its upper end; 0: the caller's own */
    uint64_t tls, pidfd, parent_tid, child_tid, set_tid, set_tid_size, cgroup;
};

/* The new thread's or process's id, or -errno; 0 in a child process. */
long thread_clone(struct thread *t, const struct clone_request *r);

/* The process's first thread. NULL with err. */
struct thread *thread_new(struct process *p, struct error **err);
void thread_enlist(struct thread *t);

/* What happens to a thread that has set t->exiting. Returns when only the host thread is left to
 * end. */
void thread_finish(struct thread *t);

#endif
