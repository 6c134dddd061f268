#include "container/spec.h"

#include <unistd.h>

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

/* What podman gives by default. */
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

static struct json_object *default_mounts(bool rootless)
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
    struct json_object *a = json_object_new_array();
    json_object_array_add(a, mount_object("/proc", "proc", "proc", none));
    json_object_array_add(a, mount_object("/dev", "tmpfs", "tmpfs", dev));
    json_object_array_add(
        a, mount_object("/dev/pts", "devpts", "devpts", rootless ? pts_rootless : pts));
    json_object_array_add(a, mount_object("/dev/shm", "tmpfs", "shm", shm));
    json_object_array_add(a, mount_object("/dev/mqueue", "mqueue", "mqueue", strict));
    json_object_array_add(a, mount_object("/sys", "sysfs", "sysfs", ro));
    if (!rootless)
        json_object_array_add(a, mount_object("/sys/fs/cgroup", "cgroup", "cgroup", cgroup));
    return a;
}

static struct json_object *process(void)
{
    static const char *const shell[] = {"sh", NULL};
    static const char *const env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL};
    struct json_object *p = json_object_new_object(), *user = json_object_new_object(),
                       *caps = json_object_new_object();
    add(p, "terminal", json_object_new_boolean(true));
    add(user, "uid", json_object_new_int(0));
    add(user, "gid", json_object_new_int(0));
    add(p, "user", user);
    add(p, "args", list(shell));
    add(p, "env", list(env));
    add(p, "cwd", text("/"));
    add(caps, "bounding", list(default_caps));
    add(caps, "effective", list(default_caps));
    add(caps, "permitted", list(default_caps));
    add(p, "capabilities", caps);
    add(p, "noNewPrivileges", json_object_new_boolean(true));
    return p;
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

static struct json_object *namespaces(bool rootless)
{
    static const enum ns_kind kinds[] = {NS_PID,    NS_NET,   NS_IPC, NS_UTS,
                                         NS_CGROUP, NS_MOUNT, NS_USER};
    struct json_object *a = json_object_new_array();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i] == NS_USER && !rootless)
            continue;
        struct json_object *n = json_object_new_object();
        add(n, "type", text(ns_name(kinds[i])));
        json_object_array_add(a, n);
    }
    return a;
}

/* No device but those that are there. */
static struct json_object *resources(void)
{
    struct json_object *r = json_object_new_object(), *devices = json_object_new_array(),
                       *deny = json_object_new_object();
    add(deny, "allow", json_object_new_boolean(false));
    add(deny, "access", text("rwm"));
    json_object_array_add(devices, deny);
    add(r, "devices", devices);
    return r;
}

struct json_object *spec_new(bool rootless)
{
    struct json_object *spec = json_object_new_object(), *root = json_object_new_object(),
                       *linux_ = json_object_new_object();
    add(spec, "ociVersion", text(OCI_VERSION));
    add(spec, "process", process());
    add(root, "path", text("rootfs"));
    add(root, "readonly", json_object_new_boolean(true));
    add(spec, "root", root);
    add(spec, "hostname", text("wirt"));
    add(spec, "mounts", default_mounts(rootless));
    if (rootless) {
        add(linux_, "uidMappings", mapping(geteuid()));
        add(linux_, "gidMappings", mapping(getegid()));
    } else {
        add(linux_, "resources", resources());
    }
    add(linux_, "namespaces", namespaces(rootless));
    add(linux_, "maskedPaths", list(masked));
    add(linux_, "readonlyPaths", list(readonly));
    add(spec, "linux", linux_);
    return spec;
}
