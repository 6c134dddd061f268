#include "container/spec.h"

#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/config.h"

static struct json_object *text(const char *s)
{
    return json_object_new_string(s);
}

static void add(struct json_object *o, const char *key, struct json_object *v)
{
    json_object_object_add(o, key, v);
}

static struct json_object *list(const char *const *items)
{
    struct json_object *a = json_object_new_array();
    for (size_t i = 0; items && items[i]; i++)
        json_object_array_add(a, text(items[i]));
    return a;
}

/* What docker and podman give by default. */
static const char *const default_caps[] = {"CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FSETID",
                                           "CAP_FOWNER",  "CAP_SETGID",           "CAP_SETUID",
                                           "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
                                           "CAP_KILL",    "CAP_AUDIT_WRITE",      "CAP_SETFCAP",
                                           NULL};

static const char *const masked[] = {"/proc/acpi",
                                     "/proc/asound",
                                     "/proc/interrupts",
                                     "/proc/kcore",
                                     "/proc/keys",
                                     "/proc/latency_stats",
                                     "/proc/scsi",
                                     "/proc/sched_debug",
                                     "/proc/timer_list",
                                     "/proc/timer_stats",
                                     "/sys/firmware",
                                     "/sys/devices/virtual/powercap",
                                     NULL};

static const char *const readonly[] = {"/proc/bus",           "/proc/fs", "/proc/irq", "/proc/sys",
                                       "/proc/sysrq-trigger", NULL};

static struct json_object *mount_object(const char *destination, const char *type,
                                        const char *source, const char *const *options)
{
    struct json_object *m = json_object_new_object();
    add(m, "destination", text(destination));
    add(m, "type", text(type));
    add(m, "source", text(source));
    add(m, "options", list(options));
    return m;
}

static struct json_object *default_mounts(const struct spec_options *o)
{
    static const char *const none[] = {NULL};
    static const char *const dev[] = {"nosuid", "strictatime", "mode=755", "size=65536k", NULL};
    static const char *const pts[] = {"nosuid",    "noexec", "newinstance", "ptmxmode=0666",
                                      "mode=0620", "gid=5",  NULL};
    static const char *const shm[] = {"nosuid",    "noexec",      "nodev",
                                      "mode=1777", "size=65536k", NULL};
    static const char *const strict[] = {"nosuid", "noexec", "nodev", NULL};
    static const char *const ro[] = {"nosuid", "noexec", "nodev", "ro", NULL};
    static const char *const cgroup[] = {"nosuid", "noexec", "nodev", "relatime", "ro", NULL};
    static const char *const pts_rootless[] = {"nosuid",        "noexec",    "newinstance",
                                               "ptmxmode=0666", "mode=0620", NULL};
    static const char *const rbind_ro[] = {"rbind", "nosuid", "noexec", "nodev", "ro", NULL};
    struct json_object *a = json_object_new_array();
    json_object_array_add(a, mount_object("/proc", "proc", "proc", none));
    json_object_array_add(a, mount_object("/dev", "tmpfs", "tmpfs", dev));
    json_object_array_add(
        a, mount_object("/dev/pts", "devpts", "devpts", o->rootless ? pts_rootless : pts));
    json_object_array_add(a, mount_object("/dev/shm", "tmpfs", "shm", shm));
    json_object_array_add(a, mount_object("/dev/mqueue", "mqueue", "mqueue", strict));
    /* sysfs belongs to a network namespace: a user namespace without one has to bind. */
    if (o->rootless && o->network == SPEC_NETWORK_HOST)
        json_object_array_add(a, mount_object("/sys", "none", "/sys", rbind_ro));
    else
        json_object_array_add(a, mount_object("/sys", "sysfs", "sysfs", ro));
    if (!o->rootless)
        json_object_array_add(a, mount_object("/sys/fs/cgroup", "cgroup", "cgroup", cgroup));
    return a;
}

/* SOURCE:DESTINATION[:OPTION,...] */
static int add_volume(struct json_object *mounts, const char *spec, struct error **err)
{
    AUTO_FREE char *copy = xstrdup(spec);
    char *destination = strchr(copy, ':');
    if (!destination || destination == copy || destination[1] != '/')
        return error_set(err, 0,
                         "mount '%s': SOURCE:DESTINATION[:OPTIONS] is expected, with an "
                         "absolute DESTINATION",
                         spec);
    *destination++ = 0;
    char *options = strchr(destination, ':');
    if (options)
        *options++ = 0;
    if (copy[0] != '/')
        return error_set(err, 0, "mount '%s': the source is not an absolute path", spec);
    static const char *const rbind[] = {"rbind", "rprivate", NULL};
    struct json_object *m = mount_object(destination, "bind", copy, rbind), *opts;
    json_object_object_get_ex(m, "options", &opts);
    char *save = NULL;
    for (char *p = options ? strtok_r(options, ",", &save) : NULL; p;
         p = strtok_r(NULL, ",", &save))
        json_object_array_add(opts, text(!strcmp(p, "ro") ? "rro" : p));
    json_object_array_add(mounts, m);
    return 0;
}

