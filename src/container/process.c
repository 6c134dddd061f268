#include "container/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/caps.h"
#include "container/procfs.h"
#include "container/rlimits.h"
#include "container/sync.h"

/* struct sched_attr of sched_setattr(2), which glibc does not declare. */
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

int process_hide(struct error **err)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set(err, errno, "prctl PR_SET_DUMPABLE");
    return 0;
}

static int apparmor_enabled(void)
{
    AUTO_FREE char *y = NULL;
    return read_file_at(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &y, NULL, NULL) ==
               0 &&
           y[0] == 'Y';
}

bool selinux_enabled(void)
{
    return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

int process_set_labels(const struct process *p, int proc, struct error **err)
{
    const char *profile = p->apparmor_profile, *label = p->selinux_label;
    if (profile && *profile && strcmp(profile, "unconfined")) {
        if (!apparmor_enabled())
            return error_set(err, 0, "process.apparmorProfile: the host has no AppArmor");
        AUTO_FREE char *text = xasprintf("exec %s", profile);
        bool own = faccessat(proc, "thread-self/attr/apparmor/exec", F_OK, 0) == 0;
        if (procfs_write(proc, own ? "thread-self/attr/apparmor/exec" : "thread-self/attr/exec",
                         text, err) < 0)
            return error_prefix(err, "process.apparmorProfile");
    }
    if (label && *label) {
        if (!selinux_enabled())
            return error_set(err, 0, "process.selinuxLabel: the host has no SELinux");
        if (procfs_write(proc, "thread-self/attr/exec", label, err) < 0)
            return error_prefix(err, "process.selinuxLabel");
    }
    return 0;
}

int process_set_session(const struct process *p, bool keep_keyring, struct error **err)
{
    if (setsid() < 0 && errno != EPERM) /* EPERM: it leads one already */
        return error_set(err, errno, "setsid");
    /* The caller's session keys are not the container's. A kernel or a quota without keyrings is no
     * reason to fail. */
    if (!keep_keyring && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 &&
        errno != ENOSYS && errno != EPERM && errno != EDQUOT && errno != EOPNOTSUPP)
        return error_set(err, errno, "join a new session keyring");
    const struct scheduler *s = &p->scheduler;
    if (s->present) {
        struct sched_attributes a = {sizeof a,    s->policy,  s->flags,    s->nice,
                                     s->priority, s->runtime, s->deadline, s->period};
        if (syscall(SYS_sched_setattr, 0, &a, 0) < 0)
            return error_set(err, errno, "process.scheduler%s",
                             errno == EPERM && s->priority
                                 ? " (a cgroup v1 group has no real-time share until "
                                   "linux.resources.cpu.realtimeRuntime gives it one)"
                                 : "");
    }
    if (p->ioprio >= 0 && syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, p->ioprio) < 0)
        return error_set(err, errno, "process.ioPriority");
    if (p->user.umask_set)
        umask(p->user.umask);
    return 0;
}

int process_chdir(const struct process *p, struct error **err)
{
    if (chdir(p->cwd) < 0)
        return error_set(err, errno, "process.cwd: enter %s", p->cwd);
    /* A link such as /proc/self/fd/7 could have led to a folder of the host that is still open: the
     * kernel then calls the place unreachable (getcwd(2)). */
    char buf[PATH_MAX];
    if (syscall(SYS_getcwd, buf, sizeof buf) < 0 || buf[0] != '/')
        return error_set(err, 0, "process.cwd: %s is outside the container's root", p->cwd);
    return 0;
}

static bool executable(const char *path, int *code)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            *code = errno;
        return false;
    }
    if (S_ISREG(st.st_mode) && st.st_mode & 0111)
        return true;
    *code = EACCES;
    return false;
}

char *process_find(const struct process *p, struct error **err)
{
    const char *name = p->args[0], *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                                           "/sbin:/bin";
    int code = ENOENT;
    if (strchr(name, '/')) {
        if (executable(name, &code))
            return xstrdup(name);
        error_set(err, code, "process.args[0]: %s", name);
        return NULL;
    }
    for (size_t i = 0; p->env[i]; i++)
        if (str_starts(p->env[i], "PATH="))
            path = p->env[i] + 5;
    for (const char *s = path; s; s = strchr(s, ':') ? strchr(s, ':') + 1 : NULL) {
        size_t n = strcspn(s, ":");
        AUTO_FREE char *file = n ? xasprintf("%.*s/%s", (int)n, s, name) : xasprintf("./%s", name);
        if (executable(file, &code))
            return STEAL_PTR(file);
    }
    error_set(err, code, "process.args[0]: %s is not found in PATH (%s)", name, path);
    return NULL;
}

static int set_user(const struct user *u, struct error **err)
{
    if (!u->keep_groups && setgroups(u->groups_len, u->groups) < 0 &&
        (u->groups_len || errno != EPERM))
        return error_set(err, errno, "process.user.additionalGids");
    if (setresgid(u->gid, u->gid, u->gid) < 0)
        return error_set(err, errno, "process.user.gid: become group %u%s", u->gid,
                         errno == EINVAL ? " (not mapped in the user namespace)" : "");
    if (setresuid(u->uid, u->uid, u->uid) < 0)
        return error_set(err, errno, "process.user.uid: become user %u%s", u->uid,
                         errno == EINVAL ? " (not mapped in the user namespace)" : "");
    return 0;
}

static int load_filter(const struct seccomp_filter *f, const struct listener *l, struct error **err)
{
    if (!f->program)
        return 0;
    AUTO_CLOSE int fd = seccomp_install(f, err);
    if (fd < 0)
        return -1;
    if (!f->notify) {
        fd = -1;
        return 0;
    }
    return seccomp_send_listener(f, l->sock, fd, l->pid, l->state, err);
}

