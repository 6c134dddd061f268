#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/run_target.h"
#include "guest/attach.h"
#include "guest/monitor.h"
#include "guest/wall.h"

enum {
    OPT_AS = 256,
    OPT_CPUS,
    OPT_RM,
    OPT_NAME,
    OPT_HOSTNAME,
    OPT_NETWORK,
    OPT_PLATFORM,
    OPT_PIDS,
    OPT_READ_ONLY,
    OPT_KERNEL,
    OPT_INITRD,
    OPT_APPEND,
    OPT_DISK,
    OPT_FIRMWARE,
    OPT_CONFINE,
    OPT_INTERPRET,
    OPT_TRACE,
    OPT_STATS,
};

static const struct cli_option options[] = {
    {"as", 0, "WALL", OPT_AS, "container, process or machine; default: by what is to run"},
    {"cpus", 0, "N", OPT_CPUS, "CPU time in CPUs (1.5); a machine's harts (--harts is the same)"},
    {"harts", 0, "N", OPT_CPUS, "the same as --cpus"},
    {"memory", 'm', "SIZE", 'm', "memory: bytes, or with k, m, g"},
    {"pids-limit", 0, "N", OPT_PIDS, "most processes and threads"},
    {"volume", 'v', "SRC:DST[:ro]", 'v', "mount a folder or file of the host"},
    {"env", 'e', "NAME[=VALUE]", 'e', "set an environment variable, or pass on one"},
    {"workdir", 'w', "DIR", 'w', "working folder of the command"},
    {"user", 'u', "USER[:GROUP]", 'u', "user of the command, by name or number"},
    {"interactive", 'i', NULL, 'i', "pass on standard input"},
    {"tty", 't', NULL, 't', "give the guest a terminal (ctrl-p ctrl-q detaches)"},
    {"detach", 'd', NULL, 'd', "run in the background and print the id"},
    {"rm", 0, NULL, OPT_RM, "remove the guest when it ends"},
    {"name", 0, "NAME", OPT_NAME, "the guest's name"},
    {"hostname", 0, "NAME", OPT_HOSTNAME, "the guest's host name"},
    {"network", 0, "NET", OPT_NETWORK,
     "none, host, or a machine's: nat[:host-loopback,link-local]"},
    {"publish", 'p', "[IP:]HOST:GUEST[/udp]", 'p', "let a port of the host lead into a machine"},
    {"platform", 0, "PLATFORM", OPT_PLATFORM, "insist on linux/amd64 or linux/riscv64"},
    {"read-only", 0, NULL, OPT_READ_ONLY, "the root file system cannot be written to"},
    {"kernel", 0, "FILE", OPT_KERNEL, "machine: kernel (default: the guest files' vmlinux)"},
    {"initrd", 0, "FILE", OPT_INITRD, "machine: initial RAM disk"},
    {"append", 0, "TEXT", OPT_APPEND, "machine: more for the kernel's command line"},
    {"disk", 0, "FILE[,ro][,format=raw]", OPT_DISK, "machine: a raw disk (/dev/vda, ...)"},
    {"firmware", 0, "FILE", OPT_FIRMWARE, "machine: M-mode firmware instead of the built-in SBI"},
    {"confine", 0, NULL, OPT_CONFINE,
     "process: in a jail, with its root file system and nothing else"},
    {"interpret", 0, NULL, OPT_INTERPRET, "interpret instead of translating"},
    {"trace", 0, "FILE", OPT_TRACE, "write what is translated and run to a file"},
    {"stats", 0, NULL, OPT_STATS, "print the engine's statistics at the end"},
    {0},
};

static const struct cli_usage usage = {
    "run [OPTIONS] ROOTFS-DIR|PROGRAM [COMMAND [ARG ...]]\n"
    "       wirt run --as machine [OPTIONS] [DISK-IMAGE [COMMAND ...]]",
    "Runs a command in a root file system, a single program, or a kernel. Its exit status is\n"
    "wirt's; 125: wirt failed, 126: the command cannot be run, 127: it is not there.",
    options,
};

struct run {
    struct cli_parser p;
    struct guest_spec spec;
    char *name, *platform;
    bool detach;
    struct error *err;
};

static char *absolute(const char *path)
{
    if (path[0] == '/')
        return xstrdup(path);
    AUTO_FREE char *cwd = getcwd(NULL, 0);
    return xasprintf("%s/%s", cwd ? cwd : "", path);
}

static void set_string(char **to, char *value)
{
    free(*to);
    *to = value;
}

