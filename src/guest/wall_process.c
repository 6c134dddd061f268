/* The process wall: riscv64 programs on the host's kernel, run by wirt-riscv64. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "guest/confine.h"
#include "guest/limits.h"
#include "guest/spawn.h"
#include "guest/wall.h"
#include "image/rootfs.h"

static int check(struct guest_spec *s, struct error **err)
{
    if (s->network >= NETWORK_NAT)
        return error_set(err, 0, "--network nat: a process has the host's network or none");
    if (s->n_ports)
        return error_set(err, 0, "-p: a process has the host's ports; nothing is to be published");
    if (s->n_disks || s->kernel || s->initrd || s->append || s->firmware)
        return error_set(err, 0, "%s: only a machine has this; use --as machine",
                         s->n_disks  ? "--disk"
                         : s->kernel ? "--kernel"
                         : s->initrd ? "--initrd"
                         : s->append ? "--append"
                                     : "--firmware");
    if (s->rootfs && !s->command[0]) {
        strv_free(s->command);
        s->command = strv_add(NULL, xstrdup("/bin/sh"));
    }
    AUTO_FREE char *emulator = wall_helper("wirt-riscv64", err);
    return emulator ? confine_check(s, err) : -1;
}

/* Host path of the guest's program: the single program, or a command in the root. */
static char *find_program(const struct guest_spec *s, char *const *command, char *const *env,
                          const char *workdir, struct error **err)
{
    if (!s->rootfs && !strchr(command[0], '/') && command == s->command)
        return xstrdup(s->program);
    if (!s->rootfs) {
        if (command == s->command)
            return xstrdup(s->program);
        if (strchr(command[0], '/'))
            return xstrdup(command[0]);
        return rootfs_find_command("/", command[0], workdir, wall_get_env(env, "PATH"), NULL, err);
    }
    AUTO_FREE char *inside =
        rootfs_find_command(s->rootfs, command[0], workdir, wall_get_env(env, "PATH"), NULL, err);
    return inside ? xasprintf("%s%s%s", s->rootfs, inside[0] == '/' ? "" : "/", inside) : NULL;
}

struct launch {
    const struct guest *g;
    char *emulator, *workdir;
    char **argv, **envp;
    struct confine confine;
    struct spawn spawn;
};

static int prepare(void *arg, struct error **err)
{
    struct launch *l = arg;
    if (limits_enter(l->g, err) < 0)
        return -1;
    return confine_apply(&l->confine, err);
}

/* Puts together how wirt-riscv64 is called for a command. */
static int launch_init(struct launch *l, struct guest *g, char **command, char **env,
                       const char *workdir, const char *user, struct error **err)
{
    const struct guest_spec *s = &g->spec;
    *l = (struct launch){.g = g, .confine = {.spec = s}};
    AUTO_FREE char *own = xasprintf("%u:%u", (unsigned)geteuid(), (unsigned)getegid());
    l->emulator = wall_helper("wirt-riscv64", err);
    if (!l->emulator || rootfs_lookup_user(s->rootfs ? s->rootfs : "/", user ? user : own,
                                           &l->confine.user, err) < 0)
        return -1;
    l->confine.set_user = user != NULL;
    const char *home = l->confine.user.home;
    l->envp = wall_environment(s, home ? home : "/", env);
    AUTO_FREE char *program = find_program(s, command, l->envp, workdir, err);
    if (!program)
        return -1;
    char **a = strv_add(NULL, xstrdup("wirt-riscv64"));
    a = strv_add(a, xstrdup("--report-fd"));
    a = strv_add(a, xasprintf("%d", SPAWN_REPORT_FD));
    if (s->rootfs) {
        a = strv_add(a, xstrdup("-L"));
        a = strv_add(a, xstrdup(s->rootfs));
    }
    if (s->interpret)
        a = strv_add(a, xstrdup("--interpret"));
    if (s->stats)
        a = strv_add(a, xstrdup("--stats"));
    if (s->trace) {
        a = strv_add(a, xstrdup("--trace"));
        a = strv_add(a, xstrdup(s->trace));
    }
    a = strv_add(a, xstrdup("-0"));
    a = strv_add(a, xstrdup(command[0]));
    a = strv_add(a, xstrdup(program));
    for (char **p = command + 1; *p; p++)
        a = strv_add(a, xstrdup(*p));
    l->argv = a;
    l->workdir = s->rootfs ? xasprintf("%s/%s", s->rootfs, workdir ? workdir : "")
                 : workdir ? xstrdup(workdir)
                           : NULL;
    l->spawn = (struct spawn){.path = l->emulator,
                              .argv = l->argv,
                              .envp = l->envp,
                              .workdir = l->workdir,
                              .keep = {-1, -1},
                              .kept = true,
                              .reports = true,
                              .prepare = prepare,
                              .arg = l};
    return 0;
}

