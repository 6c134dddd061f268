/* The runtime's side of create and run. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/config.h"
#include "container/console.h"
#include "container/container.h"
#include "container/descriptors.h"
#include "container/devices.h"
#include "container/hooks.h"
#include "container/init.h"
#include "container/load.h"
#include "container/mounts.h"
#include "container/namespaces.h"
#include "container/process.h"
#include "container/rlimits.h"
#include "container/seccomp.h"
#include "container/state.h"
#include "container/sync.h"

/* A container in the making. */
struct making {
    const char *id;
    const struct container_options *o;
    char *root, *bundle;
    char *text; /* config.json as it was read, for the state folder */
    size_t text_len;
    struct config *config;
    struct cgroup cgroup;
    struct shared_root shared_root;
    struct seccomp_filter filter;
    int ns_fds[NS_COUNT];
    int *idmapped, *devices;
    int statefd, start, console_sock, listener;
    int sock[2];
    pid_t pid;
    char created[40]; /* when, as RFC 3339 has it */
    uint64_t started; /* when this process was, as process_start_time() has it */
    bool rootless, state_made, hooks_began;
};

static int load_config(struct making *m, struct error **err)
{
    m->config = config_load(m->o, &m->bundle, &m->text, &m->text_len, err);
    return m->config ? 0 : -1;
}

static int check_options(const struct making *m, bool run, struct error **err)
{
    const struct process *p = &m->config->process;
    bool socket = m->o->console_socket || m->o->console_fd_out > 0;
    /* config.md, Process: required when start is called, which will say so. */
    if (!p->present && run)
        return error_set(err, 0, "process: missing, and required to start a container");
    if (p->terminal && !socket && !(run && !m->o->detach))
        return error_set(err, 0,
                         "process.terminal: a console socket is needed to hand the "
                         "terminal to (--console-socket)");
    if (m->o->systemd_cgroup)
        return error_set(err, 0,
                         "control groups by systemd are not supported; use "
                         "--cgroup-manager=cgroupfs");
    return 0;
}

/* Everything that can be refused before something is made. */
static int prepare(struct making *m, bool run, struct error **err)
{
    if (descriptors_check(m->o->preserve_fds, err) < 0)
        return -1;
    m->rootless = namespaces_rootless();
    m->root = state_root(m->o->root, err);
    if (!m->root || state_check_id(m->id, err) < 0 || load_config(m, err) < 0 ||
        check_options(m, run, err) < 0)
        return -1;
    AUTO_FREE char *cache = xasprintf("%s/" STATE_CACHE "/seccomp", m->root);
    if (seccomp_prepare(m->config, cache, &m->filter, err) < 0 ||
        namespaces_open(m->config, m->ns_fds, err) < 0 ||
        idmap_prepare(m->config, &m->idmapped, err) < 0)
        return -1;
    if (m->config->mount_label && !selinux_enabled()) {
        /* A label on files confines nobody where nobody reads it; the process's is another thing.
         */
        log_warn("linux.mountLabel: the host has no SELinux; the mounts stay without a label");
        m->config->mount_label = NULL;
    }
    if (m->filter.notify && (m->listener = seccomp_connect(&m->filter, err)) < 0)
        return -1;
    if (m->o->console_socket && (m->console_sock = console_connect(m->o->console_socket, err)) < 0)
        return -1;
    return 0;
}

static int plan_cgroup(struct making *m, struct error **err)
{
    if (m->o->cgroup_disabled)
        return 0;
    if (cgroup_detect(&m->cgroup, err) < 0)
        return -1;
    m->cgroup.rootless = m->rootless;
    const char *given = m->config->cgroups_path;
    AUTO_FREE char *own = state_cgroup(m->id);
    return cgroup_plan(&m->cgroup, given && *given ? given : own, err);
}

