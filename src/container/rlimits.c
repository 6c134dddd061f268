#include "container/rlimits.h"

#include <errno.h>
#include <string.h>

int rlimit_from_name(const char *name)
{
    static const struct {
        const char *name;
        int resource;
    } names[] = {
        {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},
        {"RLIMIT_CPU", RLIMIT_CPU},         {"RLIMIT_DATA", RLIMIT_DATA},
        {"RLIMIT_FSIZE", RLIMIT_FSIZE},     {"RLIMIT_LOCKS", RLIMIT_LOCKS},
        {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
        {"RLIMIT_NICE", RLIMIT_NICE},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
        {"RLIMIT_NPROC", RLIMIT_NPROC},     {"RLIMIT_RSS", RLIMIT_RSS},
        {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},
        {"RLIMIT_STACK", RLIMIT_STACK},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, name))
            return names[i].resource;
    return -1;
}

int rlimits_lower(const struct process *p, struct error **err)
{
    for (size_t i = 0; i < p->rlimits_len; i++)
        if (p->rlimits[i].resource == RLIMIT_NOFILE &&
            setrlimit(RLIMIT_NOFILE, &p->rlimits[i].limit) < 0)
            return error_set(err, errno, "process.rlimits: %s", p->rlimits[i].name);
    return 0;
}

int rlimits_apply(pid_t pid, const struct process *p, struct error **err)
{
    for (size_t i = 0; i < p->rlimits_len; i++) {
        const struct rlimit_entry *e = &p->rlimits[i];
        struct rlimit now = {0}, set = e->limit;
        if (e->resource == RLIMIT_NOFILE && prlimit(pid, RLIMIT_NOFILE, NULL, &now) == 0) {
            set.rlim_cur = set.rlim_cur > now.rlim_cur ? set.rlim_cur : now.rlim_cur;
            set.rlim_max = set.rlim_max > now.rlim_max ? set.rlim_max : now.rlim_max;
        }
        if (prlimit(pid, (enum __rlimit_resource)e->resource, &set, NULL) == 0)
            continue;
        int code = errno;
        if (code == EPERM && getrlimit((enum __rlimit_resource)e->resource, &now) == 0)
            return error_set(
                err, code,
                "process.rlimits: %s: hard limit %llu is above the runtime's own %llu, "
                "and raising one takes CAP_SYS_RESOURCE",
                e->name, (unsigned long long)e->limit.rlim_max, (unsigned long long)now.rlim_max);
        return error_set(err, code, "process.rlimits: %s", e->name);
    }
    return 0;
}
