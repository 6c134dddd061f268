/* The machine wall: a riscv64 computer, run by wirt-machine in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/str.h"
#include "guest/agent_link.h"
#include "guest/attach.h"
#include "guest/control.h"
#include "guest/machine_image.h"
#include "guest/spawn.h"
#include "guest/stream.h"
#include "guest/wall.h"
#include "image/disk.h"
#include "image/rootfs.h"

#define DEFAULT_MEMORY (1024ull << 20)
#define MEMORY_UNIT    (2ull << 20)
#define MAX_HARTS      64u
#define MAX_MOUNTS     16u

/* How long a machine may take to be there: its kernel is read from wherever it lies. */
#define START_MS 60000
/* And for a line that has begun. */
#define LINE_MS 10000

static int check_files(const struct guest_spec *s, struct error **err)
{
    const struct {
        const char *option, *path;
    } files[] = {{"--kernel", s->kernel}, {"--initrd", s->initrd}, {"--firmware", s->firmware}};
    struct stat st;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!files[i].path)
            continue;
        if (stat(files[i].path, &st) < 0)
            return error_set(err, 0, "%s %s: %s", files[i].option, files[i].path, strerror(errno));
        if (!S_ISREG(st.st_mode))
            return error_set(err, 0, "%s %s: must be a file", files[i].option, files[i].path);
    }
    for (unsigned i = 0; i < s->n_disks; i++) {
        if (stat(s->disks[i].path, &st) < 0)
            return error_set(err, 0, "--disk %s: %s", s->disks[i].path, strerror(errno));
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
            return error_set(err, 0, "--disk %s: must be a file or a block device",
                             s->disks[i].path);
        if (!s->disks[i].raw && disk_require_raw(s->disks[i].path, err) < 0)
            return error_prefix(err, "--disk %s", s->disks[i].path);
    }
    return 0;
}

/* Boots a root file system or a program of ours: kernel and initramfs of the guest files. */
static bool boots_image(const struct guest_spec *s)
{
    return s->rootfs || s->program;
}

static int check_mounts(const struct guest_spec *s, struct error **err)
{
    struct stat st;
    if (s->n_mounts && !boots_image(s))
        return error_set(
            err, 0,
            "-v: a machine mounts folders and files only when it runs a root file system or a "
            "program");
    if (s->n_mounts > MAX_MOUNTS)
        return error_set(err, 0, "-v: a machine has at most %u", MAX_MOUNTS);
    for (unsigned i = 0; i < s->n_mounts; i++) {
        if (stat(s->mounts[i].source, &st) < 0)
            return error_set(err, 0, "-v %s: %s", s->mounts[i].source, strerror(errno));
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
            return error_set(err, 0, "-v %s: must be a folder or a regular file",
                             s->mounts[i].source);
    }
    return 0;
}

static int check(struct guest_spec *s, struct error **err)
{
    if (s->network == NETWORK_HOST)
        return error_set(err, 0, "--network host: a machine has a network of its own: nat or none");
    if (s->limits.pids)
        return error_set(err, 0,
                         "--pids-limit: a machine's processes are its own kernel's; it "
                         "takes --cpus and --memory");
    if (boots_image(s) && s->initrd)
        return error_set(err, 0, "--initrd: the root file system or program is the initrd already");
    if (s->network == NETWORK_NONE && s->n_ports)
        return error_set(err, 0, "-p: not with --network none");
    if (s->limits.cpu_milli % 1000 || s->limits.cpu_milli > MAX_HARTS * 1000)
        return error_set(err, 0, "--cpus: a machine has a whole number of harts, 1 to %u",
                         MAX_HARTS);
    if (s->limits.memory % MEMORY_UNIT || (s->limits.memory && s->limits.memory < 16 * MEMORY_UNIT))
        return error_set(err, 0, "--memory: a machine has a multiple of 2m, at least 32m");
    if (!s->limits.memory)
        s->limits.memory = DEFAULT_MEMORY;
    if (!s->limits.cpu_milli)
        s->limits.cpu_milli = 1000;
    if (check_files(s, err) < 0 || check_mounts(s, err) < 0)
        return -1;
    for (char **c = s->command; !boots_image(s) && *c; c++)
        if (strchr(*c, '"') || strchr(*c, '\n'))
            return error_set(err, 0,
                             "command word %s: on a kernel command line it must have no "
                             "double quote or line end",
                             *c);
    bool own_kernel = !s->kernel && !s->firmware;
    if (own_kernel && !(s->kernel = wall_guest_file("vmlinux", err)))
        return error_prefix(err, "no --kernel given");
    /* Debian's kernel has its disk drivers and file systems as modules, which its initramfs holds.
     */
    if (own_kernel && !s->initrd && !boots_image(s) &&
        !(s->initrd = wall_guest_file("initramfs.cpio.gz", err)))
        return error_prefix(err, "no --initrd given");
    if (boots_image(s)) {
        AUTO_FREE char *base = wall_guest_file("initramfs.cpio.gz", err);
        if (!base)
            return -1;
    }
    if (s->rootfs && !s->command[0]) {
        strv_free(s->command);
        s->command = strv_add(NULL, xstrdup("/bin/sh"));
    }
    AUTO_FREE char *helper = wall_helper("wirt-machine", err);
    return helper ? 0 : -1;
}

