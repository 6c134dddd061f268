/* wirt-riscv64: the process wall alone. Takes qemu-user's usual flags. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "process/process.h"

#define EXIT_USAGE       125
#define EXIT_NOT_RUNNING 126
#define EXIT_NOT_FOUND   127
/* AT_FLAGS bit: binfmt_misc entry with flag P, so argv is interpreter, path, the caller's argv[0]
 * ... */
#define FLAG_PRESERVE_ARGV0 1

static const char usage[] =
    "usage: wirt-riscv64 [options] PROGRAM [ARGUMENT ...]\n"
    "Runs a riscv64 Linux program on this machine's kernel.\n"
    "\n"
    "  -L DIR          look absolute paths up below DIR first (libraries, other programs)\n"
    "  -E VAR=VALUE    set a variable in the program's environment\n"
    "  -U VAR          remove a variable from it\n"
    "  -0 NAME         give the program NAME as its argv[0]\n"
    "  -r RELEASE      the kernel release that uname answers\n"
    "  -s BYTES        size of the program's stack\n"
    "  -strace         print each system call on standard error\n"
    "  --limit as=SOFT[:HARD], --limit data=SOFT[:HARD]\n"
    "                  bytes of memory the program may have, as with ulimit -v and ulimit -d\n"
    "  --interpret     run by the reference interpreter instead of translating\n"
    "  --stats         print the translator's statistics at the end\n"
    "  --cache DIR     keep translations in a file in DIR for the next time; off: do not\n"
    "  --cache-size BYTES\n"
    "                  how long that file may get; then it starts over\n"
    "  --trace FILE    append each translated block to FILE\n"
    "  --fd N          the program is what descriptor N is open on; PROGRAM is only its name\n"
    "  --emulator-fd N descriptor N is open on wirt-riscv64 itself (where there is no /proc)\n"
    "  --seccomp-fd N  descriptor N has the seccomp filters that the program inherits\n"
    "  --messages-fd N -strace and --stats write to descriptor N\n"
    "  --report-fd N   why the program cannot be started goes to descriptor N, not to standard\n"
    "                  error; it is closed when the program begins\n"
    "  --help, --version\n"
    "\n"
    "Exit status: the program's; 126 if it cannot be run, 127 if it is not found, 125 for wrong "
    "use.\n"
    "WIRT_RISCV64_L in the environment is a default for -L.\n";

enum {
    OPT_STRACE = 256,
    OPT_LIMIT,
    OPT_INTERPRET,
    OPT_STATS,
    OPT_TRACE,
    OPT_CACHE,
    OPT_CACHE_SIZE,
    OPT_FD,
    OPT_EMULATOR_FD,
    OPT_SECCOMP_FD,
    OPT_MESSAGES_FD,
    OPT_REPORT_FD,
    OPT_HELP,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"strace", no_argument, NULL, OPT_STRACE},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"interpret", no_argument, NULL, OPT_INTERPRET},
    {"stats", no_argument, NULL, OPT_STATS},
    {"trace", required_argument, NULL, OPT_TRACE},
    {"cache", required_argument, NULL, OPT_CACHE},
    {"cache-size", required_argument, NULL, OPT_CACHE_SIZE},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"fd", required_argument, NULL, OPT_FD},
    {"emulator-fd", required_argument, NULL, OPT_EMULATOR_FD},
    {"seccomp-fd", required_argument, NULL, OPT_SECCOMP_FD},
    {"messages-fd", required_argument, NULL, OPT_MESSAGES_FD},
    {"report-fd", required_argument, NULL, OPT_REPORT_FD},
    {NULL, 0, NULL, 0},
};

/* The environment of the program: a copy that -E and -U change. */
static void change_environment(const char *assignment, const char *name)
{
    if (name ? unsetenv(name) : putenv(xstrdup(assignment))) {
        log_error("%s %s: %s", name ? "-U" : "-E", name ? name : assignment, strerror(errno));
        exit(EXIT_USAGE);
    }
}

static void need_assignment(const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals && equals != text)
        return;
    log_error("-E %s: not of the form VAR=VALUE", text);
    exit(EXIT_USAGE);
}

static size_t size_option(const char *text, const char *what)
{
    ERROR_CLEANUP err = NULL;
    uint64_t size;
    if (parse_size(text, what, &size, &err) < 0) {
        log_error("%s", error_text(err));
        exit(EXIT_USAGE);
    }
    return size;
}

static void wrong_use(const char *text)
{
    log_error("%s (wirt-riscv64 --help)", text);
    exit(EXIT_USAGE);
}

/* as=SOFT[:HARD] or data=... */
static void memory_limit(const char *text, struct process_config *c)
{
    const char *equals = strchr(text, '=');
    struct memory_limit *l = str_starts(text, "as=")     ? &c->limit_as
                             : str_starts(text, "data=") ? &c->limit_data
                                                         : NULL;
    char *end = NULL;
    if (l && equals[1] >= '0' && equals[1] <= '9') {
        errno = 0;
        l->soft = l->hard = strtoull(equals + 1, &end, 10);
        if (*end == ':' && end[1] >= '0' && end[1] <= '9')
            l->hard = strtoull(end + 1, &end, 10);
        l->set = true;
    }
    if (end && !*end && !errno && l->soft <= l->hard)
        return;
    log_error("--limit %s: not of the form as=SOFT[:HARD] or data=SOFT[:HARD], in bytes", text);
    exit(EXIT_USAGE);
}

