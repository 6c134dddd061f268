/* The files of cgroup v2's controllers (Documentation/admin-guide/cgroup-v2.rst of the kernel).
 * What config.json says in v1's terms is converted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/cgroup.h"

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p && (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' ' || p[n] == '\n'))
            return true;
    return false;
}

/* Enables in the group at path what is available there and not yet enabled. A controller that
 * cannot be (the group holds processes itself) is missed later, by the limit that needs it. */
static int enable_here(const char *path, struct error **err)
{
    AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set(err, errno, "open control group %s", path);
    AUTO_FREE char *have = NULL;
    AUTO_FREE char *on = NULL;
    if (read_file_at(dir, "cgroup.controllers", 65536, &have, NULL, err) < 0 ||
        read_file_at(dir, "cgroup.subtree_control", 65536, &on, NULL, err) < 0)
        return -1;
    STR_CLEANUP all = {0};
    char *save = NULL;
    for (char *c = strtok_r(have, " \n", &save); c; c = strtok_r(NULL, " \n", &save))
        if (!has_word(on, c))
            str_printf(&all, "+%s ", c);
    if (!all.len || write_file_at(dir, "cgroup.subtree_control", all.data, NULL) == 0)
        return 0;
    for (char *c = strtok_r(all.data, " ", &save); c; c = strtok_r(NULL, " ", &save))
        write_file_at(dir, "cgroup.subtree_control", c, NULL);
    return 0;
}

int cgroup_v2_enable(const char *root, const char *path, struct error **err)
{
    AUTO_FREE char *full = xasprintf("%s%s", root, path);
    for (char *p = full + strlen(root); (p = strchr(p, '/')); p++) {
        *p = 0;
        int r = enable_here(full, err);
        *p = '/';
        if (r < 0)
            return -1;
    }
    return 0;
}

static int put(struct cgroup *g, const char *file, const char *field, struct error **err,
               const char *text)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "");
    if (!h)
        return error_set(
            err, 0, "%s: the container has no control group to hold it (root may make one)", field);
    if (write_file_at(h->dirfd, file, text, err) == 0)
        return 0;
    if (err && error_code(*err) == ENOENT) {
        error_free(err);
        return error_set(err, 0, "%s: the controller of %s is not available in this control group",
                         field, file);
    }
    return error_prefix(err, "%s", field);
}

static int put_int(struct cgroup *g, const char *file, const char *field, int64_t value,
                   struct error **err)
{
    if (value == UNSET)
        return 0;
    AUTO_FREE char *text = value == -1 ? xstrdup("max") : xasprintf("%lld", (long long)value);
    return put(g, file, field, err, text);
}

static int not_in_v2(const char *field, struct error **err)
{
    return error_set(err, 0, "%s: has no counterpart in cgroup v2", field);
}

static int apply_memory(struct cgroup *g, const struct resources *r, struct error **err)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "");
    if (r->check_before_update && r->memory_limit > 0 && h) {
        int64_t now = cgroup_read_int(h, "memory.current");
        if (now > r->memory_limit)
            return error_set(err, EBUSY, "memory.limit: %lld is below what is in use, %lld",
                             (long long)r->memory_limit, (long long)now);
    }
    if (r->disable_oom_killer)
        return not_in_v2("memory.disableOOMKiller", err);
    if (r->memory_kernel != UNSET && r->memory_kernel != -1)
        return not_in_v2("memory.kernel", err);
    if (r->memory_kernel_tcp != UNSET && r->memory_kernel_tcp != -1)
        return not_in_v2("memory.kernelTCP", err);
    if (r->memory_swappiness != UNSET)
        return not_in_v2("memory.swappiness", err);
    if (put_int(g, "memory.max", "memory.limit", r->memory_limit, err) < 0 ||
        put_int(g, "memory.low", "memory.reservation", r->memory_reservation, err) < 0)
        return -1;
    /* v1's figure is memory and swap together, v2's is swap alone. */
    int64_t swap = r->memory_swap;
    if (swap == UNSET || swap == 0)
        return 0;
    if (swap == -1)
        return put_int(g, "memory.swap.max", "memory.swap", -1, err);
    if (r->memory_limit == UNSET || r->memory_limit < 0)
        return error_set(err, 0, "memory.swap: needs memory.limit, which it includes");
    return put_int(g, "memory.swap.max", "memory.swap", swap - r->memory_limit, err);
}