static int make_user(struct json_object *process, const char *spec, struct error **err)
{
    struct json_object *user = json_object_new_object();
    add(process, "user", user);
    uint64_t uid = 0, gid = 0;
    if (spec) {
        const char *colon = strchr(spec, ':');
        AUTO_FREE char *first = colon ? strndup(spec, (size_t)(colon - spec)) : xstrdup(spec);
        if (parse_u64(first, "user", &uid, err) < 0 ||
            (colon && parse_u64(colon + 1, "user", &gid, err) < 0))
            return -1;
    }
    add(user, "uid", json_object_new_uint64(uid));
    add(user, "gid", json_object_new_uint64(gid));
    return 0;
}

static int make_process(struct json_object *spec, const struct spec_options *o, struct error **err)
{
    static const char *const shell[] = {"sh", NULL};
    static const char *const base_env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL};
    struct json_object *p = json_object_new_object(), *env = list(base_env),
                       *caps = json_object_new_object();
    add(spec, "process", p);
    add(p, "terminal", json_object_new_boolean(o->tty));
    if (make_user(p, o->user, err) < 0)
        return -1;
    add(p, "args", list(o->args && o->args[0] ? o->args : shell));
    for (size_t i = 0; o->env && o->env[i]; i++) {
        if (!strchr(o->env[i], '=')) {
            json_object_put(env);
            return error_set(err, 0, "environment '%s': NAME=VALUE is expected", o->env[i]);
        }
        /* The last of a name counts: the first is found by getenv. */
        size_t name = strcspn(o->env[i], "=") + 1, j = 0;
        while (j < json_object_array_length(env) &&
               strncmp(json_object_get_string(json_object_array_get_idx(env, j)), o->env[i], name))
            j++;
        json_object_array_put_idx(env, j, text(o->env[i]));
    }
    add(p, "env", env);
    add(p, "cwd", text(o->cwd ? o->cwd : "/"));
    add(caps, "bounding", list(default_caps));
    add(caps, "effective", list(default_caps));
    add(caps, "permitted", list(default_caps));
    add(p, "capabilities", caps);
    add(p, "noNewPrivileges", json_object_new_boolean(true));
    return 0;
}

static struct json_object *mapping(uint32_t outside)
{
    struct json_object *a = json_object_new_array(), *m = json_object_new_object();
    add(m, "containerID", json_object_new_int(0));
    add(m, "hostID", json_object_new_int64(outside));
    add(m, "size", json_object_new_int(1));
    json_object_array_add(a, m);
    return a;
}

static struct json_object *namespaces(const struct spec_options *o)
{
    static const enum ns_kind kinds[] = {NS_PID,    NS_NET,   NS_IPC, NS_UTS,
                                         NS_CGROUP, NS_MOUNT, NS_USER};
    struct json_object *a = json_object_new_array();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if ((kinds[i] == NS_NET && o->network == SPEC_NETWORK_HOST) ||
            (kinds[i] == NS_USER && !o->rootless))
            continue;
        struct json_object *n = json_object_new_object();
        add(n, "type", text(ns_name(kinds[i])));
        json_object_array_add(a, n);
    }
    return a;
}

static struct json_object *resources(const struct spec_options *o)
{
    struct json_object *r = json_object_new_object();
    if (!o->rootless) {
        struct json_object *devices = json_object_new_array(), *deny = json_object_new_object();
        add(deny, "allow", json_object_new_boolean(false));
        add(deny, "access", text("rwm"));
        json_object_array_add(devices, deny);
        add(r, "devices", devices);
    }
    if (o->memory) {
        struct json_object *m = json_object_new_object();
        add(m, "limit", json_object_new_uint64(o->memory));
        add(r, "memory", m);
    }
    if (o->cpus || o->cpuset) {
        struct json_object *c = json_object_new_object();
        if (o->cpus) {
            add(c, "quota", json_object_new_uint64(o->cpus * 100));
            add(c, "period", json_object_new_int(100000));
        }
        if (o->cpuset)
            add(c, "cpus", text(o->cpuset));
        add(r, "cpu", c);
    }
    if (o->pids) {
        struct json_object *p = json_object_new_object();
        add(p, "limit", json_object_new_int64(o->pids));
        add(r, "pids", p);
    }
    return r;
}

struct json_object *container_spec_new(const struct spec_options *o, struct error **err)
{
    struct json_object *spec = json_object_new_object(), *root = json_object_new_object(),
                       *linux_ = json_object_new_object();
    add(spec, "ociVersion", text(OCI_VERSION));
    if (make_process(spec, o, err) < 0)
        goto fail;
    add(spec, "root", root);
    add(root, "path", text(o->rootfs ? o->rootfs : "rootfs"));
    add(root, "readonly", json_object_new_boolean(o->readonly));
    add(spec, "hostname", text(o->hostname ? o->hostname : "wirt"));
    struct json_object *mounts = default_mounts(o);
    add(spec, "mounts", mounts);
    for (size_t i = 0; o->mounts && o->mounts[i]; i++)
        if (add_volume(mounts, o->mounts[i], err) < 0)
            goto fail;
    if (o->rootless) {
        add(linux_, "uidMappings", mapping(geteuid()));
        add(linux_, "gidMappings", mapping(getegid()));
    }
    if (o->cgroups_path)
        add(linux_, "cgroupsPath", text(o->cgroups_path));
    add(linux_, "resources", resources(o));
    add(linux_, "namespaces", namespaces(o));
    add(linux_, "maskedPaths", list(masked));
    add(linux_, "readonlyPaths", list(readonly));
    add(spec, "linux", linux_);
    return spec;
fail:
    json_object_put(linux_);
    json_object_put(spec);
    return NULL;
}
