/* The machine wall's side of the control socket. */
#ifndef WIRT_GUEST_WALL_MACHINE_H
#define WIRT_GUEST_WALL_MACHINE_H

#include "guest/wall.h"

/* Sends a request to the running machine and waits, at most two seconds, for its answer (the
 * machine's control.h), which the caller puts. "ok":false is an error. The request stays the
 * caller's. */
json_object *machine_request(struct workload *w, json_object *request, struct error **err);

#endif
