/* The monitor: the one small process that a guest has. It starts the workload, carries its output
 * to the log and to who is attached, answers the control socket, waits for the end, and records the
 * exit status or removes the guest. */
#ifndef WIRT_GUEST_MONITOR_H
#define WIRT_GUEST_MONITOR_H

#include "guest/guest.h"

/* Runs the guest to its end with this process as the monitor; standard input, output and error are
 * this process's own, signals are passed on. *status is for the shell. -1 with err when the guest
 * could not be started: then *status is 125, 126 or 127. Not for a guest with a terminal. */
int monitor_run_attached(struct guest *g, int *status, struct error **err);

/* Starts a monitor in the background and waits until the guest runs or could not be started (as
 * above). *attached, when not NULL, gets a connection that speaks frames (control.h) from the
 * guest's first byte on. */
int monitor_start(struct guest *g, int *attached, int *status, struct error **err);

#endif
