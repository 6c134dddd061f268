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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../machine/attempts.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "guest/monitor_internal.h"

static pid_t victim;

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

static int try_unix(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_tcp(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_symlink(void)
{
    return symlinkat("/etc", AT_FDCWD, "link");
}

static int try_device(void)
{
    return mknodat(AT_FDCWD, "device", S_IFCHR | 0666, 259);
}

static const struct attempt calls[] = {
    {"pidfd", try_pidfd}, {"proc-folder", try_proc_folder}, {"unix", try_unix},
    {"tcp", try_tcp},     {"symlink", try_symlink},         {"device", try_device},
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
    victim = (pid_t)atoi(where);
    int r = attempt(what, where, calls, sizeof calls / sizeof *calls);
    if (r != ATTEMPT_UNKNOWN)
        return r;
    if (str_starts(where, "own/"))
        return try_file(what, own->dirfd, where + 4);
    if (!str_starts(where, "other/")) /* of the state folder, or absolute */
        return try_file(what, own->store->fd, where);
    AUTO_FREE char *path = xasprintf("%s/%s", other->id, where + 6);
    return try_file(what, own->store->guests_fd, path);
}

static int obey(struct guest *own, const struct guest *other, const char *what, const char *where)
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
    return attempt_tell(try(own, other, what, where)) < 0 ? 3 : 0;
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
        _exit(obey(own, other, argv[3], argv[4]));
    int status;
    if (readings < 0 || pid < 0 || waitpid(pid, &status, 0) != pid)
        return 3;
    guest_remove(own, NULL);
    guest_remove(other, NULL);
    store_close(&s);
    return attempt_ended(status);
}