static int parse_volume(struct guest_spec *s, const char *arg, struct error **err)
{
    AUTO_FREE char *copy = xstrdup(arg);
    char *rest = copy, *source = strsep(&rest, ":"), *target = strsep(&rest, ":"), *mode = rest;
    if (!target || !*source || target[0] != '/')
        return error_set(err, 0, "--volume %s: must be SOURCE:TARGET[:ro], TARGET an absolute path",
                         arg);
    if (mode && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
        return error_set(err, 0, "--volume %s: the third part must be ro or rw", arg);
    AUTO_FREE char *path = realpath(source, NULL);
    if (!path)
        return error_set(err, errno, "--volume %s: %s", arg, source);
    s->mounts = xrealloc(s->mounts, (s->n_mounts + 1) * sizeof *s->mounts);
    s->mounts[s->n_mounts++] =
        (struct guest_mount){STEAL_PTR(path), xstrdup(target), mode && !strcmp(mode, "ro")};
    return 0;
}

static int parse_env(struct guest_spec *s, const char *arg, struct error **err)
{
    if (!*arg || *arg == '=')
        return error_set(err, 0, "--env %s: must be NAME=VALUE, or NAME to pass on", arg);
    const char *value = strchr(arg, '=') ? NULL : getenv(arg);
    if (strchr(arg, '='))
        s->env = strv_add(s->env, xstrdup(arg));
    else if (value)
        s->env = strv_add(s->env, xasprintf("%s=%s", arg, value));
    return 0;
}

static int parse_port(const char *s, const char *arg, uint16_t *out, struct error **err)
{
    uint64_t v;
    if (!s || parse_u64(s, "port", &v, NULL) < 0 || v < 1 || v > 65535)
        return error_set(err, 0,
                         "--publish %s: must be [IP:]HOST-PORT:GUEST-PORT[/tcp|/udp], ports "
                         "1 to 65535",
                         arg);
    *out = (uint16_t)v;
    return 0;
}

static int parse_publish(struct guest_spec *s, const char *arg, struct error **err)
{
    AUTO_FREE char *copy = xstrdup(arg);
    struct guest_port port = {0};
    char *rest = copy, *slash = strchr(copy, '/');
    if (slash) {
        *slash++ = '\0';
        port.udp = !strcmp(slash, "udp");
        if (!port.udp && strcmp(slash, "tcp") != 0)
            return error_set(err, 0, "--publish %s: the protocol must be tcp or udp", arg);
    }
    char *first = strsep(&rest, ":"), *second = strsep(&rest, ":"), *third = rest;
    struct in_addr addr;
    if (third) {
        if (inet_pton(AF_INET, first, &addr) != 1)
            return error_set(err, 0, "--publish %s: %s is no IPv4 address", arg, first);
        port.host_addr = ntohl(addr.s_addr);
        first = second;
        second = third;
    }
    if (parse_port(first, arg, &port.host_port, err) < 0 ||
        parse_port(second, arg, &port.guest_port, err) < 0)
        return -1;
    s->ports = xrealloc(s->ports, (s->n_ports + 1) * sizeof *s->ports);
    s->ports[s->n_ports++] = port;
    return 0;
}

static int parse_disk(struct guest_spec *s, const char *arg, struct error **err)
{
    AUTO_FREE char *path = xstrdup(arg);
    struct guest_disk d = {0};
    /* A comma may also be part of the name. */
    for (char *comma; (comma = strrchr(path, ',')); *comma = '\0') {
        if (!strcmp(comma, ",ro"))
            d.readonly = true;
        else if (!strcmp(comma, ",format=raw"))
            d.raw = true;
        else if (str_starts(comma, ",format="))
            return error_set(err, 0, "--disk %s: the format must be raw", arg);
        else if (strcmp(comma, ",rw") != 0)
            break;
    }
    if (!*path)
        return error_set(err, 0, "--disk %s: must be FILE[,ro][,format=raw]", arg);
    d.path = absolute(path);
    s->disks = xrealloc(s->disks, (s->n_disks + 1) * sizeof *s->disks);
    s->disks[s->n_disks++] = d;
    return 0;
}

static int parse_hostname(struct guest_spec *s, const char *arg, struct error **err)
{
    size_t n = strlen(arg);
    if (n < 1 || n > 63 ||
        strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != n)
        return error_set(err, 0, "--hostname %s: must be 1 to 63 letters, digits, '.' and '-'",
                         arg);
    set_string(&s->hostname, xstrdup(arg));
    return 0;
}

static int parse_limit_option(struct guest_spec *s, int c, const char *arg, struct error **err)
{
    if (c == 'm') {
        if (parse_size(arg, "--memory", &s->limits.memory, err) < 0)
            return -1;
        return s->limits.memory ? 0 : error_set(err, 0, "--memory %s: must be more than 0", arg);
    }
    if (c == OPT_CPUS) {
        if (parse_cpus(arg, "--cpus", &s->limits.cpu_milli, err) < 0)
            return -1;
        return s->limits.cpu_milli ? 0 : error_set(err, 0, "--cpus %s: must be more than 0", arg);
    }
    if (!strcmp(arg, "-1")) /* docker's word for no limit */
        return 0;
    if (parse_u64(arg, "--pids-limit", &s->limits.pids, err) < 0)
        return -1;
    return s->limits.pids ? 0
                          : error_set(err, 0, "--pids-limit %s: must be more than 0, or -1", arg);
}

static int take_option(struct run *r, int c, char *arg)
{
    struct guest_spec *s = &r->spec;
    struct error **err = &r->err;
    switch (c) {
    case OPT_AS: return wall_parse(arg, &s->wall, err) < 0 ? error_prefix(err, "--as") : 0;
    case 'm':
    case OPT_CPUS:
    case OPT_PIDS: return parse_limit_option(s, c, arg, err);
    case 'v': return parse_volume(s, arg, err);
    case 'e': return parse_env(s, arg, err);
    case 'p': return parse_publish(s, arg, err);
    case OPT_DISK: return parse_disk(s, arg, err);
    case OPT_HOSTNAME: return parse_hostname(s, arg, err);
    case OPT_NETWORK:
        return network_parse(arg, &s->network, err) < 0 ? error_prefix(err, "--network") : 0;
    case 'w':
        if (arg[0] != '/')
            return error_set(err, 0, "--workdir %s: must be an absolute path", arg);
        set_string(&s->workdir, xstrdup(arg));
        break;
    case 'u': set_string(&s->user, xstrdup(arg)); break;
    case 'i': s->interactive = true; break;
    case 't': s->tty = true; break;
    case 'd': r->detach = true; break;
    case OPT_RM: s->auto_remove = true; break;
    case OPT_NAME: set_string(&r->name, xstrdup(arg)); break;
    case OPT_PLATFORM: set_string(&r->platform, xstrdup(arg)); break;
    case OPT_READ_ONLY: s->read_only = true; break;
    case OPT_KERNEL: set_string(&s->kernel, absolute(arg)); break;
    case OPT_INITRD: set_string(&s->initrd, absolute(arg)); break;
    case OPT_APPEND: set_string(&s->append, xstrdup(arg)); break;
    case OPT_FIRMWARE: set_string(&s->firmware, absolute(arg)); break;
    case OPT_CONFINE: s->confine = true; break;
    case OPT_INTERPRET: s->interpret = true; break;
    case OPT_TRACE: set_string(&s->trace, absolute(arg)); break;
    case OPT_STATS: s->stats = true; break;
    default: return error_set(err, 0, "option %c is not known", c);
    }
    return 0;
}

/* Carries a guest with a terminal until it ends or the user detaches. */
static int run_with_terminal(struct guest *g, struct error **err)
{
    int fd, status;
    if (monitor_start(g, &fd, &status, err) < 0) {
        cli_fail(*err);
        return status;
    }
    struct attach_options o = {.tty = true, .input = g->spec.interactive, .sig_proxy = true};
    enum attach_end end;
    int r = attach_run(fd, &o, &end, &status, err);
    close(fd);
    if (r < 0)
        return cli_fail(*err);
    return end == ATTACH_DETACHED ? 0 : status;
}

static int run_guest(struct guest *g, bool detach, struct error **err)
{
    int status;
    if (detach) {
        if (monitor_start(g, NULL, &status, err) < 0) {
            cli_fail(*err);
            return status;
        }
        printf("%s\n", g->id);
        return 0;
    }
    if (g->spec.tty)
        return run_with_terminal(g, err);
    if (monitor_run_attached(g, &status, err) < 0)
        cli_fail(*err);
    return status;
}

static int status_of_error(const struct error *err)
{
    return error_code(err) == ENOEXEC || error_code(err) == EACCES ? 126 : EXIT_WIRT;
}

static int run_parsed(struct cli *cli, struct run *r)
{
    int rest = r->p.argc - r->p.at;
    char **words = r->p.argv + r->p.at;
    if (run_target(&r->spec, rest ? words[0] : NULL, words + (rest ? 1 : 0), r->platform, &r->err) <
        0) {
        cli_misuse(&r->p, "%s", error_text(r->err));
        return status_of_error(r->err);
    }
    const struct wall *wall = wall_of(&r->spec);
    if (r->spec.confine && r->spec.wall != WALL_PROCESS)
        return cli_misuse(&r->p, "--confine: a %s is confined as it is; this is for --as process",
                          wall_name(r->spec.wall));
    if (wall == &wall_container && wall_protect_self(cli->argv, &r->err) < 0)
        return cli_fail(r->err);
    if (wall->check(&r->spec, &r->err) < 0)
        return cli_misuse(&r->p, "%s", error_text(r->err));
    struct store store;
    if (store_open(&store, cli->root, &r->err) < 0)
        return cli_fail(r->err);
    AUTO_GUEST *g = guest_create(&store, r->name, &r->spec, &r->err);
    int status = g ? run_guest(g, r->detach, &r->err) : cli_fail(r->err);
    store_close(&store);
    return status;
}

int verb_run(struct cli *cli, int argc, char **argv)
{
    struct run r = {0};
    r.spec.env = xcalloc(1, sizeof *r.spec.env);
    cli_parser_init(&r.p, &usage, argc, argv, true);
    int c, status;
    while ((c = cli_next(&r.p)) >= 0 && take_option(&r, c, r.p.arg) == 0)
        ;
    if (r.err)
        status = cli_misuse(&r.p, "%s", error_text(r.err));
    else if (c != CLI_END)
        status = cli_parse_end(c);
    else
        status = run_parsed(cli, &r);
    cli_parser_free(&r.p);
    spec_free(&r.spec);
    free(r.name);
    free(r.platform);
    error_free(&r.err);
    return status;
}
