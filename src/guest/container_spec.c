#include "guest/container_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/str.h"
#include "guest/spawn.h"
#include "guest/subids.h"
#include "guest/wall.h"

char **container_command(const struct guest_spec *s, char *const *command, char *const *env,
                         const char *workdir, bool reports, struct error **err)
{
    ERROR_CLEANUP why = NULL;
    AUTO_FREE char *path =
        rootfs_find_command(s->rootfs, command[0], workdir, wall_get_env(env, "PATH"), NULL, &why);
    /* A mount may bring the command. */
    if (!path && !s->n_mounts) {
        if (err) {
            *err = why;
            why = NULL;
        }
        return NULL;
    }
    if (!s->foreign)
        return strv_dup(command);
    char **v = strv_add(NULL, xstrdup(CONTAINER_EMULATOR));
    /* It has a path in there, yet the folder would be the image's (process/cache.h). */
    v = strv_add(v, xstrdup("--cache"));
    v = strv_add(v, xstrdup("off"));
    if (reports) {
        v = strv_add(v, xstrdup("--report-fd"));
        v = strv_add(v, xasprintf("%d", SPAWN_REPORT_FD));
    }
    v = strv_add(v, xstrdup("-0"));
    v = strv_add(v, xstrdup(command[0]));
    v = strv_add(v, path ? xstrdup(path) : xstrdup(command[0]));
    for (char *const *c = command + 1; *c; c++)
        v = strv_add(v, xstrdup(*c));
    return v;
}

/* Docker's and podman's default set. */
static json_object *capabilities(const struct guest_spec *s)
{
    if (s->confine) /* none at all */
        return json_object_new_object();
    static const char *const names[] = {
        "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",     "CAP_FSETID",
        "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",    "CAP_SETFCAP",
        "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT", NULL};
    json_object *o = json_object_new_object();
    json_object_object_add(o, "bounding", json_words(names));
    json_object_object_add(o, "effective", json_words(names));
    json_object_object_add(o, "permitted", json_words(names));
    return o;
}

static bool in_ranges(uint32_t id, const struct id_range *r, size_t n)
{
    uint64_t end = 1; /* 0 is the caller itself */
    for (size_t i = 0; i < n; i++)
        end += r[i].count;
    return id < end;
}

/* An ordinary user's container has the users that may be given out, and no others. */
static int check_user(const struct guest_spec *s, const struct rootfs_user *u, struct error **err)
{
    struct subids ids;
    if (geteuid() == 0)
        return 0;
    subids_own(&ids);
    if (in_ranges(u->uid, ids.uids, ids.n_uids) && in_ranges(u->gid, ids.gids, ids.n_gids))
        return 0;
    return error_set(err, 0,
                     "--user %s: an ordinary user's container has user %u only where "
                     "newuidmap is installed (Debian's package uidmap) and /etc/subuid and "
                     "/etc/subgid give its caller enough ids",
                     s->user, u->uid);
}

static int add_process(json_object *o, const struct guest *g, struct error **err)
{
    const struct guest_spec *s = &g->spec;
    struct rootfs_user u;
    if (rootfs_lookup_user(s->rootfs, s->user, &u, err) < 0)
        return -1;
    if (check_user(s, &u, err) < 0) {
        free(u.home);
        return -1;
    }
    char **env = wall_environment(s, u.home ? u.home : "/", NULL);
    free(u.home);
    char **args = container_command(s, s->command, env, s->workdir, true, err);
    json_object *p = json_object_new_object();
    json_object_object_add(o, "process", p);
    json_put_bool(p, "terminal", s->tty);
    json_object *user = json_object_new_object();
    json_put_int(user, "uid", u.uid);
    json_put_int(user, "gid", u.gid);
    json_object *gids = json_object_new_array();
    for (unsigned i = 0; i < u.n_groups; i++)
        json_object_array_add(gids, json_object_new_int64(u.groups[i]));
    json_object_object_add(user, "additionalGids", gids);
    json_object_object_add(p, "user", user);
    json_put_strv(p, "env", env);
    json_put_strv(p, "args", args);
    json_put_str(p, "cwd", s->workdir ? s->workdir : "/");
    json_object_object_add(p, "capabilities", capabilities(s));
    json_put_bool(p, "noNewPrivileges", s->confine);
    strv_free(env);
    strv_free(args);
    return args ? 0 : -1;
}

