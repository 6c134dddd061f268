/* The monitor's end of the channel to the agent in a machine (agent/protocol.h). What arrives is a
 * guest's word: it is checked, bounded, and good for nothing but that guest's own sessions. */
#ifndef WIRT_GUEST_AGENT_LINK_H
#define WIRT_GUEST_AGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "guest/wall.h"

struct agent_link;
struct agent_session;

/* Called from the loop, and by agent_link_finish: never from within a function that sends. They may
 * do anything to this and other sessions but free the link. */
struct agent_session_ops {
    /* which: 0 output (or terminal), 1 error. Room for as much comes back by agent_session_took. */
    void (*output)(void *arg, int which, const char *data, size_t len);
    /* There is room for input again. */
    void (*input_room)(void *arg);
    /* The command has ended, with its exit status, or -1: the agent is no more. The session is not
     * to be used from then on; it frees itself. */
    void (*ended)(void *arg, int status);
};

/* on_hello: an agent has started, also once more after a reboot of the guest. fd, a connected
 * stream socket, stays the caller's and outlives the link; it is made nonblocking. */
struct agent_link *agent_link_new(struct loop *loop, int fd, loop_fn *on_hello, void *arg,
                                  struct error **err);
/* Sessions go without being called. Not from within a callback of the loop; the memory goes with
 * loop_free at the latest. */
void agent_link_free(struct agent_link *l);

/* Takes in all that has arrived and ends what is left: the machine is no more. */
void agent_link_finish(struct agent_link *l);

/* Whether an agent has said hello and is there. */
bool agent_link_answers(const struct agent_link *l);

/* Powers the machine off in good order; it exits with status. */
void agent_link_poweroff(struct agent_link *l, int status);

/* Tells the console's size in characters: of a machine whose terminal is its console. */
void agent_link_resize(struct agent_link *l, unsigned rows, unsigned columns);

/* Has a command run. rows, columns: of its terminal, 0 for unknown. NULL with err: no agent, too
 * many at once, too long. */
struct agent_session *agent_run(struct agent_link *l, const struct wall_exec *x, unsigned rows,
                                unsigned columns, const struct agent_session_ops *ops, void *arg,
                                struct error **err);

/* Takes up to len bytes for the command's input: how many. */
size_t agent_session_input(struct agent_session *s, const char *data, size_t len);
void agent_session_input_end(struct agent_session *s);

void agent_session_signal(struct agent_session *s, int sig);
void agent_session_resize(struct agent_session *s, unsigned rows, unsigned columns);

/* Output was passed on. */
void agent_session_took(struct agent_session *s, int which, size_t bytes);

/* Nobody listens any more: nothing is called from here on, output is dropped. The session is freed
 * when the command ends. */
void agent_session_leave(struct agent_session *s);

#endif
