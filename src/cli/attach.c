#include "guest/attach.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "guest/control.h"

static const struct cli_option options[] = {
    {"no-stdin", 0, NULL, 256, "do not pass on standard input"},
    {0},
};
static const struct cli_usage usage = {
    "attach [OPTIONS] GUEST",
    "Connects this terminal to a running guest: its output from now on, and input when the guest\n"
    "has any. ctrl-p ctrl-q detaches from a guest with a terminal. Exits as the guest does.",
    options,
};

struct request {
    bool input;
    int status;
};

static int attach_one(struct guest *g, void *arg, struct error **err)
{
    struct request *r = arg;
    if (!guest_active(g))
        return error_set(err, 0, "the guest is not running, it is %s",
                         guest_status_name(g->status));
    AUTO_CLOSE int fd = control_connect(g, err);
    if (fd < 0)
        return -1;
    json_object *request = control_request("attach");
    json_put_bool(request, "stdin", r->input);
    AUTO_JSON *answer = control_call_fd(fd, request, 10000, err);
    if (!answer)
        return -1;
    struct attach_options o = {
        .tty = json_get_bool(answer, "tty", false), .input = r->input, .sig_proxy = true};
    enum attach_end end;
    if (attach_run(fd, &o, &end, &r->status, err) < 0)
        return -1;
    if (end == ATTACH_DETACHED)
        r->status = 0;
    return 0;
}

int verb_attach(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct request r = {.input = true};
    int c;
    cli_parser_init(&p, &usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0)
        r.input = false;
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at != argc - 1)
        return cli_misuse(&p, "takes one guest");
    int failed = cli_each_guest(cli, argv + p.at, false, attach_one, &r);
    return failed ? EXIT_WIRT : r.status;
}
