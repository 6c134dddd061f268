/* Running a machine in its jail.
 *
 *     caller (launcher)            opens files, binds published ports; then waits, filtered
 *       |- network's process       NAT, in the host's network namespace   (net/link.h)
 *       '- machine                 devices and harts, in nothing of the host's
 *
 * Between the two is one socket pair with frames. Guest bytes reach the two only when they are
 * jailed (jail/jail.h), and the caller never. */
#ifndef WIRT_MACHINE_LAUNCH_H
#define WIRT_MACHINE_LAUNCH_H

#include "machine/machine.h"
#include "net/nat.h"

/* Opens what config names and has no descriptor for, starts both processes, and waits for the
 * machine; SIGTERM, SIGINT and SIGHUP are passed on to it, SIGQUIT ends
 * it at once. nat: NULL for no network. The process has
 * one thread. It ends with the machine's exit status, or 125 after a message. */
_Noreturn void machine_launch(struct machine_config *config, const struct nat_config *nat);

/* Says why the machine does not run: on its control socket (control.h), or, where there is none, on
 * standard error. Answers the exit status. */
int machine_refuse(int control, const char *why);

#endif