/* The user's standard streams, so that /proc/self/fd/1 can be opened by it. The null device is
 * everybody's, and of a root command nothing is missing. */
static int give_streams(const struct user *u, struct error **err)
{
    for (int fd = 0; u->uid != 0 && fd < 3; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || st.st_uid == u->uid ||
            (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
            continue;
        /* A pipe's or a readonly file's owner may not be changeable; it is no reason to fail. */
        if (fchown(fd, u->uid, u->gid) < 0 && errno != EPERM && errno != EINVAL && errno != EROFS &&
            errno != ENOSYS)
            return error_set(err, errno, "process.user.uid: give it stream %d", fd);
    }
    return 0;
}

/* HOME of the user, from the container's /etc/passwd: the sixth of seven fields. */
static char *find_home(uid_t uid)
{
    char *text = NULL, *home = NULL, *save = NULL;
    if (read_regular_at(AT_FDCWD, "/etc/passwd", 1 << 20, &text, NULL, NULL) < 0)
        return xstrdup("/");
    for (char *line = strtok_r(text, "\n", &save); line && !home;
         line = strtok_r(NULL, "\n", &save)) {
        char *field[7], *p = line;
        int n = 0;
        while (n < 7 && (field[n] = strsep(&p, ":")))
            n++;
        if (n >= 6 && *field[2] && strtoul(field[2], NULL, 10) == uid)
            home = xstrdup(field[5]);
    }
    free(text);
    return home && *home ? home : (free(home), xstrdup("/"));
}

/* The environment with HOME if it has none, and the descriptors of socket activation, which are
 * meant for the process with this pid. Never freed: it is executed with. */
static const char **environment(const struct process *p)
{
    size_t n = 0;
    bool home = false;
    while (p->env[n]) {
        home |= str_starts(p->env[n], "HOME=") && p->env[n][5];
        n++;
    }
    const char **env = xcalloc(n + 4, sizeof *env);
    n = 0;
    for (size_t i = 0; p->env[i]; i++)
        if (home || !str_starts(p->env[i], "HOME="))
            env[n++] = p->env[i];
    if (!home) {
        AUTO_FREE char *dir = find_home(p->user.uid);
        env[n++] = xasprintf("HOME=%s", dir);
    }
    const char *fds = getenv("LISTEN_FDS");
    if (fds) {
        env[n++] = xasprintf("LISTEN_FDS=%s", fds);
        env[n++] = xasprintf("LISTEN_PID=%d", (int)getpid());
    }
    return env;
}

int process_execute(const struct process *p, const char *file, const struct seccomp_filter *f,
                    const struct listener *l, int preserve_fds, int sock, struct error **err)
{
    if (caps_drop_bounding(&p->capabilities, err) < 0)
        return -1;
    const char **env = environment(p);
    if (give_streams(&p->user, err) < 0)
        return -1;
    if (close_range((unsigned)(3 + preserve_fds), ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return error_set(err, errno, "close_range");
    /* What our caller ignores (a shell's background job: SIGINT; nohup: SIGHUP) is not the
     * container's. */
    for (int sig = 1; sig < NSIG; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            signal(sig, SIG_DFL);
    /* Before the filter, which need not allow it. */
    if (rlimits_lower(p, err) < 0 || sync_send(sock, SYNC_EXECUTING, 0, NULL, err) < 0)
        return -1;
    /* Without no_new_privs loading a filter takes CAP_SYS_ADMIN, which is gone further down: it
     * has to allow the change of user and capabilities, and nothing else. With no_new_privs it
     * comes last, and has to allow only the execution. */
    if (!p->no_new_privileges && load_filter(f, l, err) < 0)
        return -1;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "keep capabilities");
    if (set_user(&p->user, err) < 0)
        return -1;
    if (caps_apply(&p->capabilities, err) < 0)
        return -1;
    if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "process.noNewPrivileges");
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return error_set(err, errno, "keep capabilities");
    if (p->no_new_privileges && load_filter(f, l, err) < 0)
        return -1;
    execve(file, (char *const *)p->args, (char *const *)env);
    return error_set(err, errno, "process.args[0]: execute %s", file);
}

int process_set_oom_score(pid_t pid, const struct process *p, struct error **err)
{
    if (!p->oom_score_adj_set)
        return 0;
    AUTO_CLOSE int proc = procfs_open(err);
    if (proc < 0)
        return -1;
    AUTO_FREE char *path = xasprintf("%d/oom_score_adj", (int)pid);
    AUTO_FREE char *text = xasprintf("%d", p->oom_score_adj);
    AUTO_FREE char *now = NULL;
    if (procfs_write(proc, path, text, err) == 0)
        return 0;
    /* Nothing to change needs no privilege. */
    if (read_file_at(proc, path, 64, &now, NULL, NULL) == 0 &&
        strtol(now, NULL, 10) == p->oom_score_adj) {
        error_free(err);
        return 0;
    }
    return error_prefix(err, "process.oomScoreAdj");
}

int process_set_cpus(const char *list, const char *field, struct error **err)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *s = list; *s;) {
        char *end;
        unsigned long from = strtoul(s, &end, 10), to = from;
        bool ok = end != s && isdigit((unsigned char)*s);
        if (ok && *end == '-') {
            s = end + 1;
            to = strtoul(s, &end, 10);
            ok = end != s && isdigit((unsigned char)*s);
        }
        if (!ok || to < from || to >= CPU_SETSIZE || (*end && *end != ','))
            return error_set(err, EINVAL, "%s: '%s' is not a list such as 0-3,7", field, list);
        for (unsigned long i = from; i <= to; i++)
            CPU_SET(i, &set);
        s = *end ? end + 1 : end;
    }
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        return error_set(err, errno, "%s: %s", field, list);
    return 0;
}
