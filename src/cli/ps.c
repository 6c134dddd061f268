#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/cli.h"

static const struct cli_option options[] = {
    {"all", 'a', NULL, 'a', "also guests that have ended"},
    {"quiet", 'q', NULL, 'q', "only the ids"},
    {"filter", 'f', "KEY=VALUE", 'f', "only guests whose name, id, status or wall begins so"},
    {"no-trunc", 0, NULL, 256, "whole ids and commands"},
    {"json", 0, NULL, 257, "a JSON array"},
    {0},
};
static const struct cli_usage usage = {"ps [OPTIONS]", "Lists guests.", options};

#define MAX_FILTERS 8

struct listing {
    bool all, quiet, whole, json;
    char *filters[MAX_FILTERS];
    int n_filters;
};

static const char *filtered_value(const struct guest *g, const char *key, size_t len)
{
    const char *const keys[] = {"name", "id", "status", "wall"};
    const char *const values[] = {g->name ? g->name : "", g->id, guest_status_name(g->status),
                                  wall_name(g->spec.wall)};
    for (int i = 0; i < 4; i++)
        if (strlen(keys[i]) == len && !strncmp(keys[i], key, len))
            return values[i];
    return NULL;
}

static bool matches(const struct guest *g, const struct listing *l)
{
    for (int i = 0; i < l->n_filters; i++) {
        size_t n = strcspn(l->filters[i], "=");
        if (!str_starts(filtered_value(g, l->filters[i], n), l->filters[i] + n + 1))
            return false;
    }
    return true;
}

static int add_filter(struct listing *l, char *text, struct error **err)
{
    static const struct guest nobody;
    size_t n = strcspn(text, "=");
    if (!text[n] || !filtered_value(&nobody, text, n))
        return error_set(err, 0, "--filter %s: must be name=, id=, status= or wall= and a value",
                         text);
    if (l->n_filters == MAX_FILTERS)
        return error_set(err, 0, "--filter: at most %d", MAX_FILTERS);
    l->filters[l->n_filters++] = text;
    return 0;
}

/* The end of a path tells more than its beginning. */
static char *shortened(char *path, size_t width)
{
    size_t len = strlen(path);
    return len > width ? memcpy(path + len - width, "...", 3) : path;
}

/* Everything printed of a guest comes from files: no control character reaches the terminal. */
static char *printable(char *s)
{
    for (char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return s;
}

static void status_text(const struct guest *g, char *buf, size_t size)
{
    char ago[48];
    cli_ago(g->status == GUEST_EXITED ? g->ended_ns : g->started_ns, ago, sizeof ago);
    switch (g->status) {
    case GUEST_RUNNING: snprintf(buf, size, "Up %s", ago); break;
    case GUEST_PAUSED: snprintf(buf, size, "Up %s (Paused)", ago); break;
    case GUEST_EXITED: snprintf(buf, size, "Exited (%d) %s ago", g->exit_status, ago); break;
    case GUEST_CREATED: snprintf(buf, size, "Created"); break;
    case GUEST_DEAD: snprintf(buf, size, "Dead (its monitor is gone)"); break;
    default: snprintf(buf, size, "Damaged"); break;
    }
}

static void print_row(const struct guest *g, bool whole)
{
    STR_CLEANUP command = {0};
    for (char **c = g->spec.command; c && *c; c++)
        str_printf(&command, "%s%s", command.len ? " " : "", *c);
    str_append(&command, "", 0);
    if (!whole && command.len > 30) {
        memcpy(command.data + 27, "...", 4);
        command.len = 30;
    }
    char status[96], ago[48];
    status_text(g, status, sizeof status);
    cli_ago(g->created_ns, ago, sizeof ago);
    strcat(ago, " ago");
    AUTO_FREE char *image = xstrdup(g->spec.image ? g->spec.image : "-");
    AUTO_FREE char *name = xstrdup(g->name ? g->name : "-");
    printf("%-*.*s  %-9s  %-24s  %-30s  %-18s  %-28s  %s\n", whole ? GUEST_ID_LEN : 12,
           whole ? GUEST_ID_LEN : 12, g->id,
           g->status == GUEST_DAMAGED ? "-" : wall_name(g->spec.wall),
           printable(whole ? image : shortened(image, 24)),
           command.data ? printable(command.data) : "", ago, status, printable(name));
}

static int list(struct store *store, const struct listing *l, struct error **err)
{
    char **ids = store_list(store, err);
    if (!ids)
        return -1;
    AUTO_JSON *array = json_object_new_array();
    if (!l->json && !l->quiet)
        printf("%-*s  %-9s  %-24s  %-30s  %-18s  %-28s  %s\n", l->whole ? GUEST_ID_LEN : 12, "ID",
               "WALL", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME");
    for (char **id = ids; *id; id++) {
        AUTO_GUEST *g = guest_open(store, *id, NULL);
        if (!g || (!l->all && g->status != GUEST_RUNNING && g->status != GUEST_PAUSED))
            continue; /* removed meanwhile, or not asked for */
        if (!matches(g, l))
            continue;
        if (l->json)
            json_object_array_add(array, guest_to_json(g));
        else if (l->quiet)
            printf("%.*s\n", l->whole ? GUEST_ID_LEN : 12, g->id);
        else
            print_row(g, l->whole);
    }
    strv_free(ids);
    if (l->json)
        cli_print_json(array);
    return 0;
}

int verb_ps(struct cli *cli, int argc, char **argv)
{
    struct cli_parser p;
    struct listing l = {0};
    cli_parser_init(&p, &usage, argc, argv, false);
    int c;
    ERROR_CLEANUP err = NULL;
    while ((c = cli_next(&p)) >= 0 && (c != 'f' || add_filter(&l, p.arg, &err) == 0)) {
        l.all |= c == 'a';
        l.quiet |= c == 'q';
        l.whole |= c == 256;
        l.json |= c == 257;
    }
    cli_parser_free(&p);
    if (err)
        return cli_misuse(&p, "%s", error_text(err));
    if (c != CLI_END)
        return cli_parse_end(c);
    if (p.at < argc)
        return cli_misuse(&p, "takes no words: %s", argv[p.at]);
    struct store store;
    if (store_open(&store, cli->root, &err) < 0)
        return cli_fail(err);
    int r = list(&store, &l, &err);
    store_close(&store);
    return r < 0 ? cli_fail(err) : 0;
}
