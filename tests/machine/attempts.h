/* What a process that was taken over would try whatever it is: for the probes of jails, which obey
 * orders. */
#ifndef WIRT_TEST_ATTEMPTS_H
#define WIRT_TEST_ATTEMPTS_H

#include <stddef.h>

struct attempt {
    const char *name;
    int (*fn)(void); /* negative, with errno: it could not */
};

#define ATTEMPT_UNKNOWN 1

/* Tries what is called so, of a probe's own n and of those here (kill, ptrace: of the process whose
 * number the argument is). 0: it could; -1 with errno: not; ATTEMPT_UNKNOWN: there is none. */
int attempt(const char *name, const char *argument, const struct attempt *own, size_t n);

/* Writes to standard error what came of it, "did" or an errno's name. -1: it cannot. */
int attempt_tell(int result);

/* In the parent: the exit status; of what was ended by a filter it writes "killed" first. */
int attempt_ended(int status);

#endif
