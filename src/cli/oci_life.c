/* wirt-oci start, kill, delete, pause, resume */
#include <regex.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "cli/oci.h"
#include "container/container.h"

static int no_options(int argc, char **argv)
{
    static const struct option none[] = {{0}};
    return getopt_long(argc, argv, "+:", none, NULL) == -1 ? 0 : oci_bad_option(argv[0], argv);
}

int oci_start(const struct oci_globals *g, int argc, char **argv)
{
    const char *id;
    struct error *err = NULL;
    if (no_options(argc, argv) != 0 || !(id = oci_one_id(argc, argv)))
        return 1;
    return container_start(g->root, id, &err) < 0 ? oci_fail(&err) : 0;
}

int oci_pause(const struct oci_globals *g, int argc, char **argv)
{
    const char *id;
    struct error *err = NULL;
    if (no_options(argc, argv) != 0 || !(id = oci_one_id(argc, argv)))
        return 1;
    return container_pause(g->root, id, &err) < 0 ? oci_fail(&err) : 0;
}

int oci_resume(const struct oci_globals *g, int argc, char **argv)
{
    const char *id;
    struct error *err = NULL;
    if (no_options(argc, argv) != 0 || !(id = oci_one_id(argc, argv)))
        return 1;
    return container_resume(g->root, id, &err) < 0 ? oci_fail(&err) : 0;
}

/* Calls fn for each container whose id matches the regular expression. */
static int each_match(const char *root, const char *pattern,
                      int (*fn)(const char *root, const char *id, void *arg), void *arg)
{
    struct error *err = NULL;
    regex_t re;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return oci_usage("--regex", "'%s' is not a regular expression", pattern);
    struct json_object *list = container_list(root, &err), *v;
    if (!list) {
        regfree(&re);
        return oci_fail(&err);
    }
    int r = 0;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object_object_get_ex(json_object_array_get_idx(list, i), "id", &v);
        const char *id = json_object_get_string(v);
        if (regexec(&re, id, 0, NULL, 0) == 0)
            r |= fn(root, id, arg);
    }
    json_object_put(list);
    regfree(&re);
    return r;
}

struct kill_args {
    int signal;
    bool all;
};

static int kill_one(const char *root, const char *id, void *arg)
{
    const struct kill_args *k = arg;
    struct error *err = NULL;
    return container_kill(root, id, k->signal, k->all, &err) < 0 ? oci_fail(&err) : 0;
}

int oci_kill(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option options[] = {
        {"all", no_argument, NULL, 'a'}, {"regex", no_argument, NULL, 'r'}, {0}};
    struct kill_args k = {SIGTERM, false};
    bool regex = false;
    int c;
    while ((c = getopt_long(argc, argv, "+:ar", options, NULL)) != -1) {
        if (c == 'a')
            k.all = true;
        else if (c == 'r')
            regex = true;
        else
            return oci_bad_option(argv[0], argv);
    }
    if (optind >= argc || argc - optind > 2)
        return oci_usage(argv[0], "expected: CONTAINER [SIGNAL]");
    if (argc - optind == 2 && (k.signal = oci_signal(argv[optind + 1])) < 0)
        return oci_usage(argv[0], "'%s' is no signal", argv[optind + 1]);
    return regex ? each_match(g->root, argv[optind], kill_one, &k)
                 : kill_one(g->root, argv[optind], &k);
}

static int delete_one(const char *root, const char *id, void *arg)
{
    struct error *err = NULL;
    return container_delete(root, id, *(bool *)arg, &err) < 0 ? oci_fail(&err) : 0;
}

int oci_delete(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option options[] = {
        {"force", no_argument, NULL, 'f'}, {"regex", no_argument, NULL, 'r'}, {0}};
    bool force = false, regex = false;
    const char *id;
    int c;
    while ((c = getopt_long(argc, argv, "+:fr", options, NULL)) != -1) {
        if (c == 'f')
            force = true;
        else if (c == 'r')
            regex = true;
        else
            return oci_bad_option(argv[0], argv);
    }
    if (!(id = oci_one_id(argc, argv)))
        return 1;
    return regex ? each_match(g->root, id, delete_one, &force) : delete_one(g->root, id, &force);
}
