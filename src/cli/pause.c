#include "cli/cli.h"
#include "guest/lifecycle.h"

static const struct cli_option no_options[] = {{0}};
static const struct cli_usage pause_usage = {
    "pause GUEST...", "Holds guests still: no process or hart of them runs.", no_options};
static const struct cli_usage resume_usage = {"resume GUEST...", "Lets paused guests go on.",
                                              no_options};

static int pause_one(struct guest *g, void *arg, struct error **err)
{
    return guest_pause(g, err);
}

static int resume_one(struct guest *g, void *arg, struct error **err)
{
    return guest_resume(g, err);
}

static int each(struct cli *cli, const struct cli_usage *usage, int argc, char **argv,
                int (*fn)(struct guest *g, void *arg, struct error **err))
{
    struct cli_parser p;
    cli_parser_init(&p, usage, argc, argv, false);
    int c = cli_next(&p);
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at == argc)
        return cli_misuse(&p, "which guest? Give a name or id");
    return cli_each_guest(cli, argv + p.at, true, fn, NULL);
}

int verb_pause(struct cli *cli, int argc, char **argv)
{
    return each(cli, &pause_usage, argc, argv, pause_one);
}

int verb_resume(struct cli *cli, int argc, char **argv)
{
    return each(cli, &resume_usage, argc, argv, resume_one);
}
