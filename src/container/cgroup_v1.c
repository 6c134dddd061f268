/* The files of cgroup v1's controllers (Documentation/admin-guide/cgroup-v1 of the kernel). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/cgroup.h"

/* Writes one number if it is set; the field is named in the message, the controller has to be. */
static struct cgroup_hierarchy *need(struct cgroup *g, const char *controller, const char *field,
                                     struct error **err)
{
    struct cgroup_hierarchy *h = cgroup_find(g, controller);
    bool some = h;
    for (size_t i = 0; i < g->len; i++)
        some |= g->h[i].dirfd >= 0;
    if (!some)
        error_set(err, 0, "%s: the container has no control group to hold it (root may make one)",
                  field);
    else if (!h)
        error_set(err, 0, "%s: the host has no %s controller for it", field, controller);
    return h;
}

static int put(struct cgroup *g, const char *controller, const char *file, const char *field,
               int64_t value, struct error **err)
{
    if (value == UNSET)
        return 0;
    struct cgroup_hierarchy *h = need(g, controller, field, err);
    if (!h)
        return -1;
    if (cgroup_write(h, file, err, "%lld", (long long)value) < 0)
        return error_prefix(err, "%s", field);
    return 0;
}

static int put_text(struct cgroup *g, const char *controller, const char *file, const char *field,
                    const char *text, struct error **err)
{
    if (!text || !*text)
        return 0;
    struct cgroup_hierarchy *h = need(g, controller, field, err);
    if (!h)
        return -1;
    if (write_file_at(h->dirfd, file, text, err) < 0)
        return error_prefix(err, "%s", field);
    return 0;
}

static int init_one_cpuset(const char *above, const char *path, const char *file,
                           struct error **err)
{
    AUTO_FREE char *from = xasprintf("%s/%s", above, file);
    AUTO_FREE char *to = xasprintf("%s/%s", path, file);
    AUTO_FREE char *have = NULL;
    AUTO_FREE char *value = NULL;
    if (read_file_at(AT_FDCWD, to, 65536, &have, NULL, err) < 0)
        return -1;
    if (have[0] && have[0] != '\n')
        return 0;
    if (read_file_at(AT_FDCWD, from, 65536, &value, NULL, err) < 0)
        return -1;
    return write_file_at(AT_FDCWD, to, value, err);
}

int cgroup_v1_init_cpuset(const char *root, const char *path, struct error **err)
{
    AUTO_FREE char *full = xasprintf("%s%s", root, path);
    for (char *p = full + strlen(root) + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = 0;
        AUTO_FREE char *above = strndup(full, (size_t)(strrchr(full, '/') - full));
        if (init_one_cpuset(above, full, "cpuset.cpus", err) < 0 ||
            init_one_cpuset(above, full, "cpuset.mems", err) < 0)
            return -1;
        *p = c;
        if (!c)
            return 0;
    }
}

static int apply_memory(struct cgroup *g, const struct resources *r, struct error **err)
{
    static const char *const limit = "memory.limit_in_bytes";
    static const char *const swap = "memory.memsw.limit_in_bytes";
    /* memsw can never be below limit, so which goes first depends on the way they move: upward
     * memsw, downward limit. */
    bool swap_first = false;
    struct cgroup_hierarchy *h = cgroup_find(g, "memory");
    if (h && r->memory_limit != UNSET && r->memory_swap != UNSET) {
        int64_t now = cgroup_read_int(h, swap);
        swap_first = now >= 0 && (r->memory_limit < 0 || r->memory_limit > now);
    }
    for (int i = 0; i < 2; i++) {
        if (i == (int)swap_first) {
            if (put(g, "memory", limit, "memory.limit", r->memory_limit, err) < 0)
                return -1;
        } else if (put(g, "memory", swap, "memory.swap", r->memory_swap, err) < 0) {
            return -1;
        }
    }
    /* Kernel 6.x has no kmem limits any more: -1 asks for none and is met. */
    int64_t kmem = r->memory_kernel == -1 ? UNSET : r->memory_kernel;
    if (put(g, "memory", "memory.soft_limit_in_bytes", "memory.reservation", r->memory_reservation,
            err) < 0 ||
        put(g, "memory", "memory.kmem.limit_in_bytes", "memory.kernel", kmem, err) < 0 ||
        put(g, "memory", "memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP", r->memory_kernel_tcp,
            err) < 0 ||
        put(g, "memory", "memory.swappiness", "memory.swappiness", r->memory_swappiness, err) < 0)
        return -1;
    return put(g, "memory", "memory.oom_control", "memory.disableOOMKiller",
               r->disable_oom_killer ? 1 : UNSET, err);
}

