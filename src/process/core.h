/* A riscv64 core file of the guest. */
#ifndef WIRT_PROCESS_CORE_H
#define WIRT_PROCESS_CORE_H

#include "process/state.h"

/* t dies of that signal: stops the other threads, and leaves what a riscv64 kernel would have
 * dumped, beside what the host's kernel dumps (which is the emulator) and under its name with
 * ".riscv64" behind it, where RLIMIT_CORE and core_pattern let a file be written. go_on: the others
 * then go on, as the signal is still to come; else they stay where they are. When another thread
 * dies already, t waits for that. */
void core_write(struct thread *t, const siginfo_t *info, bool go_on);

#endif