static void launch_free(struct launch *l)
{
    free(l->emulator);
    free(l->workdir);
    strv_free(l->argv);
    strv_free(l->envp);
    free(l->confine.user.home);
}

static int start(struct guest *g, const struct wall_stdio *io, struct workload *w,
                 struct error **err)
{
    struct launch l;
    const struct guest_spec *s = &g->spec;
    int r = launch_init(&l, g, s->command, NULL, s->workdir, s->user, err);
    if (r == 0)
        r = limits_create(g, err);
    if (r == 0) {
        l.spawn.in = io->in;
        l.spawn.out = io->out;
        l.spawn.err = io->err;
        l.spawn.terminal = s->tty;
        r = spawn_start(&l.spawn, &w->id, &w->pidfd, &w->terminal, err);
    }
    launch_free(&l);
    return r;
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

/* All processes of the guest: those below the keeper. */
#define AT_A_TIME 256

static int signal_all(const struct workload *w, int sig, struct error **err)
{
    pid_t children[AT_A_TIME];
    int n = proc_children(w->id.pid, children, AT_A_TIME), r = n < 0 ? -1 : 0;
    for (int i = 0; i < n; i++)
        if (proc_tree_signal(children[i], sig) < 0)
            r = -1;
    return r < 0 ? error_set(err, errno, "signal %d to all processes", sig) : 0;
}

static int pause_tree(struct guest *g, struct workload *w, const struct wall_later *later,
                      struct error **err)
{
    if (limits_active(g))
        return limits_freeze(g, true, err);
    return signal_all(w, SIGSTOP, err);
}

static int resume_tree(struct guest *g, struct workload *w, const struct wall_later *later,
                       struct error **err)
{
    if (limits_active(g))
        return limits_freeze(g, false, err);
    return signal_all(w, SIGCONT, err);
}

static int update(struct guest *g, struct workload *w, const struct guest_limits *l,
                  struct error **err)
{
    return limits_update(g, w->id.pid, l, err);
}

static int stats(struct guest *g, struct workload *w, struct wall_stats *out,
                 const struct wall_later *later, struct error **err)
{
    if (limits_active(g))
        return limits_stats(g, w->id.pid, out, err);
    pid_t children[AT_A_TIME];
    int n = proc_children(w->id.pid, children, AT_A_TIME);
    if (n < 0)
        return error_set(err, errno, "look for the guest's processes");
    for (int i = 0; i < n; i++) {
        struct proc_usage u = proc_tree_usage(children[i]);
        out->cpu_us += u.cpu_us;
        out->memory += u.rss;
        out->pids += u.processes;
    }
    return 0;
}

static int exec(struct guest *g, const struct wall_exec *x, int *status, struct error **err)
{
    struct launch l;
    int r = launch_init(&l, g, x->command, x->env, x->workdir ? x->workdir : g->spec.workdir,
                        x->user ? x->user : g->spec.user, err);
    if (r == 0) {
        l.spawn.in = STDIN_FILENO;
        l.spawn.out = STDOUT_FILENO;
        l.spawn.err = STDERR_FILENO;
        l.spawn.terminal = x->tty;
        l.spawn.of = g->workload;
        r = spawn_foreground(&l.spawn, err);
    }
    launch_free(&l);
    *status = r;
    return r < 0 ? -1 : 0;
}

static int cleanup(struct guest *g, struct workload *w, struct error **err)
{
    return limits_remove(g, err);
}

const struct wall wall_process = {
    .name = "process",
    .monitor = JAIL_MONITOR,
    .check = check,
    .start = start,
    .ask_to_stop = ask_to_stop,
    .signal = send_signal,
    .pause = pause_tree,
    .resume = resume_tree,
    .update = update,
    .stats = stats,
    .exec = exec,
    .cleanup = cleanup,
};
