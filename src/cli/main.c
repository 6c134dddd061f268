#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "container/descriptors.h"

static const struct {
    const char *name;
    verb_fn *fn;
    const char *help;
} verbs[] = {
    {"run", verb_run, "run a root file system, program or kernel behind a wall"},
    {"ps", verb_ps, "list guests"},
    {"stop", verb_stop, "ask guests to end, and after a while make them"},
    {"kill", verb_kill, "send guests a signal"},
    {"rm", verb_rm, "remove guests that have ended"},
    {"exec", verb_exec, "run a command in a running guest"},
    {"attach", verb_attach, "connect to a running guest's terminal or streams"},
    {"logs", verb_logs, "print a guest's output"},
    {"inspect", verb_inspect, "show all about guests, as JSON"},
    {"pause", verb_pause, "hold guests still"},
    {"resume", verb_resume, "let paused guests go on"},
    {"update", verb_update, "change running guests' limits"},
    {"stats", verb_stats, "show what guests use"},
    {"top", verb_top, "show what guests use, again and again"},
    {"balloon", verb_balloon, "take memory from a running machine, or give it back"},
    {"binfmt", verb_binfmt, "have the host's kernel run riscv64 programs with wirt-riscv64"},
};

static void print_help(FILE *f)
{
    fprintf(f, "usage: wirt [--root DIR] [--debug] VERB [OPTIONS] ...\n\n"
               "Runs Linux workloads behind three walls: containers, processes of another\n"
               "instruction set, and whole machines.\n\nverbs:\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    fprintf(f, "\noptions:\n"
               "  --root DIR   state folder (default: /run/wirt; for others than root "
               "$XDG_RUNTIME_DIR/wirt)\n"
               "  --debug      say more\n"
               "  --version    print the version\n"
               "  --help       this; `wirt VERB --help` for a verb\n");
}

static int misuse(const char *what, const char *word)
{
    log_error("%s %s (wirt --help)", what, word);
    return EXIT_WIRT;
}

int main(int argc, char **argv)
{
    struct cli cli = {.argv = argv};
    int i = 1;
    struct error *err = NULL;
    log_init("wirt", LOG_INFO);
    if (descriptors_fill_streams(&err) < 0) {
        log_error("%s", error_text(err));
        error_free(&err);
        return EXIT_WIRT;
    }
    /* Options in front of the verb; few enough to be looked at by hand. */
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            print_help(stdout);
            return 0;
        }
        if (!strcmp(a, "--version") || !strcmp(a, "-v")) {
            printf("wirt %s\n", WIRT_VERSION);
            return 0;
        }
        if (!strcmp(a, "--debug"))
            log_init("wirt", LOG_DEBUG);
        else if (!strncmp(a, "--root=", 7) && a[7])
            cli.root = a + 7;
        else if (!strcmp(a, "--root") && i + 1 < argc)
            cli.root = argv[++i];
        else if (!strcmp(a, "--root"))
            return misuse("--root needs a value:", "--root DIR");
        else
            return misuse("unknown option", a);
    }
    if (i == argc) {
        print_help(stderr);
        return EXIT_WIRT;
    }
    if (!strcmp(argv[i], "help")) {
        print_help(stdout);
        return 0;
    }
    for (size_t k = 0; k < sizeof verbs / sizeof *verbs; k++) {
        if (strcmp(verbs[k].name, argv[i]))
            continue;
        int status = verbs[k].fn(&cli, argc - i, argv + i);
        if (fflush(stdout) == EOF && status == 0) {
            log_error("write to standard output failed");
            status = EXIT_WIRT;
        }
        return status;
    }
    return misuse("unknown verb", argv[i]);
}
