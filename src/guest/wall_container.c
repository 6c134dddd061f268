/* The container wall: an OCI bundle made from the guest's options and run by the container layer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "container/container.h"
#include "guest/apart.h"
#include "guest/container_spec.h"
#include "guest/limits.h"
#include "guest/spawn.h"
#include "guest/wall.h"

static int check(struct guest_spec *s, struct error **err)
{
    if (!s->rootfs && !s->program)
        return error_set(err, 0, "a container needs a root file system");
    if (s->network >= NETWORK_NAT)
        return error_set(err, 0, "--network nat: a container has the host's network or none");
    if (s->n_ports && s->network != NETWORK_HOST)
        return error_set(err, 0,
                         "-p: a container's network is the host's or none; with --network "
                         "host its ports are the host's");
    const char *option = s->n_disks    ? "--disk"
                         : s->kernel   ? "--kernel"
                         : s->initrd   ? "--initrd"
                         : s->append   ? "--append"
                         : s->firmware ? "--firmware"
                                       : NULL;
    if (option)
        return error_set(err, 0, "%s: only a machine has this; use --as machine", option);
    if (s->interpret || s->trace || s->stats)
        return error_set(err, 0, "%s: %s",
                         s->interpret ? "--interpret"
                         : s->trace   ? "--trace"
                                      : "--stats",
                         s->foreign
                             ? "in a container each program has a translator of its own; use "
                               "--as process"
                             : "native programs are not translated");
    if (!s->command[0]) {
        strv_free(s->command);
        s->command = strv_add(NULL, xstrdup("/bin/sh"));
    }
    return 0;
}

/* The container layer's state folder, one for all guests: it keeps compiled filters there, too. */
static char *oci_root(const struct guest *g)
{
    return xasprintf("%s/oci", g->store->path);
}

/* A single program becomes a root file system of nothing but it, and of what a container always
 * has. */
