#include <signal.h>

#include "cli/cli.h"
#include "guest/lifecycle.h"

static const struct cli_option options[] = {
    {"signal", 's', "SIGNAL", 's', "number or name (default KILL)"},
    {0},
};
static const struct cli_usage usage = {
    "kill [OPTIONS] GUEST...",
    "Sends a signal to the first process of guests. A machine takes KILL, TERM, INT, HUP and QUIT.",
    options,
};

static int kill_one(struct guest *g, void *arg, struct error **err)
{
    return guest_kill(g, *(int *)arg, err);
}

int verb_kill(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    ERROR_CLEANUP err = NULL;
    int sig = SIGKILL, c;
    cli_parser_init(&p, &usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0 && cli_parse_signal(p.arg, &sig, &err) == 0)
        ;
    cli_parser_free(&p);
    if (err)
        return cli_misuse(&p, "--signal: %s", error_text(err));
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at == argc)
        return cli_misuse(&p, "which guest? Give a name or id");
    return cli_each_guest(cli, argv + p.at, true, kill_one, &sig);
}
