/* What the monitor's files share: monitor.c has the workload, monitor_io.c its streams,
 * monitor_clients.c the control socket. */
#ifndef WIRT_GUEST_MONITOR_INTERNAL_H
#define WIRT_GUEST_MONITOR_INTERNAL_H

#include <limits.h>

#include "base/loop.h"
#include "guest/balance.h"
#include "guest/control.h"
#include "guest/logfile.h"
#include "guest/wall.h"

/* Reading from the workload stops while somebody has more than this still to take. */
#define BACKLOG_MAX (256u << 10)

#define MAX_BEFORE 64

/* One of the caller's own streams. */
struct sink {
    int fd; /* -1: none */
    struct str pending;
};

struct client;

struct monitor {
    struct guest *g;
    const struct wall *wall;
    struct loop *loop;
    struct workload w;
    int listener, signals;
    int input;      /* the workload's standard input, or its terminal; -1: not ours */
    int outputs[2]; /* its output and error, or its terminal in [0]; -1: not ours or ended */
    struct str input_pending;
    bool input_eof, throttled, ended;
    struct sink sinks[2];
    const char *mark;     /* input waits for this in the output; NULL: it does not */
    struct str mark_seen; /* what may be its beginning */
    bool own_input;       /* input comes from this process's own */
    bool at_line_start;   /* it ended a line */
    struct log_writer log;
    struct client *clients;
    struct balance balance;   /* a machine's */
    pid_t before[MAX_BEFORE]; /* children this process had before the guest */
    int n_before;
};

void monitor_throttle(struct monitor *m);
int monitor_output_watch(struct monitor *m, struct error **err);
/* Takes in all there is, after the workload's end. */
void monitor_output_drain(struct monitor *m);
/* Keeps input back until the workload has written mark, which is then taken out of its output; with
 * own_input, input is this process's own from there on. */
void monitor_input_hold(struct monitor *m, const char *mark, bool own_input);
void monitor_input_flush(struct monitor *m);
void monitor_input_eof(struct monitor *m);
void monitor_check_end(struct monitor *m);
void monitor_set_status(struct monitor *m, enum guest_status s);
void monitor_kill(struct monitor *m);
int monitor_stop(struct monitor *m, uint64_t timeout_ns, struct error **err);

/* The exit status for a guest that could not be started: docker's 125, 126, 127. */
int monitor_failure_status(const struct error *err);

int monitor_clients_listen(struct monitor *m, struct error **err);
/* A connection that is open from the start; it is answered {"ok":true} and, with frames true, is
 * attached. Takes over fd. */
void monitor_client_first(struct monitor *m, int fd, bool frames);
void monitor_clients_output(struct monitor *m, int which, const char *data, size_t len);
bool monitor_clients_backlogged(struct monitor *m);
bool monitor_clients_pending(struct monitor *m);
void monitor_clients_resume_input(struct monitor *m);
/* Tells attached and waiting clients that the guest has ended. */
void monitor_clients_exit(struct monitor *m);
void monitor_clients_free(struct monitor *m);

#endif
