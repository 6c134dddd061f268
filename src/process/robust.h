/* Robust futexes: locks whose owner has died. */
#ifndef WIRT_PROCESS_ROBUST_H
#define WIRT_PROCESS_ROBUST_H

#include "process/state.h"

/* What the kernel does when a thread ends: marks the locks on its robust list. The host's kernel
 * has the list too, for a thread that is killed; for one that exits it is done here, before the
 * guest is told that the thread's memory is free (which is earlier than the host thread's own end).
 */
void robust_list_release(struct thread *t);

#endif
