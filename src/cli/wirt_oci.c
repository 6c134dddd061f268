/* wirt-oci, the OCI runtime: global options and the choice of the verb. The command line is that
 * of runc and crun, so that podman, containerd and docker can call it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/oci.h"
#include "container/config.h"
#include "container/container.h"
#include "container/descriptors.h"

static const struct verb {
    const char *name;
    int (*run)(const struct oci_globals *g, int argc, char **argv);
    const char *help, *usage;
    bool enters; /* has a process in a container: the program's file is protected first */
} verbs[] = {
    {"create", oci_create, "make a container, its command not yet started",
     "[--bundle DIR] [--config FILE] [--console-socket SOCKET] [--pid-file FILE]\n"
     "    [--preserve-fds N] [--no-pivot] [--no-new-keyring] CONTAINER",
     true},
    {"start", oci_start, "start the command of a created container", "CONTAINER", false},
    {"state", oci_state, "print a container's state as JSON", "CONTAINER", false},
    {"kill", oci_kill, "send a signal to a container", "[--all] [--regex] CONTAINER [SIGNAL]",
     false},
    {"delete", oci_delete, "remove a stopped container", "[--force] [--regex] CONTAINER", false},
    {"run", oci_run, "create, start, wait and delete in one",
     "[--detach] [--keep] [the options of create] CONTAINER", true},
    {"exec", oci_exec, "run a command in a running container",
     "[--tty] [--detach] [--user UID[:GID]] [--env NAME=VALUE] [--cwd DIR] [--cap NAME]\n"
     "    [--no-new-privs] [--cgroup PATH] [--pid-file FILE] [--console-socket SOCKET]\n"
     "    [--preserve-fds N] [--apparmor PROFILE] [--process-label LABEL]\n"
     "    CONTAINER COMMAND [ARG ...]   or   --process FILE CONTAINER",
     true},
    {"list", oci_list, "list containers", "[--format table|json] [--quiet]", false},
    {"ps", oci_ps, "list the processes in a container",
     "[--format table|json] CONTAINER [PS-OPTION ...]", false},
    {"pause", oci_pause, "freeze a container", "CONTAINER", false},
    {"resume", oci_resume, "thaw a container", "CONTAINER", false},
    {"update", oci_update, "change a container's limits",
     "[--memory N] [--memory-swap N] [--memory-reservation N] [--cpu-quota US]\n"
     "    [--cpu-period US] [--cpu-share N] [--cpu-burst US] [--cpu-idle 0|1] [--cpuset-cpus "
     "LIST]\n"
     "    [--cpuset-mems LIST] [--pids-limit N] [--blkio-weight N] [--resources FILE|-] CONTAINER",
     false},
    {"events", oci_events, "print usage and out-of-memory events as JSON",
     "[--stats] [--interval SECONDS] CONTAINER", false},
    {"features", oci_features, "print what this runtime can do as JSON", "", false},
    {"spec", oci_spec, "write a config.json to start from",
     "[--bundle DIR] [--file FILE] [--rootless]", false},
};
#define VERBS (sizeof verbs / sizeof *verbs)

static void print_help(FILE *f)
{
    fprintf(f, "Usage: wirt-oci [GLOBAL OPTION ...] VERB [OPTION ...] [CONTAINER] ...\n\nVerbs:\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    fprintf(f, "\nGlobal options:\n"
               "  --root DIR               where containers' states are (default /run/wirt-oci)\n"
               "  --log FILE               errors go there too\n"
               "  --log-format text|json   how (default text)\n"
               "  --debug                  say more\n"
               "  --cgroup-manager NAME    cgroupfs (default) or disabled\n"
               "  --systemd-cgroup         refused by create and run: systemd is not spoken to\n"
               "  --rootless VALUE         accepted; found out by itself\n"
               "  --help, --version\n");
}

int oci_fail(struct error **err)
{
    log_error("%s", error_text(*err));
    error_free(err);
    return 1;
}

int oci_usage(const char *verb, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    log_error("%s: %s (try 'wirt-oci --help')", verb, text ? text : "wrong usage");
    free(text);
    return 1;
}

const char *oci_one_id(int argc, char **argv)
{
    if (optind == argc - 1)
        return argv[optind];
    oci_usage(argv[0], optind >= argc ? "the container's id is missing"
                                      : "more operands than the container's id");
    return NULL;
}

int oci_preserve_fds(const char *verb, const char *arg, int *out)
{
    ERROR_CLEANUP err = NULL;
    uint64_t n;
    if (parse_u64(arg, "--preserve-fds", &n, &err) < 0)
        return oci_fail(&err);
    if (n > 65536)
        return oci_usage(verb, "--preserve-fds: %s are too many", arg);
    *out = (int)n;
    return 0;
}

int oci_bad_option(const char *verb, char **argv)
{
    /* With '+' and ':' in the option string getopt says nothing itself. */
    return oci_usage(verb, "option %s is unknown, or lacks its value", argv[optind - 1]);
}

