/* The end of the machine. The tests' program has another one of these, which ends itself. */
#ifndef WIRT_AGENT_POWER_H
#define WIRT_AGENT_POWER_H

#include <stdbool.h>
#include <stdint.h>

/* Asks all processes but this one and process 1 to end; with force, ends them. */
void power_end_processes(bool force);

/* Whether there are others than this one and process 1 (and the kernel's). */
bool power_others_run(void);

/* Writes back what is not yet on disks, and turns the machine off, with this exit status. */
_Noreturn void power_off(uint8_t status);

#endif
