/* A riscv64 core file of the guest. */
#ifndef WIRT_PROCESS_CORE_H
#define WIRT_PROCESS_CORE_H

#include "process/state.h"

/* t dies of that signal: leaves what a riscv64 kernel would have dumped, beside what the host's
 * kernel dumps (which is the emulator) and under its name with ".riscv64" behind it, where
 * RLIMIT_CORE and core_pattern let a file be written. */
void core_write(const struct thread *t, const siginfo_t *info);

#endif
