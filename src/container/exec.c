/* exec: one more process in the namespaces and the control group of a running container. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/caps.h"
#include "container/cgroup.h"
#include "container/config.h"
#include "container/console.h"
#include "container/container.h"
#include "container/descriptors.h"
#include "container/json.h"
#include "container/namespaces.h"
#include "container/process.h"
#include "container/procfs.h"
#include "container/rlimits.h"
#include "container/seccomp.h"
#include "container/state.h"
#include "container/sync.h"

struct entering {
    const struct exec_options *o;
    char *root;
    struct state *state;
    struct config *config;    /* of the container */
    struct json_object *json; /* the process, merged */
    struct process process;
    struct seccomp_filter filter;
    struct cgroup cgroup;
    int pidfd, console_sock, listener;
    int rootfd; /* of a container without a mount namespace; else -1 */
    int sock[2];
    pid_t pid;
};

static struct json_object *strings(const char *const *list)
{
    struct json_object *a = json_object_new_array();
    for (size_t i = 0; list && list[i]; i++)
        json_object_array_add(a, json_object_new_string(list[i]));
    return a;
}

/* Puts NAME=VALUE in the place of the NAME there is, or at the end. */
static void add_env(struct json_object *env, const char *var)
{
    size_t name = strcspn(var, "=") + 1;
    for (size_t i = 0; i < json_object_array_length(env); i++) {
        const char *have = json_object_get_string(json_object_array_get_idx(env, i));
        if (have && !strncmp(have, var, name)) {
            json_object_array_put_idx(env, i, json_object_new_string(var));
            return;
        }
    }
    json_object_array_add(env, json_object_new_string(var));
}

/* Decimal digits, up to the end or to `stop`: 010 is ten, whatever looks nearly like a number is
 * none, and 2^32-1 is nobody's id. Answers where it ends, or NULL. */
static const char *parse_id(const char *s, char stop, uint64_t *id)
{
    const char *p = s;
    for (*id = 0; *p >= '0' && *p <= '9'; p++)
        if ((*id = 10 * *id + (uint64_t)(*p - '0')) >= UINT32_MAX)
            return NULL;
    return p != s && (!*p || *p == stop) ? p : NULL;
}

static int set_user(struct json_object *process, const char *spec, struct error **err)
{
    uint64_t uid, gid = 0;
    const char *end = parse_id(spec, ':', &uid);
    if (end && *end)
        end = parse_id(end + 1, 0, &gid);
    if (!end)
        return error_set(err, EINVAL, "--user: '%s' is not UID or UID:GID", spec);
    struct json_object *user = json_object_new_object();
    json_object_object_add(user, "uid", json_object_new_uint64(uid));
    json_object_object_add(user, "gid", json_object_new_uint64(gid));
    json_object_object_add(process, "user", user);
    return 0;
}

static int add_groups(struct json_object *process, const char *const *gids, struct error **err)
{
    struct json_object *user, *list;
    if (!json_object_object_get_ex(process, "user", &user)) {
        user = json_object_new_object();
        json_object_object_add(process, "user", user);
    }
    if (!json_object_object_get_ex(user, "additionalGids", &list)) {
        list = json_object_new_array();
        json_object_object_add(user, "additionalGids", list);
    }
    for (size_t i = 0; gids[i]; i++) {
        uint64_t gid;
        if (!parse_id(gids[i], 0, &gid))
            return error_set(err, EINVAL, "--additional-gids: '%s' is not a group's number",
                             gids[i]);
        json_object_array_add(list, json_object_new_uint64(gid));
    }
    return 0;
}

static int add_caps(struct json_object *process, const char *const *caps, struct error **err)
{
    for (size_t i = 0; caps[i]; i++)
        if (cap_from_name(caps[i]) < 0)
            return error_set(err, 0, "--cap: '%s' is no capability (such as CAP_KILL)", caps[i]);
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    struct json_object *all, *set;
    if (!json_object_object_get_ex(process, "capabilities", &all)) {
        all = json_object_new_object();
        json_object_object_add(process, "capabilities", all);
    }
    for (size_t k = 0; k < 3; k++) {
        if (!json_object_object_get_ex(all, sets[k], &set)) {
            set = json_object_new_array();
            json_object_object_add(all, sets[k], set);
        }
        for (size_t i = 0; caps[i]; i++)
            json_object_array_add(set, json_object_new_string(caps[i]));
    }
    return 0;
}

