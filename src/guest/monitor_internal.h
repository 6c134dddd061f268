/* What the monitor's files share: monitor.c has the workload, monitor_io.c its streams,
 * monitor_clients.c the control socket, monitor_agent.c the agent in a machine. */
#ifndef WIRT_GUEST_MONITOR_INTERNAL_H
#define WIRT_GUEST_MONITOR_INTERNAL_H

#include <limits.h>
#include <sys/ioctl.h>

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

/* A connection on the control socket. */
struct client {
    struct monitor *m;
    int fd;
    bool frames;   /* it speaks frames from here on */
    bool attached; /* it gets the guest's output */
    bool sends_input, waits, gone;
    const struct operation *asked; /* of which the machine's answer is waited for */
    json_object *answer;           /* to that, so far; owned */
    bool done;                     /* it is let go when it has taken everything */
    struct exec *exec;             /* a command of its own in a machine, or NULL */
    struct str in, out;
    struct client *next;
};

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
    bool own_input;      /* input comes from this process's own */
    bool at_line_start;  /* it ended a line */
    bool first_by_agent; /* an agent in the machine runs the first command (w.main) */
    bool input_by_agent; /* ... and passes on its input */
    size_t owed[2];      /* bytes of its output that are on their way */
    struct winsize size; /* of a terminal, when it is known */
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
/* To the log, the caller and the clients. which: 0 output, 1 error. */
void monitor_output(struct monitor *m, int which, const char *data, size_t len);
/* Whether the workload takes input, now or later. */
bool monitor_takes_input(const struct monitor *m);
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
/* After something was put into c->out. */
void monitor_client_update(struct client *c);
/* Looks at what it sent and there was no room for. */
void monitor_client_resume(struct client *c);
/* A terminal's size out of FRAME_RESIZE; false: it is none. */
bool monitor_frame_size(const char *p, size_t len, struct winsize *size);

/* Speaks with the agent in a machine, if it is a machine. */
int monitor_agent_start(struct monitor *m, struct error **err);
/* Tells the size of the terminal when that is the machine's console. */
void monitor_agent_resize_console(struct monitor *m);
/* The machine is no more: so are its commands. */
void monitor_agent_finish(struct monitor *m);
/* Lets the first command write on when what it wrote before has been taken. */
void monitor_agent_room(struct monitor *m);

/* A client's command in a machine. Its frames arrive here, except those that are for everybody. */
int exec_start(struct client *c, json_object *request, struct error **err);
void exec_frame(struct client *c, enum frame_type type, const char *p, size_t len);
/* Whether it takes no more input for now. */
bool exec_full(const struct client *c);
/* Passes on what can be, both ways. */
void exec_flush(struct client *c);
void exec_free(struct client *c);

#endif
