/* The control socket of a machine. The first line on it says, unasked, whether it runs: {"ok":
 * true}, or {"ok": false, "error": "..."} and it ends. Then it takes requests, one JSON object a
 * line, answered in the same way: {"ok": true, ...} or {"ok": false, "error": "..."}.
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

/* Says that the machine runs; once, however often it boots. c may be NULL. 0, or -1 with err:
 * whoever waits for it would do so in vain. */
int control_started(struct control *c, struct error **err);
/* Says on a machine's control socket that it does not run, and why. */
void control_refuse(int fd, const char *why);

/* Writes what {"op": "stats"} answers, indented. */
void control_print_stats(struct machine *m, FILE *f);

#endif
