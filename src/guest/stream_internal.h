/* What the makers of streams have in common: stream.c, stream_fds.c, stream_agent.c. */
#ifndef WIRT_GUEST_STREAM_INTERNAL_H
#define WIRT_GUEST_STREAM_INTERNAL_H

#include <sys/types.h>

#include "base/str.h"
#include "guest/stream.h"

struct stream_kind {
    /* How much the command took; -1: it takes no more, ever. */
    ssize_t (*write)(struct stream *s, const char *data, size_t len);
    void (*write_end)(struct stream *s);
    /* After what it waits for has changed: room for input, output. */
    void (*watch)(struct stream *s);
    void (*close_output)(struct stream *s, int which);
    void (*drain)(struct stream *s);
    /* Calls nothing any more; then, when no callback runs, lets go of what it is made of. */
    void (*leave)(struct stream *s);
    void (*release)(struct stream *s);
};

struct stream {
    const struct stream_kind *kind;
    struct loop *loop;
    const struct stream_ops *ops;
    void *arg;
    struct str input;
    bool takes_input; /* the command has not closed it, and its end was not passed on */
    bool input_end;   /* it ends behind what there is */
    bool types_end;   /* and never otherwise than by a character */
    char last;        /* character of its input so far */
    bool waited_for;  /* somebody found it full */
    bool held;

    int in, out[2]; /* of descriptors; -1: none (any more) */
    bool quiet;     /* a terminal that nobody has open */

    struct agent_session *session; /* of an agent: the command, when it runs */
    size_t owed[2];                /* bytes of output that are not passed on yet */
    bool closed[2], told;          /* nobody reads it; the command knows */
};

struct stream *stream_new(struct loop *loop, const struct stream_kind *kind,
                          const struct stream_ops *ops, void *arg);

/* Gives the command what it takes. */
void stream_flush(struct stream *s);

extern const struct stream_kind stream_fds, stream_agent;

#endif
