/* The top of config.json: root, mounts, hooks, annotations. */
#include "container/config.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/json.h"

const char *hook_name(enum hook_kind k)
{
    static const char *const names[HOOK_COUNT] = {
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
    return names[k];
}

static int check_version(const struct node *n, const char **out, unsigned *minor,
                         struct error **err)
{
    if (node_required(n, err) < 0 || node_string(n, out, err) < 0)
        return -1;
    unsigned major, patch;
    int end = 0;
    if (sscanf(*out, "%u.%u.%u%n", &major, minor, &patch, &end) != 3 ||
        ((*out)[end] && (*out)[end] != '-' && (*out)[end] != '+'))
        return node_error(n, err, "'%s' is not a version such as %s", *out, OCI_VERSION);
    if (major != 1)
        return node_error(n, err, "version %s is not supported; 1.x is", *out);
    return 0;
}

static int read_root(const struct node *n, const char *bundle, struct config *c, struct error **err)
{
    struct node path = node_get(n, "path"), readonly = node_get(n, "readonly");
    const char *p = NULL;
    if (node_required(n, err) < 0 || node_object(n, err) < 0 || node_required(&path, err) < 0 ||
        node_string(&path, &p, err) < 0 || node_bool(&readonly, &c->rootfs_readonly, err) < 0)
        return -1;
    if (!*p)
        return node_error(&path, err, "empty; the root file system's folder is expected");
    c->rootfs = p[0] == '/' ? xstrdup(p) : xasprintf("%s/%s", bundle, p);
    struct stat st;
    if (stat(c->rootfs, &st) < 0)
        return node_error(&path, err, "%s: %m", c->rootfs);
    if (!S_ISDIR(st.st_mode))
        return node_error(&path, err, "%s is not a folder", c->rootfs);
    return 0;
}

int config_id_maps(const struct node *n, struct id_maps *m, struct error **err)
{
    size_t len;
    int r = node_array(n, &len, err);
    if (r <= 0)
        return r;
    /* The kernel takes 340 lines (user_namespaces(7)). */
    if (len > 340)
        return node_error(n, err, "%zu entries; the kernel takes at most 340", len);
    m->list = xcalloc(len, sizeof *m->list);
    m->len = len;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(n, i);
        struct node in = node_get(&e, "containerID"), out = node_get(&e, "hostID"),
                    size = node_get(&e, "size");
        if (node_required(&e, err) < 0 || node_object(&e, err) < 0 || node_required(&in, err) < 0 ||
            node_required(&out, err) < 0 || node_required(&size, err) < 0 ||
            node_u32(&in, &m->list[i].inside, err) < 0 ||
            node_u32(&out, &m->list[i].outside, err) < 0 ||
            node_u32(&size, &m->list[i].size, err) < 0)
            return -1;
        if (!m->list[i].size)
            return node_error(&size, err, "0; at least one id is mapped by an entry");
        if (m->list[i].inside + (uint64_t)m->list[i].size > UINT32_MAX ||
            m->list[i].outside + (uint64_t)m->list[i].size > UINT32_MAX)
            return node_error(&size, err, "the range ends beyond the last id");
    }
    return 1;
}