/* The guest files' init takes wirt.run="COMMAND" without a way to quote a quote. */
static void append_command(struct str *a, char *const *command)
{
    if (!command[0])
        return;
    str_printf(a, " wirt.run=\"");
    for (char *const *c = command; *c; c++)
        str_printf(a, "%s%s", c == command ? "" : " ", *c);
    str_printf(a, "\"");
}

static char *command_line(const struct guest_spec *s)
{
    STR_CLEANUP a = {0};
    str_printf(&a, "console=ttyS0");
    if (boots_image(s)) {
        str_printf(&a, " quiet loglevel=0 " MACHINE_IMAGE_RUN);
    } else {
        if (s->n_disks && !(s->append && strstr(s->append, "root=")))
            str_printf(&a, " root=/dev/vda");
        append_command(&a, s->command);
    }
    if (s->append)
        str_printf(&a, " %s", s->append);
    return STEAL_PTR(a.data);
}

static void put_share(json_object *a, const char *tag, const char *path, bool readonly)
{
    json_object *o = json_object_new_object();
    json_put_str(o, "tag", tag);
    json_put_str(o, "path", path);
    json_put_bool(o, "readonly", readonly);
    json_object_array_add(a, o);
}

static json_object *shares_json(const struct guest_spec *s)
{
    json_object *a = json_object_new_array();
    if (s->rootfs)
        put_share(a, MACHINE_ROOT_TAG, s->rootfs, s->read_only);
    for (unsigned i = 0; i < s->n_mounts; i++) {
        AUTO_FREE char *tag = xasprintf(MACHINE_SHARE_TAG, i);
        put_share(a, tag, s->mounts[i].source, s->mounts[i].readonly);
    }
    return a;
}

/* What wirt-machine is told; machine_config in src/machine/machine.h, field by field. */
static json_object *machine_config_json(const struct guest_spec *s, const char *initrd)
{
    json_object *o = json_object_new_object();
    AUTO_FREE char *append = command_line(s);
    json_put_str(o, "kernel", s->kernel);
    json_put_str(o, "initrd", initrd);
    json_put_str(o, "append", append);
    json_put_str(o, "firmware", s->firmware);
    json_put_int(o, "memory", (int64_t)s->limits.memory);
    json_put_int(o, "harts", (int64_t)(s->limits.cpu_milli / 1000));
    json_put_bool(o, "network", s->network != NETWORK_NONE);
    json_put_bool(o, "hostLoopback", network_opens(s->network, NETWORK_OPENS_HOST));
    json_put_bool(o, "linkLocal", network_opens(s->network, NETWORK_OPENS_LINK));
    json_put_str(o, "hostname", s->hostname);
    json_put_bool(o, "interpret", s->interpret);
    json_put_bool(o, "stats", s->stats);
    json_put_str(o, "trace", s->trace);
    json_object_object_add(o, "shares", shares_json(s));
    json_object *spec = spec_to_json(s), *v;
    if (json_object_object_get_ex(spec, "disks", &v))
        json_object_object_add(o, "disks", json_object_get(v));
    if (json_object_object_get_ex(spec, "ports", &v))
        json_object_object_add(o, "forwards", json_object_get(v));
    json_object_put(spec);
    return o;
}

/* The machine says something: that it runs, or why not (machine/control.h). Its processes are there
 * then. */
