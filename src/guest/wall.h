/* The three walls behind one interface. A wall's functions are called by the guest's monitor,
 * except where it says otherwise. */
#ifndef WIRT_GUEST_WALL_H
#define WIRT_GUEST_WALL_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/guest.h"
#include "guest/machine_link.h"
#include "jail/filter.h"

struct agent_link;
struct stream;

/* The running thing: what the monitor waits for and speaks to. */
struct workload {
    struct proc_id id;
    int pidfd;
    int control;  /* stream socket to the machine (control.h of the machine wall), or -1 */
    int terminal; /* master of the guest's terminal when it has one, or -1 */
    int agent;    /* stream socket to an agent in the machine (agent_link.h), or -1 */
    struct agent_link *link;      /* that, at work; the monitor's */
    struct machine_link *machine; /* control, at work; the monitor's */
    struct stream *main;          /* the first command's streams; the monitor's */
    struct proc_watch watch;      /* a machine's processes, once it has been waited for */
};

/* The workload's standard streams. The wall copies them; they stay the caller's. With spec.tty they
 * are unused and workload.terminal is answered instead. */
struct wall_stdio {
    int in, out, err;
};

/* A command in a guest: beside the first one (`wirt exec`), or the first one itself. */
struct wall_exec {
    char **command; /* NULL-terminated */
    char **env;     /* for `wirt exec`: in addition to the guest's */
    const char *workdir, *user;
    bool tty;
};

struct wall_stats {
    uint64_t cpu_us;             /* CPU time used so far */
    uint64_t memory, memory_max; /* bytes; max 0: no limit */
    uint64_t pids;
};

/* A machine is asked, and never waited for: a function that takes a struct wall_later may answer
 * WALL_LATER in the place of 0, and then calls fn from the loop (machine_link.h). later NULL:
 * nobody wants to know. */
struct wall_later {
    machine_answer_fn *fn;
    void *arg;
};
#define WALL_LATER 1

struct wall {
    const char *name;

    /* Standard streams that are files come and go by pipes (apart.h). */
    bool by_pipes;

    /* The monitor's jail, once the workload is there (monitor_jail.c). */
    enum jail_thread monitor;

    /* What ends the workload's process at once, in order: when it is gone, so is all that it held.
     * 0: SIGKILL does. */
    int kill_signal;

    /* Refuses what makes no sense behind this wall and fills in defaults. Called by the CLI before
     * the guest exists, so that the message comes at once. */
    int (*check)(struct guest_spec *spec, struct error **err);

    /* Starts it. err code ENOENT: the command is not there (exit status 127), EACCES or ENOEXEC: it
     * cannot run (126); anything else 125. */
    int (*start)(struct guest *g, const struct wall_stdio *io, struct workload *w,
                 struct error **err);

    /* Where it takes a while until the workload runs: `await` waits for word of it, which nobody
     * has looked at yet, and opens what the monitor needs later; then, jailed, `started` reads it.
     * May be NULL, both. */
    int (*await)(struct guest *g, struct workload *w, struct error **err);
    int (*started)(struct guest *g, struct workload *w, struct error **err);

    /* Fills in *x (command and env are then the caller's to free; x NULL: only answers) when an
     * agent in the guest runs the first command, once it is there: start's streams are then for
     * what the machine itself says. false, as a wall without this: start runs the command. */
    bool (*first_command)(const struct guest *g, struct wall_exec *x);

    /* Asks it to end in the way its kind is used to: SIGTERM, or the power button. */
    int (*ask_to_stop)(struct guest *g, struct workload *w, const struct wall_later *later,
                       struct error **err);
    int (*signal)(struct guest *g, struct workload *w, int sig, struct error **err);
    int (*pause)(struct guest *g, struct workload *w, const struct wall_later *later,
                 struct error **err);
    int (*resume)(struct guest *g, struct workload *w, const struct wall_later *later,
                  struct error **err);
    int (*update)(struct guest *g, struct workload *w, const struct guest_limits *l,
                  struct error **err);
    /* What comes later is the hypervisor's own statistics; without, *out is all there is. */
    int (*stats)(struct guest *g, struct workload *w, struct wall_stats *out,
                 const struct wall_later *later, struct error **err);

    /* Runs a command in the guest, in the calling process's name: the CLI calls it, not the
     * monitor. *status is the command's. */
    int (*exec)(struct guest *g, const struct wall_exec *x, int *status, struct error **err);

    /* After the workload's end, and for a stale guest: whatever of it is left goes away. */
    int (*cleanup)(struct guest *g, struct workload *w, struct error **err);
};

extern const struct wall wall_container, wall_process, wall_machine;

/* The wall that makes and keeps a guest: that of its kind, but for a process that is confined. */
const struct wall *wall_of(const struct guest_spec *s);

/* ---- help for the walls ---- */

/* Before a process of ours goes into a container: makes sure that the container cannot write to our
 * own file (container/container.h). May execute the program again, with the same argv. */
int wall_protect_self(char **argv, struct error **err);

/* $PATH in a guest unless the user gives another: docker's. */
#define WALL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The absolute path of a program of ours, looked for in $WIRT_LIBEXEC, beside this program and in
 * ../libexec/wirt. NULL with err when there is none. Owned. */
char *wall_helper(const char *name, struct error **err);

/* A file for guests (vmlinux, initramfs.cpio.gz): in $WIRT_GUEST_DIR when that is set, else in the
 * folder `guest` beside this program, in /usr/lib/wirt/guest or ../lib/wirt/guest. NULL with err.
 * Owned. */
char *wall_guest_file(const char *name, struct error **err);

/* The guest's environment: PATH, HOME (home NULL: left out), HOSTNAME, TERM with a terminal, then
 * what the user gave, then more (may be NULL). Owned. */
char **wall_environment(const struct guest_spec *s, const char *home, char *const *more);

/* Sets NAME=VALUE in an owned vector; gets a value out of one. */
char **wall_set_env(char **v, const char *assignment);
const char *wall_get_env(char *const *v, const char *name);

#endif
