/* wirt-machine: one machine in a process of its own. `wirt run --as machine` starts it; the option
 * file it writes is the only input. Its uart is standard input and output. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "guest/json.h"
#include "machine/launch.h"

#define EXIT_WIRT  125
#define MAX_CONFIG (1u << 20)
#define MAX_LIST   64u
#define FD_MAX     1024

static const char usage[] =
    "usage: wirt-machine --config FILE [--control FD] [--agent FD]\n"
    "Runs the machine that FILE, a JSON object, describes; `wirt run --as machine` writes it.\n"
    "Members: kernel, initrd, append, firmware, memory (bytes), harts, disks [{path, readonly}],\n"
    "shares [{tag, path, readonly}], network, hostLoopback, linkLocal, forwards [{hostAddress, "
    "hostPort, guestPort, udp}],\n"
    "hostname, interpret, stats, trace.\n"
    "FD is a connected stream socket: for requests, or to the agent in the guest.\n";

static unsigned disks_from_json(json_object *a, struct machine_disk *out)
{
    unsigned n = 0;
    for (size_t i = 0; a && i < json_object_array_length(a) && n < MAX_LIST; i++) {
        json_object *d = json_object_array_get_idx(a, i);
        const char *path = json_get_str(d, "path", NULL);
        if (path)
            out[n++] = (struct machine_disk){path, json_get_bool(d, "readonly", false)};
    }
    return n;
}

static unsigned shares_from_json(json_object *a, struct machine_share *out)
{
    unsigned n = 0;
    for (size_t i = 0; a && i < json_object_array_length(a) && n < MAX_LIST; i++) {
        json_object *s = json_object_array_get_idx(a, i);
        const char *tag = json_get_str(s, "tag", NULL), *path = json_get_str(s, "path", NULL);
        if (tag && path)
            out[n++] = (struct machine_share){tag, path, json_get_bool(s, "readonly", false)};
    }
    return n;
}

static unsigned forwards_from_json(json_object *a, struct nat_forward *out)
{
    unsigned n = 0;
    for (size_t i = 0; a && i < json_object_array_length(a) && n < MAX_LIST; i++) {
        json_object *f = json_object_array_get_idx(a, i);
        out[n++] = (struct nat_forward){
            .host_addr = (uint32_t)json_get_int(f, "hostAddress", 0),
            .host_port = (uint16_t)json_get_int(f, "hostPort", 0),
            .guest_port = (uint16_t)json_get_int(f, "guestPort", 0),
            .udp = json_get_bool(f, "udp", false),
        };
    }
    return n;
}

static struct machine_file file_from_json(json_object *o, const char *name)
{
    return (struct machine_file){.path = json_get_str(o, name, NULL)};
}

static _Noreturn void run(json_object *o, int control, int agent)
{
    struct machine_disk disks[MAX_LIST];
    struct machine_share shares[MAX_LIST];
    struct nat_forward forwards[MAX_LIST];
    int64_t memory = json_get_int(o, "memory", 0), harts = json_get_int(o, "harts", 0);
    struct machine_config c = {
        .kernel = file_from_json(o, "kernel"),
        .initrd = file_from_json(o, "initrd"),
        .append = json_get_str(o, "append", NULL),
        .firmware = file_from_json(o, "firmware"),
        .memory = memory > 0 ? (uint64_t)memory : 0,
        .harts = harts > 0 && harts <= UINT32_MAX ? (unsigned)harts : 0,
        .disks = disks,
        .n_disks = disks_from_json(json_get_arr(o, "disks"), disks),
        .shares = shares,
        .n_shares = shares_from_json(json_get_arr(o, "shares"), shares),
        .interpret = json_get_bool(o, "interpret", false),
        .stats = json_get_bool(o, "stats", false),
        .trace = file_from_json(o, "trace"),
        .console_in = STDIN_FILENO,
        .console_out = STDOUT_FILENO,
        .control = control,
        .agent = agent,
    };
    struct nat_config nat = {
        .host_loopback = json_get_bool(o, "hostLoopback", false),
        .link_local = json_get_bool(o, "linkLocal", false),
        .forwards = forwards,
        .n_forwards = forwards_from_json(json_get_arr(o, "forwards"), forwards),
        .hostname = json_get_str(o, "hostname", NULL),
    };
    machine_launch(&c, json_get_bool(o, "network", false) ? &nat : NULL);
}

static int parse_fd(const char *option, int *fd, struct error **err)
{
    uint64_t n;
    if (parse_u64(optarg, option, &n, err) < 0)
        return -1;
    if (n > FD_MAX)
        return error_set(err, 0, "%s %s: must be the number of an open descriptor", option, optarg);
    *fd = (int)n;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"control", required_argument, NULL, 'f'},
        {"agent", required_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *config = NULL;
    int control = -1, agent = -1, r = 0;
    ERROR_CLEANUP err = NULL;
    log_init("wirt-machine", LOG_INFO);
    for (int c; !r && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'h': printf("%s", usage); return 0;
        case 'c': config = optarg; break;
        case 'f': r = parse_fd("--control", &control, &err); break;
        case 'a': r = parse_fd("--agent", &agent, &err); break;
        default: r = error_set(&err, 0, "unknown option or no argument");
        }
    }
    if (r < 0) {
        log_error("%s (wirt-machine --help)", error_text(err));
        return EXIT_WIRT;
    }
    if (!config || optind != argc) {
        log_error("takes --config FILE (wirt-machine --help)");
        return EXIT_WIRT;
    }
    AUTO_JSON *o = json_read_file_at(AT_FDCWD, config, MAX_CONFIG, &err);
    if (!o) {
        error_prefix(&err, "--config");
        return machine_refuse(control, error_text(err));
    }
    run(o, control, agent);
}
