/* wirt-oci create, run */
#include <limits.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "cli/oci.h"
#include "container/container.h"

enum {
    OPT_CONSOLE = 256,
    OPT_PID_FILE,
    OPT_PRESERVE,
    OPT_NO_PIVOT,
    OPT_NO_KEYRING,
    OPT_IGNORED,
    OPT_KEEP,
};

static int parse(int argc, char **argv, struct container_options *o)
{
    static const struct option options[] = {
        {"bundle", required_argument, NULL, 'b'},
        {"config", required_argument, NULL, 'f'},
        {"detach", no_argument, NULL, 'd'},
        {"console-socket", required_argument, NULL, OPT_CONSOLE},
        {"pid-file", required_argument, NULL, OPT_PID_FILE},
        {"preserve-fds", required_argument, NULL, OPT_PRESERVE},
        {"no-pivot", no_argument, NULL, OPT_NO_PIVOT},
        {"no-new-keyring", no_argument, NULL, OPT_NO_KEYRING},
        {"no-subreaper", no_argument, NULL, OPT_IGNORED},
        {"keep", no_argument, NULL, OPT_KEEP},
        {0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "+:b:f:d", options, NULL)) != -1) {
        switch (c) {
        case 'b': o->bundle = optarg; break;
        case 'f': o->config = optarg; break;
        case 'd': o->detach = true; break;
        case OPT_CONSOLE: o->console_socket = optarg; break;
        case OPT_PID_FILE: o->pid_file = optarg; break;
        case OPT_PRESERVE:
            if (oci_preserve_fds(argv[0], optarg, &o->preserve_fds))
                return 1;
            break;
        case OPT_NO_PIVOT: o->no_pivot = true; break;
        case OPT_NO_KEYRING: o->no_new_keyring = true; break;
        case OPT_KEEP: o->keep = true; break;
        case OPT_IGNORED: break;
        default: return oci_bad_option(argv[0], argv);
        }
    }
    return 0;
}

/* Descriptors handed over by socket activation count too, and say so in the environment. */
static void add_listen_fds(struct container_options *o)
{
    const char *s = getenv("LISTEN_FDS");
    uint64_t n;
    if (s && parse_u64(s, "LISTEN_FDS", &n, NULL) == 0 && n < 65536)
        o->preserve_fds += (int)n;
}

int oci_create(const struct oci_globals *g, int argc, char **argv)
{
    struct container_options o = {.root = g->root,
                                  .systemd_cgroup = g->systemd_cgroup,
                                  .cgroup_disabled = g->cgroup_disabled};
    const char *id;
    pid_t pid;
    struct error *err = NULL;
    if (parse(argc, argv, &o) != 0 || !(id = oci_one_id(argc, argv)))
        return 1;
    add_listen_fds(&o);
    return container_create(id, &o, &pid, &err) < 0 ? oci_fail(&err) : 0;
}

int oci_run(const struct oci_globals *g, int argc, char **argv)
{
    struct container_options o = {.root = g->root,
                                  .systemd_cgroup = g->systemd_cgroup,
                                  .cgroup_disabled = g->cgroup_disabled};
    const char *id;
    int status;
    struct error *err = NULL;
    if (parse(argc, argv, &o) != 0 || !(id = oci_one_id(argc, argv)))
        return 1;
    add_listen_fds(&o);
    return container_run(id, &o, &status, &err) < 0 ? oci_fail(&err) : status;
}
