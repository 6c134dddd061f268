/* What the verbs do to a guest that exists: through its monitor while that lives, and by hand with
 * what a dead monitor left. */
#ifndef WIRT_GUEST_LIFECYCLE_H
#define WIRT_GUEST_LIFECYCLE_H

#include "guest/guest.h"

/* Asks it to end, kills it after timeout seconds, and answers when it has ended. A guest that has
 * ended already is no error. */
int guest_stop(struct guest *g, int64_t timeout, struct error **err);

/* Sends a signal to a running guest. */
int guest_kill(struct guest *g, int sig, struct error **err);

int guest_pause(struct guest *g, struct error **err);
int guest_resume(struct guest *g, struct error **err);
int guest_update(struct guest *g, const struct guest_limits *l, struct error **err);

/* Removes a guest that has ended, also a dead or damaged one; with force a running one too. */
int guest_delete(struct guest *g, bool force, struct error **err);

/* The monitor's answer to `stats`. The caller puts it. */
json_object *guest_stats(struct guest *g, struct error **err);

/* A request to the running machine behind a guest; its answer, which the caller puts. Takes the
 * request over. */
json_object *guest_machine_request(struct guest *g, json_object *request, struct error **err);

#endif
