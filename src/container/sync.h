/* The conversation between the runtime and the process that becomes the container: a
 * SOCK_SEQPACKET pair, one message a packet, closed on exec. The end of file after the last message
 * is the sign that the command has been executed. */
#ifndef WIRT_CONTAINER_SYNC_H
#define WIRT_CONTAINER_SYNC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum sync_kind {
    /* from the container's side */
    SYNC_PID,       /* value: the pid of the process that carries on (joined namespaces) */
    SYNC_MOUNTED,   /* mounts are there: runtime hooks may run */
    SYNC_CREATED,   /* everything up to the command is done */
    SYNC_EXECUTING, /* nothing but the execution is left */
    SYNC_ERROR,     /* value: errno; text: the message */
    /* from the runtime's side */
    SYNC_READY,      /* value: the pid; ids are mapped, the control group is joined */
    SYNC_HOOKS_DONE, /* */
    SYNC_GO,         /* execute the command */
};

int sync_pair(int fds[2], struct error **err);
int sync_send(int sock, enum sync_kind kind, int value, const char *text, struct error **err);
/* Tells the other side of e. */
void sync_send_error(int sock, const struct error *e);
/* Waits for a message of this kind. SYNC_ERROR from the other side becomes err. Answers the value;
 * -1 on failure; at the end of the conversation -1 with code EPIPE. */
int sync_wait(int sock, enum sync_kind kind, struct error **err);
/* The same of a message that is there already, or never comes: who sends it has ended. */
int sync_take(int sock, enum sync_kind kind, struct error **err);
/* Whether an error of the other side is there already; it goes to err. */
bool sync_pending_error(int sock, struct error **err);
/* Waits for the end of the conversation with process pid. 0: it has executed the command. -1 with
 * its error, or with code EPIPE: it ended before, without a word. */
int sync_wait_end(int sock, pid_t pid, struct error **err);

/* The same conversation with somebody who comes later: a socket NAME in the folder dirfd that
 * waits, and a connection to it. */
int sync_listen(int dirfd, const char *name, struct error **err);
int sync_accept(int listener, struct error **err);
int sync_connect(int dirfd, const char *name, struct error **err);

/* A descriptor over a stream socket, with a few bytes beside it (the console socket's protocol,
 * seccomp's listener). */
int send_fd(int sock, int fd, const void *data, size_t len, struct error **err);
/* -1 when none came. */
int receive_fd(int sock, struct error **err);

#endif
