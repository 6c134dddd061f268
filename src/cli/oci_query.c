/* wirt-oci state, list, ps, features */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "container/container.h"

static int print_json(struct json_object *o)
{
    int r = puts(json_object_to_json_string_ext(
        o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return r < 0 || fflush(stdout) != 0;
}

int oci_state(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option none[] = {{0}};
    const char *id;
    struct error *err = NULL;
    if (getopt_long(argc, argv, "+:", none, NULL) != -1)
        return oci_bad_option(argv[0], argv);
    if (!(id = oci_one_id(argc, argv)))
        return 1;
    struct json_object *o = container_state(g->root, id, &err);
    return o ? print_json(o) : oci_fail(&err);
}

int oci_features(const struct oci_globals *g, int argc, char **argv)
{
    return print_json(container_features());
}

static const char *member(struct json_object *o, const char *key)
{
    struct json_object *v;
    return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static int print_table(struct json_object *list, bool quiet)
{
    if (!quiet)
        printf("%-24s %-10s %-10s %-40s %-32s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED",
               "OWNER");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        if (quiet)
            puts(member(o, "id"));
        else
            printf("%-24s %-10s %-10s %-40s %-32s %s\n", member(o, "id"), member(o, "pid"),
                   member(o, "status"), member(o, "bundle"), member(o, "created"),
                   member(o, "owner"));
    }
    json_object_put(list);
    return fflush(stdout) != 0;
}

int oci_list(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'}, {"quiet", no_argument, NULL, 'q'}, {0}};
    bool json = false, quiet = false;
    struct error *err = NULL;
    int c;
    while ((c = getopt_long(argc, argv, "+:f:q", options, NULL)) != -1) {
        if (c == 'q')
            quiet = true;
        else if (c == 'f' && (!strcmp(optarg, "json") || !strcmp(optarg, "table")))
            json = optarg[0] == 'j';
        else if (c == 'f')
            return oci_usage(argv[0], "--format: '%s' is neither table nor json", optarg);
        else
            return oci_bad_option(argv[0], argv);
    }
    struct json_object *list = container_list(g->root, &err);
    if (!list)
        return oci_fail(&err);
    return json ? print_json(list) : print_table(list, quiet);
}

static bool is_ours(const char *pid, const pid_t *pids, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strtol(pid, NULL, 10) == pids[i])
            return true;
    return false;
}

/* The lines of ps(1) that are about the container's processes; its PID column says which. */
static int filter_ps(FILE *in, const pid_t *pids, size_t len)
{
    AUTO_FREE char *line = NULL;
    size_t cap = 0;
    int column = -1, n = 0;
    if (getline(&line, &cap, in) < 0)
        return oci_usage("ps", "ps(1) printed nothing");
    fputs(line, stdout);
    char *save = NULL;
    for (char *w = strtok_r(line, " \n", &save); w; w = strtok_r(NULL, " \n", &save), n++)
        if (!strcmp(w, "PID"))
            column = n;
    if (column < 0)
        return oci_usage("ps", "the output of ps(1) has no PID column");
    while (getline(&line, &cap, in) >= 0) {
        AUTO_FREE char *copy = xstrdup(line);
        char *w = strtok_r(copy, " \n", &save);
        for (int i = 0; w && i < column; i++)
            w = strtok_r(NULL, " \n", &save);
        if (w && is_ours(w, pids, len))
            fputs(line, stdout);
    }
    return fflush(stdout) != 0;
}

static int run_ps(char **args, const pid_t *pids, size_t len)
{
    int out[2];
    if (pipe(out) < 0)
        return oci_usage("ps", "pipe: %m");
    pid_t child = fork();
    if (child == 0) {
        if (dup2(out[1], 1) < 0)
            _exit(126);
        close(out[0]);
        close(out[1]);
        execvp("ps", args);
        _exit(127);
    }
    close(out[1]);
    FILE *in = fdopen(out[0], "r");
    int r = in && child > 0 ? filter_ps(in, pids, len) : 1;
    if (in)
        fclose(in);
    int status = 1;
    if (child > 0 && waitpid(child, &status, 0) < 0)
        r = 1;
    return r || status;
}

int oci_ps(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'}, {0}};
    static char *default_args[] = {"ps", "-ef", NULL};
    bool json = false;
    struct error *err = NULL;
    int c;
    while ((c = getopt_long(argc, argv, "+:f:", options, NULL)) != -1) {
        if (c != 'f')
            return oci_bad_option(argv[0], argv);
        if (strcmp(optarg, "json") && strcmp(optarg, "table"))
            return oci_usage(argv[0], "--format: '%s' is neither table nor json", optarg);
        json = optarg[0] == 'j';
    }
    if (optind >= argc)
        return oci_usage(argv[0], "the container's id is missing");
    AUTO_FREE pid_t *pids = NULL;
    size_t len = 0;
    if (container_pids(g->root, argv[optind], &pids, &len, &err) < 0)
        return oci_fail(&err);
    if (json) {
        struct json_object *a = json_object_new_array();
        for (size_t i = 0; i < len; i++)
            json_object_array_add(a, json_object_new_int(pids[i]));
        return print_json(a);
    }
    char **args = default_args;
    if (optind + 1 < argc) { /* what follows the id are ps(1)'s own arguments */
        argv[optind] = "ps";
        args = argv + optind;
    }
    return run_ps(args, pids, len);
}
