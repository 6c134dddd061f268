#include "cli/cli.h"

#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"

#define HELP_ID 0x7000

void cli_parser_init(struct cli_parser *p, const struct cli_usage *u, int argc, char **argv,
                     bool stop_early)
{
    size_t n = 0;
    while (u->options[n].name || u->options[n].letter)
        n++;
    *p = (struct cli_parser){.usage = u, .argc = argc, .argv = argv};
    p->longs = xcalloc(n + 2, sizeof *p->longs);
    STR_CLEANUP shorts = {0};
    str_printf(&shorts, "%s:h", stop_early ? "+" : "");
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct cli_option *o = &u->options[i];
        if (o->name)
            p->longs[k++] =
                (struct option){o->name, o->arg ? required_argument : no_argument, NULL, o->id};
        if (o->letter)
            str_printf(&shorts, "%c%s", o->letter, o->arg ? ":" : "");
    }
    p->longs[k] = (struct option){"help", no_argument, NULL, HELP_ID};
    p->shorts = STEAL_PTR(shorts.data);
    optind = 0; /* glibc: start afresh, also with another argv */
    opterr = 0;
}

void cli_parser_free(struct cli_parser *p)
{
    free(p->longs);
    free(p->shorts);
}

static const struct cli_option *find_option(const struct cli_usage *u, int id)
{
    for (const struct cli_option *o = u->options; o->name || o->letter; o++)
        if (o->id == id || (o->letter && o->letter == id))
            return o;
    return NULL;
}

static void report_bad(struct cli_parser *p, int what)
{
    /* getopt leaves the word it was at: behind optind for a long option, or the letter in optopt.
     */
    const char *word = optind > 0 && optind <= p->argc ? p->argv[optind - 1] : "";
    const struct cli_option *o = optopt ? find_option(p->usage, optopt) : NULL;
    if (what == ':' && o && o->name)
        cli_misuse(p, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
    else if (what == ':' && o)
        cli_misuse(p, "-%c needs a value: -%c %s", o->letter, o->letter, o->arg);
    else if (o && o->name && !o->arg)
        cli_misuse(p, "--%s takes no value", o->name);
    else if (optopt && isgraph(optopt) && optopt < 128)
        cli_misuse(p, "unknown option -%c", optopt);
    else
        cli_misuse(p, "unknown or ambiguous option %s", word);
}

int cli_next(struct cli_parser *p)
{
    int c = getopt_long(p->argc, p->argv, p->shorts, p->longs, NULL);
    p->arg = optarg;
    p->at = optind;
    if (c == -1)
        return CLI_END;
    if (c == HELP_ID || (c == 'h' && !find_option(p->usage, 'h'))) {
        cli_print_usage(p->usage, stdout);
        return CLI_HELP;
    }
    if (c == '?' || c == ':') {
        report_bad(p, c);
        return CLI_ERROR;
    }
    const struct cli_option *o = find_option(p->usage, c);
    return o ? o->id : c;
}

int cli_parse_end(int what)
{
    return what == CLI_HELP ? 0 : EXIT_WIRT;
}

int cli_misuse(const struct cli_parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    log_error("%s: %s (wirt %s --help)", p->argv[0], n < 0 ? "" : text, p->argv[0]);
    if (n >= 0)
        free(text);
    return EXIT_WIRT;
}

int cli_fail(struct error *err)
{
    log_error("%s", error_text(err));
    return EXIT_WIRT;
}

void cli_print_usage(const struct cli_usage *u, FILE *f)
{
    fprintf(f, "usage: wirt %s\n\n%s\n", u->synopsis, u->description);
    if (u->options[0].name || u->options[0].letter)
        fprintf(f, "\noptions:\n");
    for (const struct cli_option *o = u->options; o->name || o->letter; o++) {
        char left[64], letter[4] = "";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c", o->letter);
        snprintf(left, sizeof left, "%2s%s%s%s%s%s", letter, o->letter && o->name ? ", " : "",
                 !o->letter ? "  " : "", o->name ? "--" : "", o->name ? o->name : "", "");
        size_t used = strlen(left);
        if (o->arg)
            snprintf(left + used, sizeof left - used, " %s", o->arg);
        fprintf(f, "  %-30s %s\n", left, o->help);
    }
}

int cli_each_guest(struct cli *cli, char **refs, bool say,
                   int (*fn)(struct guest *g, void *arg, struct error **err), void *arg)
{
    ERROR_CLEANUP err = NULL;
    struct store store;
    if (store_open(&store, cli->root, &err) < 0)
        return cli_fail(err);
    int status = 0;
    for (; *refs; refs++) {
        AUTO_GUEST *g = guest_open(&store, *refs, &err);
        if (!g || fn(g, arg, &err) < 0) {
            log_error("%s: %s", *refs, error_text(err));
            error_free(&err);
            status = 1;
        } else if (say) {
            printf("%s\n", *refs);
        }
    }
    store_close(&store);
    return status;
}

int cli_parse_signal(const char *s, int *sig, struct error **err)
{
    uint64_t n;
    if (isdigit((unsigned char)*s)) {
        if (parse_u64(s, "signal", &n, err) < 0)
            return -1;
        if (n < 1 || n > (uint64_t)SIGRTMAX)
            return error_set(err, 0, "signal %s: must be 1 to %d", s, SIGRTMAX);
        *sig = (int)n;
        return 0;
    }
    const char *name = !strncasecmp(s, "SIG", 3) ? s + 3 : s;
    for (int i = 1; i < NSIG; i++) {
        const char *abbrev = sigabbrev_np(i);
        if (abbrev && !strcasecmp(abbrev, name)) {
            *sig = i;
            return 0;
        }
    }
    return error_set(err, 0, "signal %s: not known; a number or a name such as TERM, KILL, HUP", s);
}

void cli_print_json(json_object *o)
{
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
}

void cli_ago(int64_t ns, char *buf, size_t size)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    int64_t s = (realtime_ns() - ns) / 1000000000;
    if (ns <= 0 || s < 0)
        s = 0;
    size_t i = 0;
    while (i < 3 && s < units[i].seconds)
        i++;
    int64_t n = s / units[i].seconds;
    snprintf(buf, size, "%lld %s%s", (long long)n, units[i].name, n == 1 ? "" : "s");
}

void cli_bytes(uint64_t n, char *buf, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t i = 0;
    for (; v >= 1024 && i < 4; i++)
        v /= 1024;
    snprintf(buf, size, i && v < 100 ? "%.1f%s" : "%.0f%s", v, units[i]);
}
