/* How others see the process: ps, top, /proc/PID/cmdline. */
#ifndef WIRT_PROCESS_APPEARANCE_H
#define WIRT_PROCESS_APPEARANCE_H

#include "process/state.h"

/* Tells the host's kernel that name, arguments, environment and auxiliary vector are the program's.
 * Where a kernel does not let itself be told, the emulator's stay visible. */
void appearance_set(const struct process *p);

#endif
