/* What the monitor's files share. Calls go down this list only; up, from the loop's callbacks, by
 * the ops that each part is given:
 *
 *   monitor.c           a guest's start and end
 *   monitor_clients.c   who is connected to the control socket, who is attached
 *   monitor_requests.c  what they ask for
 *   monitor_exec.c      commands of clients in a machine, each with streams of its own
 *   monitor_streams.c   the guest's streams: to the log, the caller and who is attached, and back
 *   monitor_life.c      status, kill and stop
 *   monitor_jail.c      what the monitor itself can still do once the guest is there
 *
 * and below them client.h, caller.h, stream.h, agent_link.h and machine_link.h, which know no
 * monitor. Nothing here is freed in a callback (base/loop.h). */
#ifndef WIRT_GUEST_MONITOR_INTERNAL_H
#define WIRT_GUEST_MONITOR_INTERNAL_H

#include "base/loop.h"
#include "guest/agent_link.h"
#include "guest/balance.h"
#include "guest/caller.h"
#include "guest/client.h"
#include "guest/logfile.h"
#include "guest/stream.h"
#include "guest/wall.h"

/* Reading from the workload stops while somebody has more than this still to take. */
#define BACKLOG_MAX (256u << 10)

#define MAX_BEFORE 64

struct exec;
struct operation;

/* What a client is to the monitor. */
struct peer {
    struct monitor *m;
    struct client *c;
    bool attached; /* it gets the guest's output */
    bool holds;    /* it ran the guest: what it does not take, the guest waits with */
    bool sends_input, waits;
    bool stalled;                  /* it takes nothing: the guest goes on without it */
    uint64_t left_out;             /* bytes that it was not sent for that */
    bool lost;                     /* something of the guest's streams, which it was told */
    const struct operation *asked; /* of which the machine's answer is waited for */
    json_object *answer;           /* to that, so far; owned */
    struct exec *exec;             /* a command of its own in a machine, or NULL */
    struct peer *next;
};

struct monitor {
    struct guest *g;
    const struct wall *wall;
    struct loop *loop;
    struct workload w;
    int listener, signals;
    struct stream *said; /* what a machine says itself, when w.main is its agent's */
    bool first_by_agent; /* an agent in the machine runs the first command (w.main) */
    bool jailed;         /* monitor_jail was called: much is not to be had any more */
    bool ended;
    bool lost;           /* of the caller's input, or of the output, something was lost */
    struct winsize size; /* of a terminal, when it is known */
    struct caller caller;
    struct log_writer log;
    struct peer *peers;
    struct balance balance;   /* a machine's */
    pid_t before[MAX_BEFORE]; /* children this process had before the guest */
    int n_before;             /* -1: not known, and there is no guest yet */
};

/* ---- monitor_life.c ---- */

void monitor_set_status(struct monitor *m, enum guest_status s);
/* false: it could not be saved, which was logged. */
bool monitor_save(struct monitor *m);
void monitor_kill(struct monitor *m);
int monitor_stop(struct monitor *m, uint64_t timeout_ns, struct error **err);
/* After the workload's end. */
void monitor_life_end(struct monitor *m);

/* ---- monitor_jail.c ---- */

/* Gives up what the monitor needs no more. attached: it is the caller's own process. */
int monitor_jail(struct monitor *m, bool attached, struct error **err);

/* ---- monitor_streams.c ---- */

/* The near ends of a workload's pipes; -1: none. */
struct near_ends {
    int in, out, err;
};

/* Makes what goes to the workload (io, the caller's to close) and what stays. */
int monitor_streams_prepare(struct monitor *m, bool attached, struct wall_stdio *io,
                            struct near_ends *ends, struct error **err);
/* After the workload's start; takes over the near ends, also on failure. */
int monitor_streams_start(struct monitor *m, bool attached, struct near_ends *ends,
                          struct error **err);
void monitor_streams_end(struct monitor *m);
void monitor_streams_free(struct monitor *m);
/* To the log, the caller and the clients. which: 0 output, 1 error. */
void monitor_output(struct monitor *m, int which, const char *data, size_t len);
void monitor_resize(struct monitor *m);
/* An agent has said hello. */
void monitor_streams_hello(struct monitor *m);
/* Each round: the workload's output waits while somebody has yet to take what there is. */
void monitor_streams_flow(struct monitor *m);

/* ---- monitor_exec.c: a client's command in a machine ---- */

int monitor_exec_start(struct peer *p, json_object *request, struct error **err);
void monitor_exec_hello(struct monitor *m);
void monitor_exec_end(struct monitor *m);
bool monitor_frame_size(const char *data, size_t len, struct winsize *size);

/* ---- monitor_requests.c ---- */

void peer_request(struct peer *p, const char *line, size_t len);
/* Sends {"ok":true}; takes over o, the object to send, or NULL. */
void peer_answer(struct peer *p, json_object *o);
void peer_answer_exit(struct peer *p);
/* It is no more, and neither what it asked. */
void peer_forget(struct peer *p);

/* ---- monitor_clients.c ---- */

int monitor_clients_listen(struct monitor *m, struct error **err);
/* A connection that is open from the start; it is answered {"ok":true} and, with frames true, is
 * attached, and the guest waits for it. Takes over fd. */
void monitor_client_first(struct monitor *m, int fd, bool frames);
/* It gets the guest's output from here on. */
void peer_attach(struct peer *p, bool sends_input);
/* The connection has ended; for client_ops.closed. */
void peer_closed(struct peer *p);
/* Tells attached clients why something of the guest's streams was lost: for them, too, a status of
 * 0 says that all was carried. */
void monitor_clients_lost(struct monitor *m, const char *why);
/* Tells attached and waiting clients that the guest has ended. */
void monitor_clients_exit(struct monitor *m);
/* Whether one has yet to take something. */
bool monitor_clients_pending(struct monitor *m);
void monitor_clients_free(struct monitor *m);

#endif
