#include "guest/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char *const wall_names[] = {"auto", "container", "process", "machine"};
static const char *const network_names[] = {"default",
                                            "none",
                                            "host",
                                            "nat",
                                            "nat:host-loopback",
                                            "nat:link-local",
                                            "nat:host-loopback,link-local"};

const char *wall_name(enum wall_kind w)
{
    return wall_names[w];
}

int wall_parse(const char *s, enum wall_kind *w, struct error **err)
{
    for (int i = WALL_CONTAINER; i <= WALL_MACHINE; i++) {
        if (!strcmp(s, wall_names[i])) {
            *w = (enum wall_kind)i;
            return 0;
        }
    }
    return error_set(err, 0, "'%s' is not a wall: container, process or machine", s);
}

const char *network_name(enum network_kind n)
{
    return network_names[n];
}

bool network_opens(enum network_kind n, int what)
{
    return n >= NETWORK_NAT && ((int)n - NETWORK_NAT) & what;
}

/* nat:NAME[,NAME], in any order. */
static int nat_parse(const char *names, enum network_kind *n, struct error **err)
{
    int opens = 0;
    AUTO_FREE char *text = xstrdup(names);
    for (char *rest = text, *name; (name = strsep(&rest, ","));) {
        if (!strcmp(name, "host-loopback"))
            opens |= NETWORK_OPENS_HOST;
        else if (!strcmp(name, "link-local"))
            opens |= NETWORK_OPENS_LINK;
        else
            return error_set(err, 0, "nat opens host-loopback and link-local, not '%s'", name);
    }
    *n = (enum network_kind)(NETWORK_NAT + opens);
    return 0;
}

int network_parse(const char *s, enum network_kind *n, struct error **err)
{
    for (int i = NETWORK_DEFAULT; i <= NETWORK_NAT; i++) {
        if (!strcmp(s, network_names[i])) {
            *n = (enum network_kind)i;
            return 0;
        }
    }
    if (!strncmp(s, "nat:", 4))
        return nat_parse(s + 4, n, err);
    return error_set(
        err, 0, "'%s' is not a network: none, host, nat, nat:host-loopback or nat:link-local", s);
}

json_object *spec_to_json(const struct guest_spec *s)
{
    json_object *o = json_object_new_object();
    json_put_str(o, "wall", wall_name(s->wall));
    json_put_str(o, "image", s->image);
    json_put_str(o, "rootfs", s->rootfs);
    json_put_str(o, "program", s->program);
    json_put_bool(o, "foreign", s->foreign);
    json_put_strv(o, "command", s->command);
    json_put_strv(o, "env", s->env);
    json_put_str(o, "workdir", s->workdir);
    json_put_str(o, "user", s->user);
    json_put_str(o, "hostname", s->hostname);
    json_object *a = json_object_new_array();
    for (unsigned i = 0; i < s->n_mounts; i++) {
        json_object *m = json_object_new_object();
        json_put_str(m, "source", s->mounts[i].source);
        json_put_str(m, "target", s->mounts[i].target);
        json_put_bool(m, "readonly", s->mounts[i].readonly);
        json_object_array_add(a, m);
    }
    json_object_object_add(o, "mounts", a);
    json_put_str(o, "network", network_name(s->network));
    a = json_object_new_array();
    for (unsigned i = 0; i < s->n_ports; i++) {
        json_object *p = json_object_new_object();
        json_put_int(p, "hostAddress", s->ports[i].host_addr);
        json_put_int(p, "hostPort", s->ports[i].host_port);
        json_put_int(p, "guestPort", s->ports[i].guest_port);
        json_put_bool(p, "udp", s->ports[i].udp);
        json_object_array_add(a, p);
    }
    json_object_object_add(o, "ports", a);
    json_object *l = json_object_new_object();
    json_put_int(l, "memory", (int64_t)s->limits.memory);
    json_put_int(l, "cpuMillis", (int64_t)s->limits.cpu_milli);
    json_put_int(l, "pids", (int64_t)s->limits.pids);
    json_object_object_add(o, "limits", l);
    json_put_bool(o, "tty", s->tty);
    json_put_bool(o, "interactive", s->interactive);
    json_put_bool(o, "autoRemove", s->auto_remove);
    json_put_bool(o, "readOnly", s->read_only);
    json_put_bool(o, "confine", s->confine);
    json_put_str(o, "kernel", s->kernel);
    json_put_str(o, "initrd", s->initrd);
    json_put_str(o, "append", s->append);
    json_put_str(o, "firmware", s->firmware);
    a = json_object_new_array();
    for (unsigned i = 0; i < s->n_disks; i++) {
        json_object *d = json_object_new_object();
        json_put_str(d, "path", s->disks[i].path);
        json_put_bool(d, "readonly", s->disks[i].readonly);
        json_put_str(d, "format", s->disks[i].raw ? "raw" : NULL);
        json_object_array_add(a, d);
    }
    json_object_object_add(o, "disks", a);
    json_put_bool(o, "interpret", s->interpret);
    json_put_bool(o, "stats", s->stats);
    json_put_str(o, "trace", s->trace);
    return o;
}

