/* A machine, or its network's process, that obeys orders: enters the same jail as the real ones,
 * each kind of thread with its filter, and then tries what it should not be able to do. With
 * --walls it leaves out the filters, so that what stands behind them is tried too.
 *
 *   jail_probe [--walls] [--removed] [--share FOLDER | --file FILE] KIND ATTEMPT [ARGUMENT]
 *
 * --removed: the folder, which is empty, is removed before the jail is there.
 *
 * Prints one word: "did" (and exits with 1), an errno's name, or "killed" when the filter ended it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempts.h"
#include "base/log.h"
#include "jail/filter.h"
#include "jail/jail.h"

static const char *argument = "";
static int folder = -1;

static int try_open(void)
{
    return openat(AT_FDCWD, argument, O_RDONLY | O_CLOEXEC);
}

static int try_create(void)
{
    return openat(AT_FDCWD, "/planted", O_WRONLY | O_CREAT, 0600);
}

/* Out of a shared folder, upwards: to the host's /etc/passwd? */
static int try_climb(void)
{
    return openat(folder, "../../../../../../../../etc/passwd", O_RDONLY | O_CLOEXEC);
}

/* In a shared folder, or in the one that a single shared file is in. */
static int try_in_share(void)
{
    return openat(folder, argument, O_RDONLY | O_CLOEXEC);
}

static int try_change_in_share(void)
{
    return openat(folder, argument, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int try_list_share(void)
{
    return openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0
               ? -1
               : faccessat(folder, argument, F_OK, 0);
}

static int try_device(void)
{
    return mknodat(folder, "device", S_IFCHR | 0666, makedev(1, 3));
}

static int try_pipe(void)
{
    return mknodat(folder, "pipe", S_IFIFO | 0600, 0);
}

static int try_unix(void)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(argument);
    memcpy(a.sun_path + 1, argument, len < 100 ? len : 100);
    return s < 0 ? s
                 : connect(s, (struct sockaddr *)&a,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

static int try_tcp(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(argument)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return s < 0 ? s : connect(s, (struct sockaddr *)&a, sizeof a);
}

static int try_raw(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static int try_kill_all(void)
{
    /* Outside of a pid namespace this would reach the host, and is not tried. */
    return getpid() == 1 ? kill(-1, SIGUSR1) : 0;
}

static int try_read_memory(void)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)(uintptr_t)0x1000, 1};
    return (int)process_vm_readv(atoi(argument), &to, 1, &from, 1, 0);
}

static int try_perf(void)
{
    struct perf_event_attr a = {.type = PERF_TYPE_HARDWARE, .size = sizeof a};
    return (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

static int try_userfaultfd(void)
{
    return (int)syscall(SYS_userfaultfd, 0);
}

static int try_reboot(void)
{
    return (int)syscall(SYS_reboot, 0, 0, 0, NULL); /* magic numbers are wrong: never reboots */
}

/* Descriptors that the caller had open and did not pass. */
static int try_leaked(void)
{
    for (int fd = 3; fd < 256; fd++)
        if (fd != folder && fcntl(fd, F_GETFL) >= 0)
            return fd;
    errno = EBADF;
    return -1;
}

static const struct attempt own[] = {
    {"open", try_open},
    {"create", try_create},
    {"climb", try_climb},
    {"in-share", try_in_share},
    {"change-in-share", try_change_in_share},
    {"list-share", try_list_share},
    {"device", try_device},
    {"pipe", try_pipe},
    {"unix", try_unix},
    {"tcp", try_tcp},
    {"raw", try_raw},
    {"kill-all", try_kill_all},
    {"read-memory", try_read_memory},
    {"perf", try_perf},
    {"userfaultfd", try_userfaultfd},
    {"reboot", try_reboot},
    {"leaked", try_leaked},
};

static const char *const kinds[JAIL_THREADS] = {
    [JAIL_MACHINE] = "machine", [JAIL_HART] = "hart",       [JAIL_DISK] = "disk",
    [JAIL_SHARE] = "share",     [JAIL_NETWORK] = "network",
};

static int obey(enum jail_thread kind, const char *name, bool walls)
{
    ERROR_CLEANUP err = NULL;
    if (!walls && jail_filter(kind, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        return 3;
    }
    int r = attempt(name, argument, own, sizeof own / sizeof *own);
    if (r == ATTEMPT_UNKNOWN)
        return 2;
    return attempt_tell(r) < 0 ? 3 : r >= 0;
}

int main(int argc, char **argv)
{
    bool walls = argc > 1 && !strcmp(argv[1], "--walls");
    ERROR_CLEANUP err = NULL;
    argv += walls;
    argc -= walls;
    log_init("jail_probe", LOG_INFO);
    bool removed = argc > 1 && !strcmp(argv[1], "--removed");
    argv += removed;
    argc -= removed;
    char *only = NULL;
    if (argc > 2 && !strcmp(argv[1], "--file")) {
        only = strrchr(argv[2], '/');
        *only++ = '\0';
    }
    if (argc > 2 && (only || !strcmp(argv[1], "--share"))) {
        folder = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (removed && rmdir(argv[2]) < 0)
            return 3;
        argv += 2;
        argc -= 2;
    }
    int kind = argc > 2 ? 0 : JAIL_THREADS;
    while (kind < JAIL_THREADS && (!kinds[kind] || strcmp(kinds[kind], argv[1]) != 0))
        kind++;
    if (kind == JAIL_THREADS)
        return 2;
    argument = argc > 3 ? argv[3] : "";
    struct jail_folder f = {.fd = &folder, .only = only};
    struct jail_config c = {.name = "probe",
                            .network = kind == JAIL_NETWORK,
                            .folders = &f,
                            .n_folders = folder >= 0,
                            .threads = 4};
    pid_t pid;
    int pidfd, status;
    int rc = jail_fork(&c, &pid, &pidfd, &err);
    if (rc == 0)
        _exit(obey((enum jail_thread)kind, argv[2], walls));
    if (rc < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        return 3;
    }
    if (waitpid(pid, &status, 0) != pid)
        return 3;
    return attempt_ended(status);
}
