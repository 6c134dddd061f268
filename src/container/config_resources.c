/* config.json: linux.resources (config-linux.md, Control groups). */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "container/config.h"
#include "container/json.h"

void resources_init(struct resources *r)
{
    *r = (struct resources){
        .memory_limit = UNSET,
        .memory_reservation = UNSET,
        .memory_swap = UNSET,
        .memory_kernel = UNSET,
        .memory_kernel_tcp = UNSET,
        .memory_swappiness = UNSET,
        .cpu_shares = UNSET,
        .cpu_quota = UNSET,
        .cpu_period = UNSET,
        .cpu_burst = UNSET,
        .cpu_rt_runtime = UNSET,
        .cpu_rt_period = UNSET,
        .cpu_idle = UNSET,
        .pids_limit = UNSET,
        .blkio_weight = UNSET,
        .blkio_leaf_weight = UNSET,
        .net_classid = UNSET,
    };
}

void resources_free(struct resources *r)
{
    free(r->weights);
    for (int i = 0; i < BLKIO_RATES; i++)
        free(r->rates[i]);
    free(r->devices);
    free(r->hugepages);
    free(r->rdma);
    for (size_t i = 0; i < r->net_priorities_len; i++)
        free((char *)r->net_priorities[i].value);
    free(r->net_priorities);
    free(r->unified);
}

static int get(const struct node *n, const char *key, int64_t min, int64_t max, int64_t *out,
               struct error **err)
{
    struct node e = node_get(n, key);
    return node_int(&e, min, max, out, err);
}

static int flag(const struct node *n, const char *key, bool *out, struct error **err)
{
    struct node e = node_get(n, key);
    return node_bool(&e, out, err);
}

static int read_memory(const struct node *n, struct resources *r, struct error **err)
{
    bool hierarchy;
    if (node_object(n, err) < 0 || get(n, "limit", -1, INT64_MAX, &r->memory_limit, err) < 0 ||
        get(n, "reservation", -1, INT64_MAX, &r->memory_reservation, err) < 0 ||
        get(n, "swap", -1, INT64_MAX, &r->memory_swap, err) < 0 ||
        get(n, "kernel", -1, INT64_MAX, &r->memory_kernel, err) < 0 ||
        get(n, "kernelTCP", -1, INT64_MAX, &r->memory_kernel_tcp, err) < 0 ||
        get(n, "swappiness", 0, 100, &r->memory_swappiness, err) < 0 ||
        flag(n, "disableOOMKiller", &r->disable_oom_killer, err) < 0 ||
        flag(n, "checkBeforeUpdate", &r->check_before_update, err) < 0 ||
        flag(n, "useHierarchy", &hierarchy, err) < 0)
        return -1;
    if (r->memory_swap > 0 && r->memory_limit > 0 && r->memory_swap < r->memory_limit) {
        struct node swap = node_get(n, "swap");
        return node_error(&swap, err, "%lld is below memory.limit, %lld: swap counts both",
                          (long long)r->memory_swap, (long long)r->memory_limit);
    }
    return 0;
}

/* A list such as 0-3,7: digits, commas and dashes only, as it goes into a control file. */
static int cpu_list(const struct node *n, const char *key, const char **out, struct error **err)
{
    struct node e = node_get(n, key);
    int r = node_string(&e, out, err);
    if (r > 0 && (*out)[strspn(*out, "0123456789,- \n")])
        return node_error(&e, err, "'%s' is not a list such as 0-3,7", *out);
    return r;
}

static int read_cpu(const struct node *n, struct resources *r, struct error **err)
{
    if (node_object(n, err) < 0 || get(n, "shares", 0, INT64_MAX, &r->cpu_shares, err) < 0 ||
        get(n, "quota", INT64_MIN + 1, INT64_MAX, &r->cpu_quota, err) < 0 ||
        get(n, "burst", 0, INT64_MAX, &r->cpu_burst, err) < 0 ||
        get(n, "period", 0, INT64_MAX, &r->cpu_period, err) < 0 ||
        get(n, "realtimeRuntime", INT64_MIN + 1, INT64_MAX, &r->cpu_rt_runtime, err) < 0 ||
        get(n, "realtimePeriod", 0, INT64_MAX, &r->cpu_rt_period, err) < 0 ||
        get(n, "idle", 0, 1, &r->cpu_idle, err) < 0 || cpu_list(n, "cpus", &r->cpus, err) < 0 ||
        cpu_list(n, "mems", &r->mems, err) < 0)
        return -1;
    if (r->cpu_burst > 0 && r->cpu_quota > 0 && r->cpu_burst > r->cpu_quota) {
        struct node burst = node_get(n, "burst");
        return node_error(&burst, err, "%lld is larger than the quota, %lld",
                          (long long)r->cpu_burst, (long long)r->cpu_quota);
    }
    return 0;
}

