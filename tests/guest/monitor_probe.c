/* A monitor that obeys orders: a guest in a state folder beside another one, jailed by
 * monitor_jail() as the real one is, which then tries one thing.
 *
 *   monitor_probe [--rm] container|process|machine STATE WHAT WHERE
 *
 * WHAT: read, write, create, unlink, rmdir, list, of a file WHERE: own/NAME, other/NAME (of the two
 * guests), guests/NAME, names/NAME, settings/NAME, memory/NAME, or an absolute path; or a name of
 * the table below, with WHERE a process. Prints "did", an errno's name, or "killed" by the filter.
 * STATE is new, and removed after it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "guest/monitor_internal.h"

static pid_t victim;

static int try_kill(void)
{
    return kill(victim, SIGKILL);
}

static int try_pidfd(void)
{
    int fd = (int)syscall(SYS_pidfd_open, victim, 0);
    return fd < 0 ? fd : proc_signal(fd, SIGKILL);
}

/* A folder of /proc is as good as a pidfd. */
static int try_proc_folder(void)
{
    AUTO_FREE char *path = xasprintf("/proc/%d", (int)victim);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? fd : proc_signal(fd, SIGKILL);
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_SEIZE, victim, NULL, NULL);
}

static int try_fork(void)
{
    int pid = (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static int try_exec(void)
{
    char *argv[] = {"true", NULL};
    return execve("/bin/true", argv, argv + 1);
}

static int try_unix(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_tcp(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_mount(void)
{
    return mount("tmpfs", "/mnt", "tmpfs", 0, NULL);
}

static int try_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_setuid(void)
{
    return (int)syscall(SYS_setresuid, 0, 0, 0);
}

static int try_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static int try_bpf(void)
{
    union bpf_attr a = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a);
}

static int try_keyctl(void)
{
    return (int)syscall(SYS_keyctl, 0, -3, 1);
}

static int try_io_uring(void)
{
    char params[256] = {0};
    return (int)syscall(SYS_io_uring_setup, 4, params);
}

static int try_limits(void)
{
    struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_CORE, &l);
}

static int try_symlink(void)
{
    return symlinkat("/etc", AT_FDCWD, "link");
}

static int try_device(void)
{
    return mknodat(AT_FDCWD, "device", S_IFCHR | 0666, 259);
}

static const struct {
    const char *name;
    int (*fn)(void);
} calls[] = {
    {"kill", try_kill},       {"pidfd", try_pidfd},
    {"ptrace", try_ptrace},   {"proc-folder", try_proc_folder},
    {"fork", try_fork},       {"exec", try_exec},
    {"unix", try_unix},       {"tcp", try_tcp},
    {"mount", try_mount},     {"unshare", try_unshare},
    {"setuid", try_setuid},   {"executable-memory", try_executable_memory},
    {"bpf", try_bpf},         {"keyctl", try_keyctl},
    {"limits", try_limits},   {"io_uring", try_io_uring},
    {"symlink", try_symlink}, {"device", try_device},
};

static int try_file(const char *what, int at, const char *path)
{
    if (!strcmp(what, "read"))
        return openat(at, path, O_RDONLY | O_CLOEXEC);
    if (!strcmp(what, "write"))
        return openat(at, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (!strcmp(what, "create"))
        return openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (!strcmp(what, "unlink"))
        return unlinkat(at, path, 0);
    if (!strcmp(what, "rmdir"))
        return unlinkat(at, path, AT_REMOVEDIR);
    if (!strcmp(what, "list"))
        return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    errno = ENOTSUP;
    return -1;
}

static int try(const struct guest *own, const struct guest *other, const char *what,
               const char *where)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(what, calls[i].name)) {
            victim = (pid_t)atoi(where);
            return calls[i].fn();
        }
    if (str_starts(where, "own/"))
        return try_file(what, own->dirfd, where + 4);
    if (!str_starts(where, "other/")) /* of the state folder, or absolute */
        return try_file(what, own->store->fd, where);
    AUTO_FREE char *path = xasprintf("%s/%s", other->id, where + 6);
    return try_file(what, own->store->guests_fd, path);
}

static int attempt(struct guest *own, const struct guest *other, const char *what,
                   const char *where)
{
    struct monitor m = {.g = own, .wall = wall_of(&own->spec)};
    ERROR_CLEANUP err = NULL;
    if ((m.wall->monitor == JAIL_MACHINE_MONITOR &&
         balance_init(&m.balance, own, &m.w, &err) < 0) ||
        monitor_jail(&m, false, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        return 3;
    }
    errno = 0;
    int r = try(own, other, what, where);
    const char *said = r < 0 ? strerrorname_np(errno) : "did";
    return write(STDERR_FILENO, said, strlen(said)) < 0 ? 3 : 0;
}

static struct guest *make(struct store *s, const char *name, enum wall_kind wall, bool removes,
                          struct error **err)
{
    struct guest_spec spec = {
        .wall = wall, .command = xcalloc(1, sizeof(char *)), .env = xcalloc(1, sizeof(char *))};
    spec.auto_remove = removes;
    struct guest *g = guest_create(s, name, &spec, err);
    if (!g || replace_file_at(g->dirfd, "log", "secret", 6, 0600, err) < 0)
        return NULL;
    guest_unlock(g);
    return g;
}

int main(int argc, char **argv)
{
    ERROR_CLEANUP err = NULL;
    struct store s;
    enum wall_kind wall;
    bool removes = argc > 1 && !strcmp(argv[1], "--rm");
    argv += removes;
    if (argc - removes != 5 || wall_parse(argv[1], &wall, &err) < 0 ||
        store_open(&s, argv[2], &err) < 0)
        return 2;
    AUTO_GUEST *own = make(&s, "own", wall, removes, &err);
    AUTO_GUEST *other = own ? make(&s, "other", wall, false, &err) : NULL;
    struct balance_settings set = {.automatic = true};
    if (!other || balance_settings_write(&s, &set, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        return 3;
    }
    AUTO_CLOSE int readings = store_folder(&s, "memory", &err);
    pid_t pid = fork();
    if (pid == 0)
        _exit(attempt(own, other, argv[3], argv[4]));
    int status;
    if (readings < 0 || pid < 0 || waitpid(pid, &status, 0) != pid)
        return 3;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s", WTERMSIG(status) == SIGSYS ? "killed" : strsignal(WTERMSIG(status)));
    guest_remove(own, NULL);
    guest_remove(other, NULL);
    store_close(&s);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}
