#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "cli/cli.h"
#include "guest/control.h"
#include "guest/lifecycle.h"

static const struct cli_option options[] = {
    {"json", 0, NULL, 256, "a JSON object"},
    {0},
};
static const struct cli_usage usage = {
    "balloon [OPTIONS] GUEST [SIZE]",
    "Shows a machine's balloon, or sets how much memory the machine is left with: the rest goes\n"
    "back to the host. SIZE is in bytes, or with k, m, g; the machine's full size deflates it.",
    options,
};

struct request {
    const char *size;
    bool json;
};

static int set_balloon(struct guest *g, const char *text, struct error **err)
{
    uint64_t size;
    if (parse_size(text, "SIZE", &size, err) < 0)
        return -1;
    if (size > g->spec.limits.memory)
        return error_set(err, 0, "SIZE %s: the machine has only %llu bytes", text,
                         (unsigned long long)g->spec.limits.memory);
    json_object *request = control_request("balloon");
    json_put_int(request, "bytes", (int64_t)size);
    AUTO_JSON *answer = guest_machine_request(g, request, err);
    return answer ? 0 : -1;
}

static int balloon_one(struct guest *g, void *arg, struct error **err)
{
    struct request *r = arg;
    if (g->spec.wall != WALL_MACHINE)
        return error_set(err, 0,
                         "only a machine has a balloon; a %s's memory is limited with wirt "
                         "update --memory",
                         wall_name(g->spec.wall));
    if (r->size && set_balloon(g, r->size, err) < 0)
        return -1;
    AUTO_JSON *stats = guest_machine_request(g, control_request("stats"), err);
    json_object *balloon = json_get_obj(stats, "balloon");
    if (!stats)
        return -1;
    if (!balloon)
        return error_set(err, 0, "the machine has no balloon");
    if (r->json) {
        cli_print_json(balloon);
        return 0;
    }
    json_object_object_foreach(balloon, key, value)
        printf("%-16s %s\n", key, json_object_get_string(value));
    return 0;
}

int verb_balloon(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct request r = {0};
    int c;
    cli_parser_init(&p, &usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0)
        r.json = true;
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (argc - p.at < 1 || argc - p.at > 2)
        return cli_misuse(&p, "takes a guest and a size");
    char *guest[] = {argv[p.at], NULL};
    r.size = argc - p.at == 2 ? argv[p.at + 1] : NULL;
    return cli_each_guest(cli, guest, false, balloon_one, &r) ? EXIT_WIRT : 0;
}
