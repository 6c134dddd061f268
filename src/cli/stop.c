#include "cli/cli.h"

#include "base/str.h"
#include "guest/lifecycle.h"

static const struct cli_option options[] = {
    {"time", 't', "SECONDS", 't', "how long to wait before killing (default 10)"},
    {0},
};
static const struct cli_usage usage = {
    "stop [OPTIONS] GUEST...",
    "Asks guests to end, and kills them when they do not. The command gets SIGTERM; a machine\n"
    "with a system of its own powers off, if an agent is in it, else it is ended at once.",
    options,
};

static int stop_one(struct guest *g, void *arg, struct error **err)
{
    return guest_stop(g, *(int64_t *)arg, err);
}

int verb_stop(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct error *err = NULL;
    int64_t seconds = 10;
    cli_parser_init(&p, &usage, argc, argv, false);
    int c;
    while ((c = cli_next(&p)) >= 0) {
        if (parse_i64(p.arg, "--time", &seconds, &err) < 0 || seconds < 0 || seconds > 1000000) {
            error_free(&err);
            cli_parser_free(&p);
            return cli_misuse(&p, "--time %s: must be 0 to 1000000 seconds", p.arg);
        }
    }
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at == argc)
        return cli_misuse(&p, "which guest? Give a name or id");
    return cli_each_guest(cli, argv + p.at, true, stop_one, &seconds);
}
