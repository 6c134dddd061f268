#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/str.h"
#include "cli/cli.h"
#include "guest/lifecycle.h"

enum {
    OPT_JSON = 256,
    OPT_ONCE
};

static const struct cli_option stats_options[] = {
    {"json", 0, NULL, OPT_JSON, "a JSON array"},
    {"no-stream", 0, NULL, OPT_ONCE, "once, which is what it does anyway"},
    {0},
};
static const struct cli_option top_options[] = {
    {"interval", 'd', "SECONDS", 'd', "between two readings (default 2)"},
    {"count", 'n', "N", 'n', "readings before it ends (default: no end)"},
    {0},
};
static const struct cli_usage stats_usage = {
    "stats [OPTIONS] [GUEST...]",
    "Shows what running guests use of CPU time, memory and processes; of machines also what the\n"
    "hypervisor counts: traps, second-level faults, TLB fills, translations, balloon.",
    stats_options,
};
static const struct cli_usage top_usage = {
    "top [OPTIONS] [GUEST...]", "Shows what running guests use, again and again.", top_options};

struct reading {
    char id[GUEST_ID_LEN + 1];
    int64_t cpu_us;
    uint64_t when;
};

#define MAX_READINGS 1024
struct view {
    struct reading last[MAX_READINGS];
    int n;
};

/* CPU use since the last reading, in percent of one CPU; -1: there is none yet. */
static double cpu_percent(struct view *v, const char *id, int64_t cpu_us)
{
    uint64_t now = clock_ns();
    double percent = -1;
    struct reading *r = NULL;
    for (int i = 0; i < v->n; i++)
        if (!strcmp(v->last[i].id, id))
            r = &v->last[i];
    if (r && now > r->when)
        percent = (double)(cpu_us - r->cpu_us) * 1000 * 100 / (double)(now - r->when);
    else if (!r && v->n < MAX_READINGS)
        r = &v->last[v->n++];
    if (r) {
        snprintf(r->id, sizeof r->id, "%s", id);
        r->cpu_us = cpu_us;
        r->when = now;
    }
    return percent;
}

/* Every number the machine counts, a line for each group of them: what there is is its business. */
static void print_machine(const char *name, json_object *m)
{
    bool any = false;
    json_object_object_foreach(m, key, value)
    {
        if (!json_object_is_type(value, json_type_int) || !json_object_get_uint64(value))
            continue;
        if (!any)
            printf("    %-20s", name);
        printf("%s %s", key, json_object_get_string(value));
        printf(" ");
        any = true;
    }
    if (any)
        printf("\n");
    json_object_object_foreach(m, group, inner)
    {
        if (json_object_is_type(inner, json_type_object))
            print_machine(group, inner);
    }
}

static void print_row(struct guest *g, json_object *s, struct view *v)
{
    char memory[24], max[24] = "-", percent[16] = "-";
    int64_t cpu = json_get_int(s, "cpu_us", 0), limit = json_get_int(s, "memory_max", 0);
    double p = cpu_percent(v, g->id, cpu);
    if (p >= 0)
        snprintf(percent, sizeof percent, "%.1f", p);
    cli_bytes((uint64_t)json_get_int(s, "memory", 0), memory, sizeof memory);
    if (limit > 0)
        cli_bytes((uint64_t)limit, max, sizeof max);
    printf("%.12s  %-20s  %-9s  %-8s  %7s  %9.2f  %9s  %9s  %5lld\n", g->id, g->name,
           wall_name(g->spec.wall), guest_status_name(g->status), percent, (double)cpu / 1e6,
           memory, max, (long long)json_get_int(s, "pids", 0));
    json_object *m = json_get_obj(s, "machine");
    if (m)
        print_machine("machine", m);
}

static int one_guest(struct guest *g, struct view *v, json_object *array, struct error **err)
{
    json_object *s = guest_stats(g, err);
    if (!s)
        return -1;
    if (array) {
        json_object_object_del(s, "ok");
        json_put_str(s, "id", g->id);
        json_put_str(s, "name", g->name);
        json_put_str(s, "wall", wall_name(g->spec.wall));
        json_put_str(s, "status", guest_status_name(g->status));
        json_object_array_add(array, s);
        return 0;
    }
    print_row(g, s, v);
    json_object_put(s);
    return 0;
}

/* One reading of the guests named, or of all that run. */
static int show(struct cli *cli, char **refs, struct view *v, json_object *array)
{
    ERROR_CLEANUP err = NULL;
    struct store store;
    if (store_open(&store, cli->root, &err) < 0)
        return cli_fail(err);
    char **all = *refs ? NULL : store_list(&store, &err);
    if (!*refs && !all) {
        store_close(&store);
        return cli_fail(err);
    }
    if (!array)
        printf("%-12s  %-20s  %-9s  %-8s  %7s  %9s  %9s  %9s  %5s\n", "ID", "NAME", "WALL",
               "STATUS", "CPU %", "CPU s", "MEMORY", "LIMIT", "PIDS");
    int status = 0;
    for (char **r = all ? all : refs; *r; r++) {
        AUTO_GUEST *g = guest_open(&store, *r, &err);
        bool runs = g && (g->status == GUEST_RUNNING || g->status == GUEST_PAUSED);
        if ((!g || !runs || one_guest(g, v, array, &err) < 0) && !all) {
            log_error("%s: %s", *r, err ? error_text(err) : "the guest is not running");
            status = 1;
        }
        error_free(&err);
    }
    strv_free(all);
    store_close(&store);
    return status;
}

int verb_stats(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    bool json = false;
    int c;
    cli_parser_init(&p, &stats_usage, argc, argv, false);
    while ((c = cli_next(&p)) >= 0)
        json |= c == OPT_JSON;
    cli_parser_free(&p);
    if (c != CLI_END)
        return cli_parse_end(c);
    struct view *v = xcalloc(1, sizeof *v);
    AUTO_JSON *array = json ? json_object_new_array() : NULL;
    int status = show(cli, argv + p.at, v, array);
    if (json)
        cli_print_json(array);
    free(v);
    return status;
}

int verb_top(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    uint64_t interval = 2, count = 0;
    int c, bad = 0;
    cli_parser_init(&p, &top_usage, argc, argv, false);
    while (!bad && (c = cli_next(&p)) >= 0)
        bad = c == 'd' ? parse_u64(p.arg, "--interval", &interval, NULL) < 0 || interval > 3600
                       : parse_u64(p.arg, "--count", &count, NULL) < 0 || count > UINT32_MAX;
    cli_parser_free(&p);
    if (bad)
        return cli_misuse(&p, "%s: must be a number; --interval 0 to 3600 seconds", p.arg);
    if (c != CLI_END)
        return cli_parse_end(c);
    struct view *v = xcalloc(1, sizeof *v);
    int status = 0;
    for (uint64_t i = 0; !count || i < count; i++) {
        if (i)
            sleep((unsigned)interval);
        if (isatty(STDOUT_FILENO))
            printf("\033[H\033[2J"); /* the top left corner; all is cleared */
        status = show(cli, argv + p.at, v, NULL);
        if (fflush(stdout) == EOF)
            break;
    }
    free(v);
    return status;
}