static int apply_cpu(struct cgroup *g, const struct resources *r, struct error **err)
{
    if ((r->cpu_rt_runtime != UNSET && r->cpu_rt_runtime) ||
        (r->cpu_rt_period != UNSET && r->cpu_rt_period))
        return not_in_v2("cpu.realtimeRuntime", err);
    if (r->cpu_idle != UNSET && put_int(g, "cpu.idle", "cpu.idle", r->cpu_idle, err) < 0)
        return -1;
    if (r->cpu_shares != UNSET && r->cpu_shares && r->cpu_idle != 1) {
        /* Shares 2 to 262144 onto weights 1 to 10000, linearly, as every runtime does. */
        int64_t s = r->cpu_shares < 2 ? 2 : r->cpu_shares > 262144 ? 262144 : r->cpu_shares;
        if (put_int(g, "cpu.weight", "cpu.shares", 1 + (s - 2) * 9999 / 262142, err) < 0)
            return -1;
    }
    bool quota = r->cpu_quota != UNSET && r->cpu_quota,
         period = r->cpu_period != UNSET && r->cpu_period;
    if (quota || period) {
        AUTO_FREE char *q =
            r->cpu_quota > 0 ? xasprintf("%lld", (long long)r->cpu_quota) : xstrdup("max");
        struct cgroup_hierarchy *h = cgroup_find(g, "");
        AUTO_FREE char *now = quota ? NULL : cgroup_read(h, "cpu.max");
        if (now)
            now[strcspn(now, " ")] = 0;
        AUTO_FREE char *text =
            period ? xasprintf("%s %lld", now ? now : q, (long long)r->cpu_period) : xstrdup(q);
        if (put(g, "cpu.max", "cpu.quota", err, text) < 0)
            return -1;
    }
    if (put_int(g, "cpu.max.burst", "cpu.burst", r->cpu_burst, err) < 0)
        return -1;
    if (r->cpus && *r->cpus && put(g, "cpuset.cpus", "cpu.cpus", err, r->cpus) < 0)
        return -1;
    return r->mems && *r->mems ? put(g, "cpuset.mems", "cpu.mems", err, r->mems) : 0;
}

static int apply_io(struct cgroup *g, const struct resources *r, struct error **err)
{
    static const char *const keys[BLKIO_RATES] = {"rbps", "wbps", "riops", "wiops"};
    struct cgroup_hierarchy *h = cgroup_find(g, "");
    if (r->blkio_leaf_weight != UNSET && r->blkio_leaf_weight)
        return not_in_v2("blockIO.leafWeight", err);
    AUTO_FREE char *bfq = cgroup_read(h, "io.bfq.weight");
    if (r->blkio_weight != UNSET && r->blkio_weight) {
        int64_t w = r->blkio_weight;
        /* Weights 10 to 1000 onto 1 to 10000; bfq keeps v1's scale. */
        AUTO_FREE char *text =
            bfq ? xasprintf("%lld", (long long)w)
                : xasprintf("default %lld", (long long)(1 + (w < 10 ? 0 : w - 10) * 9999 / 990));
        if (put(g, bfq ? "io.bfq.weight" : "io.weight", "blockIO.weight", err, text) < 0)
            return -1;
    }
    for (size_t i = 0; i < r->weights_len; i++) {
        const struct blkio_weight *d = &r->weights[i];
        if (d->weight < 0)
            return not_in_v2("blockIO.weightDevice.leafWeight", err);
        AUTO_FREE char *text = xasprintf("%lld:%lld %lld", (long long)d->major, (long long)d->minor,
                                         (long long)d->weight);
        if (put(g, bfq ? "io.bfq.weight" : "io.weight", "blockIO.weightDevice", err, text) < 0)
            return -1;
    }
    for (int k = 0; k < BLKIO_RATES; k++)
        for (size_t i = 0; i < r->rates_len[k]; i++) {
            const struct blkio_rate *b = &r->rates[k][i];
            AUTO_FREE char *value =
                b->rate ? xasprintf("%llu", (unsigned long long)b->rate) : xstrdup("max");
            AUTO_FREE char *text = xasprintf("%lld:%lld %s=%s", (long long)b->major,
                                             (long long)b->minor, keys[k], value);
            if (put(g, "io.max", "blockIO.throttle", err, text) < 0)
                return -1;
        }
    return 0;
}

static int apply_rest(struct cgroup *g, const struct resources *r, struct error **err)
{
    for (size_t i = 0; i < r->hugepages_len; i++) {
        AUTO_FREE char *file = xasprintf("hugetlb.%s.max", r->hugepages[i].size);
        AUTO_FREE char *text = xasprintf("%llu", (unsigned long long)r->hugepages[i].limit);
        if (put(g, file, "hugepageLimits", err, text) < 0)
            return -1;
    }
    if (r->net_classid != UNSET && r->net_classid)
        return not_in_v2("network.classID", err);
    if (r->net_priorities_len)
        return not_in_v2("network.priorities", err);
    for (size_t i = 0; i < r->rdma_len; i++) {
        STR_CLEANUP text = {0};
        str_printf(&text, "%s", r->rdma[i].device);
        if (r->rdma[i].handles >= 0)
            str_printf(&text, " hca_handle=%lld", (long long)r->rdma[i].handles);
        if (r->rdma[i].objects >= 0)
            str_printf(&text, " hca_object=%lld", (long long)r->rdma[i].objects);
        if (put(g, "rdma.max", "rdma", err, text.data) < 0)
            return -1;
    }
    for (size_t i = 0; i < r->unified_len; i++) {
        AUTO_FREE char *field = xasprintf("unified.%s", r->unified[i].key);
        if (put(g, r->unified[i].key, field, err, r->unified[i].value) < 0)
            return -1;
    }
    return 0;
}

int cgroup_v2_apply(struct cgroup *g, const struct resources *r, struct error **err)
{
    if (apply_memory(g, r, err) < 0 || apply_cpu(g, r, err) < 0 ||
        put_int(g, "pids.max", "pids.limit", r->pids_limit, err) < 0 || apply_io(g, r, err) < 0)
        return -1;
    return apply_rest(g, r, err);
}
