/* The `wirt` command: one file a verb. A verb parses, prints, and calls the layers below. */
#ifndef WIRT_CLI_CLI_H
#define WIRT_CLI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "guest/guest.h"

/* Exit statuses are docker's: 125 wirt itself failed, 126 the command cannot run, 127 it is not
 * there, otherwise the guest's. */
#define EXIT_WIRT 125

struct cli {
    const char *root; /* --root; NULL: the default */
    char **argv;      /* main's */
};

/* A verb: argv[0] is its name. Answers the exit status. */
typedef int verb_fn(struct cli *cli, int argc, char **argv);

verb_fn verb_run, verb_ps, verb_stop, verb_kill, verb_rm, verb_exec, verb_attach, verb_logs,
    verb_inspect, verb_pause, verb_resume, verb_update, verb_stats, verb_top, verb_balloon,
    verb_binfmt;

/* One option of a verb: getopt_long's, with its help. */
struct cli_option {
    const char *name; /* long; NULL: only short */
    char letter;      /* short; 0: none */
    const char *arg;  /* name of the value; NULL: takes none */
    int id;           /* what cli_next answers; for a letter usually the letter */
    const char *help;
};

struct cli_usage {
    const char *synopsis;    /* behind "wirt " */
    const char *description; /* one sentence */
    const struct cli_option *options;
};

/* The state of one verb's parsing. */
struct cli_parser {
    const struct cli_usage *usage;
    int argc;
    char **argv;
    struct option *longs;
    char *shorts;
    int at;    /* words behind the options begin here, after CLI_END */
    char *arg; /* the value of the option just answered */
};

enum {
    CLI_END = -1,
    CLI_ERROR = -2, /* a message has been printed: exit 125 */
    CLI_HELP = -3,  /* the help has been printed: exit 0 */
};

/* stop_early: the first word that is no option ends the options (a guest's command follows). */
void cli_parser_init(struct cli_parser *p, const struct cli_usage *u, int argc, char **argv,
                     bool stop_early);
int cli_next(struct cli_parser *p);
void cli_parser_free(struct cli_parser *p);

/* The exit status for CLI_ERROR and CLI_HELP. */
int cli_parse_end(int what);

/* Prints "wirt VERB: FORMAT" and where to find help; EXIT_WIRT. */
int cli_misuse(const struct cli_parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints an error; EXIT_WIRT. */
int cli_fail(struct error *err);

void cli_print_usage(const struct cli_usage *u, FILE *f);

/* Does fn for each guest named; what fails is said and does not keep the others from it. Answers 0,
 * or 1 when one failed. Prints each name done when say is true. */
int cli_each_guest(struct cli *cli, char **refs, bool say,
                   int (*fn)(struct guest *g, void *arg, struct error **err), void *arg);

/* A signal by number or name, with or without SIG. */
int cli_parse_signal(const char *s, int *sig, struct error **err);

/* Prints an object, indented, with a line end. */
void cli_print_json(json_object *o);

/* "3 minutes", for a time that was so long ago. */
void cli_ago(int64_t ns, char *buf, size_t size);
/* "12.5MiB" */
void cli_bytes(uint64_t n, char *buf, size_t size);

#endif