static int device_numbers(const struct node *e, int64_t *major, int64_t *minor, struct error **err)
{
    struct node ma = node_get(e, "major"), mi = node_get(e, "minor");
    if (node_required(e, err) < 0 || node_object(e, err) < 0 || node_required(&ma, err) < 0 ||
        node_required(&mi, err) < 0 || node_int(&ma, 0, UINT32_MAX, major, err) < 0 ||
        node_int(&mi, 0, UINT32_MAX, minor, err) < 0)
        return -1;
    return 0;
}

static int read_weights(const struct node *n, struct resources *r, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    r->weights = xcalloc(len, sizeof *r->weights);
    r->weights_len = len;
    for (size_t i = 0; i < len; i++) {
        struct blkio_weight *w = &r->weights[i];
        struct node e = node_at(n, i);
        w->weight = w->leaf_weight = -1;
        if (device_numbers(&e, &w->major, &w->minor, err) < 0 ||
            get(&e, "weight", 0, UINT16_MAX, &w->weight, err) < 0 ||
            get(&e, "leafWeight", 0, UINT16_MAX, &w->leaf_weight, err) < 0)
            return -1;
        if (w->weight < 0 && w->leaf_weight < 0)
            return node_error(&e, err, "neither weight nor leafWeight is there");
    }
    return 0;
}

