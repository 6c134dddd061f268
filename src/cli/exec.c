#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"
#include "guest/wall.h"

static const struct cli_option options[] = {
    {"env", 'e', "NAME[=VALUE]", 'e', "set an environment variable, or pass on one"},
    {"workdir", 'w', "DIR", 'w', "working folder of the command"},
    {"user", 'u', "USER[:GROUP]", 'u', "user of the command"},
    {"interactive", 'i', NULL, 'i', "pass on standard input"},
    {"tty", 't', NULL, 't', "give the command a terminal"},
    {0},
};
static const struct cli_usage usage = {
    "exec [OPTIONS] GUEST COMMAND [ARG ...]",
    "Runs a command in a running guest, in its root file system. In a machine an agent runs it,\n"
    "one of wirt's guest files: it is there when the machine runs a root file system, a program,\n"
    "or the guest files' own initramfs or disk.",
    options,
};

struct request {
    struct wall_exec x;
    bool interactive;
    char **argv;
    int status;
};

static int exec_one(struct guest *g, void *arg, struct error **err)
{
    struct request *r = arg;
    const struct wall *wall = wall_of(&g->spec);
    if (g->status != GUEST_RUNNING)
        return error_set(err, 0, "the guest is not running, it is %s",
                         guest_status_name(g->status));
    if (wall == &wall_container && wall_protect_self(r->argv, err) < 0)
        return -1;
    if (!r->interactive && !r->x.tty && !freopen("/dev/null", "r", stdin))
        return error_set(err, errno, "/dev/null");
    if (wall->exec(g, &r->x, &r->status, err) == 0)
        return 0;
    int code = error_code(*err);
    r->status = code == ENOENT || code == ENOTDIR                     ? 127
                : code == EACCES || code == ENOEXEC || code == EISDIR ? 126
                                                                      : EXIT_WIRT;
    return -1;
}

int verb_exec(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct request r = {.status = EXIT_WIRT, .argv = cli->argv};
    r.x.env = xcalloc(1, sizeof *r.x.env);
    int c, status;
    cli_parser_init(&p, &usage, argc, argv, true);
    while ((c = cli_next(&p)) >= 0) {
        const char *value = c == 'e' && !strchr(p.arg, '=') ? getenv(p.arg) : NULL;
        if (c == 'e' && strchr(p.arg, '='))
            r.x.env = strv_add(r.x.env, xstrdup(p.arg));
        else if (value)
            r.x.env = strv_add(r.x.env, xasprintf("%s=%s", p.arg, value));
        else if (c == 'w')
            r.x.workdir = p.arg;
        else if (c == 'u')
            r.x.user = p.arg;
        r.x.tty |= c == 't';
        r.interactive |= c == 'i';
    }
    if (c != CLI_END) {
        status = cli_parse_end(c);
    } else if (argc - p.at < 2) {
        status = cli_misuse(&p, "takes a guest and a command");
    } else {
        char *guest[] = {argv[p.at], NULL};
        r.x.command = argv + p.at + 1;
        cli_each_guest(cli, guest, false, exec_one, &r);
        status = r.status;
    }
    cli_parser_free(&p);
    strv_free(r.x.env);
    return status;
}