static int descriptor(const char *text, const char *what)
{
    ERROR_CLEANUP err = NULL;
    uint64_t fd;
    if (parse_u64(text, what, &fd, &err) == 0 && fd <= INT_MAX)
        return (int)fd;
    log_error("%s", err ? error_text(err) : "no such descriptor");
    exit(EXIT_USAGE);
}

/* Index of the first word that is not an option. */
static int parse_options(int argc, char **argv, struct process_config *c, char **argv0)
{
    for (int o; (o = getopt_long_only(argc, argv, "+L:E:U:0:r:s:g:h", long_options, NULL)) != -1;) {
        switch (o) {
        case 'L': c->sysroot = optarg; break;
        case 'E':
            need_assignment(optarg);
            change_environment(optarg, NULL);
            break;
        case 'U': change_environment(NULL, optarg); break;
        case '0': *argv0 = optarg; break;
        case 'r': c->uname_release = optarg; break;
        case 's': c->stack_size = size_option(optarg, "-s"); break;
        case 'g': wrong_use("-g: the debugger's port is not built yet"); break;
        case OPT_STRACE: c->strace = true; break;
        case OPT_LIMIT: memory_limit(optarg, c); break;
        case OPT_INTERPRET: c->interpret = true; break;
        case OPT_STATS: c->stats = true; break;
        case OPT_TRACE: c->trace = optarg; break;
        case OPT_CACHE:
            if (!*optarg)
                wrong_use("--cache: neither a folder nor off");
            c->cache = optarg;
            break;
        case OPT_CACHE_SIZE: c->cache_size = size_option(optarg, "--cache-size"); break;
        case OPT_FD: c->program_fd = descriptor(optarg, "--fd"); break;
        case OPT_EMULATOR_FD: c->emulator_fd = descriptor(optarg, "--emulator-fd"); break;
        case OPT_SECCOMP_FD: c->seccomp_fd = descriptor(optarg, "--seccomp-fd"); break;
        case OPT_MESSAGES_FD: c->messages_fd = descriptor(optarg, "--messages-fd"); break;
        case OPT_REPORT_FD: c->report_fd = descriptor(optarg, "--report-fd"); break;
        case 'h':
        case OPT_HELP: fputs(usage, stdout); exit(0);
        case OPT_VERSION: puts("wirt-riscv64 " WIRT_VERSION); exit(0);
        default: exit(EXIT_USAGE);
        }
    }
    return optind;
}

/* Whether binfmt_misc has made an execve of a program one of ours: by the flag P or O of the entry
 * (Documentation/admin-guide/binfmt-misc.rst). Then argv[1] is the program's path, whatever it
 * looks like: options are not for whoever chooses the path of a program that has more rights. */
static bool by_kernel(struct process_config *c)
{
    errno = 0;
    unsigned long fd = getauxval(AT_EXECFD);
    if (fd <= INT_MAX && !errno)
        c->program_fd = (int)fd;
    return !errno || (getauxval(AT_FLAGS) & FLAG_PRESERVE_ARGV0);
}

int main(int argc, char **argv)
{
    ERROR_CLEANUP err = NULL;
    /* Not from whoever starts a program that has more rights: it says where libraries are. */
    struct process_config config = {.program_fd = -1,
                                    .emulator_fd = -1,
                                    .seccomp_fd = -1,
                                    .messages_fd = -1,
                                    .report_fd = -1,
                                    .sysroot = secure_getenv("WIRT_RISCV64_L")};
    char *argv0 = NULL;
    log_init("wirt-riscv64", LOG_WARN);

    int first = 1;
    if (by_kernel(&config)) {
        if (argc >= 3 && (getauxval(AT_FLAGS) & FLAG_PRESERVE_ARGV0)) {
            argv0 = argv[2]; /* the kernel has put the path in front of it */
            argv[2] = argv[1];
            first = 2;
        }
    } else {
        first = parse_options(argc, argv, &config, &argv0);
    }
    if (first >= argc)
        wrong_use("no program is given");
    config.program = argv[first];
    config.argv = argv + first;
    if (argv0)
        config.argv[0] = argv0;
    config.envp = environ;
    process_exec(&config, &err); /* comes back only when the program could not be started */
    bool missing = error_code(err) == ENOENT;
    /* As whoever starts us reads it (src/guest/spawn.h): the error's number and text. */
    if (config.report_fd < 0 ||
        dprintf(config.report_fd, "%d %s", missing ? ENOENT : ENOEXEC, error_text(err)) < 0)
        log_error("%s", error_text(err));
    return missing ? EXIT_NOT_FOUND : EXIT_NOT_RUNNING;
}
