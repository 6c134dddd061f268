/* wirt-oci exec */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "cli/oci.h"
#include "container/container.h"

enum {
    OPT_CONSOLE = 256,
    OPT_PID_FILE,
    OPT_PRESERVE,
    OPT_CWD,
    OPT_CGROUP,
    OPT_NNP,
    OPT_APPARMOR,
    OPT_LABEL,
    OPT_IGNORED,
    OPT_IGNORE_PAUSED,
};

struct lists {
    const char **env, **caps, **gids;
    size_t env_len, caps_len, gids_len;
    const char *process_file;
};

static void append(const char ***list, size_t *len, const char *s)
{
    *list = xrealloc(*list, (*len + 2) * sizeof **list);
    (*list)[(*len)++] = s;
    (*list)[*len] = NULL;
}

static int parse(int argc, char **argv, struct exec_options *o, struct lists *l)
{
    static const struct option options[] = {
        {"process", required_argument, NULL, 'p'},
        {"detach", no_argument, NULL, 'd'},
        {"tty", optional_argument, NULL, 't'},
        {"user", required_argument, NULL, 'u'},
        {"env", required_argument, NULL, 'e'},
        {"cap", required_argument, NULL, 'c'},
        {"cwd", required_argument, NULL, OPT_CWD},
        {"cgroup", required_argument, NULL, OPT_CGROUP},
        {"console-socket", required_argument, NULL, OPT_CONSOLE},
        {"pid-file", required_argument, NULL, OPT_PID_FILE},
        {"preserve-fds", required_argument, NULL, OPT_PRESERVE},
        {"no-new-privs", no_argument, NULL, OPT_NNP},
        {"apparmor", required_argument, NULL, OPT_APPARMOR},
        {"process-label", required_argument, NULL, OPT_LABEL},
        {"additional-gids", required_argument, NULL, 'g'},
        {"ignore-paused", no_argument, NULL, OPT_IGNORE_PAUSED},
        {"no-subreaper", no_argument, NULL, OPT_IGNORED},
        {0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "+:p:dtu:e:c:g:", options, NULL)) != -1) {
        switch (c) {
        case 'p': l->process_file = optarg; break;
        case 'd': o->detach = true; break;
        case 't': o->tty = !optarg || strcmp(optarg, "false"); break;
        case 'u': o->user = optarg; break;
        case 'e': append(&l->env, &l->env_len, optarg); break;
        case 'c': append(&l->caps, &l->caps_len, optarg); break;
        case 'g': append(&l->gids, &l->gids_len, optarg); break;
        case OPT_IGNORE_PAUSED: o->ignore_paused = true; break;
        case OPT_CWD: o->cwd = optarg; break;
        case OPT_CGROUP: o->cgroup = optarg; break;
        case OPT_CONSOLE: o->console_socket = optarg; break;
        case OPT_PID_FILE: o->pid_file = optarg; break;
        case OPT_PRESERVE:
            if (oci_preserve_fds(argv[0], optarg, &o->preserve_fds))
                return 1;
            break;
        case OPT_NNP: o->no_new_privileges = true; break;
        case OPT_APPARMOR: o->apparmor = optarg; break;
        case OPT_LABEL: o->selinux = optarg; break;
        case OPT_IGNORED: break;
        default: return oci_bad_option(argv[0], argv);
        }
    }
    return 0;
}

static struct json_object *load_process(const char *file, struct error **err)
{
    AUTO_FREE char *text = NULL;
    if (read_file_at(AT_FDCWD, file, 16 << 20, &text, NULL, err) < 0)
        return NULL;
    struct json_object *o = json_tokener_parse(text);
    if (!o)
        error_set(err, 0, "%s is not JSON", file);
    return o;
}

static int execute(const struct oci_globals *g, int argc, char **argv, struct exec_options *o,
                   struct lists *l)
{
    struct error *err = NULL;
    int status;
    if (parse(argc, argv, o, l) != 0)
        return 255;
    if (optind >= argc)
        return oci_usage(argv[0], "the container's id is missing"), 255;
    const char *id = argv[optind];
    if (!l->process_file && optind + 1 >= argc)
        return oci_usage(argv[0], "the command is missing"), 255;
    if (l->process_file && !(o->process = load_process(l->process_file, &err)))
        return oci_fail(&err), 255;
    o->args = (const char *const *)argv + optind + 1;
    o->env = l->env;
    o->caps = l->caps;
    o->gids = l->gids;
    /* As docker and podman have it: what kept the command from running is told apart by status. */
    if (container_exec(id, o, &status, &err) == 0)
        return status;
    int code = error_code(err);
    oci_fail(&err);
    return code == 2 /* ENOENT */ ? 127 : code == 13 /* EACCES */ ? 126 : 255;
}

int oci_exec(const struct oci_globals *g, int argc, char **argv)
{
    struct exec_options o = {.root = g->root};
    struct lists l = {0};
    int status = execute(g, argc, argv, &o, &l);
    free(l.env);
    free(l.caps);
    free(l.gids);
    json_object_put(o.process);
    return status;
}
