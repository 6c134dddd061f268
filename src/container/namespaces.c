#include "container/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/procfs.h"

int namespaces_open(const struct config *c, int fds[NS_COUNT], struct error **err)
{
    for (int k = 0; k < NS_COUNT; k++)
        fds[k] = -1;
    for (int k = 0; k < NS_COUNT; k++) {
        const char *path = c->ns[k].path;
        if (!path)
            continue;
        fds[k] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[k] < 0) {
            error_set(err, errno, "linux.namespaces: %s: open %s", ns_name((enum ns_kind)k), path);
            namespaces_close(fds);
            return -1;
        }
        if (ioctl(fds[k], NS_GET_NSTYPE) != ns_clone_flag((enum ns_kind)k)) {
            namespaces_close(fds);
            return error_set(err, 0, "linux.namespaces: %s is not a namespace of type %s", path,
                             ns_name((enum ns_kind)k));
        }
    }
    return 0;
}

void namespaces_close(int fds[NS_COUNT])
{
    for (int k = 0; k < NS_COUNT; k++) {
        if (fds[k] >= 0)
            close(fds[k]);
        fds[k] = -1;
    }
}

bool namespaces_new(const struct config *c, enum ns_kind k)
{
    return c->ns[k].present && !c->ns[k].path;
}

unsigned long namespaces_new_flags(const struct config *c)
{
    unsigned long flags = 0;
    for (int k = 0; k < NS_COUNT; k++)
        if (namespaces_new(c, (enum ns_kind)k))
            flags |= (unsigned)ns_clone_flag((enum ns_kind)k);
    return flags;
}

int namespaces_join(const int fds[NS_COUNT], struct error **err)
{
    bool joined[NS_COUNT] = {false};
    /* Two rounds: a namespace owned by the host's user namespace can only be joined before the
     * container's user namespace, one owned by that only after. */
    for (int round = 0; round < 2; round++) {
        if (round == 1 && fds[NS_USER] >= 0 && setns(fds[NS_USER], CLONE_NEWUSER) < 0)
            return error_set(err, errno, "linux.namespaces: join user");
        for (int k = NS_USER + 1; k < NS_COUNT; k++) {
            if (fds[k] < 0 || joined[k])
                continue;
            if (setns(fds[k], ns_clone_flag((enum ns_kind)k)) == 0)
                joined[k] = true;
            else if (round == 1 || errno != EPERM)
                return error_set(err, errno, "linux.namespaces: join %s", ns_name((enum ns_kind)k));
        }
    }
    return 0;
}

/* ---- user namespace ---- */

static void map_text(const struct id_maps *m, struct str *s)
{
    for (size_t i = 0; i < m->len; i++)
        str_printf(s, "%u %u %u\n", m->list[i].inside, m->list[i].outside, m->list[i].size);
}

