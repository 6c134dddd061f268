/* The control socket of a running machine: requests, one JSON object a line, answered in the same
 * way: {"ok": true, ...} or {"ok": false, "error": "..."}.
 *
 *   {"op": "stats"}                      counters, see control.c
 *   {"op": "pause"}, {"op": "resume"}    all harts stop at once; time goes on
 *   {"op": "balloon", "bytes": N}        what the guest is to be left with, of its memory
 *   {"op": "stop"}                       ends the machine, whatever the guest does */
#ifndef WIRT_MACHINE_CONTROL_H
#define WIRT_MACHINE_CONTROL_H

#include <stdio.h>

#include "machine/board.h"

struct control;

/* Serves fd, which stays the caller's, in m's loop. */
struct control *control_new(struct machine *m, int fd, struct error **err);
void control_free(struct control *c);

/* Writes what {"op": "stats"} answers, indented. */
void control_print_stats(struct machine *m, FILE *f);

#endif