int config_mount(const struct node *n, struct mount_entry *m, struct error **err)
{
    struct node dest = node_get(n, "destination"), type = node_get(n, "type"),
                source = node_get(n, "source"), options = node_get(n, "options"),
                uids = node_get(n, "uidMappings"), gids = node_get(n, "gidMappings");
    if (node_required(n, err) < 0 || node_object(n, err) < 0 || node_required(&dest, err) < 0 ||
        node_string(&dest, &m->destination, err) < 0 || node_string(&type, &m->type, err) < 0 ||
        node_string(&source, &m->source, err) < 0 || mount_options(&options, m, err) < 0 ||
        config_id_maps(&uids, &m->uid_maps, err) < 0 ||
        config_id_maps(&gids, &m->gid_maps, err) < 0)
        return -1;
    if (!*m->destination)
        return node_error(&dest, err, "empty; a path inside the container is expected");
    if (strlen(m->destination) >= PATH_MAX)
        return node_error(&dest, err, "longer than a path can be (%d)", PATH_MAX);
    if (m->type && !strcmp(m->type, "bind"))
        m->bind = true;
    if (m->bind && !m->remount && (!m->source || !*m->source))
        return node_error(&source, err, "missing, and required for a bind mount");
    if (!m->bind && !m->remount && (!m->type || !*m->type))
        return node_error(&type, err,
                          "missing, and required without the option 'bind', 'rbind' or 'remount'");
    if (!m->uid_maps.len != !m->gid_maps.len)
        return node_error(m->uid_maps.len ? &gids : &uids, err,
                          "uidMappings and gidMappings are given both or not at all");
    if (m->uid_maps.len && !m->idmap)
        m->idmap = true;
    if (m->idmap && !m->bind)
        return node_error(&options, err, "idmap is for bind mounts");
    return 0;
}

void mount_entry_free(struct mount_entry *m)
{
    free(m->data);
    free(m->source_path);
    free(m->propagation);
    free(m->uid_maps.list);
    free(m->gid_maps.list);
}

static int read_mounts(const struct node *n, const char *bundle, struct config *c,
                       struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    c->mounts = xcalloc(len, sizeof *c->mounts);
    c->mounts_len = len;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(n, i);
        if (config_mount(&e, &c->mounts[i], err) < 0)
            return -1;
        struct mount_entry *m = &c->mounts[i];
        if (m->bind && !m->remount && m->source[0] != '/')
            m->source = m->source_path = xasprintf("%s/%s", bundle, m->source);
        if (m->idmap && !m->uid_maps.len && !c->ns[NS_USER].present) {
            struct node o = node_get(&e, "options");
            return node_error(&o, err,
                              "idmap needs uidMappings and gidMappings, or a user namespace");
        }
    }
    return 0;
}

static int read_hook(const struct node *n, struct hook *h, struct error **err)
{
    struct node path = node_get(n, "path"), args = node_get(n, "args"), env = node_get(n, "env"),
                timeout = node_get(n, "timeout");
    if (node_required(n, err) < 0 || node_object(n, err) < 0 || node_required(&path, err) < 0 ||
        node_string(&path, &h->path, err) < 0 || node_strings(&args, &h->args, NULL, err) < 0 ||
        node_strings(&env, &h->env, NULL, err) < 0)
        return -1;
    if (h->path[0] != '/')
        return node_error(&path, err, "'%s' is not an absolute path", h->path);
    return node_int(&timeout, 1, INT_MAX / 1000, &h->timeout, err);
}

int config_hooks(const struct node *n, struct hooks hooks[HOOK_COUNT], struct error **err)
{
    if (node_object(n, err) <= 0)
        return n->v ? -1 : 0;
    for (int k = 0; k < HOOK_COUNT; k++) {
        struct node list = node_get(n, hook_name(k));
        size_t len;
        if (node_array(&list, &len, err) < 0)
            return -1;
        hooks[k].list = xcalloc(len, sizeof *hooks[k].list);
        hooks[k].len = len;
        for (size_t i = 0; i < len; i++) {
            struct node h = node_at(&list, i);
            if (read_hook(&h, &hooks[k].list[i], err) < 0)
                return -1;
        }
    }
    return 0;
}

void hooks_free(struct hooks hooks[HOOK_COUNT])
{
    for (int k = 0; k < HOOK_COUNT; k++) {
        for (size_t i = 0; i < hooks[k].len; i++) {
            free(hooks[k].list[i].args);
            free(hooks[k].list[i].env);
        }
        free(hooks[k].list);
        hooks[k] = (struct hooks){0};
    }
}

