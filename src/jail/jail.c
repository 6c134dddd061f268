#include "jail/jail.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
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

/* Whether a weaker jail is no answer to it: what passes, a child that ended, or a folder that was
 * exchanged under our eyes. What the kernel refuses for good is another matter. */
static bool is_final(int code)
{
    static const int codes[] = {ESTALE, ECHILD, EPIPE, EAGAIN, ENOMEM, EMFILE, ENFILE, EINTR, EIO};
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i] == code)
            return true;
    return false;
}

/* What the child answers: that it is jailed (all zero), or why not. */
struct answer {
    int failed, code;
    char text[1024];
};

static int done(const struct jail_config *c, const char *step)
{
    if (c->step)
        c->step(c->step_arg, step);
    return 0;
}

/* The child's part, up to where it is jailed. */
static int enter(const struct jail_config *c, enum jail_who who, unsigned flags, int sync,
                 struct error **err)
{
    prctl(PR_SET_NAME, c->name);
    done(c, "ids mapped");
    if ((!c->console && jail_no_console(err) < 0) || jail_set_ids(who, err) < 0)
        return -1;
    done(c, "ids");
    if (flags && jail_empty_root(c, err) < 0)
        return -1;
    done(c, "root");
    if (jail_close_others(c, sync, err) < 0 || jail_limits(c, flags & CLONE_NEWUSER, err) < 0)
        return -1;
    done(c, "descriptors, limits");
    if (jail_drop_privileges(who, err) < 0)
        return -1;
    done(c, "capabilities");
    return jail_landlock(c, err) < 0 ? -1 : done(c, "Landlock");
}

static int enter_wholly(const struct jail_config *c, enum jail_who who, unsigned flags, int sync,
                        struct error **err)
{
    if (enter(c, who, flags, sync, err) < 0)
        return -1;
    /* After the last change of ids, which would undo it; the answer shows that it is in time. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return error_set(err, errno, "PR_SET_PDEATHSIG");
    return c->last ? c->last(err) : 0;
}

/* Talks with the caller: ids are mapped; jailed, or why not; go. An end of the socket that closes
 * is the other's end. */
static void child(const struct jail_config *c, enum jail_who who, unsigned flags, int sync)
{
    ERROR_CLEANUP err = NULL;
    struct answer a = {0};
    char byte;
    if (read_full(sync, &byte, 1) != 1)
        _exit(125);
    if (enter_wholly(c, who, flags, sync, &err) < 0) {
        a = (struct answer){.failed = 1, .code = error_code(err)};
        snprintf(a.text, sizeof a.text, "%s", error_text(err));
    }
    if (write_all(sync, &a, sizeof a) < 0 || a.failed || read_full(sync, &byte, 1) != 1)
        _exit(125);
    close(sync);
}

static int report(int sync, struct error **err)
{
    struct answer a;
    ssize_t n = read_full(sync, &a, sizeof a);
    if (n != sizeof a)
        return error_set(err, n < 0 ? errno : ECHILD, "the jailed process did not answer");
    if (!a.failed)
        return 0;
    error_set(err, 0, "%.*s", (int)sizeof a.text, a.text);
    (*err)->code = a.code; /* its words are in the text */
    return -1;
}

static int settle(enum jail_who who, unsigned flags, pid_t pid, int sync, struct error **err)
{
    if (flags & CLONE_NEWUSER && jail_map_ids(who, pid, err) < 0)
        return -1;
    if (write_all(sync, "", 1) < 0)
        return error_set(err, errno, "write to the jailed process");
    return report(sync, err);
}

/* What is not held; why: what the first try came to. */
static void tell_missing(const struct jail_config *c, enum jail_who who, unsigned flags,
                         const struct error *why)
{
    if (flags & CLONE_NEWUSER)
        return;
    if (flags && who == JAIL_FILES)
        log_warn("%s: no user namespace of its own: %s; in its shared folders it has root's "
                 "capabilities over files",
                 c->name, error_text(why));
    if (flags)
        return;
    const char *rest = jail_has_landlock() ? "Landlock, system call filters and limits hold it"
                       : c->n_folders || c->network
                           ? "nor has the kernel Landlock: system call filters and limits hold it, "
                             "but if it is taken over, it can open any file of its user"
                           : "nor has the kernel Landlock: system call filters and limits hold it, "
                             "which let it open nothing";
    log_warn("%s: no namespaces of its own: %s; %s", c->name, error_text(why), rest);
}

/* One try, with the namespaces of flags; why: what the first one came to. */
static int try(const struct jail_config *c, enum jail_who who, unsigned flags,
               const struct error *why, pid_t *pid, int *pidfd, struct error **err)
{
    int ends[2];
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
    done(c, "clone");
    int rc = settle(who, flags, (pid_t)n, ours, err);
    if (rc == 0) {
        tell_missing(c, who, flags, why); /* before it does anything */
        if (write_all(ours, "", 1) < 0)
            rc = error_set(err, errno, "write to the jailed process");
    }
    if (rc < 0) {
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
    ERROR_CLEANUP no_user = NULL;
    const unsigned others = NAMESPACES & ~(c->network ? CLONE_NEWNET : 0u);
    /* Root needs no user namespace for the others. */
    const unsigned flags[] = {others | CLONE_NEWUSER, others, 0};
    const enum jail_who who[] = {jail_who(c), JAIL_CALLER};
    for (unsigned i = 0; i < 3; i++)
        /* Nobody's id may not be there where root is root of a namespace. */
        for (unsigned k = 0; k < (who[0] == JAIL_CALLER ? 1 : 2); k++) {
            error_free(err);
            int rc = try(c, who[k], flags[i], no_user, pid, pidfd, err);
            if (rc >= 0)
                return rc;
            if (is_final(error_code(*err)))
                return -1;
            if (!no_user)
                error_set(&no_user, 0, "%s", error_text(*err));
        }
    return -1;
}