static void copy_member(struct json_object *to, struct json_object *from, const char *key)
{
    struct json_object *v = NULL, *copy = NULL;
    if (json_object_object_get_ex(from, key, &v) && v && json_object_deep_copy(v, &copy, NULL) == 0)
        json_object_object_add(to, key, copy);
}

/* The container's own process with the options' changes. */
static int merge(struct entering *e, struct error **err)
{
    const struct exec_options *o = e->o;
    struct json_object *own = NULL, *v;
    json_object_object_get_ex(e->config->json, "process", &own);
    if (o->process) {
        if (json_object_deep_copy(o->process, &e->json, NULL) < 0)
            return error_set(err, ENOMEM, "copy the process");
        if (own && json_object_is_type(e->json, json_type_object) &&
            !json_object_object_get_ex(e->json, "capabilities", &v))
            copy_member(e->json, own, "capabilities");
        return 0;
    }
    if (!own || json_object_deep_copy(own, &e->json, NULL) < 0)
        return error_set(err, 0, "the container's config has no process");
    json_object_object_add(e->json, "args", strings(o->args));
    json_object_object_add(e->json, "terminal", json_object_new_boolean(o->tty));
    json_object_object_del(e->json, "consoleSize");
    if (o->cwd)
        json_object_object_add(e->json, "cwd", json_object_new_string(o->cwd));
    if (o->env && o->env[0]) {
        if (!json_object_object_get_ex(e->json, "env", &v)) {
            v = json_object_new_array();
            json_object_object_add(e->json, "env", v);
        }
        for (size_t i = 0; o->env[i]; i++)
            add_env(v, o->env[i]);
    }
    if (o->caps && o->caps[0] && add_caps(e->json, o->caps, err) < 0)
        return -1;
    if (o->no_new_privileges)
        json_object_object_add(e->json, "noNewPrivileges", json_object_new_boolean(true));
    if (o->apparmor)
        json_object_object_add(e->json, "apparmorProfile", json_object_new_string(o->apparmor));
    if (o->selinux)
        json_object_object_add(e->json, "selinuxLabel", json_object_new_string(o->selinux));
    if (o->user && set_user(e->json, o->user, err) < 0)
        return -1;
    return o->gids ? add_groups(e->json, o->gids, err) : 0;
}

static int load_config(struct entering *e, struct error **err)
{
    AUTO_FREE char *text = NULL;
    if (read_file_at(e->state->dirfd, "config.json", 32 << 20, &text, NULL, err) < 0)
        return -1;
    struct json_object *doc = json_tokener_parse(text);
    if (!doc)
        return error_set(err, EINVAL, "the container's config.json is not JSON");
    e->config = config_new(doc, e->state->bundle, err);
    return e->config ? 0 : -1;
}

/* Joining namespaces would leave us in the runtime's root. */
static int open_root(struct entering *e, struct error **err)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/root", (int)e->state->pid);
    e->rootfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (e->rootfd < 0 || process_start_time(e->state->pid) != e->state->start_time)
        return error_set(err, 0, "container %s is not running", e->state->id);
    return 0;
}

static int prepare(struct entering *e, const char *id, struct error **err)
{
    if (descriptors_check(e->o->preserve_fds, err) < 0)
        return -1;
    e->root = state_root(e->o->root, err);
    e->state = e->root ? state_load(e->root, id, err) : NULL;
    if (!e->state)
        return -1;
    enum status status = state_status(e->state);
    if (status != STATUS_RUNNING && status != STATUS_CREATED &&
        !(status == STATUS_PAUSED && e->o->ignore_paused))
        return error_set(err, 0, "container %s is %s", id, status_name(status));
    e->pidfd = (int)syscall(SYS_pidfd_open, e->state->pid, 0);
    if (e->pidfd < 0 || process_start_time(e->state->pid) != e->state->start_time)
        return error_set(err, 0, "container %s is not running", id);
    if (load_config(e, err) < 0 || merge(e, err) < 0)
        return -1;
    if (!e->config->ns[NS_MOUNT].present && open_root(e, err) < 0)
        return -1;
    struct node n = node_root(e->json, "process");
    AUTO_FREE char *cache = xasprintf("%s/" STATE_CACHE "/seccomp", e->root);
    if (config_process(&n, &e->process, err) < 0 ||
        seccomp_prepare(e->config, cache, &e->filter, err) < 0)
        return -1;
    e->process.user.keep_groups = config_keep_groups(e->config);
    if (e->state->cgroup && cgroup_open(&e->cgroup, e->state->cgroup, err) < 0)
        return -1;
    if (e->o->cgroup && *e->o->cgroup && cgroup_enter_below(&e->cgroup, e->o->cgroup, err) < 0)
        return error_prefix(err, "--cgroup");
    if (e->filter.notify && (e->listener = seccomp_connect(&e->filter, err)) < 0)
        return -1;
    if (e->o->console_socket && (e->console_sock = console_connect(e->o->console_socket, err)) < 0)
        return -1;
    if (e->process.terminal && e->console_sock < 0 && e->o->detach)
        return error_set(err, 0, "a detached terminal needs --console-socket");
    return 0;
}

