#include "base/str.h"
#include "cli/cli.h"
#include "guest/lifecycle.h"

enum {
    OPT_CPUS = 256,
    OPT_PIDS
};

static const struct cli_option options[] = {
    {"cpus", 0, "N", OPT_CPUS, "CPU time in CPUs (1.5)"},
    {"memory", 'm', "SIZE", 'm', "memory: bytes, or with k, m, g"},
    {"pids-limit", 0, "N", OPT_PIDS, "most processes and threads"},
    {0},
};
static const struct cli_usage usage = {"update OPTIONS GUEST...",
                                       "Changes the limits of running guests.", options};

static int update_one(struct guest *g, void *arg, struct error **err)
{
    return guest_update(g, arg, err);
}

int verb_update(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    ERROR_CLEANUP err = NULL;
    struct guest_limits l = {0};
    int c, r = 0;
    cli_parser_init(&p, &usage, argc, argv, false);
    while (r == 0 && (c = cli_next(&p)) >= 0)
        r = c == 'm'        ? parse_size(p.arg, "--memory", &l.memory, &err)
            : c == OPT_CPUS ? parse_cpus(p.arg, "--cpus", &l.cpu_milli, &err)
                            : parse_u64(p.arg, "--pids-limit", &l.pids, &err);
    cli_parser_free(&p);
    if (r < 0)
        return cli_misuse(&p, "%s", error_text(err));
    if (c != CLI_END)
        return cli_parse_end(c);
    if (!l.memory && !l.cpu_milli && !l.pids)
        return cli_misuse(&p, "which limit? --cpus, --memory or --pids-limit, more than 0");
    if (p.at == argc)
        return cli_misuse(&p, "which guest? Give a name or id");
    return cli_each_guest(cli, argv + p.at, true, update_one, &l);
}
