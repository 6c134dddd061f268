/* config.json: linux, without resources (config-linux.md). */
#include <limits.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/config.h"
#include "container/json.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const struct {
    const char *name, *proc;
    int flag;
} kinds[NS_COUNT] = {
    [NS_USER] = {"user", "user", CLONE_NEWUSER},
    [NS_CGROUP] = {"cgroup", "cgroup", CLONE_NEWCGROUP},
    [NS_IPC] = {"ipc", "ipc", CLONE_NEWIPC},
    [NS_UTS] = {"uts", "uts", CLONE_NEWUTS},
    [NS_NET] = {"network", "net", CLONE_NEWNET},
    [NS_PID] = {"pid", "pid", CLONE_NEWPID},
    [NS_TIME] = {"time", "time", CLONE_NEWTIME},
    [NS_MOUNT] = {"mount", "mnt", CLONE_NEWNS},
};

const char *ns_name(enum ns_kind k)
{
    return kinds[k].name;
}

const char *ns_proc_name(enum ns_kind k)
{
    return kinds[k].proc;
}

int ns_clone_flag(enum ns_kind k)
{
    return kinds[k].flag;
}

static int read_namespaces(const struct node *n, struct config *c, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(n, i);
        struct node type = node_get(&e, "type"), path = node_get(&e, "path");
        const char *name = NULL, *p = NULL;
        if (node_required(&e, err) < 0 || node_object(&e, err) < 0 ||
            node_required(&type, err) < 0 || node_string(&type, &name, err) < 0 ||
            node_string(&path, &p, err) < 0)
            return -1;
        int k = 0;
        while (k < NS_COUNT && strcmp(kinds[k].name, name))
            k++;
        if (k == NS_COUNT)
            return node_error(&type, err,
                              "'%s' is none of user, cgroup, ipc, uts, network, pid, time, mount",
                              name);
        if (c->ns[k].present)
            return node_error(&type, err, "'%s' is there twice", name);
        if (p && !*p)
            p = NULL;
        if (p && *p != '/')
            return node_error(&path, err, "'%s' is not an absolute path", p);
        c->ns[k] = (struct ns_entry){true, p};
    }
    return 0;
}

static int read_offset(const struct node *n, struct time_offset *o, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    struct node secs = node_get(n, "secs"), nanos = node_get(n, "nanosecs");
    int64_t ns = 0;
    if (node_int(&secs, INT64_MIN + 1, INT64_MAX - 1, &o->secs, err) < 0 ||
        node_int(&nanos, 0, 999999999, &ns, err) < 0)
        return -1;
    o->nanosecs = (uint32_t)ns;
    o->present = true;
    return 0;
}

static int read_time_offsets(const struct node *n, struct config *c, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    json_object_object_foreach(n->v, key, value)
    {
        struct node e = {.v = value, .up = n, .key = key};
        struct time_offset *o;
        if (!strcmp(key, "boottime"))
            o = &c->boottime;
        else if (!strcmp(key, "monotonic"))
            o = &c->monotonic;
        else
            return node_error(&e, err, "unknown clock; monotonic and boottime have offsets");
        if (read_offset(&e, o, err) < 0)
            return -1;
    }
    if (!c->ns[NS_TIME].present || c->ns[NS_TIME].path)
        return node_error(n, err, "needs a new time namespace in linux.namespaces");
    return 0;
}