/* CLONE_* of the namespaces the container has, of its own or joined. */
static int namespace_flags(const struct config *c)
{
    int flags = 0;
    for (int k = 0; k < NS_COUNT; k++)
        if (c->ns[k].present)
            flags |= ns_clone_flag((enum ns_kind)k);
    return flags;
}

static char *listener_state(const struct entering *e)
{
    struct json_object *o =
        state_json(e->state->id, "running", e->state->pid, e->state->bundle, e->state->annotations);
    char *text = xstrdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return text;
}

static int open_terminal(const struct entering *e, struct error **err)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(err, errno, "open the container's root");
    int slave = console_open(root, &e->process, e->console_sock, false, err);
    if (slave < 0)
        return -1;
    close(e->console_sock);
    return console_attach(slave, err);
}

/* The root of the user namespace that was joined, if it has one: a terminal is made in its name. */
static int become_root(const struct process *p, struct error **err)
{
    if (!p->user.keep_groups && setgroups(0, NULL) < 0 && errno != EPERM)
        return error_set(err, errno, "setgroups");
    if ((setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
        return error_set(err, errno, "become root of the container's user namespace");
    return 0;
}

/* In the new process, already in the container's namespaces. Returns only on failure. */
static int child_steps(const struct entering *e, struct error **err)
{
    const struct process *p = &e->process;
    if (e->config->ns[NS_USER].present && become_root(p, err) < 0)
        return -1;
    if (p->exec_cpus_initial && *p->exec_cpus_initial &&
        process_set_cpus(p->exec_cpus_initial, "process.execCPUAffinity.initial", err) < 0)
        return -1;
    int pid = sync_wait(e->sock[1], SYNC_READY, err);
    if (pid < 0)
        return -1;
    if (p->exec_cpus_final && *p->exec_cpus_final &&
        process_set_cpus(p->exec_cpus_final, "process.execCPUAffinity.final", err) < 0)
        return -1;
    if (process_set_session(p, false, err) < 0 || (p->terminal && open_terminal(e, err) < 0) ||
        process_chdir(p, err) < 0)
        return -1;
    AUTO_FREE char *file = process_find(p, err);
    if (!file)
        return -1;
    AUTO_FREE char *state = e->listener >= 0 ? listener_state(e) : NULL;
    const struct listener l = {e->listener, pid, state};
    return process_execute(p, file, &e->filter, &l, e->o->preserve_fds, e->sock[1], err);
}

static void become_process(struct entering *e)
{
    struct error *err = NULL;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    child_steps(e, &err);
    sync_send_error(e->sock[1], err);
    _exit(error_code(err) == ENOENT ? 127 : 126);
}

/* Everything that has to be so before the container's processes can see, trace or open this one:
 * not dumpable, in the container's namespaces and root, nothing of the host open. */
static int step_in(const struct entering *e, struct error **err)
{
    int flags = namespace_flags(e->config);
    AUTO_CLOSE int proc = procfs_open(err);
    if (proc < 0)
        return -1;
    /* The score while the file is still its owner's to write; it is inherited. */
    if (process_set_oom_score(getpid(), &e->process, err) < 0 || process_hide(err) < 0 ||
        process_set_labels(&e->process, proc, err) < 0)
        return -1;
    if (flags && setns(e->pidfd, flags) < 0)
        return error_set(err, errno, "join the container's namespaces");
    if (e->rootfd >= 0 && (fchdir(e->rootfd) < 0 || chroot(".") < 0))
        return error_set(err, errno, "enter the container's root");
    close(STEAL_FD(proc));
    const int keep[] = {e->sock[1], e->listener, e->console_sock};
    return descriptors_leave(e->o->preserve_fds, keep, sizeof keep / sizeof *keep, err);
}

/* The stack of the process between: what it leaves to its child on it is that of process_execute().
 */
#define STEP_STACK ((size_t)256 << 10)

static int step(void *arg)
{
    struct entering *e = arg;
    ERROR_CLEANUP err = NULL;
    pid_t pid = -1;
    struct clone_args a = {.flags = CLONE_PARENT};
    if (step_in(e, &err) == 0 && (pid = (pid_t)syscall(SYS_clone3, &a, sizeof a)) < 0)
        error_set(&err, errno, "clone");
    if (pid == 0)
        become_process(e);
    if (pid > 0)
        sync_send(e->sock[1], SYNC_PID, pid, NULL, &err);
    else
        sync_send_error(e->sock[1], err);
    return 0;
}

/* By a process between, which joins every namespace; that of the pids holds for its child, which
 * becomes ours. So the child is never seen in the container with anything of the host: a neighbour
 * with CAP_SYS_PTRACE would get hold of it, whatever is dumpable. The one between borrows our
 * memory as vfork(2) does, so that it is copied once, not twice; but a time namespace only takes in
 * who has memory of its own. It is we, then, who are hidden, until it is gone. */
static int spawn(struct entering *e, struct error **err)
{
    bool borrows = !e->config->ns[NS_TIME].present;
    if (sync_pair(e->sock, err) < 0)
        return -1;
    int dumpable = prctl(PR_GET_DUMPABLE);
    AUTO_FREE char *stack = xcalloc(1, STEP_STACK);
    pid_t pid =
        clone(step, stack + STEP_STACK, (borrows ? CLONE_VM | CLONE_VFORK : 0) | SIGCHLD, e);
    if (pid < 0)
        return error_set(err, errno, "clone");
    close(e->sock[1]);
    e->sock[1] = -1;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (borrows && dumpable == 1 && prctl(PR_SET_DUMPABLE, 1) < 0)
        return error_set(err, errno, "PR_SET_DUMPABLE");
    /* If it could not say so, a process that it made ends with the conversation. */
    e->pid = sync_take(e->sock[0], SYNC_PID, err);
    return e->pid > 0 ? 0 : -1;
}

static int run(struct entering *e, int console, int *status, struct error **err)
{
    if (spawn(e, err) < 0 || rlimits_apply(e->pid, &e->process, err) < 0 ||
        cgroup_attach(&e->cgroup, e->pid, err) < 0 ||
        sync_send(e->sock[0], SYNC_READY, e->pid, NULL, err) < 0)
        return -1;
    if (e->o->pid_file) {
        AUTO_FREE char *text = xasprintf("%d", (int)e->pid);
        if (replace_file_at(AT_FDCWD, e->o->pid_file, text, strlen(text), 0644, err) < 0)
            return -1;
    }
    if (sync_wait_end(e->sock[0], e->pid, err) < 0)
        return -1;
    if (e->o->detach)
        return 0;
    AUTO_CLOSE int master = console >= 0 ? receive_fd(console, err) : -1;
    if (console >= 0 && master < 0)
        return -1;
    int st;
    if (console_serve(STEAL_FD(master), &e->pid, &st, err) < 0)
        return -1;
    *status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
    return 0;
}

static void entering_free(struct entering *e)
{
    seccomp_free(&e->filter);
    process_free(&e->process);
    json_object_put(e->json);
    config_free(e->config);
    cgroup_close(&e->cgroup);
    state_free(e->state);
    for (int i = 0; i < 2; i++)
        if (e->sock[i] >= 0)
            close(e->sock[i]);
    if (e->pidfd >= 0)
        close(e->pidfd);
    if (e->listener >= 0)
        close(e->listener);
    if (e->rootfd >= 0)
        close(e->rootfd);
    if (e->console_sock >= 0 && e->console_sock != e->o->console_fd_out)
        close(e->console_sock);
    free(e->root);
}

int container_exec(const char *id, const struct exec_options *o, int *status, struct error **err)
{
    struct entering e = {.o = o, .pidfd = -1, .listener = -1, .rootfd = -1, .sock = {-1, -1}};
    e.console_sock = o->console_fd_out > 0 ? o->console_fd_out : -1;
    AUTO_CLOSE int console = -1;
    sigset_t old;
    *status = 0;
    int r = prepare(&e, id, err);
    if (r == 0 && e.process.terminal && e.console_sock < 0) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            r = error_set(err, errno, "socketpair");
        } else {
            console = pair[0];
            e.console_sock = pair[1];
        }
    }
    console_block_signals(&old);
    if (r == 0 && (r = run(&e, console, status, err)) < 0 && e.pid > 0) {
        kill(e.pid, SIGKILL);
        while (waitpid(e.pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    entering_free(&e);
    return r < 0 ? -1 : 0;
}
