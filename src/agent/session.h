/* A session: a running command, what goes into it and comes out of it. */
#ifndef WIRT_AGENT_SESSION_H
#define WIRT_AGENT_SESSION_H

#include <poll.h>
#include <sys/types.h>

#include "agent/port.h"
#include "base/str.h"

#define SESSION_FDS 3 /* how many descriptors of a session are polled */

struct session {
    unsigned number;
    bool tty;
    pid_t pid; /* of its first process; 0: it has ended */
    uint8_t status;

    int in; /* -1: closed, and what still comes is dropped */
    struct str input;
    size_t input_done, input_owed; /* bytes passed on; of them, without room given back */
    bool input_ends;

    struct output {
        int fd; /* -1: it has ended */
        uint32_t room;
        size_t left; /* after the process has ended: what of its output is still to be read */
    } out[2];        /* standard output or the terminal's, standard error */
};

/* Starts what a frame AGENT_RUN asks for, unless there is a reason to refuse it. *s is NULL when it
 * has not started: the host has been told why. A negative number when the frame is malformed. */
int session_start(struct session **s, struct port *p, const struct agent_frame *f,
                  const uint8_t *payload, const char *refusal);

/* Its process and its descriptors are gone afterwards. */
void session_free(struct session *s);

/* A frame for it; a negative number when it is malformed or more than the host has room for. */
int session_frame(struct session *s, struct port *p, const struct agent_frame *f,
                  const uint8_t *payload);

/* Its first process has ended, with a status as wait(2) has it. */
void session_ended(struct session *s, int status);

/* What to wait for: room in the pipe to the command; and, if may_read, its output. */
void session_poll(const struct session *s, struct pollfd fds[SESSION_FDS], bool may_read);

/* Passes on what poll found. True when the host has been told everything: the session is over. */
bool session_pass(struct session *s, struct port *p, const struct pollfd fds[SESSION_FDS],
                  bool may_read);

#endif