static int await(struct guest *g, struct workload *w, struct error **err)
{
    struct pollfd p = {.fd = w->control, .events = POLLIN};
    uint64_t deadline = clock_ns() + START_MS * UINT64_C(1000000);
    int r;
    do {
        uint64_t now = clock_ns();
        r = poll(&p, 1, now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return error_set(err, errno, "poll");
    if (r == 0)
        return error_set(err, ETIMEDOUT, "wirt-machine: no answer within %d ms", START_MS);
    proc_watch_tree(&w->watch, w->id.pid);
    return 0;
}

/* One that does not run is no more when this answers. */
static int started(struct guest *g, struct workload *w, struct error **err)
{
    STR_CLEANUP line = {0};
    ERROR_CLEANUP why = NULL;
    AUTO_JSON *answer = NULL;
    if (control_read_line(w->control, &line, LINE_MS, &why) == 0)
        answer = json_parse_object(line.data ? line.data : "", line.len, "answer", &why);
    if (json_get_bool(answer, "ok", false))
        return 0;
    struct pollfd p = {.fd = w->pidfd, .events = POLLIN};
    /* With all that it holds (machine/launch.h). */
    if (!answer || poll(&p, 1, PROC_END_MS) != 1)
        proc_end(w->pidfd, SIGQUIT);
    int status = spawn_wait(w->pidfd, NULL);
    if (answer)
        return error_set(err, 0, "%s", json_get_str(answer, "error", "no reason given"));
    if (error_code(why) == ECONNRESET)
        return error_set(err, 0, "wirt-machine ended with status %d before the machine ran",
                         status);
    return error_set(err, 0, "wirt-machine: %s", error_text(why));
}

/* Before the launcher holds anything: who removes what a killed monitor leaves waits for it. */
static int made(void *arg, struct proc_id id, struct error **err)
{
    struct guest *g = arg;
    g->workload = id;
    return guest_save(g, err);
}

static int start(struct guest *g, const struct wall_stdio *io, struct workload *w,
                 struct error **err)
{
    const struct guest_spec *s = &g->spec;
    AUTO_FREE char *helper = wall_helper("wirt-machine", err);
    AUTO_FREE char *initrd = s->initrd ? xstrdup(s->initrd) : NULL;
    if (!helper)
        return -1;
    struct rootfs_user user = {0};
    if (s->user && s->rootfs && rootfs_lookup_user(s->rootfs, s->user, &user, err) < 0)
        return -1; /* what the agent would say after the boot */
    free(user.home);
    if (boots_image(s)) {
        AUTO_FREE char *base = wall_guest_file("initramfs.cpio.gz", err);
        initrd = xasprintf("%s/initrd", g->dir);
        if (!base || machine_image_write(g, base, initrd, err) < 0)
            return -1;
    }
    AUTO_JSON *config = machine_config_json(s, initrd);
    const char *text = json_object_to_json_string_ext(config, JSON_C_TO_STRING_NOSLASHESCAPE);
    AUTO_FREE char *path = xasprintf("%s/machine.json", g->dir);
    if (replace_file_at(g->dirfd, "machine.json", text, strlen(text), 0600, err) < 0)
        return -1;
    int control[2], agent[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0)
        return error_set(err, errno, "socketpair");
    AUTO_CLOSE int our_control = control[0];
    AUTO_CLOSE int their_control = control[1];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0)
        return error_set(err, errno, "socketpair");
    AUTO_CLOSE int our_agent = agent[0];
    AUTO_CLOSE int their_agent = agent[1];
    AUTO_FREE char *control_number = xasprintf("%d", their_control);
    AUTO_FREE char *agent_number = xasprintf("%d", their_agent);
    char *argv[] = {"wirt-machine", "--config", path,         "--control",
                    control_number, "--agent",  agent_number, NULL};
    char *envp[] = {"PATH=" WALL_PATH, NULL};
    struct spawn sp = {.path = helper,
                       .argv = argv,
                       .envp = envp,
                       .in = io->in,
                       .out = io->out,
                       .err = io->err,
                       .terminal = s->tty && !boots_image(s),
                       .raw = true,
                       .parent_ends = SIGQUIT,
                       .made = made,
                       .made_arg = g,
                       .keep = {their_control, their_agent}};
    if (spawn_start(&sp, &w->id, &w->pidfd, &w->terminal, err) < 0)
        return -1;
    /* Their ends are closed here, and so seen. */
    w->control = STEAL_FD(our_control);
    w->agent = STEAL_FD(our_agent);
    return 0;
}

/* An image's command is the agent's to run, with streams as behind the other walls. */
static bool first_command(const struct guest *g, struct wall_exec *x)
{
    const struct guest_spec *s = &g->spec;
    if (!boots_image(s) || !x)
        return boots_image(s);
    *x = (struct wall_exec){.command = strv_dup(s->command),
                            .env = wall_environment(s, NULL, NULL),
                            .workdir = s->workdir,
                            .user = s->user,
                            .tty = s->tty};
    if (s->program) {
        const char *slash = strrchr(s->program, '/');
        free(x->command[0]);
        x->command[0] = xasprintf("/bin/%s", slash ? slash + 1 : s->program);
    }
    return true;
}

static int machine_op(struct workload *w, const char *op, const struct wall_later *later)
{
    machine_link_ask(w->machine, control_request(op), later ? later->fn : NULL,
                     later ? later->arg : NULL);
    return WALL_LATER;
}

/* An image's command is asked as behind the other walls; another system with an agent powers off in
 * good order. Nobody can be asked in a machine that has none or is still booting: the plug. */
static int ask_to_stop(struct guest *g, struct workload *w, const struct wall_later *later,
                       struct error **err)
{
    if (stream_runs(w->main))
        stream_signal(w->main, SIGTERM);
    else if (!boots_image(&g->spec) && agent_link_answers(w->link))
        agent_link_poweroff(w->link, 0);
    else
        return machine_op(w, "stop", later);
    return 0;
}

/* Signals are for an image's command. A computer knows none: those that ask a process to end end
 * it, others are refused. */
static int send_signal(struct guest *g, struct workload *w, int sig, struct error **err)
{
    if (stream_runs(w->main) && sig != SIGKILL) {
        stream_signal(w->main, sig);
        return 0;
    }
    switch (sig) {
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
    case SIGQUIT: sig = SIGTERM; break;
    case SIGKILL: sig = SIGQUIT; break; /* at once, and in order */
    default:
        return error_set(err, 0,
                         "signal %d: a machine%s takes only KILL, TERM, INT, HUP and QUIT, "
                         "which end it",
                         sig, boots_image(&g->spec) ? " that is still starting" : "");
    }
    if (proc_signal(w->pidfd, sig) < 0)
        return error_set(err, errno, "send signal %d", sig);
    return 0;
}

static int pause_machine(struct guest *g, struct workload *w, const struct wall_later *later,
                         struct error **err)
{
    return machine_op(w, "pause", later);
}

static int resume_machine(struct guest *g, struct workload *w, const struct wall_later *later,
                          struct error **err)
{
    return machine_op(w, "resume", later);
}

static int update(struct guest *g, struct workload *w, const struct guest_limits *l,
                  struct error **err)
{
    return error_set(err, 0,
                     "a running machine's harts and memory are fixed; wirt balloon takes "
                     "memory from it and gives it back");
}

static int stats(struct guest *g, struct workload *w, struct wall_stats *out,
                 const struct wall_later *later, struct error **err)
{
    struct proc_usage u = proc_watch_usage(&w->watch);
    out->cpu_us = u.cpu_us;
    out->memory = u.rss;
    out->pids = u.processes;
    out->memory_max = g->spec.limits.memory;
    return machine_op(w, "stats", later);
}

/* Asks the monitor, which has the channel to the agent, and carries the streams. */
static int exec(struct guest *g, const struct wall_exec *x, int *status, struct error **err)
{
    AUTO_CLOSE int fd = control_connect(g, err);
    if (fd < 0)
        return -1;
    char **env = wall_environment(&g->spec, NULL, x->env);
    if (x->tty && !wall_get_env(env, "TERM"))
        env = strv_add(env, xstrdup("TERM=xterm"));
    json_object *request = control_request("exec");
    json_put_strv(request, "command", x->command);
    json_put_strv(request, "env", env);
    json_put_str(request, "workdir", x->workdir ? x->workdir : g->spec.workdir);
    json_put_str(request, "user", x->user ? x->user : g->spec.user);
    json_put_bool(request, "tty", x->tty);
    strv_free(env);
    struct winsize ws;
    if (x->tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0) {
        json_put_int(request, "rows", ws.ws_row);
        json_put_int(request, "columns", ws.ws_col);
    }
    AUTO_JSON *answer = control_call_fd(fd, request, 10000, err);
    if (!answer)
        return -1;
    struct attach_options o = {.tty = x->tty, .input = true, .sig_proxy = true};
    enum attach_end end;
    if (attach_run(fd, &o, &end, status, err) < 0)
        return -1;
    if (end == ATTACH_DETACHED)
        *status = 0;
    return 0;
}

static int cleanup(struct guest *g, struct workload *w, struct error **err)
{
    if (unlinkat(g->dirfd, "initrd", 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "remove %s/initrd", g->dir);
    return 0;
}

const struct wall wall_machine = {
    .name = "machine",
    .monitor = JAIL_MACHINE_MONITOR,
    .kill_signal = SIGQUIT,
    .check = check,
    .start = start,
    .await = await,
    .started = started,
    .first_command = first_command,
    .ask_to_stop = ask_to_stop,
    .signal = send_signal,
    .pause = pause_machine,
    .resume = resume_machine,
    .update = update,
    .stats = stats,
    .exec = exec,
    .cleanup = cleanup,
};
