/* Processes named so that a recycled pid is not taken for the one that was meant. */
#ifndef WIRT_GUEST_PROC_H
#define WIRT_GUEST_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A process: its pid and its start time in clock ticks since boot (proc(5), stat field 22). */
struct proc_id {
    pid_t pid;
    uint64_t start;
};

/* The identity of a process, also of a zombie; start 0 when there is none, or it cannot be told
 * (errno): by such an identity nobody is found again. */
struct proc_id proc_identify(pid_t pid);

/* Still the same process, and not a zombie; or it cannot be told. */
bool proc_alive(struct proc_id p);

/* A pidfd (CLOEXEC) of it, or -1 with errno; ESRCH when it is gone or another one has its pid. */
int proc_open(struct proc_id p);

/* A pidfd (CLOEXEC) of a child that has not been waited for: it may have ended already. */
int proc_open_zombie(pid_t child);

/* Sends a signal through a pidfd: 0, or -1 with errno. */
int proc_signal(int pidfd, int sig);

/* Ends a process: by sig, which it takes to put its things in order (0: SIGKILL), and after
 * PROC_END_MS, if it is still there, by SIGKILL. It may be there for a moment when this answers. */
#define PROC_END_MS 3000
void proc_end(int pidfd, int sig);

/* The direct children of a process: at most max into out; the number (0 also when it is gone), or
 * -1 with errno when they cannot be told. */
int proc_children(pid_t pid, pid_t *out, int max);

/* CPU time in microseconds, resident memory in bytes and number of processes of a process and all
 * below it. */
struct proc_usage {
    uint64_t cpu_us, rss;
    unsigned processes;
};
struct proc_usage proc_tree_usage(pid_t pid);

/* Some processes, looked at by files of procfs that stay open: whose looks need not be let into
 * /proc, and a process that is gone is not taken for another. */
#define PROC_WATCH_MAX 8
struct proc_watch {
    struct {
        pid_t pid;
        int fd;
    } list[PROC_WATCH_MAX];
    unsigned n;
};
/* A process and those below it, as they are now; beyond PROC_WATCH_MAX they are left out. */
void proc_watch_tree(struct proc_watch *w, pid_t pid);
struct proc_usage proc_watch_usage(const struct proc_watch *w);
void proc_watch_close(struct proc_watch *w);

/* Sends sig to a process and all below it. 0, or -1 with errno: some were not found, or refused it.
 */
int proc_tree_signal(pid_t pid, int sig);

#endif