static int read_device(const struct node *n, struct device_node *d, struct error **err)
{
    struct node type = node_get(n, "type"), path = node_get(n, "path"),
                major_ = node_get(n, "major"), minor_ = node_get(n, "minor"),
                mode = node_get(n, "fileMode"), uid = node_get(n, "uid"), gid = node_get(n, "gid");
    const char *t = NULL;
    int64_t ma = 0, mi = 0, m = 0666;
    if (node_required(n, err) < 0 || node_object(n, err) < 0 || node_required(&type, err) < 0 ||
        node_string(&type, &t, err) < 0 || node_required(&path, err) < 0 ||
        node_string(&path, &d->path, err) < 0 ||
        node_int(&major_, 0, (1 << 12) - 1, &ma, err) < 0 ||
        node_int(&minor_, 0, (1 << 20) - 1, &mi, err) < 0 ||
        node_int(&mode, 0, 0xffff, &m, err) < 0 || node_u32(&uid, &d->uid, err) < 0 ||
        node_u32(&gid, &d->gid, err) < 0)
        return -1;
    if (d->path[0] != '/' || strlen(d->path) >= PATH_MAX)
        return node_error(&path, err, "'%s' is not an absolute path", d->path);
    if (!strcmp(t, "c") || !strcmp(t, "u"))
        d->mode = S_IFCHR;
    else if (!strcmp(t, "b"))
        d->mode = S_IFBLK;
    else if (!strcmp(t, "p"))
        d->mode = S_IFIFO;
    else
        return node_error(&type, err, "'%s' is none of c, b, u, p", t);
    if (d->mode != S_IFIFO && (node_required(&major_, err) < 0 || node_required(&minor_, err) < 0))
        return -1;
    /* The file type bits may come along in fileMode; type decides. */
    d->mode |= (mode_t)m & 07777;
    d->dev = d->mode & S_IFIFO && !S_ISCHR(d->mode) && !S_ISBLK(d->mode)
                 ? 0
                 : makedev((unsigned)ma, (unsigned)mi);
    return 0;
}

static int read_devices(const struct node *n, struct config *c, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    c->devices = xcalloc(len, sizeof *c->devices);
    c->devices_len = len;
    for (size_t i = 0; i < len; i++) {
        struct node d = node_at(n, i);
        if (read_device(&d, &c->devices[i], err) < 0)
            return -1;
    }
    return 0;
}

/* Only what belongs to a namespace of the container may be set: anything else would change the
 * host. The names are those of ipc_namespaces(7), network_namespaces(7) and uts_namespaces(7). */
static int check_sysctl(const struct node *e, const char *key, const struct config *c,
                        struct error **err)
{
    static const char *const ipc[] = {
        "kernel.msgmax",      "kernel.msgmnb",      "kernel.msgmni",      "kernel.sem",
        "kernel.shmall",      "kernel.shmmax",      "kernel.shmmni",      "kernel.shm_rmid_forced",
        "kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id", "kernel.auto_msgmni"};
    /* Dots and slashes separate, and stand for each other in between (sysctl(8)): with nothing or
     * a separator alone between two of them the path would lead out of its folder. */
    for (const char *p = key; *p; p++)
        if (strchr("./", *p) && (p == key || !p[1] || strchr("./", p[1])))
            return node_error(e, err, "not a sysctl name");
    bool is_ipc = str_starts(key, "fs.mqueue.");
    for (size_t i = 0; i < sizeof ipc / sizeof *ipc; i++)
        is_ipc |= !strcmp(key, ipc[i]);
    enum ns_kind k;
    if (is_ipc)
        k = NS_IPC;
    else if (str_starts(key, "net."))
        k = NS_NET;
    else if (!strcmp(key, "kernel.hostname"))
        return node_error(e, err, "the field hostname sets it");
    else if (!strcmp(key, "kernel.domainname"))
        k = NS_UTS;
    else if (str_starts(key, "user."))
        k = NS_USER;
    else
        return node_error(e, err, "belongs to no namespace: it would change the host");
    if (!c->ns[k].present)
        return node_error(e, err, "needs a namespace of its own: '%s' in linux.namespaces",
                          ns_name(k));
    return 0;
}

static int read_sysctl(const struct node *n, struct config *c, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    c->sysctl = xcalloc((size_t)json_object_object_length(n->v), sizeof *c->sysctl);
    json_object_object_foreach(n->v, key, value)
    {
        struct node e = {.v = value, .up = n, .key = key};
        struct key_value *kv = &c->sysctl[c->sysctl_len++];
        kv->key = key;
        if (node_required(&e, err) < 0 || node_string(&e, &kv->value, err) < 0 ||
            check_sysctl(&e, key, c, err) < 0)
            return -1;
    }
    return 0;
}

