#include "jail/jail.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "jail/steps.h"

#define NAMESPACES \
    (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET)

/* The child's part, up to where it is jailed. */
static int enter(const struct jail_config *c, enum jail_who who, unsigned flags, int sync,
                 struct error **err)
{
    prctl(PR_SET_NAME, c->name);
    if ((!c->console && jail_no_console(err) < 0) || jail_set_ids(who, err) < 0 ||
        (flags && jail_empty_root(c, err) < 0) || jail_close_others(c, sync, err) < 0 ||
        jail_limits(c, flags & CLONE_NEWUSER, err) < 0 || jail_drop_privileges(who, err) < 0)
        return -1;
    return jail_landlock(c, err);
}

/* Talks with the caller: ids are mapped; jailed, or why not; go. An end of the socket that closes
 * is the other's end. */
static void child(const struct jail_config *c, enum jail_who who, unsigned flags, int sync)
{
    ERROR_CLEANUP err = NULL;
    char byte;
    if (read_full(sync, &byte, 1) != 1)
        _exit(125);
    if (enter(c, who, flags, sync, &err) < 0) {
        const char *text = error_text(err);
        if (write_all(sync, text, strlen(text)) < 0)
            _exit(126);
        _exit(125);
    }
    /* After the last change of ids, which would undo it; the answer shows that it is in time. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || write_all(sync, "", 1) < 0 ||
        read_full(sync, &byte, 1) != 1)
        _exit(125);
    close(sync);
}

static int report(int sync, struct error **err)
{
    char text[1024];
    ssize_t n = read(sync, text, sizeof text - 1);
    if (n <= 0)
        return error_set(err, n < 0 ? errno : 0, "the jailed process ended");
    text[n] = '\0';
    return text[0] ? error_set(err, 0, "%s", text) : 0;
}

static int settle(enum jail_who who, unsigned flags, pid_t pid, int sync, struct error **err)
{
    if (flags & CLONE_NEWUSER && jail_map_ids(who, pid, err) < 0)
        return -1;
    if (write_all(sync, "", 1) < 0)
        return error_set(err, errno, "write to the jailed process");
    if (report(sync, err) < 0)
        return -1;
    return write_all(sync, "", 1) < 0 ? error_set(err, errno, "write to the jailed process") : 0;
}

/* One try, with the namespaces of flags. */
static int try(const struct jail_config *c, unsigned flags, pid_t *pid, int *pidfd,
               struct error **err)
{
    int ends[2];
    enum jail_who who = jail_who(c);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "socketpair");
    AUTO_CLOSE int ours = ends[0];
    AUTO_CLOSE int theirs = ends[1];
    int fd = -1;
    long n =
        syscall(SYS_clone, (unsigned long)flags | CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, NULL);
    if (n < 0)
        return error_set(err, errno, "new namespaces");
    if (n == 0) {
        close(STEAL_FD(ours));
        child(c, who, flags, theirs);
        theirs = -1;
        return 0;
    }
    AUTO_CLOSE int process = fd;
    close(STEAL_FD(theirs));
    if (settle(who, flags, (pid_t)n, ours, err) < 0) {
        kill((pid_t)n, SIGKILL);
        while (waitpid((pid_t)n, NULL, 0) < 0 && errno == EINTR)
            ;
        return -1;
    }
    *pid = (pid_t)n;
    *pidfd = STEAL_FD(process);
    return 1;
}

int jail_fork(const struct jail_config *c, pid_t *pid, int *pidfd, struct error **err)
{
    ERROR_CLEANUP why = NULL;
    unsigned flags = NAMESPACES & ~(c->network ? CLONE_NEWNET : 0u);
    int rc = try(c, flags | CLONE_NEWUSER, pid, pidfd, &why);
    if (rc >= 0)
        return rc;
    if (geteuid() == 0) { /* needs no user namespace for the others */
        error_free(&why);
        rc = try(c, flags, pid, pidfd, &why);
        if (rc >= 0)
            return rc;
    }
    rc = try(c, 0, pid, pidfd, err);
    if (rc > 0)
        log_warn("%s: no namespaces of its own: %s; system call filters and limits hold it, files "
                 "of its user it may not open only where the kernel has Landlock",
                 c->name, error_text(why));
    return rc;
}
