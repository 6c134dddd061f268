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
#include "base/str.h"
#include "container/container.h"
#include "guest/container_spec.h"
#include "guest/limits.h"
#include "guest/spawn.h"
#include "guest/wall.h"

static int check(struct guest_spec *s, struct error **err)
{
    if (s->program)
        return error_set(err, 0,
                         "%s is a program: a container needs a root file system; use --as "
                         "process",
                         s->image);
    if (!s->rootfs)
        return error_set(err, 0, "a container needs a root file system");
    if (s->network == NETWORK_NAT)
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
    if (!s->foreign && (s->interpret || s->trace || s->stats))
        return error_set(err, 0, "%s: %s holds native programs, nothing is translated",
                         s->interpret ? "--interpret"
                         : s->trace   ? "--trace"
                                      : "--stats",
                         s->image);
    if (!s->command[0]) {
        strv_free(s->command);
        s->command = strv_add(NULL, xstrdup("/bin/sh"));
    }
    return 0;
}

static char *oci_root(const struct guest *g)
{
    return xasprintf("%s/oci", g->dir);
}

static int write_bundle(struct guest *g, struct error **err)
{
    AUTO_FREE char *emulator = NULL;
    if (g->spec.foreign && !(emulator = wall_helper("wirt-riscv64", err)))
        return -1;
    AUTO_JSON *o = container_spec(g, emulator, err);
    if (!o)
        return -1;
    AUTO_FREE char *bundle = xasprintf("%s/bundle", g->dir);
    AUTO_FREE char *path = xasprintf("%s/config.json", bundle);
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE);
    if (mkdir_all(bundle, 0700, err) < 0)
        return -1;
    return replace_file_at(AT_FDCWD, path, text, strlen(text), 0600, err);
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

/* container_create gives the container this process's own streams: they are put in place around it.
 */
struct streams {
    int saved[3];
};

static int streams_enter(struct streams *s, const struct wall_stdio *io, struct error **err)
{
    int fds[3] = {io->in, io->out, io->err};
    for (int i = 0; i < 3; i++)
        s->saved[i] = -1;
    for (int i = 0; i < 3; i++) {
        if (fds[i] < 0)
            continue;
        s->saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        if (s->saved[i] < 0 || dup2(fds[i], i) < 0)
            return error_set(err, errno, "standard stream %d", i);
    }
    return 0;
}

static void streams_leave(struct streams *s)
{
    for (int i = 0; i < 3; i++) {
        if (s->saved[i] < 0)
            continue;
        dup2(s->saved[i], i);
        close(s->saved[i]);
    }
}

static int create(struct guest *g, const struct wall_stdio *io, int console, pid_t *pid,
                  struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    AUTO_FREE char *bundle = xasprintf("%s/bundle", g->dir);
    struct container_options o = {.root = root, .bundle = bundle, .console_fd_out = console};
    struct streams streams;
    int r = streams_enter(&streams, io, err);
    if (r == 0)
        r = container_create(g->id, &o, pid, err);
    streams_leave(&streams);
    if (r == 0 && container_start(root, g->id, err) < 0) {
        container_delete(root, g->id, true, NULL);
        r = -1;
    }
    return r;
}

static int start(struct guest *g, const struct wall_stdio *io, struct workload *w,
                 struct error **err)
{
    if (write_bundle(g, err) < 0)
        return -1;
    int sv[2] = {-1, -1};
    if (g->spec.tty && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        return error_set(err, errno, "socketpair");
    AUTO_CLOSE int ours = sv[0];
    AUTO_CLOSE int theirs = sv[1];
    pid_t pid = -1;
    if (create(g, io, theirs, &pid, err) < 0)
        return -1;
    w->id = proc_identify(pid);
    w->pidfd = proc_open_zombie(pid);
    if (w->pidfd < 0) {
        error_set(err, errno, "pidfd_open");
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

static int ask_to_stop(struct guest *g, struct workload *w, struct error **err)
{
    return send_signal(g, w, SIGTERM, err);
}

static int pause_container(struct guest *g, struct workload *w, struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    return container_pause(root, g->id, err);
}

static int resume_container(struct guest *g, struct workload *w, struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    return container_resume(root, g->id, err);
}

static int update(struct guest *g, struct workload *w, const struct guest_limits *l,
                  struct error **err)
{
    return limits_update(g, w->id.pid, l, err);
}

static int stats(struct guest *g, struct workload *w, struct wall_stats *out, struct error **err)
{
    return limits_stats(g, w->id.pid, out, err);
}

static int cleanup(struct guest *g, struct workload *w, struct error **err)
{
    AUTO_FREE char *root = oci_root(g);
    AUTO_FREE char *state = xasprintf("%s/%s", root, g->id);
    if (access(state, F_OK) < 0)
        return 0; /* it was never made, or is gone */
    return container_delete(root, g->id, true, err);
}

const struct wall wall_container = {
    .name = "container",
    .check = check,
    .start = start,
    .ask_to_stop = ask_to_stop,
    .signal = send_signal,
    .pause = pause_container,
    .resume = resume_container,
    .update = update,
    .stats = stats,
    .cleanup = cleanup,
};