static int read_annotations(const struct node *n, struct config *c, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    json_object_object_foreach(n->v, key, value)
    {
        struct node e = {.v = value, .up = n, .key = key};
        const char *s;
        if (!*key)
            return node_error(n, err, "an empty key");
        if (node_string(&e, &s, err) < 0)
            return -1;
    }
    c->annotations = n->v;
    return 0;
}

/* podman run --group-add keep-groups asks for the caller's groups with the annotation that crun
 * made up for it; the specification has no way to. */
bool config_keep_groups(const struct config *c)
{
    struct json_object *v;
    return c->annotations &&
           json_object_object_get_ex(c->annotations, "run.oci.keep_original_groups", &v) &&
           strcmp(json_object_get_string(v), "0") != 0;
}

static int read_config(struct config *c, const char *bundle, struct error **err)
{
    struct node doc = node_root(c->json, NULL);
    if (node_object(&doc, err) < 0)
        return -1;
    struct node version = node_get(&doc, "ociVersion"), root = node_get(&doc, "root"),
                mounts = node_get(&doc, "mounts"), hooks = node_get(&doc, "hooks"),
                annotations = node_get(&doc, "annotations"), linux_ = node_get(&doc, "linux"),
                process = node_get(&doc, "process"), hostname = node_get(&doc, "hostname"),
                domainname = node_get(&doc, "domainname");
    unsigned minor = 0;
    if (check_version(&version, &c->version, &minor, err) < 0 ||
        read_root(&root, bundle, c, err) < 0 || config_linux(&linux_, c, err) < 0 ||
        read_mounts(&mounts, bundle, c, err) < 0 || config_hooks(&hooks, c->hooks, err) < 0 ||
        read_annotations(&annotations, c, err) < 0 ||
        node_string(&hostname, &c->hostname, err) < 0 ||
        node_string(&domainname, &c->domainname, err) < 0)
        return -1;
    /* Before 1.3.0 the field could not be left out by who writes configs with the specification's
     * own Go types, and 0 stood for no limit. */
    if (minor < 3 && c->resources.pids_limit == 0)
        c->resources.pids_limit = -1;
    if (process.v && config_process(&process, &c->process, err) < 0)
        return -1;
    c->process.user.keep_groups = config_keep_groups(c);
    for (int i = 0; i < 2; i++) {
        const struct node *name = i ? &domainname : &hostname;
        const char *s = i ? c->domainname : c->hostname;
        if (s && *s && !c->ns[NS_UTS].present)
            return node_error(name, err, "needs a uts namespace in linux.namespaces");
        if (s && strlen(s) > 64)
            return node_error(name, err, "longer than 64 characters");
    }
    for (size_t i = 0; c->domainname && i < c->sysctl_len; i++)
        if (!strcmp(c->sysctl[i].key, "kernel.domainname") &&
            strcmp(c->sysctl[i].value, c->domainname))
            return node_error(&domainname, err, "linux.sysctl.kernel.domainname says '%s'",
                              c->sysctl[i].value);
    if (!c->ns[NS_MOUNT].present && c->ns[NS_USER].present) {
        struct node ns = node_get(&linux_, "namespaces");
        return node_error(&ns, err, "a mount namespace is required with a user namespace");
    }
    return 0;
}

struct config *config_new(struct json_object *doc, const char *bundle, struct error **err)
{
    struct config *c = xcalloc(1, sizeof *c);
    c->json = doc;
    c->mempolicy = -1;
    c->process.ioprio = -1;
    resources_init(&c->resources);
    if (read_config(c, bundle, err) < 0) {
        config_free(c);
        return NULL;
    }
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->mounts_len; i++)
        mount_entry_free(&c->mounts[i]);
    free(c->mounts);
    hooks_free(c->hooks);
    process_free(&c->process);
    resources_free(&c->resources);
    free(c->rootfs);
    free(c->uid_maps.list);
    free(c->gid_maps.list);
    free(c->devices);
    free(c->sysctl);
    free(c->masked_paths);
    free(c->readonly_paths);
    json_object_put(c->json);
    free(c);
}