static int apply_cpu(struct cgroup *g, const struct resources *r, struct error **err)
{
    int64_t shares = r->cpu_shares == 0 ? UNSET : r->cpu_shares;
    int64_t period = r->cpu_period == 0 ? UNSET : r->cpu_period;
    int64_t quota = r->cpu_quota == 0 ? UNSET : r->cpu_quota;
    int64_t rt_period = r->cpu_rt_period == 0 ? UNSET : r->cpu_rt_period;
    int64_t rt_runtime = r->cpu_rt_runtime == 0 ? UNSET : r->cpu_rt_runtime;
    if (put(g, "cpu", "cpu.shares", "cpu.shares", shares, err) < 0 ||
        put(g, "cpu", "cpu.cfs_period_us", "cpu.period", period, err) < 0 ||
        put(g, "cpu", "cpu.cfs_quota_us", "cpu.quota", quota, err) < 0 ||
        put(g, "cpu", "cpu.cfs_burst_us", "cpu.burst", r->cpu_burst, err) < 0 ||
        put(g, "cpu", "cpu.rt_period_us", "cpu.realtimePeriod", rt_period, err) < 0 ||
        put(g, "cpu", "cpu.rt_runtime_us", "cpu.realtimeRuntime", rt_runtime, err) < 0 ||
        put(g, "cpu", "cpu.idle", "cpu.idle", r->cpu_idle, err) < 0)
        return -1;
    if (put_text(g, "cpuset", "cpuset.cpus", "cpu.cpus", r->cpus, err) < 0)
        return -1;
    return put_text(g, "cpuset", "cpuset.mems", "cpu.mems", r->mems, err);
}

static int put_device(struct cgroup *g, const char *file, const char *field, int64_t major,
                      int64_t minor, unsigned long long value, struct error **err)
{
    AUTO_FREE char *text = xasprintf("%lld:%lld %llu", (long long)major, (long long)minor, value);
    return put_text(g, "blkio", file, field, text, err);
}

static int apply_blkio(struct cgroup *g, const struct resources *r, struct error **err)
{
    static const char *const files[BLKIO_RATES] = {
        "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device",
        "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"};
    struct cgroup_hierarchy *h = cgroup_find(g, "blkio");
    /* The weight is the io scheduler's: bfq calls it its own name. */
    AUTO_FREE char *plain = cgroup_read(h, "blkio.weight");
    const char *weight = plain ? "blkio.weight" : "blkio.bfq.weight";
    const char *device = plain ? "blkio.weight_device" : "blkio.bfq.weight_device";
    int64_t w = r->blkio_weight == 0 ? UNSET : r->blkio_weight;
    int64_t leaf = r->blkio_leaf_weight == 0 ? UNSET : r->blkio_leaf_weight;
    if (put(g, "blkio", weight, "blockIO.weight", w, err) < 0 ||
        put(g, "blkio", "blkio.leaf_weight", "blockIO.leafWeight", leaf, err) < 0)
        return -1;
    for (size_t i = 0; i < r->weights_len; i++) {
        const struct blkio_weight *d = &r->weights[i];
        if (d->weight >= 0 && put_device(g, device, "blockIO.weightDevice", d->major, d->minor,
                                         (unsigned long long)d->weight, err) < 0)
            return -1;
        if (d->leaf_weight >= 0 &&
            put_device(g, "blkio.leaf_weight_device", "blockIO.weightDevice", d->major, d->minor,
                       (unsigned long long)d->leaf_weight, err) < 0)
            return -1;
    }
    for (int k = 0; k < BLKIO_RATES; k++)
        for (size_t i = 0; i < r->rates_len[k]; i++)
            if (put_device(g, files[k], "blockIO.throttle", r->rates[k][i].major,
                           r->rates[k][i].minor, r->rates[k][i].rate, err) < 0)
                return -1;
    return 0;
}

