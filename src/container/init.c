#include "container/init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/console.h"
#include "container/descriptors.h"
#include "container/devices.h"
#include "container/hooks.h"
#include "container/mounts.h"
#include "container/namespaces.h"
#include "container/process.h"
#include "container/procfs.h"
#include "container/root.h"
#include "container/state.h"
#include "container/sync.h"

/* The state as hooks in the container's namespaces get it. */
static char *state_text(const struct init *a, const char *status, pid_t pid)
{
    struct json_object *o = state_json(a->id, status, pid, a->bundle, a->config->annotations);
    char *text = xstrdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return text;
}

static int run_hooks(const struct init *a, enum hook_kind kind, const char *status,
                     struct error **err)
{
    if (!a->config->hooks[kind].len)
        return 0;
    AUTO_FREE char *text = state_text(a, status, getpid());
    return hooks_run(&a->config->hooks[kind], kind, text, err);
}

static void restore_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the namespaces, with ids mapped and the control group joined. Answers the pid as the runtime
 * sees it. */
static int enter_namespaces(const struct init *a, int proc, struct error **err)
{
    const struct config *c = a->config;
    bool user = c->ns[NS_USER].present;
    int pid = 0;
    /* Without ids mapped nothing may be done; else the runtime's work and ours go side by side. */
    if (user && (pid = sync_wait(a->sock, SYNC_READY, err)) < 0)
        return -1;
    if (user) {
        /* EPERM: a rootless mapping of one group denies setgroups(2). */
        if (!c->process.user.keep_groups && setgroups(0, NULL) < 0 && errno != EPERM)
            return error_set(err, errno, "setgroups");
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
            return error_set(err, errno,
                             "linux.uidMappings: become root of the user namespace "
                             "(containerID 0 has to be mapped)");
    }
    /* Not before the ids are mapped: an ordinary user could not write to uid_map. */
    if (user && process_hide(err) < 0)
        return -1;
    if (namespaces_configure(c, proc, err) < 0)
        return -1;
    return pid;
}

/* What joining the control group is waited for with. */
struct joining {
    const struct init *init;
    int pid; /* as the runtime sees it; 0: not yet told */
    bool done;
};

/* Waits until the runtime has put us into the control group, as late as can be: joining takes the
 * kernel milliseconds on cgroup v1, in which we mount. Then the group is made the root of what can
 * be seen, which the cgroup namespace takes from the group its maker is in. */
static int need_cgroup(void *arg, struct error **err)
{
    struct joining *j = arg;
    if (j->done)
        return 0;
    if (!j->pid && (j->pid = sync_wait(j->init->sock, SYNC_READY, err)) < 0)
        return -1;
    if (namespaces_new(j->init->config, NS_CGROUP) && unshare(CLONE_NEWCGROUP) < 0)
        return error_set(err, errno, "linux.namespaces: make cgroup");
    j->done = true;
    return 0;
}

static int build_root(const struct init *a, struct mount_context *m, struct error **err)
{
    const struct config *c = a->config;
    if (mounts_prepare_root(m, err) < 0 || mounts_apply(m, err) < 0 || devices_create(m, err) < 0 ||
        need_cgroup(m->arg, err) < 0)
        return -1;
    /* While the root may still be written to. What cannot be made is missed on entering it. */
    int cwd = c->process.present ? root_mkdir(m->rootfd, c->process.cwd, 0755, NULL) : -1;
    if (cwd >= 0)
        close(cwd);
    if (c->hooks[HOOK_PRESTART].len + c->hooks[HOOK_CREATE_RUNTIME].len) {
        if (sync_send(a->sock, SYNC_MOUNTED, 0, NULL, err) < 0 ||
            sync_wait(a->sock, SYNC_HOOKS_DONE, err) < 0)
            return -1;
    }
    if (chdir(a->bundle) < 0 && c->hooks[HOOK_CREATE_CONTAINER].len)
        return error_set(err, errno, "enter the bundle %s", a->bundle);
    return run_hooks(a, HOOK_CREATE_CONTAINER, "created", err);
}

