/* A connection on a guest's control socket (control.h): what it sends, taken apart into requests or
 * frames, and what it is yet to get. */
#ifndef WIRT_GUEST_CLIENT_H
#define WIRT_GUEST_CLIENT_H

#include "base/loop.h"
#include "guest/control.h"

struct client;

/* What a connection is for. Called from the loop; none may free the client. */
struct client_ops {
    /* A line. NULL: it speaks frames. */
    void (*request)(struct client *c, const char *line, size_t len);
    void (*frame)(struct client *c, enum frame_type type, const char *p, size_t len);
    /* Whether nothing more is taken from it for now: client_resume says when it is. */
    bool (*full)(struct client *c);
    /* It has taken something of what it was sent. */
    void (*took)(struct client *c);
    /* The connection has ended: the last call. */
    void (*closed)(struct client *c);
};

struct client {
    struct loop *loop;
    int fd;
    const struct client_ops *ops;
    void *arg;        /* the ops' */
    struct str out;   /* to be sent: append, then client_send */
    uint64_t took_ns; /* when it last took something, or had nothing to take */
    struct str in;
    bool has_taken; /* something, of which `took` has yet to be told */
    bool gone;      /* it is broken, or sent what it should not have */
    bool finishes;  /* it is let go when it has taken everything */
};

/* Takes over fd. The client frees itself when its connection ends. */
struct client *client_new(struct loop *loop, int fd, const struct client_ops *ops, void *arg);
/* What it sends means something else from here on. */
void client_become(struct client *c, const struct client_ops *ops, void *arg);

/* Sends what was appended to c->out. */
void client_send(struct client *c);
/* More can be taken from it. */
void client_resume(struct client *c);
/* It is let go when it has taken everything. */
void client_finish(struct client *c);
/* It is let go soon, whatever it has taken. */
void client_drop(struct client *c);
/* At once; ops->closed is called. Not from one of its own ops. */
void client_close(struct client *c);

#endif