static int mounts_from_json(struct guest_spec *s, json_object *a, struct error **err)
{
    size_t n = a ? json_object_array_length(a) : 0;
    s->mounts = xcalloc(n + 1, sizeof *s->mounts);
    for (size_t i = 0; i < n; i++) {
        json_object *m = json_object_array_get_idx(a, i);
        struct guest_mount *g = &s->mounts[s->n_mounts++];
        g->source = json_get_dup(m, "source");
        g->target = json_get_dup(m, "target");
        g->readonly = json_get_bool(m, "readonly", false);
        if (!g->source || !g->target || g->source[0] != '/' || g->target[0] != '/')
            return error_set(err, 0, "mounts[%zu]: source and target must be absolute paths", i);
    }
    return 0;
}

static int ports_from_json(struct guest_spec *s, json_object *a, struct error **err)
{
    size_t n = a ? json_object_array_length(a) : 0;
    s->ports = xcalloc(n + 1, sizeof *s->ports);
    for (size_t i = 0; i < n; i++) {
        json_object *p = json_object_array_get_idx(a, i);
        int64_t addr = json_get_int(p, "hostAddress", -1), host = json_get_int(p, "hostPort", -1),
                guest = json_get_int(p, "guestPort", -1);
        if (addr < 0 || addr > UINT32_MAX || host < 0 || host > 65535 || guest < 0 || guest > 65535)
            return error_set(err, 0, "ports[%zu]: an address or port is out of range", i);
        s->ports[s->n_ports++] = (struct guest_port){.host_addr = (uint32_t)addr,
                                                     .host_port = (uint16_t)host,
                                                     .guest_port = (uint16_t)guest,
                                                     .udp = json_get_bool(p, "udp", false)};
    }
    return 0;
}

static int disks_from_json(struct guest_spec *s, json_object *a, struct error **err)
{
    size_t n = a ? json_object_array_length(a) : 0;
    s->disks = xcalloc(n + 1, sizeof *s->disks);
    for (size_t i = 0; i < n; i++) {
        json_object *d = json_object_array_get_idx(a, i);
        struct guest_disk *g = &s->disks[s->n_disks++];
        g->path = json_get_dup(d, "path");
        g->readonly = json_get_bool(d, "readonly", false);
        const char *format = json_get_str(d, "format", NULL);
        g->raw = format != NULL;
        if (!g->path)
            return error_set(err, 0, "disks[%zu]: no path", i);
        if (format && strcmp(format, "raw") != 0)
            return error_set(err, 0, "disks[%zu]: format %s: must be raw", i, format);
    }
    return 0;
}

static int limits_from_json(struct guest_limits *l, json_object *o, struct error **err)
{
    int64_t memory = json_get_int(o, "memory", 0), cpu = json_get_int(o, "cpuMillis", 0),
            pids = json_get_int(o, "pids", 0);
    if (memory < 0 || cpu < 0 || pids < 0)
        return error_set(err, 0, "limits: a value is negative");
    *l = (struct guest_limits){(uint64_t)memory, (uint64_t)cpu, (uint64_t)pids};
    return 0;
}

int spec_from_json(struct guest_spec *s, json_object *o, struct error **err)
{
    if (wall_parse(json_get_str(o, "wall", ""), &s->wall, err) < 0)
        return error_prefix(err, "wall");
    if (network_parse(json_get_str(o, "network", "default"), &s->network, err) < 0)
        return error_prefix(err, "network");
    s->image = json_get_dup(o, "image");
    s->rootfs = json_get_dup(o, "rootfs");
    s->program = json_get_dup(o, "program");
    s->foreign = json_get_bool(o, "foreign", false);
    s->command = json_get_strv(o, "command");
    if (!s->command)
        s->command = xcalloc(1, sizeof *s->command);
    s->env = json_get_strv(o, "env");
    if (!s->env)
        s->env = xcalloc(1, sizeof *s->env);
    s->workdir = json_get_dup(o, "workdir");
    s->user = json_get_dup(o, "user");
    s->hostname = json_get_dup(o, "hostname");
    s->tty = json_get_bool(o, "tty", false);
    s->interactive = json_get_bool(o, "interactive", false);
    s->auto_remove = json_get_bool(o, "autoRemove", false);
    s->read_only = json_get_bool(o, "readOnly", false);
    s->confine = json_get_bool(o, "confine", false);
    s->kernel = json_get_dup(o, "kernel");
    s->initrd = json_get_dup(o, "initrd");
    s->append = json_get_dup(o, "append");
    s->firmware = json_get_dup(o, "firmware");
    s->interpret = json_get_bool(o, "interpret", false);
    s->stats = json_get_bool(o, "stats", false);
    s->trace = json_get_dup(o, "trace");
    if (mounts_from_json(s, json_get_arr(o, "mounts"), err) < 0 ||
        ports_from_json(s, json_get_arr(o, "ports"), err) < 0 ||
        disks_from_json(s, json_get_arr(o, "disks"), err) < 0 ||
        limits_from_json(&s->limits, json_get_obj(o, "limits"), err) < 0)
        return -1;
    return 0;
}

void spec_free(struct guest_spec *s)
{
    char *strings[] = {s->image,  s->rootfs, s->program, s->workdir,  s->user, s->hostname,
                       s->kernel, s->initrd, s->append,  s->firmware, s->trace};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free(strings[i]);
    strv_free(s->command);
    strv_free(s->env);
    for (unsigned i = 0; i < s->n_mounts; i++) {
        free(s->mounts[i].source);
        free(s->mounts[i].target);
    }
    for (unsigned i = 0; i < s->n_disks; i++)
        free(s->disks[i].path);
    free(s->mounts);
    free(s->ports);
    free(s->disks);
    *s = (struct guest_spec){0};
}