static int set_personality(const struct config *c, struct error **err)
{
    if (c->personality_set && syscall(SYS_personality, c->personality) < 0)
        return error_set(err, errno, "linux.personality");
    if (c->mempolicy >= 0) {
        bool any = false;
        for (size_t i = 0; i < sizeof c->mempolicy_nodes / sizeof *c->mempolicy_nodes; i++)
            any |= c->mempolicy_nodes[i] != 0;
        if (syscall(SYS_set_mempolicy, c->mempolicy, any ? c->mempolicy_nodes : NULL,
                    any ? 8 * sizeof c->mempolicy_nodes : 0) < 0)
            return error_set(err, errno, "linux.memoryPolicy");
    }
    return 0;
}

/* Waits until the command may be executed. out: where an error of the execution is told. */
static int wait_for_start(const struct init *a, int *out, struct error **err)
{
    if (sync_send(a->sock, SYNC_CREATED, 0, NULL, err) < 0)
        return -1;
    if (a->start < 0)
        return sync_wait(a->sock, SYNC_GO, err);
    close(a->sock);
    *out = sync_accept(a->start, err);
    close(a->start);
    return *out < 0 ? -1 : 0;
}

/* What is left when the root is entered and start has come. Returns only on failure. */
static int start(const struct init *a, const char *file, pid_t pid, int out, struct error **err)
{
    if (!a->config->process.present)
        return error_set(err, 0, "process: missing, and required to start a container");
    if (run_hooks(a, HOOK_START_CONTAINER, "created", err) < 0)
        return -1;
    AUTO_FREE char *state = a->listener >= 0 ? state_text(a, "creating", pid) : NULL;
    const struct listener l = {a->listener, pid, state};
    return process_execute(&a->config->process, file, a->filter, &l, a->preserve_fds, out, err);
}

static int init_steps(const struct init *a, int *out, struct error **err)
{
    const struct config *c = a->config;
    const struct process *p = &c->process;
    AUTO_CLOSE int proc = procfs_open(err);
    if (proc < 0 || (!c->ns[NS_USER].present && process_hide(err) < 0))
        return -1;
    if (a->ns_fds && namespaces_join(a->ns_fds, err) < 0)
        return -1;
    struct joining joining = {.init = a, .pid = enter_namespaces(a, proc, err)};
    if (joining.pid < 0)
        return -1;
    struct mount_context m = {.config = c,
                              .cgroup = a->cgroup,
                              .idmapped = a->idmapped,
                              .devices = a->devices,
                              .rootfd = -1,
                              .need_cgroup = need_cgroup,
                              .arg = &joining,
                              .userns = c->ns[NS_USER].present || a->rootless};
    if (process_set_labels(p, proc, err) < 0 || build_root(a, &m, err) < 0)
        return -1;
    int slave = -1;
    if (p->terminal && (slave = console_open(m.rootfd, p, a->console_sock, true, err)) < 0)
        return -1;
    if (mounts_restrict(&m, err) < 0 || mounts_enter_root(&m, a->no_pivot, err) < 0)
        return -1;
    close(STEAL_FD(proc));
    /* Nothing is looked up in the container before this: see descriptors.h. */
    const int keep[] = {a->sock, a->start, a->listener, slave};
    if (descriptors_leave(a->preserve_fds, keep, sizeof keep / sizeof *keep, err) < 0)
        return -1;
    if (process_set_session(p, a->keep_keyring, err) < 0 || set_personality(c, err) < 0)
        return -1;
    if (slave >= 0 && console_attach(slave, err) < 0)
        return -1;
    char *file = NULL;
    if (p->present && (process_chdir(p, err) < 0 || !(file = process_find(p, err))))
        return -1;
    if (wait_for_start(a, out, err) < 0)
        return -1;
    return start(a, file, joining.pid, *out, err);
}

void init_main(const struct init *a)
{
    int out = a->sock;
    struct error *err = NULL;
    restore_signals();
    init_steps(a, &out, &err);
    if (out >= 0)
        sync_send_error(out, err);
    /* 127: not found, 126: not executable, as a shell has it. */
    _exit(error_code(err) == ENOENT ? 127 : 126);
}
