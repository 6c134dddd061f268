#include "cli/cli.h"
#include "guest/lifecycle.h"

static const struct cli_option options[] = {
    {"force", 'f', NULL, 'f', "also running guests, which are killed, and damaged ones"},
    {0},
};
static const struct cli_usage usage = {"rm [OPTIONS] GUEST...", "Removes guests that have ended.",
                                       options};

static int rm_one(struct guest *g, void *arg, struct error **err)
{
    return guest_delete(g, *(bool *)arg, err);
}

int verb_rm(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    bool force = false;
    int c;
    cli_parser_init(&p, &usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0)
        force = true;
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at == argc)
        return cli_misuse(&p, "which guest? Give a name or id");
    return cli_each_guest(cli, argv + p.at, true, rm_one, &force);
}
