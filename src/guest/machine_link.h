/* Requests to a running machine (machine/control.h) that nobody waits for: a machine that hangs
 * holds up neither its monitor nor another machine. */
#ifndef WIRT_GUEST_MACHINE_LINK_H
#define WIRT_GUEST_MACHINE_LINK_H

#include "base/error.h"
#include "base/loop.h"
#include "guest/json.h"

/* How long an answer may take. */
#define MACHINE_ANSWER_NS 2000000000u

struct machine_link;

/* answer: the machine's object, which stays the link's; NULL with err: it refused, did not answer
 * in time, or is no more. Called from the loop and by machine_link_finish, never by
 * machine_link_ask. */
typedef void machine_answer_fn(void *arg, json_object *answer, const struct error *err);

/* fd, a connected stream socket, stays the caller's and outlives the link. */
struct machine_link *machine_link_new(struct loop *loop, int fd, struct error **err);
/* Questions that are open go without an answer. Not from within a callback. */
void machine_link_free(struct machine_link *l);

/* Asks; takes over the request. Requests are answered in their order. fn NULL: nobody waits. */
void machine_link_ask(struct machine_link *l, json_object *request, machine_answer_fn *fn,
                      void *arg);
/* Whoever asked with this arg is no more. */
void machine_link_forget(struct machine_link *l, void *arg);

/* The machine is no more: who still waits is told. l may be NULL. */
void machine_link_finish(struct machine_link *l);

#endif
