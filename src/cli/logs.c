#include <stdio.h>

#include "base/str.h"
#include "cli/cli.h"
#include "guest/logfile.h"

static const struct cli_option options[] = {
    {"follow", 'f', NULL, 'f', "wait for more, until the guest ends"},
    {"timestamps", 't', NULL, 't', "the time in front of each line"},
    {"tail", 'n', "N", 'n', "only the last N lines (all: every one)"},
    {0},
};
static const struct cli_usage usage = {"logs [OPTIONS] GUEST", "Prints what a guest has written.",
                                       options};

static bool guest_has_ended(void *arg)
{
    struct guest *g = arg;
    guest_refresh(g);
    return !guest_active(g);
}

static int print_one(struct guest *g, void *arg, struct error **err)
{
    struct log_query *q = arg;
    q->ended = guest_has_ended;
    q->arg = g;
    return log_print(g->dirfd, q, stdout, stderr, err);
}

int verb_logs(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct log_query q = {.tail = -1};
    uint64_t n;
    int c;
    cli_parser_init(&p, &usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0) {
        q.follow |= c == 'f';
        q.timestamps |= c == 't';
        if (c != 'n' || (p.arg[0] == 'a' && p.arg[1] == 'l' && p.arg[2] == 'l' && !p.arg[3]))
            continue;
        if (parse_u64(p.arg, "--tail", &n, NULL) < 0 || n > INT64_MAX) {
            cli_parser_free(&p);
            return cli_misuse(&p, "--tail %s: must be a number of lines, or all", p.arg);
        }
        q.tail = (int64_t)n;
    }
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at != argc - 1)
        return cli_misuse(&p, "takes one guest");
    return cli_each_guest(cli, argv + p.at, false, print_one, &q);
}
