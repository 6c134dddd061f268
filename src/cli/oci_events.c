/* wirt-oci events: a line of JSON each interval, and one when the kernel kills for lack of memory.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/oci.h"
#include "container/container.h"

static int print_event(const char *type, const char *id, struct json_object *data)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "type", json_object_new_string(type));
    json_object_object_add(o, "id", json_object_new_string(id));
    if (data)
        json_object_object_add(o, "data", data);
    int r = puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return r < 0 || fflush(stdout) != 0;
}

/* A process of its own waits for the kernel's notice, which blocks. */
static pid_t watch_oom(const char *root, const char *id)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    struct error *err = NULL;
    int r;
    while ((r = container_wait_oom(root, id, &err)) == 1)
        print_event("oom", id, NULL);
    error_free(&err);
    _exit(r < 0);
}

static int stream(const struct oci_globals *g, const char *id, uint64_t seconds)
{
    pid_t watcher = watch_oom(g->root, id);
    struct json_object *o;
    int r = 0;
    /* Ends with the container. */
    while (r == 0 && (o = container_stats(g->root, id, NULL))) {
        r = print_event("stats", id, o);
        struct timespec t = {(time_t)seconds, 0};
        nanosleep(&t, NULL);
    }
    if (watcher > 0) {
        kill(watcher, SIGTERM);
        while (waitpid(watcher, NULL, 0) < 0)
            ;
    }
    return r;
}

int oci_events(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option options[] = {
        {"stats", no_argument, NULL, 's'}, {"interval", required_argument, NULL, 'i'}, {0}};
    bool once = false;
    uint64_t seconds = 5;
    const char *id;
    struct error *err = NULL;
    int c;
    while ((c = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
        if (c == 's') {
            once = true;
        } else if (c == 'i') {
            /* runc's form, 5s, too */
            char *end;
            seconds = strtoull(optarg, &end, 10);
            if (end == optarg || (*end && strcmp(end, "s")) || !seconds || seconds > 86400)
                return oci_usage(argv[0], "--interval: '%s' is no number of seconds", optarg);
        } else {
            return oci_bad_option(argv[0], argv);
        }
    }
    if (!(id = oci_one_id(argc, argv)))
        return 1;
    struct json_object *o = container_stats(g->root, id, &err);
    if (!o)
        return oci_fail(&err);
    if (once)
        return print_event("stats", id, o);
    json_object_put(o);
    return stream(g, id, seconds);
}
