#include "base/log.h"
#include "cli/cli.h"

static const struct cli_option options[] = {
    {"json", 0, NULL, 256, "JSON, which is what it prints anyway"},
    {0},
};
static const struct cli_usage usage = {"inspect GUEST...",
                                       "Prints all about guests as a JSON array.", options};

static int inspect_one(struct guest *g, void *arg, struct error **err)
{
    json_object_array_add(arg, guest_to_json(g));
    return 0;
}

int verb_inspect(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    int c;
    cli_parser_init(&p, &usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0)
        ;
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at == argc)
        return cli_misuse(&p, "which guest? Give a name or id");
    AUTO_JSON *a = json_object_new_array();
    int status = cli_each_guest(cli, argv + p.at, false, inspect_one, a);
    cli_print_json(a);
    return status;
}
