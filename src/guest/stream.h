/* A command's streams as a monitor carries them: input, kept until the command takes it, and
 * outputs, handed on as they come. Two makers: of descriptors (pipes, or a terminal), and of a
 * command that an agent runs in a machine. */
#ifndef WIRT_GUEST_STREAM_H
#define WIRT_GUEST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "base/loop.h"

struct stream;
struct agent_link;
struct wall_exec;

/* More input than this is not to be given before there is room. */
#define STREAM_BACKLOG (256u << 10)

/* Called from the loop, and by stream_drain: never by who gives input. */
struct stream_ops {
    /* which: 0 output (or terminal), 1 error. */
    void (*output)(void *arg, int which, const char *data, size_t len);
    /* It was full, and is not any more. */
    void (*input_room)(void *arg);
    /* Some of the input did not reach the command, or of the output did not come, though nobody
     * closed it (errno). Never of an agent's command. */
    void (*lost)(void *arg, int code);
    /* Of an agent's command alone: it has ended with this status, or -1: the agent is no more. */
    void (*ended)(void *arg, int status);
};

/* Takes over the descriptors (-1: none), which are nonblocking; a terminal is both in and out. */
struct stream *stream_of_fds(struct loop *loop, int in, int out, int err,
                             const struct stream_ops *ops, void *arg, struct error **error);

/* Takes input from now on; the command comes with stream_run. */
struct stream *stream_of_agent(struct loop *loop, const struct stream_ops *ops, void *arg);
/* -1 with err: no agent, too many commands, too long. May be called again after `ended` with -1. */
int stream_run(struct stream *s, struct agent_link *link, const struct wall_exec *x,
               const struct winsize *size, struct error **err);
/* Whether the agent runs its command. */
bool stream_runs(const struct stream *s);
/* To that command; it has to run. A SIGHUP that stream_free sends it is its own affair. */
void stream_signal(struct stream *s, int sig);
void stream_resize(struct stream *s, const struct winsize *size);

/* s may be NULL for all below. */

/* Whether it takes input, now or later; what is given to one that does not is dropped. */
bool stream_takes_input(const struct stream *s);
/* Whether it has enough for now: then input_room is called when it has not any more. */
bool stream_full(struct stream *s);
void stream_input(struct stream *s, const char *data, size_t len);
/* The end comes behind all that was given. To one that types it more can be given then. */
void stream_input_end(struct stream *s);
/* It is a terminal, or a console: the end of its input is a character (base/terminal.h). */
void stream_types_end(struct stream *s);

/* Takes no more output, or does again: who it goes to has yet to take what there is. */
void stream_hold(struct stream *s, bool hold);
/* Nobody reads it any more: the command learns of it as by a pipe without a reader, by SIGPIPE or
 * EPIPE with its next write. A terminal has no such end. */
void stream_close_output(struct stream *s, int which);
/* Takes in all there is, after the command's end. */
void stream_drain(struct stream *s);

/* Lets go of it: nothing is called any more. A command of an agent gets SIGHUP, as when a terminal
 * is closed. */
void stream_free(struct stream *s);

#endif