static int read_paths(const struct node *n, const char ***out, struct error **err)
{
    size_t len = 0;
    if (node_strings(n, out, &len, err) < 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        if ((*out)[i][0] != '/' || strlen((*out)[i]) >= PATH_MAX) {
            struct node e = node_at(n, i);
            return node_error(&e, err, "'%s' is not an absolute path", (*out)[i]);
        }
    return 0;
}

static int read_propagation(const struct node *n, struct config *c, struct error **err)
{
    static const struct {
        const char *name;
        unsigned long flag;
    } names[] = {
        {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
        {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
        {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
        {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
    };
    const char *s = NULL;
    int r = node_string(n, &s, err);
    if (r <= 0 || !*s)
        return r;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, s)) {
            c->rootfs_propagation = names[i].flag;
            return 0;
        }
    return node_error(n, err, "'%s' is none of shared, slave, private, unbindable", s);
}

static int read_personality(const struct node *n, struct config *c, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    struct node domain = node_get(n, "domain"), flags = node_get(n, "flags");
    const char *s = NULL;
    size_t len;
    if (node_required(&domain, err) < 0 || node_string(&domain, &s, err) < 0 ||
        node_array(&flags, &len, err) < 0)
        return -1;
    if (len)
        return node_error(&flags, err, "no flag is defined");
    if (strcmp(s, "LINUX") && strcmp(s, "LINUX32"))
        return node_error(&domain, err, "'%s' is neither LINUX nor LINUX32", s);
    c->personality = s[5] ? 0x0008 : 0; /* personality(2): PER_LINUX32 */
    c->personality_set = true;
    return 0;
}

/* "0-3,7" into bits. */
static int read_node_list(const struct node *n, const char *s, unsigned long *bits, size_t max,
                          struct error **err)
{
    while (*s) {
        char *end;
        unsigned long from = strtoul(s, &end, 10), to = from;
        if (end == s)
            return node_error(n, err, "not a list such as 0-3,7");
        if (*end == '-') {
            s = end + 1;
            to = strtoul(s, &end, 10);
            if (end == s)
                return node_error(n, err, "not a list such as 0-3,7");
        }
        if (to < from || to >= max || (*end && *end != ','))
            return node_error(n, err, "not a list such as 0-3,7, of numbers below %zu", max);
        for (unsigned long i = from; i <= to; i++)
            bits[i / (8 * sizeof *bits)] |= 1ul << (i % (8 * sizeof *bits));
        s = *end ? end + 1 : end;
    }
    return 0;
}

static int read_mempolicy(const struct node *n, struct config *c, struct error **err)
{
    static const struct {
        const char *name;
        int value;
    } modes[] = {{"MPOL_DEFAULT", 0},
                 {"MPOL_PREFERRED", 1},
                 {"MPOL_BIND", 2},
                 {"MPOL_INTERLEAVE", 3},
                 {"MPOL_LOCAL", 4},
                 {"MPOL_PREFERRED_MANY", 5},
                 {"MPOL_WEIGHTED_INTERLEAVE", 6}},
      flag_names[] = {{"MPOL_F_STATIC_NODES", 1 << 15},
                      {"MPOL_F_RELATIVE_NODES", 1 << 14},
                      {"MPOL_F_NUMA_BALANCING", 1 << 13}};
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    struct node mode = node_get(n, "mode"), nodes = node_get(n, "nodes"),
                flags = node_get(n, "flags");
    const char *m = NULL, *list = "";
    AUTO_FREE const char **fl = NULL;
    size_t len = 0;
    if (node_required(&mode, err) < 0 || node_string(&mode, &m, err) < 0 ||
        node_string(&nodes, &list, err) < 0 || node_strings(&flags, &fl, &len, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i].name, m))
            c->mempolicy = modes[i].value;
    if (c->mempolicy < 0)
        return node_error(&mode, err, "'%s' is no mode of set_mempolicy(2)", m);
    for (size_t i = 0; i < len; i++) {
        size_t j = 0;
        while (j < 3 && strcmp(flag_names[j].name, fl[i]))
            j++;
        struct node e = node_at(&flags, i);
        if (j == 3)
            return node_error(&e, err, "'%s' is no flag of set_mempolicy(2)", fl[i]);
        c->mempolicy |= flag_names[j].value;
    }
    return read_node_list(&nodes, list, c->mempolicy_nodes, 8 * sizeof c->mempolicy_nodes, err);
}

/* Fields that ask for something this runtime does not do: an error, never silence. */
static int refuse_unsupported(const struct node *n, struct error **err)
{
    static const char *const fields[] = {"intelRdt", "netDevices"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct node f = node_get(n, fields[i]);
        if (f.v &&
            !(json_object_is_type(f.v, json_type_object) && json_object_object_length(f.v) == 0))
            return node_error(&f, err, "not supported by this runtime");
    }
    return 0;
}

int config_linux(const struct node *n, struct config *c, struct error **err)
{
    struct node ns = node_get(n, "namespaces"), uids = node_get(n, "uidMappings"),
                gids = node_get(n, "gidMappings"), offsets = node_get(n, "timeOffsets"),
                devices = node_get(n, "devices"), cgroups = node_get(n, "cgroupsPath"),
                resources = node_get(n, "resources"), sysctl = node_get(n, "sysctl"),
                seccomp = node_get(n, "seccomp"), masked = node_get(n, "maskedPaths"),
                readonly = node_get(n, "readonlyPaths"), label = node_get(n, "mountLabel"),
                propagation = node_get(n, "rootfsPropagation"),
                personality = node_get(n, "personality"), policy = node_get(n, "memoryPolicy");
    if (node_object(n, err) < 0 || read_namespaces(&ns, c, err) < 0 ||
        config_id_maps(&uids, &c->uid_maps, err) < 0 ||
        config_id_maps(&gids, &c->gid_maps, err) < 0 || read_time_offsets(&offsets, c, err) < 0 ||
        read_devices(&devices, c, err) < 0 || node_string(&cgroups, &c->cgroups_path, err) < 0 ||
        config_resources(&resources, &c->resources, err) < 0 || read_sysctl(&sysctl, c, err) < 0 ||
        node_object(&seccomp, err) < 0 || read_paths(&masked, &c->masked_paths, err) < 0 ||
        read_paths(&readonly, &c->readonly_paths, err) < 0 ||
        node_string(&label, &c->mount_label, err) < 0 ||
        read_propagation(&propagation, c, err) < 0 || read_personality(&personality, c, err) < 0 ||
        read_mempolicy(&policy, c, err) < 0 || refuse_unsupported(n, err) < 0)
        return -1;
    c->seccomp = seccomp.v;
    bool new_user = c->ns[NS_USER].present && !c->ns[NS_USER].path;
    if (!new_user && (c->uid_maps.len || c->gid_maps.len) && !c->ns[NS_USER].present)
        return node_error(c->uid_maps.len ? &uids : &gids, err,
                          "needs a user namespace in linux.namespaces");
    if (new_user && (!c->uid_maps.len || !c->gid_maps.len))
        return node_error(c->uid_maps.len ? &gids : &uids, err,
                          "missing, and required for a new user namespace");
    const char *p = c->cgroups_path;
    if (p && (!strcmp(p, "..") || str_starts(p, "../") || strstr(p, "/../") || str_ends(p, "/..")))
        return node_error(&cgroups, err, "'%s' leaves the control group hierarchy with '..'", p);
    if (p && strlen(p) > 3000)
        return node_error(&cgroups, err, "longer than a path can be");
    return 0;
}
