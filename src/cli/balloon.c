#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "cli/cli.h"
#include "guest/balance.h"
#include "guest/control.h"
#include "guest/lifecycle.h"

enum {
    OPT_JSON = 256,
    OPT_AUTO,
    OPT_LOW,
    OPT_HIGH
};

static const struct cli_option options[] = {
    {"json", 0, NULL, OPT_JSON, "a JSON object"},
    {"auto", 0, "on|off", OPT_AUTO, "balance all machines by the host's memory, or not"},
    {"low", 0, "SIZE", OPT_LOW, "with --auto: below so much available memory machines give"},
    {"high", 0, "SIZE", OPT_HIGH, "with --auto: above so much they get it back"},
    {0},
};
static const struct cli_usage usage = {
    "balloon [OPTIONS] GUEST [SIZE]\n"
    "       wirt balloon --auto on|off [--low SIZE] [--high SIZE]",
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

static int set_automatic(struct cli *cli, const char *word, const struct balance_settings *given,
                         struct error **err)
{
    struct store store;
    struct balance_settings set = *given;
    set.automatic = !strcmp(word, "on");
    if (!set.automatic && strcmp(word, "off") != 0)
        return error_set(err, 0, "--auto %s: must be on or off", word);
    if (set.low && set.high && set.high < set.low)
        return error_set(err, 0, "--high: must not be less than --low");
    if (store_open(&store, cli->root, err) < 0)
        return -1;
    int r = balance_settings_write(&store, &set, err);
    store_close(&store);
    return r;
}

int verb_balloon(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct request r = {0};
    struct balance_settings set = {0};
    const char *automatic = NULL;
    ERROR_CLEANUP err = NULL;
    int c, bad = 0;
    cli_parser_init(&p, &usage, argc, argv, false);
    while (!bad && (c = cli_next(&p)) >= 0) {
        if (c == OPT_LOW)
            bad = parse_size(p.arg, "--low", &set.low, &err);
        else if (c == OPT_HIGH)
            bad = parse_size(p.arg, "--high", &set.high, &err);
        else if (c == OPT_AUTO)
            automatic = p.arg;
        r.json |= c == OPT_JSON;
    }
    cli_parser_free(&p);
    if (bad)
        return cli_misuse(&p, "%s", error_text(err));
    if (c != CLI_END)
        return cli_parse_end(c);
    if (automatic && argc == p.at)
        return set_automatic(cli, automatic, &set, &err) < 0 ? cli_misuse(&p, "%s", error_text(err))
                                                             : 0;
    if (automatic || set.low || set.high || argc - p.at < 1 || argc - p.at > 2)
        return cli_misuse(&p, "takes a guest and a size, or --auto on|off");
    char *guest[] = {argv[p.at], NULL};
    r.size = argc - p.at == 2 ? argv[p.at + 1] : NULL;
    return cli_each_guest(cli, guest, false, balloon_one, &r) ? EXIT_WIRT : 0;
}