static int program_root(struct guest *g, struct error **err)
{
    struct guest_spec *s = &g->spec;
    const char *slash = strrchr(s->program, '/');
    AUTO_FREE char *root = xasprintf("%s/rootfs", g->dir);
    AUTO_FREE char *bin = xasprintf("%s/bin", root);
    AUTO_FREE char *inside = xasprintf("/bin/%s", slash ? slash + 1 : s->program);
    AUTO_FREE char *place = xasprintf("%s%s", root, inside);
    if (mkdir_all(bin, 0755, err) < 0)
        return -1;
    AUTO_CLOSE int from = open(s->program, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int to = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (from < 0 || to < 0)
        return error_set(err, errno, "copy %s into a root file system", s->program);
    char buf[65536];
    ssize_t n;
    while ((n = read_full(from, buf, sizeof buf)) > 0)
        if (write_all(to, buf, (size_t)n) < 0)
            return error_set(err, errno, "write %s", place);
    if (n < 0)
        return error_set(err, errno, "read %s", s->program);
    s->rootfs = STEAL_PTR(root);
    free(s->command[0]);
    s->command[0] = STEAL_PTR(inside);
    return guest_save_config(g, err);
}

/* The terminal's master out of a message with one descriptor. */
static int receive_fd(int sock, struct error **err)
{
    char byte[256], control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {byte, sizeof byte};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    do {
        n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set(err, errno, "receive the container's terminal");
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(int)))
        return error_set(err, 0, "the container sent no terminal");
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/* container_create gives the container this process's own streams, and the descriptor behind them
 * when it is to preserve that: they are put in place around it. */
#define N_STREAMS 4
_Static_assert(SPAWN_REPORT_FD == N_STREAMS - 1, "the first that preserve_fds counts");

struct streams {
    int saved[N_STREAMS];
    bool put[N_STREAMS];
};

static int streams_enter(struct streams *s, const struct wall_stdio *io, int report,
                         struct error **err)
{
    int fds[N_STREAMS] = {io->in, io->out, io->err, report};
    *s = (struct streams){.saved = {-1, -1, -1, -1}};
    for (int i = 0; i < N_STREAMS; i++) {
        if (fds[i] < 0)
            continue;
        s->saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        if (s->saved[i] < 0 && errno != EBADF) /* the number may be free */
            return error_set(err, errno, "standard stream %d", i);
        if (dup2(fds[i], i) < 0)
            return error_set(err, errno, "standard stream %d", i);
        s->put[i] = true;
    }
    return 0;
}

/* Puts one back. A number that is in use is refused for the moment only, as by EBUSY. */
static int put_back(int saved, int i)
{
    for (int tries = 0; tries < 3; tries++)
        if (dup3(saved, i, i < 3 ? 0 : O_CLOEXEC) >= 0)
            return 0;
    return -1;
}

/* None of the container's is open here afterwards: who holds its pipe would wait for its end for
 * ever. */
static int streams_leave(struct streams *s, struct error **err)
{
    int r = 0;
    for (int i = 0; i < N_STREAMS; i++) {
        if (s->put[i] && s->saved[i] < 0) {
            close(i);
        } else if (s->put[i] && put_back(s->saved[i], i) < 0) {
            r = error_set(r ? NULL : err, errno, "put back standard stream %d", i);
            close(i);
        }
        if (s->saved[i] >= 0)
            close(s->saved[i]);
    }
    return r;
}

/* report: a translated program's end of what tells how its start went, or -1. Taken over. */
static int create(struct guest *g, const struct wall_stdio *io, int console, int report, pid_t *pid,
                  struct error **err)
{
    AUTO_CLOSE int its_end = report;
    const struct guest_spec *spec = &g->spec;
    AUTO_FREE char *root = oci_root(g);
    AUTO_FREE char *emulator = NULL;
    if (spec->foreign && !(emulator = wall_helper("wirt-riscv64", err)))
        return -1;
    AUTO_JSON *config = container_spec(g, emulator, err);
    if (!config)
        return -1;
    struct container_options o = {.root = root,
                                  .bundle = g->dir,
                                  .spec = config,
                                  .console_fd_out = console,
                                  .preserve_fds = its_end >= 0};
    struct streams streams;
    int r = streams_enter(&streams, io, its_end, err);
    if (r == 0)
        r = container_create(g->id, &o, pid, err);
    int left = streams_leave(&streams, r ? NULL : err);
    if (r == 0 && (left < 0 || container_start(root, g->id, err) < 0)) {
        container_delete(root, g->id, true, NULL);
        r = -1;
    }
    return r;
}

/* A pair by which something is heard of the container: the second end goes to a number that
 * streams_enter does not use. */
static int open_pair(int pair[2], bool pipe, struct error **err)
{
    if (pipe ? pipe2(pair, O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return error_set(err, errno, pipe ? "pipe" : "socketpair");
    int moved = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
    int why = errno;
    close(pair[1]);
    pair[1] = moved;
    if (moved >= 0)
        return 0;
    close(STEAL_FD(pair[0]));
    return error_set(err, why, "copy a descriptor");
}

static int start(struct guest *g, const struct wall_stdio *io, struct workload *w,
                 struct error **err)
{
    if (g->spec.program && !g->spec.rootfs && program_root(g, err) < 0)
        return -1;
    int sv[2] = {-1, -1};
    if (g->spec.tty && open_pair(sv, false, err) < 0)
        return -1;
    AUTO_CLOSE int ours = sv[0];
    AUTO_CLOSE int theirs = sv[1];
    int report[2] = {-1, -1};
    if (g->spec.foreign && open_pair(report, true, err) < 0)
        return -1;
    AUTO_CLOSE int heard = report[0];
    pid_t pid = -1;
    if (create(g, io, theirs, report[1], &pid, err) < 0)
        return -1;
    if (heard >= 0 && spawn_read_report(heard, err) < 0) {
        AUTO_FREE char *oci = oci_root(g);
        container_delete(oci, g->id, true, NULL);
        return -1;
    }
    w->id = proc_identify(pid);
    w->pidfd = w->id.start ? proc_open_zombie(pid) : -1;
    if (w->pidfd < 0) {
        error_set(err, errno, "look at process %d", (int)pid);
    } else if (!g->spec.tty || (w->terminal = receive_fd(ours, err)) >= 0) {
        return 0;
    }
    AUTO_FREE char *root = oci_root(g);
    container_delete(root, g->id, true, NULL);
    return -1;
}

static int send_signal(struct guest *g, struct workload *w, int sig, struct error **err)
{
    if (proc_signal(w->pidfd, sig) < 0)
        return error_set(err, errno, "send signal %d", sig);
    return 0;
}

static int ask_to_stop(struct guest *g, struct workload *w, const struct wall_later *later,
                       struct error **err)
{
    return send_signal(g, w, SIGTERM, err);
}

/* Without a control group, which an ordinary user may not have, its processes are stopped one by
 * one. */
static int pause_container(struct guest *g, struct workload *w, const struct wall_later *later,
                           struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    ERROR_CLEANUP why = NULL;
    if (container_pause(root, g->id, &why) == 0)
        return 0;
    if (geteuid() == 0)
        return error_set(err, 0, "%s", error_text(why));
    if (proc_tree_signal(w->id.pid, SIGSTOP) < 0)
        return error_set(err, errno, "stop the container's processes");
    return 0;
}

static int resume_container(struct guest *g, struct workload *w, const struct wall_later *later,
                            struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    ERROR_CLEANUP why = NULL;
    if (geteuid() != 0 && proc_tree_signal(w->id.pid, SIGCONT) < 0)
        return error_set(err, errno, "let the container's processes go on");
    if (container_resume(root, g->id, &why) == 0 || geteuid() != 0)
        return 0;
    return error_set(err, 0, "%s", error_text(why));
}

static int update(struct guest *g, struct workload *w, const struct guest_limits *l,
                  struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    AUTO_JSON *resources = container_resources(l);
    return container_update(root, g->id, resources, err);
}

static int stats(struct guest *g, struct workload *w, struct wall_stats *out,
                 const struct wall_later *later, struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    AUTO_JSON *s = container_stats(root, g->id, err);
    if (!s)
        return -1;
    limits_read_stats(s, out);
    if (out->pids)
        return 0;
    struct proc_usage u = proc_tree_usage(w->id.pid); /* no control group: an ordinary user's */
    out->cpu_us = u.cpu_us;
    out->memory = u.rss;
    out->pids = u.processes;
    return 0;
}

/* A status of 0 says that all of its streams was carried. */
static int exec_apart(struct guest *g, const struct exec_options *o, int *status,
                      struct error **err)
{
    struct apart apart;
    ERROR_CLEANUP why = NULL;
    int r = apart_begin(&apart, err);
    if (r == 0)
        r = container_exec(g->id, o, status, err);
    if (apart_end(&apart, &why) == 0)
        return r;
    if (r == 0 && *status == 0)
        return error_set(err, 0, "%s", error_text(why));
    log_warn("%s", error_text(why));
    return r;
}

static int exec(struct guest *g, const struct wall_exec *x, int *status, struct error **err)
{
    const struct guest_spec *s = &g->spec;
    AUTO_FREE char *root = oci_root(g);
    const char *workdir = x->workdir ? x->workdir : s->workdir;
    struct rootfs_user u;
    if (rootfs_lookup_user(s->rootfs, x->user ? x->user : s->user, &u, err) < 0)
        return -1;
    char **env = wall_environment(s, u.home ? u.home : "/", x->env);
    free(u.home);
    char **args = container_command(s, x->command, env, workdir, false, err);
    AUTO_FREE char *user = xasprintf("%u:%u", u.uid, u.gid);
    struct exec_options o = {.root = root,
                             .args = (const char *const *)args,
                             .env = (const char *const *)env,
                             .cwd = workdir,
                             .user = user,
                             .console_fd_out = -1,
                             .tty = x->tty};
    int r = args ? exec_apart(g, &o, status, err) : -1;
    strv_free(args);
    strv_free(env);
    return r;
}

static int cleanup(struct guest *g, struct workload *w, struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    AUTO_FREE char *state = xasprintf("%s/%s", root, g->id);
    if (access(state, F_OK) < 0) /* it was never made, or is gone */
        return errno == ENOENT ? 0 : error_set(err, errno, "look at %s", state);
    return container_delete(root, g->id, true, err);
}

const struct wall wall_container = {
    .name = "container",
    .by_pipes = true,
    .monitor = JAIL_MONITOR,
    .check = check,
    .start = start,
    .ask_to_stop = ask_to_stop,
    .signal = send_signal,
    .pause = pause_container,
    .resume = resume_container,
    .update = update,
    .stats = stats,
    .exec = exec,
    .cleanup = cleanup,
};
