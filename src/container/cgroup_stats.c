/* What a group uses, in the shape of runc's `events --stats`, which callers read. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "container/cgroup.h"

static void put(struct json_object *o, const char *key, int64_t v)
{
    if (v >= 0)
        json_object_object_add(o, key, json_object_new_int64(v));
}

static struct json_object *usage(int64_t now, int64_t limit, int64_t max, int64_t failcnt)
{
    struct json_object *o = json_object_new_object();
    put(o, "usage", now);
    put(o, "limit", limit);
    put(o, "max", max);
    put(o, "failcnt", failcnt);
    return o;
}

/* A flat keyed file as an object. */
static struct json_object *keyed(const struct cgroup_hierarchy *h, const char *file)
{
    struct json_object *o = json_object_new_object();
    AUTO_FREE char *text = cgroup_read(h, file);
    char *save = NULL;
    for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save)) {
        char *v = strchr(l, ' ');
        if (!v)
            continue;
        *v = 0;
        json_object_object_add(o, l, json_object_new_int64(strtoll(v + 1, NULL, 10)));
    }
    return o;
}

static struct json_object *cpu_stats(struct cgroup *g)
{
    struct json_object *cpu = json_object_new_object(), *use = json_object_new_object(),
                       *throttling = json_object_new_object();
    struct cgroup_hierarchy *h = cgroup_find(g, "cpu");
    if (g->unified) {
        int64_t us = cgroup_read_key(h, "cpu.stat", "usage_usec");
        put(use, "total", us < 0 ? -1 : us * 1000);
        us = cgroup_read_key(h, "cpu.stat", "user_usec");
        put(use, "user", us < 0 ? -1 : us * 1000);
        us = cgroup_read_key(h, "cpu.stat", "system_usec");
        put(use, "kernel", us < 0 ? -1 : us * 1000);
        us = cgroup_read_key(h, "cpu.stat", "throttled_usec");
        put(throttling, "throttledTime", us < 0 ? -1 : us * 1000);
    } else {
        struct cgroup_hierarchy *acct = cgroup_find(g, "cpuacct");
        put(use, "total", cgroup_read_int(acct, "cpuacct.usage"));
        put(use, "user", cgroup_read_int(acct, "cpuacct.usage_user"));
        put(use, "kernel", cgroup_read_int(acct, "cpuacct.usage_sys"));
        put(throttling, "throttledTime", cgroup_read_key(h, "cpu.stat", "throttled_time"));
    }
    put(throttling, "periods", cgroup_read_key(h, "cpu.stat", "nr_periods"));
    put(throttling, "throttledPeriods", cgroup_read_key(h, "cpu.stat", "nr_throttled"));
    json_object_object_add(cpu, "usage", use);
    json_object_object_add(cpu, "throttling", throttling);
    return cpu;
}

static struct json_object *memory_stats(struct cgroup *g)
{
    struct json_object *memory = json_object_new_object();
    struct cgroup_hierarchy *h = cgroup_find(g, "memory");
    struct json_object *use, *swap;
    if (g->unified) {
        use = usage(cgroup_read_int(h, "memory.current"), cgroup_read_int(h, "memory.max"),
                    cgroup_read_int(h, "memory.peak"), cgroup_read_key(h, "memory.events", "max"));
        swap = usage(cgroup_read_int(h, "memory.swap.current"),
                     cgroup_read_int(h, "memory.swap.max"), -1, -1);
    } else {
        use = usage(cgroup_read_int(h, "memory.usage_in_bytes"),
                    cgroup_read_int(h, "memory.limit_in_bytes"),
                    cgroup_read_int(h, "memory.max_usage_in_bytes"),
                    cgroup_read_int(h, "memory.failcnt"));
        swap = usage(cgroup_read_int(h, "memory.memsw.usage_in_bytes"),
                     cgroup_read_int(h, "memory.memsw.limit_in_bytes"),
                     cgroup_read_int(h, "memory.memsw.max_usage_in_bytes"),
                     cgroup_read_int(h, "memory.memsw.failcnt"));
    }
    json_object_object_add(memory, "usage", use);
    json_object_object_add(memory, "swap", swap);
    json_object_object_add(memory, "raw", keyed(h, "memory.stat"));
    put(memory, "oomKills", cgroup_oom_kills(g));
    return memory;
}

int64_t cgroup_oom_kills(struct cgroup *g)
{
    struct cgroup_hierarchy *h = cgroup_find(g, "memory");
    return cgroup_read_key(h, g->unified ? "memory.events" : "memory.oom_control", "oom_kill");
}

struct json_object *cgroup_stats(struct cgroup *g)
{
    struct json_object *o = json_object_new_object(), *pids = json_object_new_object();
    struct cgroup_hierarchy *h = cgroup_find(g, "pids");
    put(pids, "current", cgroup_read_int(h, "pids.current"));
    int64_t limit = cgroup_read_int(h, "pids.max");
    put(pids, "limit", limit == INT64_MAX ? 0 : limit);
    json_object_object_add(o, "cpu", cpu_stats(g));
    json_object_object_add(o, "memory", memory_stats(g));
    json_object_object_add(o, "pids", pids);
    return o;
}
