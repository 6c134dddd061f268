/* The guest's own seccomp filters (seccomp(2)): they see riscv64's system calls, which the host's
 * kernel does not. They are for programs that confine themselves; what confines a guest against its
 * will is the host's. */
#ifndef WIRT_PROCESS_SECCOMP_H
#define WIRT_PROCESS_SECCOMP_H

#include "process/state.h"

/* Before a system call of t. False: it is not made; *result is for a0 as a call's own function
 * would answer, or the signal has been raised. Does not return when the process is to die. */
bool seccomp_allows(struct thread *t, uint64_t nr, const uint64_t a[6], long *result);

/* seccomp(2) and prctl(PR_SET_SECCOMP). */
long seccomp_set(struct thread *t, uint64_t operation, uint64_t flags, uint64_t args);

/* SECCOMP_MODE_*, and how many filters. */
int seccomp_mode(const struct thread *t);
unsigned seccomp_filters(const struct thread *t);

/* The filters in a descriptor (close-on-exec) for the next program of this thread, -1 when there
 * are none, or below -1: -errno. And back, for its first thread: the descriptor is closed. */
long seccomp_save(const struct thread *t);
int seccomp_restore(struct thread *t, int fd, struct error **err);

#endif
