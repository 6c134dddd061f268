/* System calls of the guest: the table, and what the files of syscalls/ share. */
#ifndef WIRT_PROCESS_SYSCALL_H
#define WIRT_PROCESS_SYSCALL_H

#include "process/state.h"

/* A call's own function: its six argument registers; the result or -errno, or one of the numbers
 * from ERESTARTSYS on (state.h). */
typedef long syscall_fn(struct thread *t, const uint64_t a[6]);

struct syscall {
    const char *name;
    const char *args; /* letters of table.def */
    syscall_fn *fn;   /* or NULL: host */
    int host;         /* the host's number, or -1: ENOSYS */
    bool waits;
};

#define N_SYSCALLS 470

extern const struct syscall syscall_table[N_SYSCALLS];

/* Makes the call that the thread's registers name. The result goes into a0 and pc past the ecall,
 * unless the call is to be made again or has set the registers itself. */
void syscall_dispatch(struct thread *t);

#define PASS(nr, name, args)
#define WAIT(nr, name, args)
#define NONE(nr, name, args)
#define CALL(nr, name, args) long sys_##name(struct thread *t, const uint64_t a[6]);
#include "process/table.def"
#undef PASS
#undef WAIT
#undef NONE
#undef CALL

/* strace.c: one line for a call that returned, or (with result NULL) will not. */
void strace_call(const struct thread *t, uint64_t nr, const uint64_t a[6], const long *result);
void strace_signal(const struct thread *t, const siginfo_t *info);

#endif