static int read_blkio(const struct node *n, struct resources *r, struct error **err)
{
    static const char *const names[BLKIO_RATES] = {
        "throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice",
        "throttleWriteIOPSDevice"};
    struct node weights = node_get(n, "weightDevice");
    if (node_object(n, err) < 0 || get(n, "weight", 0, UINT16_MAX, &r->blkio_weight, err) < 0 ||
        get(n, "leafWeight", 0, UINT16_MAX, &r->blkio_leaf_weight, err) < 0 ||
        read_weights(&weights, r, err) < 0)
        return -1;
    for (int k = 0; k < BLKIO_RATES; k++) {
        struct node list = node_get(n, names[k]);
        size_t len;
        if (node_array(&list, &len, err) < 0)
            return -1;
        r->rates[k] = xcalloc(len, sizeof *r->rates[k]);
        r->rates_len[k] = len;
        for (size_t i = 0; i < len; i++) {
            struct blkio_rate *b = &r->rates[k][i];
            struct node e = node_at(&list, i), rate = node_get(&e, "rate");
            if (device_numbers(&e, &b->major, &b->minor, err) < 0 ||
                node_required(&rate, err) < 0 || node_u64(&rate, &b->rate, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int read_rule(const struct node *n, struct device_rule *d, struct error **err)
{
    struct node allow = node_get(n, "allow"), type = node_get(n, "type"),
                access = node_get(n, "access");
    const char *t = "a", *a = "rwm";
    d->major = d->minor = -1;
    if (node_required(n, err) < 0 || node_object(n, err) < 0 || node_required(&allow, err) < 0 ||
        node_bool(&allow, &d->allow, err) < 0 || node_string(&type, &t, err) < 0 ||
        node_string(&access, &a, err) < 0 || get(n, "major", -1, UINT32_MAX, &d->major, err) < 0 ||
        get(n, "minor", -1, UINT32_MAX, &d->minor, err) < 0)
        return -1;
    if (!*t)
        t = "a";
    if (strlen(t) != 1 || !strchr("abcu", *t))
        return node_error(&type, err, "'%s' is none of a, b, c", t);
    d->type = *t == 'u' ? 'c' : *t;
    for (; *a; a++)
        switch (*a) {
        case 'r': d->access |= DEVICE_READ; break;
        case 'w': d->access |= DEVICE_WRITE; break;
        case 'm': d->access |= DEVICE_MKNOD; break;
        default: return node_error(&access, err, "'%c' is none of r, w, m", *a);
        }
    if (!d->access)
        return node_error(&access, err, "empty; a composition of r, w and m is expected");
    return 0;
}

static int read_rules(const struct node *n, struct resources *r, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    r->devices = xcalloc(len, sizeof *r->devices);
    r->devices_len = len;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(n, i);
        if (read_rule(&e, &r->devices[i], err) < 0)
            return -1;
    }
    return 0;
}

static int read_hugepages(const struct node *n, struct resources *r, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    r->hugepages = xcalloc(len, sizeof *r->hugepages);
    r->hugepages_len = len;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(n, i);
        struct node size = node_get(&e, "pageSize"), limit = node_get(&e, "limit");
        if (node_required(&e, err) < 0 || node_required(&size, err) < 0 ||
            node_string(&size, &r->hugepages[i].size, err) < 0 || node_required(&limit, err) < 0 ||
            node_u64(&limit, &r->hugepages[i].limit, err) < 0)
            return -1;
        const char *s = r->hugepages[i].size;
        size_t digits = strspn(s, "0123456789");
        if (!digits ||
            (strcmp(s + digits, "KB") && strcmp(s + digits, "MB") && strcmp(s + digits, "GB")))
            return node_error(&size, err, "'%s' is not a page size such as 2MB", s);
    }
    return 0;
}

static int read_network(const struct node *n, struct resources *r, struct error **err)
{
    struct node list = node_get(n, "priorities");
    size_t len;
    if (node_object(n, err) < 0 || get(n, "classID", 0, UINT32_MAX, &r->net_classid, err) < 0 ||
        node_array(&list, &len, err) < 0)
        return -1;
    r->net_priorities = xcalloc(len, sizeof *r->net_priorities);
    r->net_priorities_len = len;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(&list, i);
        struct node name = node_get(&e, "name"), priority = node_get(&e, "priority");
        uint32_t p = 0;
        if (node_required(&e, err) < 0 || node_required(&name, err) < 0 ||
            node_string(&name, &r->net_priorities[i].key, err) < 0 ||
            node_required(&priority, err) < 0 || node_u32(&priority, &p, err) < 0)
            return -1;
        r->net_priorities[i].value = xasprintf("%u", p);
    }
    return 0;
}

static int read_rdma(const struct node *n, struct resources *r, struct error **err)
{
    int res = node_object(n, err);
    if (res <= 0)
        return res;
    r->rdma = xcalloc((size_t)json_object_object_length(n->v), sizeof *r->rdma);
    json_object_object_foreach(n->v, key, value)
    {
        struct node e = {.v = value, .up = n, .key = key};
        struct rdma_limit *l = &r->rdma[r->rdma_len++];
        *l = (struct rdma_limit){key, -1, -1};
        if (node_object(&e, err) < 0 ||
            get(&e, "hcaHandles", 0, UINT32_MAX, &l->handles, err) < 0 ||
            get(&e, "hcaObjects", 0, UINT32_MAX, &l->objects, err) < 0)
            return -1;
        if (l->handles < 0 && l->objects < 0)
            return node_error(&e, err, "neither hcaHandles nor hcaObjects is there");
    }
    return 0;
}

static int read_unified(const struct node *n, struct resources *r, struct error **err)
{
    int res = node_object(n, err);
    if (res <= 0)
        return res;
    r->unified = xcalloc((size_t)json_object_object_length(n->v), sizeof *r->unified);
    json_object_object_foreach(n->v, key, value)
    {
        struct node e = {.v = value, .up = n, .key = key};
        struct key_value *kv = &r->unified[r->unified_len++];
        kv->key = key;
        if (node_required(&e, err) < 0 || node_string(&e, &kv->value, err) < 0)
            return -1;
        if (strchr(key, '/') || !strchr(key, '.'))
            return node_error(&e, err, "not a control file's name, such as memory.high");
    }
    return 0;
}

int config_resources(const struct node *n, struct resources *r, struct error **err)
{
    int res = node_object(n, err);
    if (res <= 0)
        return res;
    struct node memory = node_get(n, "memory"), cpu = node_get(n, "cpu"),
                pids = node_get(n, "pids"), blkio = node_get(n, "blockIO"),
                devices = node_get(n, "devices"), huge = node_get(n, "hugepageLimits"),
                network = node_get(n, "network"), rdma = node_get(n, "rdma"),
                unified = node_get(n, "unified");
    if (read_memory(&memory, r, err) < 0 || read_cpu(&cpu, r, err) < 0 ||
        node_object(&pids, err) < 0 ||
        get(&pids, "limit", -1, INT64_MAX, &r->pids_limit, err) < 0 ||
        read_blkio(&blkio, r, err) < 0 || read_rules(&devices, r, err) < 0 ||
        read_hugepages(&huge, r, err) < 0 || read_network(&network, r, err) < 0 ||
        read_rdma(&rdma, r, err) < 0 || read_unified(&unified, r, err) < 0)
        return -1;
    return 0;
}