static pid_t clone_init(const struct making *m, unsigned long flags, int into, struct error **err)
{
    struct clone_args a = {.flags = flags, .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD};
    if (into >= 0) {
        a.flags |= CLONE_INTO_CGROUP;
        a.cgroup = (uint64_t)into;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
    if (pid < 0)
        return error_set(err, errno, "linux.namespaces: make them%s",
                         errno == EPERM ? " (without root a user namespace is needed)" : "");
    return pid;
}

static void become_init(struct making *m, bool join)
{
    close(m->sock[0]);
    close(m->statefd);
    const struct init a = {
        .id = m->id,
        .bundle = m->bundle,
        .config = m->config,
        .cgroup = &m->cgroup,
        .filter = &m->filter,
        .ns_fds = join ? m->ns_fds : NULL,
        .idmapped = m->idmapped,
        .devices = m->devices,
        .sock = m->sock[1],
        .start = m->start,
        .console_sock = m->console_sock,
        .listener = m->listener,
        .preserve_fds = m->o->preserve_fds,
        .no_pivot = m->o->no_pivot,
        .rootless = m->rootless,
        .keep_keyring = m->o->no_new_keyring,
    };
    init_main(&a);
}

static int join_by_step(const struct making *m, struct error **err)
{
    const struct config *c = m->config;
    /* An ordinary user can write to the uid_map of what is not hidden alone; the processes of the
     * namespaces he joins have no power over the user namespace that is new. */
    bool hide = geteuid() == 0 || !namespaces_new(c, NS_USER);
    /* The score while the file is still its owner's to write; it is inherited. */
    if (process_set_oom_score(getpid(), &c->process, err) < 0 || (hide && process_hide(err) < 0))
        return -1;
    return namespaces_join(m->ns_fds, err);
}

/* A user or pid namespace that is joined holds for children only (or has to be joined before the
 * others are made in it): a process in between joins, gives birth to ours, and ends. */
static int spawn_by_step(struct making *m, unsigned long flags, struct error **err)
{
    pid_t step = fork();
    if (step < 0)
        return error_set(err, errno, "fork");
    if (step == 0) {
        struct error *e = NULL;
        close(m->sock[0]);
        pid_t pid = join_by_step(m, &e);
        if (pid == 0)
            pid = clone_init(m, flags | CLONE_PARENT, -1, &e);
        if (pid == 0)
            become_init(m, false);
        if (pid > 0)
            sync_send(m->sock[1], SYNC_PID, pid, NULL, &e);
        else
            sync_send_error(m->sock[1], e);
        _exit(0);
    }
    int status;
    while (waitpid(step, &status, 0) < 0 && errno == EINTR)
        ;
    /* If it could not say so, a process that it made ends with the conversation. */
    m->pid = sync_take(m->sock[0], SYNC_PID, err);
    return m->pid > 0 ? 0 : -1;
}

static int spawn(struct making *m, struct error **err)
{
    /* cgroup and time are made by the process itself: the first shows the group it is in by then,
     * the second takes offsets until somebody is in it. */
    unsigned long flags = namespaces_new_flags(m->config) &
                          ~(unsigned long)(ns_clone_flag(NS_CGROUP) | ns_clone_flag(NS_TIME));
    const struct ns_entry *ns = m->config->ns;
    bool any = false;
    for (int k = 0; k < NS_COUNT; k++)
        any |= ns[k].path != NULL;
    if (sync_pair(m->sock, err) < 0)
        return -1;
    if (any && (ns[NS_USER].present || ns[NS_PID].path)) {
        if (spawn_by_step(m, flags, err) < 0)
            return -1;
    } else {
        int into = m->cgroup.unified ? m->cgroup.h[0].dirfd : -1;
        m->pid = clone_init(m, flags, into, err);
        if (m->pid < 0)
            return -1;
        if (m->pid == 0)
            become_init(m, any);
    }
    close(m->sock[1]);
    m->sock[1] = -1;
    /* Of the process alone: with it goes whoever could answer `start`. */
    if (m->start >= 0)
        close(m->start);
    m->start = -1;
    return 0;
}

static char *state_text(const struct making *m, const char *status)
{
    struct json_object *o = state_json(m->id, status, m->pid, m->bundle, m->config->annotations);
    char *text = xstrdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return text;
}

static int run_hooks(struct making *m, enum hook_kind kind, const char *status, struct error **err)
{
    if (!m->config->hooks[kind].len)
        return 0;
    m->hooks_began = true;
    AUTO_FREE char *text = state_text(m, status);
    return hooks_run(&m->config->hooks[kind], kind, text, err);
}

/* The root of the container's user namespace, as the host sees it. */
static uint32_t outside_root(const struct id_maps *maps)
{
    for (size_t i = 0; i < maps->len; i++)
        if (maps->list[i].inside == 0)
            return maps->list[i].outside;
    return (uint32_t)-1;
}

static bool writable_cgroup_mount(const struct config *c)
{
    for (size_t i = 0; i < c->mounts_len; i++) {
        const struct mount_entry *e = &c->mounts[i];
        if (e->type && str_starts(e->type, "cgroup") && !(e->flags & 1 /* MS_RDONLY */))
            return true;
    }
    return false;
}

/* What the parent does for its child: limits, ids, group. */
static int furnish(struct making *m, struct error **err)
{
    const struct config *c = m->config;
    if (rlimits_apply(m->pid, &c->process, err) < 0 ||
        process_set_oom_score(m->pid, &c->process, err) < 0)
        return -1;
    if (namespaces_new(c, NS_USER)) {
        if (namespaces_map_ids(m->pid, &c->uid_maps, &c->gid_maps, err) < 0)
            return -1;
        if (namespaces_new(c, NS_CGROUP) && writable_cgroup_mount(c) && !m->rootless &&
            cgroup_delegate(&m->cgroup, outside_root(&c->uid_maps), outside_root(&c->gid_maps),
                            err) < 0)
            return -1;
    }
    return cgroup_attach(&m->cgroup, m->pid, err);
}

static void note_time(struct making *m)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(m->created, sizeof m->created, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(m->created + n, sizeof m->created - n, ".%09ldZ", now.tv_nsec);
}

static int save_state(struct making *m, struct error **err)
{
    struct state s = {
        .id = (char *)m->id,
        .bundle = m->bundle,
        .rootfs = m->config->rootfs,
        .created = m->created,
        .cgroup = m->cgroup.path,
        .cgroup_made = m->cgroup.made,
        .pid = m->pid,
        .start_time = m->pid ? process_start_time(m->pid) : 0,
        .maker = getpid(),
        .maker_start = m->started,
        .shared_root = m->shared_root,
        .user_namespace = m->config->ns[NS_USER].present,
        .annotations = m->config->annotations,
        .dirfd = m->statefd,
    };
    if (s.start_time == PROCESS_UNKNOWN || m->started == PROCESS_UNKNOWN)
        return error_set(err, errno, "look at the container's process");
    return state_save(&s, err);
}

static int write_pid_file(const char *path, pid_t pid, struct error **err)
{
    if (!path)
        return 0;
    char text[16];
    int n = snprintf(text, sizeof text, "%d", (int)pid);
    return replace_file_at(AT_FDCWD, path, text, (size_t)n, 0644, err);
}

/* Why it failed: what the child said, if it spoke while the parent failed at something else because
 * of that; or that it died without a word. */
static void explain_end(struct making *m, struct error **err)
{
    struct error *its = NULL;
    if (err && m->sock[0] >= 0 && sync_pending_error(m->sock[0], &its)) {
        error_free(err);
        *err = its;
        return;
    }
    if (!err || error_code(*err) != EPIPE || m->pid <= 0)
        return;
    int status;
    if (waitpid(m->pid, &status, 0) != m->pid)
        return;
    m->pid = 0;
    bool oom = cgroup_oom_kills(&m->cgroup) > 0;
    error_free(err);
    if (WIFSIGNALED(status))
        error_set(err, 0, "the container's process was killed by signal %d before the command%s",
                  WTERMSIG(status),
                  oom ? ": the memory limit is too small (linux.resources.memory.limit)" : "");
    else
        error_set(err, 0, "the container's process ended with status %d before the command",
                  WEXITSTATUS(status));
}

/* wait_for_start: the process waits for `start`; else for us. */
static int build(struct making *m, bool wait_for_start, struct error **err)
{
    const struct config *c = m->config;
    m->statefd = state_make(m->root, m->id, err);
    if (m->statefd < 0)
        return -1;
    m->state_made = true;
    note_time(m);
    m->started = process_start_time(getpid());
    bool shared = !c->ns[NS_MOUNT].present;
    /* Written down before it is made: see state.h. */
    if (plan_cgroup(m, err) < 0 ||
        (shared && shared_root_plan(c->rootfs, &m->shared_root, err) < 0) || save_state(m, err) < 0)
        return -1;
    if (wait_for_start && (m->start = sync_listen(m->statefd, START_SOCKET, err)) < 0)
        return -1;
    if (devices_prepare(m->config, m->statefd, &m->devices, err) < 0 ||
        (!m->o->cgroup_disabled && cgroup_create(&m->cgroup, c, err) < 0) ||
        (shared && shared_root_make(c->rootfs, &m->shared_root, err) < 0))
        return -1;
    if (spawn(m, err) < 0 || save_state(m, err) < 0 || furnish(m, err) < 0 ||
        sync_send(m->sock[0], SYNC_READY, m->pid, NULL, err) < 0)
        return -1;
    /* While the child mounts. */
    int fd = openat(m->statefd, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = fd < 0 ? -1 : write_all(fd, m->text, m->text_len);
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return error_set(err, errno, "write config.json into the state folder");
    if (c->hooks[HOOK_PRESTART].len + c->hooks[HOOK_CREATE_RUNTIME].len) {
        if (sync_wait(m->sock[0], SYNC_MOUNTED, err) < 0 ||
            run_hooks(m, HOOK_PRESTART, "created", err) < 0 ||
            run_hooks(m, HOOK_CREATE_RUNTIME, "created", err) < 0 ||
            sync_send(m->sock[0], SYNC_HOOKS_DONE, 0, NULL, err) < 0)
            return -1;
    }
    m->hooks_began |= c->hooks[HOOK_CREATE_CONTAINER].len > 0; /* by the child */
    if (sync_wait(m->sock[0], SYNC_CREATED, err) < 0)
        return -1;
    return write_pid_file(m->o->pid_file, m->pid, err);
}

/* Kills the container's process and sees it gone, for as long as is reasonable: one in a group that
 * somebody has frozen meanwhile does not go. */
static int reap(struct making *m, struct error **err)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, m->pid, 0);
    kill(m->pid, SIGKILL);
    cgroup_let_die(&m->cgroup);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;
    do {
        r = fd < 0 ? 1 : poll(&p, 1, 10000);
    } while (r < 0 && errno == EINTR);
    if (r == 0)
        return error_set(err, ETIMEDOUT, "process %d does not end", (int)m->pid);
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

/* Undoes what was made. What cannot be undone stays written down, for `delete --force`. */
static int destroy(struct making *m, struct error **err)
{
    int r = 0;
    if (m->pid > 0)
        r = reap(m, err);
    if (r == 0 && m->cgroup.path)
        r = cgroup_remove(&m->cgroup, err);
    if (r == 0)
        r = shared_root_remove(m->config->rootfs, &m->shared_root, err);
    if (r == 0 && m->state_made)
        r = state_remove(m->root, m->id, err);
    m->pid = 0;
    if (r < 0)
        return error_prefix(err, "container %s is not wholly removed (delete --force may be)",
                            m->id);
    if (m->hooks_began)
        run_hooks(m, HOOK_POSTSTOP, "stopped", NULL);
    return 0;
}

/* The same after err, which is the reason that is told. */
static void undo(struct making *m, struct error **err)
{
    ERROR_CLEANUP e = NULL;
    explain_end(m, err);
    if (destroy(m, &e) < 0)
        log_warn("%s", error_text(e));
}

static void making_free(struct making *m)
{
    idmap_free(m->config, m->idmapped);
    devices_free(m->config, m->devices);
    seccomp_free(&m->filter);
    config_free(m->config);
    cgroup_close(&m->cgroup);
    namespaces_close(m->ns_fds);
    for (int i = 0; i < 2; i++)
        if (m->sock[i] >= 0)
            close(m->sock[i]);
    if (m->statefd >= 0)
        close(m->statefd);
    if (m->start >= 0)
        close(m->start);
    if (m->listener >= 0)
        close(m->listener);
    if (m->console_sock >= 0 && m->console_sock != m->o->console_fd_out)
        close(m->console_sock);
    free(m->root);
    free(m->bundle);
    free(m->text);
}

static void making_init(struct making *m, const char *id, const struct container_options *o)
{
    *m = (struct making){.id = id, .o = o, .statefd = -1, .start = -1, .sock = {-1, -1}};
    m->console_sock = o->console_fd_out > 0 ? o->console_fd_out : -1;
    m->listener = -1;
    for (int k = 0; k < NS_COUNT; k++)
        m->ns_fds[k] = -1;
}

int container_create(const char *id, const struct container_options *o, pid_t *pid,
                     struct error **err)
{
    struct making m;
    making_init(&m, id, o);
    int r = prepare(&m, false, err);
    if (r == 0 && (r = build(&m, true, err)) < 0)
        undo(&m, err);
    *pid = m.pid;
    making_free(&m);
    return r < 0 ? -1 : 0;
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Executes the command of a built container and sees it to its end. */
static int run_built(struct making *m, int console, int *status, struct error **err)
{
    if (sync_send(m->sock[0], SYNC_GO, 0, NULL, err) < 0 ||
        sync_wait_end(m->sock[0], m->pid, err) < 0 ||
        run_hooks(m, HOOK_POSTSTART, "running", err) < 0)
        return -1;
    if (m->o->detach)
        return 0;
    AUTO_CLOSE int master = console >= 0 ? receive_fd(console, err) : -1;
    if (console >= 0 && master < 0)
        return -1;
    int st;
    if (console_serve(STEAL_FD(master), &m->pid, &st, err) < 0)
        return -1;
    *status = exit_status(st);
    return 0;
}

int container_run(const char *id, const struct container_options *o, int *status,
                  struct error **err)
{
    struct making m;
    making_init(&m, id, o);
    *status = 0;
    sigset_t old;
    AUTO_CLOSE int console = -1;
    int r = prepare(&m, true, err);
    if (r == 0 && m.config->process.terminal && m.console_sock < 0) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            r = error_set(err, errno, "socketpair");
        } else {
            console = pair[0];
            m.console_sock = pair[1];
        }
    }
    console_block_signals(&old);
    if (r == 0 &&
        ((r = build(&m, false, err)) < 0 || (r = run_built(&m, console, status, err)) < 0)) {
        undo(&m, err);
    } else if (r == 0 && !o->detach && !o->keep) {
        m.hooks_began = true;
        r = destroy(&m, err);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    making_free(&m);
    return r < 0 ? -1 : 0;
}
