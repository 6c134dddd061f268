#include "guest/limits.h"

#include <errno.h>

bool limits_active(const struct guest *g)
{
    return false;
}

int limits_create(struct guest *g, struct error **err)
{
    const struct guest_limits *l = &g->spec.limits;
    if (l->memory || l->cpu_milli || l->pids)
        return error_set(err, ENOTSUP, "limits on a %s", wall_name(g->spec.wall));
    return 0;
}

int limits_enter(const struct guest *g, struct error **err)
{
    return 0;
}

int limits_freeze(struct guest *g, bool frozen, struct error **err)
{
    return error_set(err, ENOTSUP, "freezer");
}

int limits_update(struct guest *g, pid_t pid, const struct guest_limits *l, struct error **err)
{
    return error_set(err, ENOTSUP, "limits on a %s", wall_name(g->spec.wall));
}

int limits_stats(struct guest *g, pid_t pid, struct wall_stats *out, struct error **err)
{
    struct proc_usage u = proc_tree_usage(pid);
    out->cpu_us = u.cpu_us;
    out->memory = u.rss;
    out->pids = u.processes;
    return 0;
}

int limits_remove(struct guest *g, struct error **err)
{
    return 0;
}