int oci_signal(const char *s)
{
    char *end;
    long n = strtol(s, &end, 10);
    if (*s && !*end)
        return n >= 0 && n <= SIGRTMAX ? (int)n : -1;
    if (!strncasecmp(s, "SIG", 3))
        s += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *name = sigabbrev_np(i);
        if (name && !strcasecmp(name, s))
            return i;
    }
    if (!strncasecmp(s, "RTMIN", 5) || !strncasecmp(s, "RTMAX", 5)) {
        long d = strtol(s + 5, &end, 10);
        long sig = (strncasecmp(s, "RTMIN", 5) ? SIGRTMAX : SIGRTMIN) + (s[5] ? d : 0);
        return !*end && sig >= SIGRTMIN && sig <= SIGRTMAX ? (int)sig : -1;
    }
    return -1;
}

enum {
    OPT_ROOT = 256,
    OPT_LOG,
    OPT_FORMAT,
    OPT_DEBUG,
    OPT_SYSTEMD,
    OPT_MANAGER,
    OPT_ROOTLESS
};

struct log_options {
    const char *file;
    bool json, debug;
};

/* Global options up to the verb. 0, or the exit status + 1. */
static int parse_globals(int argc, char **argv, struct oci_globals *g, struct log_options *l)
{
    static const struct option options[] = {
        {"root", required_argument, NULL, OPT_ROOT},
        {"log", required_argument, NULL, OPT_LOG},
        {"log-format", required_argument, NULL, OPT_FORMAT},
        {"log-level", required_argument, NULL, OPT_ROOTLESS},
        {"debug", no_argument, NULL, OPT_DEBUG},
        {"systemd-cgroup", no_argument, NULL, OPT_SYSTEMD},
        {"cgroup-manager", required_argument, NULL, OPT_MANAGER},
        {"rootless", required_argument, NULL, OPT_ROOTLESS},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "+:hvV", options, NULL)) != -1) {
        switch (c) {
        case OPT_ROOT: g->root = optarg; break;
        case OPT_LOG: l->file = optarg; break;
        case OPT_FORMAT:
            if (strcmp(optarg, "text") && strcmp(optarg, "json"))
                return oci_usage("--log-format", "'%s' is neither text nor json", optarg) + 1;
            l->json = optarg[0] == 'j';
            break;
        case OPT_DEBUG: l->debug = true; break;
        case OPT_SYSTEMD: g->systemd_cgroup = true; break;
        case OPT_MANAGER:
            if (strcmp(optarg, "cgroupfs") && strcmp(optarg, "systemd") &&
                strcmp(optarg, "disabled"))
                return oci_usage("--cgroup-manager", "'%s' is neither cgroupfs nor disabled",
                                 optarg) +
                       1;
            g->systemd_cgroup = optarg[0] == 's';
            g->cgroup_disabled = optarg[0] == 'd';
            break;
        case OPT_ROOTLESS: break;
        case 'h': print_help(stdout); return 1;
        case 'v':
        case 'V': printf("wirt-oci version %s\nspec: %s\n", WIRT_VERSION, OCI_VERSION); return 1;
        default: return oci_bad_option("wirt-oci", argv) + 1;
        }
    }
    return 0;
}

static int open_log(const struct log_options *l)
{
    log_init("wirt-oci", l->debug ? LOG_DEBUG : LOG_WARN);
    if (!l->file)
        return 0;
    int fd = open(l->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return oci_usage("--log", "open %s: %s", l->file, strerror(errno));
    log_to_fd(fd, l->json);
    return 0;
}

static int print_verb_help(const struct verb *v)
{
    printf("Usage: wirt-oci %s %s\n\n%s.\n", v->name, v->usage, v->help);
    return fflush(stdout) != 0;
}

static int run_verb(const struct verb *v, const struct oci_globals *g, int argc, char **argv,
                    char **whole)
{
    struct error *err = NULL;
    /* exec's operands are a command line of their own, which may say --help too. */
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return print_verb_help(v);
    if (v->enters && container_protect_binary(whole, &err) < 0)
        return oci_fail(&err);
    optind = 0;
    return v->run(g, argc, argv);
}

int main(int argc, char **argv)
{
    struct oci_globals g = {0};
    struct log_options l = {0};
    log_init("wirt-oci", LOG_WARN);
    /* A file that may not grow is an error with a name, and not the end. */
    signal(SIGXFSZ, SIG_IGN);
    struct error *err = NULL;
    if (descriptors_fill_streams(&err) < 0)
        return oci_fail(&err);
    int r = parse_globals(argc, argv, &g, &l);
    if (r)
        return r - 1;
    if (open_log(&l) != 0)
        return 1;
    if (optind == argc) {
        print_help(stderr);
        return 1;
    }
    char **rest = argv + optind;
    for (size_t i = 0; i < VERBS; i++)
        if (!strcmp(verbs[i].name, rest[0]))
            return run_verb(&verbs[i], &g, argc - optind, rest, argv);
    return oci_usage(rest[0], "no such verb");
}
