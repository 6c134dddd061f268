/* A workload that is a child process of the monitor: the process wall's and the machine wall's. */
#ifndef WIRT_GUEST_SPAWN_H
#define WIRT_GUEST_SPAWN_H

#include <stdbool.h>

#include "base/error.h"
#include "guest/proc.h"

/* Where in a child is told what keeps it from its program. */
#define SPAWN_REPORT_FD 3

struct spawn {
    const char *path; /* the program, by absolute path */
    char **argv, **envp;
    const char *workdir; /* NULL: the caller's */
    int in, out, err;    /* its standard streams; unused with terminal */
    bool terminal;       /* give it a fresh terminal as streams and controlling terminal */
    bool raw;            /* ... in raw mode: the guest has a line discipline of its own */
    bool reports;        /* it is wirt-riscv64, with --report-fd SPAWN_REPORT_FD: what keeps it from
                            loading its program is answered as well */
    int keep[2];         /* descriptors that stay open under their numbers, or -1 */
    bool outlives;       /* not killed with its parent */
    int parent_ends;     /* the signal that it gets then, in place of SIGKILL, blocked: it takes it
                            with signalfd(2) when it has put its own things in order; 0: SIGKILL */
    bool kept;           /* by a keeper (keeper.h), which then is what is answered and waited for */
    struct proc_id of;   /* kept: the guest whose end is its end too; pid 0: none */
    /* Called in the parent when the child is there and has nothing yet; it goes on after that, and
     * not when the parent ends before: so whoever has to know of it can be told first. May be NULL.
     */
    int (*made)(void *made_arg, struct proc_id id, struct error **err);
    void *made_arg;
    /* Called in the child before the program; may be NULL. */
    int (*prepare)(void *arg, struct error **err);
    void *arg;
};

/* Starts it in a session of its own. *pidfd and *master (-1 without terminal) are the caller's to
 * close. What fails in the child, up to the exec, is answered here. */
int spawn_start(const struct spawn *s, struct proc_id *id, int *pidfd, int *master,
                struct error **err);

/* Reads such a report to its end: 0 when nothing was wrong, else -1 with err. */
int spawn_read_report(int fd, struct error **err);

/* Waits for the end: the exit status, 128 + n for signal n, or -1 with err. */
int spawn_wait(int pidfd, struct error **err);

/* Like a run of the program in the caller's place: streams or terminal are the caller's, signals
 * and window sizes are passed on. Answers as spawn_wait; -1 with err when it did not start. */
int spawn_foreground(struct spawn *s, struct error **err);

/* Opens a terminal pair. */
int terminal_open(int *master, int *slave, bool raw, struct error **err);

#endif