static json_object *mount_entry(const char *target, const char *type, const char *source,
                                json_object *options)
{
    json_object *m = json_object_new_object();
    json_put_str(m, "destination", target);
    json_put_str(m, "type", type);
    json_put_str(m, "source", source);
    json_object_object_add(m, "options", options);
    return m;
}

#define TTY_GROUP 5

static json_object *mounts(const struct guest_spec *s, const char *emulator, bool rootless)
{
    json_object *a = json_object_new_array();
    bool has_tty = !rootless && id_is_mapped("gid_map", TTY_GROUP);
    json_object_array_add(a,
                          mount_entry("/proc", "proc", "proc", WORDS("nosuid", "noexec", "nodev")));
    json_object_array_add(a,
                          mount_entry("/dev", "tmpfs", "tmpfs",
                                      WORDS("nosuid", "strictatime", "mode=755", "size=65536k")));
    /* Group 5 is tty; a user namespace of one id does not have it. */
    json_object_array_add(a, mount_entry("/dev/pts", "devpts", "devpts",
                                         !has_tty ? WORDS("nosuid", "noexec", "newinstance",
                                                          "ptmxmode=0666", "mode=0620")
                                                  : WORDS("nosuid", "noexec", "newinstance",
                                                          "ptmxmode=0666", "mode=0620", "gid=5")));
    json_object_array_add(
        a, mount_entry("/dev/shm", "tmpfs", "shm",
                       WORDS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")));
    json_object_array_add(
        a, mount_entry("/dev/mqueue", "mqueue", "mqueue", WORDS("nosuid", "noexec", "nodev")));
    if (s->network == NETWORK_HOST && rootless)
        json_object_array_add(a, mount_entry("/sys", "none", "/sys",
                                             WORDS("rbind", "nosuid", "noexec", "nodev", "rro")));
    else
        json_object_array_add(
            a, mount_entry("/sys", "sysfs", "sysfs", WORDS("nosuid", "noexec", "nodev", "ro")));
    if (!rootless)
        json_object_array_add(a, mount_entry("/sys/fs/cgroup", "cgroup", "cgroup",
                                             WORDS("nosuid", "noexec", "nodev", "relatime", "ro")));
    if (emulator)
        json_object_array_add(a, mount_entry(CONTAINER_EMULATOR, "bind", emulator,
                                             WORDS("bind", "ro", "nosuid", "nodev")));
    if (s->network == NETWORK_HOST && access("/etc/resolv.conf", R_OK) == 0)
        json_object_array_add(
            a, mount_entry("/etc/resolv.conf", "bind", "/etc/resolv.conf", WORDS("bind", "ro")));
    for (unsigned i = 0; i < s->n_mounts; i++)
        json_object_array_add(a,
                              mount_entry(s->mounts[i].target, "bind", s->mounts[i].source,
                                          s->mounts[i].readonly ? WORDS("rbind", "rro", "rprivate")
                                                                : WORDS("rbind", "rprivate")));
    return a;
}

static json_object *namespaces(const struct guest_spec *s, bool rootless)
{
    static const char *const always[] = {"pid", "ipc", "uts", "mount", "cgroup", NULL};
    json_object *a = json_object_new_array();
    for (int i = 0; i < 7; i++) {
        const char *type = i < 5                                  ? always[i]
                           : i == 5 && s->network != NETWORK_HOST ? "network"
                           : i == 6 && rootless                   ? "user"
                                                                  : NULL;
        if (!type)
            continue;
        json_object *n = json_object_new_object();
        json_put_str(n, "type", type);
        json_object_array_add(a, n);
    }
    return a;
}

static void add_mapping(json_object *list, uint32_t inside, struct id_range outside)
{
    json_object *m = json_object_new_object();
    json_put_int(m, "containerID", inside);
    json_put_int(m, "hostID", outside.start);
    json_put_int(m, "size", outside.count);
    json_object_array_add(list, m);
}

/* An ordinary user is root in its container; the other users there are of the ids that it may give
 * out, if any. */
static json_object *id_mappings(uint32_t own, const struct id_range *more, size_t n)
{
    json_object *a = json_object_new_array();
    add_mapping(a, 0, (struct id_range){own, 1});
    uint32_t next = 1;
    for (size_t i = 0; i < n && more[i].count < UINT32_MAX - next; i++) {
        add_mapping(a, next, more[i]);
        next += more[i].count;
    }
    return a;
}

json_object *container_resources(const struct guest_limits *l)
{
    json_object *o = json_object_new_object();
    if (l->memory) {
        json_object *m = json_object_new_object();
        json_put_int(m, "limit", (int64_t)l->memory);
        json_object_object_add(o, "memory", m);
    }
    if (l->cpu_milli) {
        json_object *c = json_object_new_object();
        json_put_int(c, "period", 100000);
        json_put_int(c, "quota", (int64_t)l->cpu_milli * 100);
        json_object_object_add(o, "cpu", c);
    }
    if (l->pids) {
        json_object *p = json_object_new_object();
        json_put_int(p, "limit", (int64_t)l->pids);
        json_object_object_add(o, "pids", p);
    }
    return o;
}

/* No device but the standard ones, which the container layer allows by itself. */
static void refuse_devices(json_object *resources)
{
    json_object *a = json_object_new_array(), *d = json_object_new_object();
    json_put_bool(d, "allow", false);
    json_put_str(d, "access", "rwm");
    json_object_array_add(a, d);
    json_object_object_add(resources, "devices", a);
}

static json_object *linux_part(const struct guest *g, bool rootless)
{
    const struct guest_spec *s = &g->spec;
    json_object *o = json_object_new_object();
    json_object_object_add(o, "namespaces", namespaces(s, rootless));
    if (rootless) {
        struct subids ids;
        subids_own(&ids);
        json_object_object_add(o, "uidMappings", id_mappings(geteuid(), ids.uids, ids.n_uids));
        json_object_object_add(o, "gidMappings", id_mappings(getegid(), ids.gids, ids.n_gids));
    }
    AUTO_FREE char *cgroup = xasprintf("/wirt/%s", g->id);
    json_put_str(o, "cgroupsPath", cgroup);
    json_object *r = container_resources(&s->limits);
    if (!rootless)
        refuse_devices(r);
    json_object_object_add(o, "resources", r);
    json_object_object_add(o, "seccomp", container_filter(s->confine));
    json_object_object_add(o, "maskedPaths",
                           WORDS("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore",
                                 "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
                                 "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                                 "/sys/devices/virtual/powercap", "/sys/firmware"));
    json_object_object_add(o, "readonlyPaths",
                           WORDS("/proc/bus", "/proc/fs", "/proc/irq", "/proc/pressure",
                                 "/proc/sys", "/proc/sysrq-trigger"));
    return o;
}

json_object *container_spec(const struct guest *g, const char *emulator, struct error **err)
{
    const struct guest_spec *s = &g->spec;
    bool rootless = geteuid() != 0;
    json_object *o = json_object_new_object();
    json_put_str(o, "ociVersion", "1.0.2");
    if (add_process(o, g, err) < 0) {
        json_object_put(o);
        return NULL;
    }
    json_object *root = json_object_new_object();
    json_put_str(root, "path", s->rootfs);
    json_put_bool(root, "readonly", s->read_only);
    json_object_object_add(o, "root", root);
    /* Without a name of its own it is called by the beginning of its id, as docker has it. */
    AUTO_FREE char *short_id = xasprintf("%.12s", g->id);
    json_put_str(o, "hostname", s->hostname ? s->hostname : short_id);
    json_object_object_add(o, "mounts", mounts(s, emulator, rootless));
    json_object_object_add(o, "linux", linux_part(g, rootless));
    return o;
}