/* newuidmap PID INSIDE OUTSIDE SIZE ... */
static int map_by_helper(const char *helper, pid_t pid, const struct id_maps *m, struct error **err)
{
    AUTO_FREE char **args = xcalloc(3 * m->len + 3, sizeof *args);
    args[0] = (char *)helper;
    pid_t child = fork();
    if (child < 0)
        return error_set(err, errno, "fork");
    if (child == 0) {
        size_t n = 1;
        args[n++] = xasprintf("%d", (int)pid);
        for (size_t i = 0; i < m->len; i++) {
            args[n++] = xasprintf("%u", m->list[i].inside);
            args[n++] = xasprintf("%u", m->list[i].outside);
            args[n++] = xasprintf("%u", m->list[i].size);
        }
        execvp(helper, args);
        _exit(127);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return error_set(err, 0,
                         WIFEXITED(status) && WEXITSTATUS(status) == 127
                             ? "%s is not installed (package uidmap), and the runtime may "
                               "not map these ids itself"
                             : "%s refused: are the ids in /etc/subuid and /etc/subgid?",
                         helper);
    return 0;
}

static int write_map(int proc, pid_t pid, const char *file, const char *helper,
                     const struct id_maps *m, struct error **err)
{
    STR_CLEANUP text = {0};
    map_text(m, &text);
    AUTO_FREE char *path = xasprintf("%d/%s", (int)pid, file);
    struct error *e = NULL;
    if (procfs_write(proc, path, text.data ? text.data : "", &e) == 0)
        return 0;
    if (error_code(e) == EPERM && geteuid() != 0) {
        error_free(&e);
        return map_by_helper(helper, pid, m, err);
    }
    if (err)
        *err = e;
    else
        error_free(&e);
    return -1;
}

int namespaces_map_ids(pid_t pid, const struct id_maps *uids, const struct id_maps *gids,
                       struct error **err)
{
    AUTO_CLOSE int proc = procfs_open(err);
    if (proc < 0)
        return -1;
    if (write_map(proc, pid, "uid_map", "newuidmap", uids, err) < 0)
        return error_prefix(err, "linux.uidMappings");
    /* Without privilege a single group may be mapped, if the process gives up setgroups(2). */
    if (geteuid() != 0 && gids->len == 1 && gids->list[0].size == 1) {
        AUTO_FREE char *path = xasprintf("%d/setgroups", (int)pid);
        if (procfs_write(proc, path, "deny", err) < 0)
            return error_prefix(err, "linux.gidMappings");
    }
    if (write_map(proc, pid, "gid_map", "newgidmap", gids, err) < 0)
        return error_prefix(err, "linux.gidMappings");
    return 0;
}

bool namespaces_rootless(void)
{
    if (geteuid() != 0)
        return true;
    AUTO_FREE char *map = NULL;
    unsigned inside, outside, size;
    if (read_file_at(AT_FDCWD, "/proc/self/uid_map", 65536, &map, NULL, NULL) < 0)
        return false; /* a kernel without user namespaces */
    return sscanf(map, "%u %u %u", &inside, &outside, &size) != 3 || inside || outside ||
           size != UINT32_MAX;
}

/* ---- their processes ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool in_pid_namespace(const char *pid, const struct stat *ns)
{
    AUTO_FREE char *path = xasprintf("/proc/%s/ns/pid", pid);
    struct stat st;
    return stat(path, &st) == 0 && same_file(&st, ns);
}

int namespaces_procs(pid_t pid, pid_t **pids, size_t *len, struct error **err)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/ns/pid", (int)pid);
    AUTO_CLOSEDIR DIR *d = opendir("/proc");
    struct stat ns, own;
    if (!d || stat(path, &ns) < 0 || stat("/proc/self/ns/pid", &own) < 0)
        return error_set(err, errno, "look for the processes beside %d", (int)pid);
    bool shared = same_file(&ns, &own);
    *pids = NULL;
    *len = 0;
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        char *end;
        long n = strtol(e->d_name, &end, 10);
        if (*end || n <= 0 || (n != pid && (shared || !in_pid_namespace(e->d_name, &ns))))
            continue;
        *pids = xrealloc(*pids, (*len + 1) * sizeof **pids);
        (*pids)[(*len)++] = (pid_t)n;
    }
    return errno ? error_set(err, errno, "look for the processes beside %d", (int)pid) : 0;
}

/* ---- inside ---- */

static int loopback_up(struct error **err)
{
    AUTO_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return errno == EAFNOSUPPORT ? 0 : error_set(err, errno, "network: socket");
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
        return error_set(err, errno, "network: bring up lo");
    return 0;
}

static int set_time_offsets(const struct config *c, int proc, struct error **err)
{
    STR_CLEANUP text = {0};
    if (c->monotonic.present)
        str_printf(&text, "monotonic %lld %u\n", (long long)c->monotonic.secs,
                   c->monotonic.nanosecs);
    if (c->boottime.present)
        str_printf(&text, "boottime %lld %u\n", (long long)c->boottime.secs, c->boottime.nanosecs);
    if (text.len && procfs_write(proc, "self/timens_offsets", text.data, err) < 0)
        return error_prefix(err, "linux.timeOffsets");
    return 0;
}

static int set_sysctl(const struct key_value *kv, int proc, struct error **err)
{
    AUTO_FREE char *path = xasprintf("sys/%s", kv->key);
    /* net.ipv4.conf.eth0/1.x: as sysctl(8), a slash in the name stands for a dot in the path. */
    for (char *p = path + strlen("sys/"); *p; p++)
        *p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
    if (procfs_write(proc, path, kv->value, err) < 0)
        return error_prefix(err, "linux.sysctl.%s", kv->key);
    return 0;
}

int namespaces_configure(const struct config *c, int proc, struct error **err)
{
    /* A process's own clock changes when it executes (Linux 6.1), which it is about to. */
    if (namespaces_new(c, NS_TIME)) {
        if (unshare(ns_clone_flag(NS_TIME)) < 0)
            return error_set(err, errno, "linux.namespaces: make time");
        if (set_time_offsets(c, proc, err) < 0)
            return -1;
    }
    if (c->hostname && *c->hostname && sethostname(c->hostname, strlen(c->hostname)) < 0)
        return error_set(err, errno, "hostname");
    if (c->domainname && *c->domainname && setdomainname(c->domainname, strlen(c->domainname)) < 0)
        return error_set(err, errno, "domainname");
    if (namespaces_new(c, NS_NET) && loopback_up(err) < 0)
        return -1;
    for (size_t i = 0; i < c->sysctl_len; i++)
        if (set_sysctl(&c->sysctl[i], proc, err) < 0)
            return -1;
    return 0;
}
