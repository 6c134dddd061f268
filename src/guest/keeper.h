/* What stands between a monitor and a guest that is no more than processes of the host's: whoever
 * of them leaves its parent, its group or its session stays a descendant of the keeper, and none
 * outlives it. It ends them all when the first one has ended, when the monitor is gone in whatever
 * way (so it is no part of the monitor), or when the guest that a command was executed in is. */
#ifndef WIRT_GUEST_KEEPER_H
#define WIRT_GUEST_KEEPER_H

#include "guest/proc.h"

struct keeper {
    pid_t parent;         /* whose end is everybody's */
    struct proc_id guest; /* likewise, if its pid is not 0 */
};

/* In a child that is to be the keeper: forks the first process and returns in that, with 0, or -1
 * with errno. The keeper itself never returns: it passes on to the first process what signals it
 * gets, and ends as that did, by exit status or signal. */
int keeper_fork(const struct keeper *k);

/* The keeper's parent is gone: waits, as long as that may take, until it has ended all. */
void keeper_wait(struct proc_id keeper);

#endif