static int apply_rest(struct cgroup *g, const struct resources *r, struct error **err)
{
    for (size_t i = 0; i < r->hugepages_len; i++) {
        AUTO_FREE char *file = xasprintf("hugetlb.%s.limit_in_bytes", r->hugepages[i].size);
        AUTO_FREE char *text = xasprintf("%llu", (unsigned long long)r->hugepages[i].limit);
        if (put_text(g, "hugetlb", file, "hugepageLimits", text, err) < 0)
            return -1;
    }
    if (put(g, "net_cls", "net_cls.classid", "network.classID", r->net_classid, err) < 0)
        return -1;
    for (size_t i = 0; i < r->net_priorities_len; i++) {
        AUTO_FREE char *text =
            xasprintf("%s %s", r->net_priorities[i].key, r->net_priorities[i].value);
        if (put_text(g, "net_prio", "net_prio.ifpriomap", "network.priorities", text, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < r->rdma_len; i++) {
        STR_CLEANUP text = {0};
        str_printf(&text, "%s", r->rdma[i].device);
        if (r->rdma[i].handles >= 0)
            str_printf(&text, " hca_handle=%lld", (long long)r->rdma[i].handles);
        if (r->rdma[i].objects >= 0)
            str_printf(&text, " hca_object=%lld", (long long)r->rdma[i].objects);
        if (put_text(g, "rdma", "rdma.max", "rdma", text.data, err) < 0)
            return -1;
    }
    if (r->unified_len)
        return error_set(err, 0, "unified.%s: this host's controllers are cgroup v1",
                         r->unified[0].key);
    return 0;
}

int cgroup_v1_apply(struct cgroup *g, const struct resources *r, struct error **err)
{
    if (apply_memory(g, r, err) < 0 || apply_cpu(g, r, err) < 0 || apply_blkio(g, r, err) < 0)
        return -1;
    if (r->pids_limit == -1) {
        if (cgroup_find(g, "pids") && put_text(g, "pids", "pids.max", "pids.limit", "max", err) < 0)
            return -1;
    } else if (put(g, "pids", "pids.max", "pids.limit", r->pids_limit, err) < 0) {
        return -1;
    }
    return apply_rest(g, r, err);
}

int cgroup_v1_devices(struct cgroup *g, const struct device_rule *rules, size_t len,
                      struct error **err)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "devices");
    AUTO_CLOSE int allow = openat(h->dirfd, "devices.allow", O_WRONLY | O_CLOEXEC);
    AUTO_CLOSE int deny = openat(h->dirfd, "devices.deny", O_WRONLY | O_CLOEXEC);
    if (allow < 0 || deny < 0)
        return error_set(err, errno, "open the devices controller's files");
    for (size_t i = 0; i < len; i++) {
        const struct device_rule *d = &rules[i];
        char text[64], *p = text;
        p += sprintf(p, "%c ", d->type);
        p += d->major < 0 ? sprintf(p, "*:") : sprintf(p, "%lld:", (long long)d->major);
        p += d->minor < 0 ? sprintf(p, "* ") : sprintf(p, "%lld ", (long long)d->minor);
        p += sprintf(p, "%s%s%s", d->access & DEVICE_READ ? "r" : "",
                     d->access & DEVICE_WRITE ? "w" : "", d->access & DEVICE_MKNOD ? "m" : "");
        if (write(d->allow ? allow : deny, text, (size_t)(p - text)) < 0)
            return error_set(err, errno, "%s '%s'", d->allow ? "allow" : "deny", text);
    }
    return 0;
}
