/* Signals of the guest.
 *
 * The host's kernel does the queueing: a guest thread's signal mask is its host thread's, an
 * ignored or default action is the host's too, so what is blocked, ignored, fatal or stopping never
 * gets here. A signal with a guest handler arrives in the host handler, which keeps it in the
 * thread's one slot and leaves all signals blocked, so that no second one can come before the first
 * is delivered at the next safe point (thread_loop). Delivery writes the frame a riscv64 kernel
 * would and sets the mask again.
 *
 * All 64 numbers are the guest's. So nothing here may call what makes libc send or handle signals
 * of its own: set*id and setgroups (33 to all threads), pthread_cancel (32), timers with threads,
 * aio; tests/process/test_reserved_signals.sh holds that. What libc does unasked when a thread is
 * made is undone by signal_reclaim. */
#ifndef WIRT_PROCESS_SIGNAL_H
#define WIRT_PROCESS_SIGNAL_H

#include "process/state.h"

#define SIGNAL_BIT(n) (1ull << ((n)-1))

/* Takes over the host's actions and mask as the new program's, installs the handlers that are
 * always there. */
void signal_init_process(struct process *p, struct thread *t);

/* The calling host thread: its alternate stack. Undone before t is freed. */
void signal_init_thread(struct thread *t);
void signal_leave_thread(struct thread *t);

/* Blocks everything that can be; while that lasts, t's slot cannot be filled. signal_unblock sets
 * the guest's mask again, unless the slot is full: delivery does it then. */
void signal_block_all(void);
void signal_unblock(struct thread *t);

/* After libc has made a host thread, with everything blocked: it has then set its own action for
 * the signals that it keeps for itself (32 and 33), and opened them. Sets the guest's again. */
void signal_reclaim(struct thread *t);

/* The guest's mask. 0, or -ERESTARTNOINTR when a signal has to be delivered first. */
long signal_set_mask(struct thread *t, uint64_t mask);

/* rt_sigaction: old and new may be NULL. 0 or -EINVAL. */
long signal_action(struct thread *t, int signo, const struct guest_sigaction *new,
                   struct guest_sigaction *old);

/* t is about to send itself that signal: if it will die of it, as in abort(), the core is written
 * now. The host's kernel has the default actions, and nothing of ours runs then. */
void signal_before_send(struct thread *t, int signo);

/* Delivers what is pending. */
void signal_deliver(struct thread *t);

/* Raises a synchronous signal at t's pc; a blocked or ignored one kills the process. */
void signal_force(struct thread *t, int signo, int code, uint64_t addr);
void signal_force_info(struct thread *t, const siginfo_t *info);

/* rt_sigreturn. */
void signal_return(struct thread *t);

/* All handlers become SIG_DFL, on the host too (CLONE_CLEAR_SIGHAND). The calling process's own
 * sighand. */
void signal_clear_handlers(struct sighand *s);

/* Before and after an execve that may fail: the host's mask and its actions for SIGSEGV and SIGBUS
 * are those that the new program inherits. */
void signal_before_exec(struct thread *t);
void signal_after_exec(struct thread *t);

/* frame.c: writes the frame for a handler and moves the thread into it. 0 or -EFAULT. saved: the
 * mask that the handler's return restores. */
int frame_push(struct thread *t, const siginfo_t *info, const struct guest_sigaction *action,
               uint64_t saved);
/* Reads it back; *mask is the mask to restore. 0 or -EFAULT. */
int frame_pop(struct thread *t, uint64_t *mask);
#define GUEST_MINSIGSTKSZ 1088 /* the size of that frame: AT_MINSIGSTKSZ */
bool on_altstack(const struct thread *t, uint64_t sp);

/* SIGSEGV and SIGBUS that were sent while the guest blocks them, which the host never does: a mask
 * of them; takes one that is in set, if there is any. */
uint64_t signal_held(const struct thread *t);
bool signal_take_held(struct thread *t, uint64_t set, siginfo_t *out);

#endif
