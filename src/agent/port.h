/* The agent's end of the channel: finds the port, makes frames out of its bytes and bytes out of
 * frames, and knows whether the host is to be believed. */
#ifndef WIRT_AGENT_PORT_H
#define WIRT_AGENT_PORT_H

#include <stdbool.h>

#include "agent/protocol.h"
#include "base/error.h"
#include "base/str.h"

struct port {
    int fd;
    bool trusted; /* the host has answered our HELLO: what it sends is frames */
    struct agent_hello {
        struct agent_frame frame;
        uint8_t nonce[AGENT_NONCE];
    } hello;
    uint8_t in[sizeof(struct agent_frame) + AGENT_PAYLOAD_MAX];
    size_t in_len;
    struct str out; /* frames that wait for the port */
    size_t out_done, frame_left;
};

/* Does what a frame asks for; a negative number when no host in its senses sends this. */
typedef int port_frame_fn(void *arg, const struct agent_frame *f, const uint8_t *payload);

/* The path of the virtio-console port of that name, owned by the caller; NULL when there is none,
 * not even after some seconds: the kernel learns of ports while it already runs /init. */
char *port_find(const char *name);

/* Opens it, not blocking; /dev/fd/N is our own descriptor N. */
int port_open(struct port *p, const char *path, struct error **err);
void port_close(struct port *p);

/* Says who we are: unless the last frames are still on their way. */
void port_hello(struct port *p);

/* Believes nothing from now on: forgets what has come and what has not gone out, and says HELLO
 * with a new nonce. */
int port_distrust(struct port *p, struct error **err);

/* Queues a frame. */
void port_send(struct port *p, unsigned session, enum agent_type type, const void *payload,
               size_t len);

/* Writes of the queue what the port takes: each frame in one call, which is one buffer of the
 * port's. */
int port_flush(struct port *p, struct error **err);

enum port_state {
    PORT_FAILED = -1,
    PORT_CLOSED, /* nobody holds the other end */
    PORT_OK,
    PORT_NONSENSE, /* what has come is no frame, or fn refused it */
};

/* Reads once, and has fn do each frame that is there. Sets err when the port has failed. */
enum port_state port_receive(struct port *p, port_frame_fn *fn, void *arg, struct error **err);

#endif
