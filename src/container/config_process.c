/* config.json: process (config.md, Process). */
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "container/caps.h"
#include "container/config.h"
#include "container/json.h"
#include "container/rlimits.h"

struct named {
    const char *name;
    uint64_t value;
};

static int lookup(const struct node *n, const struct named *table, size_t len, uint64_t *out,
                  struct error **err)
{
    const char *s = NULL;
    if (node_required(n, err) < 0 || node_string(n, &s, err) < 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (!strcmp(table[i].name, s)) {
            *out = table[i].value;
            return 0;
        }
    STR_CLEANUP all = {0};
    for (size_t i = 0; i < len; i++)
        str_printf(&all, "%s%s", i ? ", " : "", table[i].name);
    return node_error(n, err, "'%s' is none of %s", s, all.data);
}
#define LOOKUP(n, table, out, err) lookup(n, table, sizeof(table) / sizeof *(table), out, err)

static int read_user(const struct node *n, struct user *u, struct error **err)
{
    if (!n->v)
        return 0;
    struct node uid = node_get(n, "uid"), gid = node_get(n, "gid"), mask = node_get(n, "umask"),
                groups = node_get(n, "additionalGids");
    int64_t m = 0;
    size_t len;
    if (node_object(n, err) < 0 || node_u32(&uid, &u->uid, err) < 0 ||
        node_u32(&gid, &u->gid, err) < 0 || node_array(&groups, &len, err) < 0)
        return -1;
    int r = node_int(&mask, 0, 0777, &m, err);
    if (r < 0)
        return -1;
    u->umask_set = r > 0;
    u->umask = (mode_t)m;
    /* setgroups(2): NGROUPS_MAX */
    if (len > 65536)
        return node_error(&groups, err, "%zu groups; the kernel takes at most 65536", len);
    u->groups = xcalloc(len, sizeof *u->groups);
    u->groups_len = len;
    for (size_t i = 0; i < len; i++) {
        struct node g = node_at(&groups, i);
        if (node_required(&g, err) < 0 || node_u32(&g, &u->groups[i], err) < 0)
            return -1;
    }
    if (u->uid == UINT32_MAX)
        return node_error(&uid, err, "%u is not a user id", u->uid);
    if (u->gid == UINT32_MAX)
        return node_error(&gid, err, "%u is not a group id", u->gid);
    return 0;
}

static int read_caps(const struct node *n, struct process *p, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    static const char *const keys[] = {"bounding", "effective", "inheritable", "permitted",
                                       "ambient"};
    uint64_t *const sets[] = {&p->capabilities.bounding, &p->capabilities.effective,
                              &p->capabilities.inheritable, &p->capabilities.permitted,
                              &p->capabilities.ambient};
    for (int i = 0; i < 5; i++) {
        struct node set = node_get(n, keys[i]);
        AUTO_FREE const char **list = NULL;
        size_t len = 0;
        if (node_strings(&set, &list, &len, err) < 0)
            return -1;
        for (size_t j = 0; j < len; j++) {
            int cap = cap_from_name(list[j]);
            if (cap < 0)
                log_warn("process.capabilities.%s[%zu]: '%s' is no capability known here, and is "
                         "left out",
                         keys[i], j, list[j]);
            else
                *sets[i] |= UINT64_C(1) << cap;
        }
    }
    return 0;
}

static int read_rlimits(const struct node *n, struct process *p, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    p->rlimits = xcalloc(len, sizeof *p->rlimits);
    p->rlimits_len = len;
    for (size_t i = 0; i < len; i++) {
        struct rlimit_entry *l = &p->rlimits[i];
        struct node e = node_at(n, i);
        struct node type = node_get(&e, "type"), soft = node_get(&e, "soft"),
                    hard = node_get(&e, "hard");
        uint64_t cur = 0, max = 0;
        if (node_required(&e, err) < 0 || node_object(&e, err) < 0 ||
            node_required(&type, err) < 0 || node_string(&type, &l->name, err) < 0 ||
            node_required(&soft, err) < 0 || node_u64(&soft, &cur, err) < 0 ||
            node_required(&hard, err) < 0 || node_u64(&hard, &max, err) < 0)
            return -1;
        l->resource = rlimit_from_name(l->name);
        if (l->resource < 0)
            return node_error(&type, err, "'%s' is no limit of getrlimit(2)", l->name);
        for (size_t j = 0; j < i; j++)
            if (p->rlimits[j].resource == l->resource)
                return node_error(&type, err, "'%s' is there twice", l->name);
        if (cur > max)
            return node_error(&soft, err, "%llu is above the hard limit, %llu",
                              (unsigned long long)cur, (unsigned long long)max);
        l->limit = (struct rlimit){cur, max};
    }
    return 0;
}

/* sched(7): what a policy needs, so that the field is named and not the call alone. */
static int check_scheduler(const struct node *n, const struct scheduler *s, struct error **err)
{
    struct node priority = node_get(n, "priority"), runtime = node_get(n, "runtime"),
                deadline = node_get(n, "deadline"), period = node_get(n, "period");
    bool real_time = s->policy == 1 || s->policy == 2;
    if (real_time != (s->priority != 0))
        return node_error(&priority, err,
                          real_time ? "0; SCHED_FIFO and SCHED_RR take 1 to 99"
                                    : "only for SCHED_FIFO and SCHED_RR");
    if (s->policy != 6) {
        if (s->runtime || s->deadline || s->period)
            return node_error(&runtime, err, "runtime, deadline, period: only for SCHED_DEADLINE");
        return 0;
    }
    if (s->runtime < 1024 || s->runtime > INT64_MAX)
        return node_error(&runtime, err, "%llu; SCHED_DEADLINE takes 1024 ns or more",
                          (unsigned long long)s->runtime);
    if (s->deadline < s->runtime || s->deadline > INT64_MAX)
        return node_error(&deadline, err, "%llu is below runtime, %llu",
                          (unsigned long long)s->deadline, (unsigned long long)s->runtime);
    if (s->period && (s->period < s->deadline || s->period > INT64_MAX))
        return node_error(&period, err, "%llu is below deadline, %llu",
                          (unsigned long long)s->period, (unsigned long long)s->deadline);
    return 0;
}

static int read_scheduler(const struct node *n, struct scheduler *s, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    static const struct named policies[] = {
        {"SCHED_OTHER", 0}, {"SCHED_FIFO", 1}, {"SCHED_RR", 2},       {"SCHED_BATCH", 3},
        {"SCHED_ISO", 4},   {"SCHED_IDLE", 5}, {"SCHED_DEADLINE", 6},
    };
    static const struct named flag_names[] = {
        {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
        {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
        {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
        {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
        {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
        {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
        {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
    };
    struct node policy = node_get(n, "policy"), nice_ = node_get(n, "nice"),
                priority = node_get(n, "priority"), flags = node_get(n, "flags"),
                runtime = node_get(n, "runtime"), deadline = node_get(n, "deadline"),
                period = node_get(n, "period");
    uint64_t v = 0;
    int64_t ni = 0, pr = 0;
    size_t len;
    if (LOOKUP(&policy, policies, &v, err) < 0 || node_int(&nice_, -20, 19, &ni, err) < 0 ||
        node_int(&priority, 0, 99, &pr, err) < 0 || node_array(&flags, &len, err) < 0 ||
        node_u64(&runtime, &s->runtime, err) < 0 || node_u64(&deadline, &s->deadline, err) < 0 ||
        node_u64(&period, &s->period, err) < 0)
        return -1;
    s->policy = (uint32_t)v;
    s->nice = (int32_t)ni;
    s->priority = (uint32_t)pr;
    for (size_t i = 0; i < len; i++) {
        struct node f = node_at(&flags, i);
        if (LOOKUP(&f, flag_names, &v, err) < 0)
            return -1;
        s->flags |= v;
    }
    s->present = true;
    return check_scheduler(n, s, err);
}

static int read_ioprio(const struct node *n, struct process *p, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    static const struct named classes[] = {
        {"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};
    struct node class = node_get(n, "class"), priority = node_get(n, "priority");
    uint64_t c = 0;
    int64_t prio = 0;
    if (LOOKUP(&class, classes, &c, err) < 0 || node_int(&priority, 0, 7, &prio, err) < 0)
        return -1;
    p->ioprio = (int)(c << 13 | (uint64_t)prio); /* ioprio_set(2): IOPRIO_PRIO_VALUE */
    return 0;
}

static int read_console(const struct node *n, struct process *p, struct error **err)
{
    int r = node_object(n, err);
    if (r <= 0)
        return r;
    struct node height = node_get(n, "height"), width = node_get(n, "width");
    int64_t h = 0, w = 0;
    if (node_required(&height, err) < 0 || node_required(&width, err) < 0 ||
        node_int(&height, 0, UINT16_MAX, &h, err) < 0 ||
        node_int(&width, 0, UINT16_MAX, &w, err) < 0)
        return -1;
    p->height = (uint16_t)h;
    p->width = (uint16_t)w;
    return 0;
}

static int read_command(const struct node *n, struct process *p, struct error **err)
{
    struct node args = node_get(n, "args"), env = node_get(n, "env"), cwd = node_get(n, "cwd");
    size_t argc = 0, envc = 0;
    if (node_required(&cwd, err) < 0 || node_string(&cwd, &p->cwd, err) < 0 ||
        node_required(&args, err) < 0 || node_strings(&args, &p->args, &argc, err) < 0 ||
        node_strings(&env, &p->env, &envc, err) < 0)
        return -1;
    if (p->cwd[0] != '/')
        return node_error(&cwd, err, "'%s' is not an absolute path", p->cwd);
    if (!argc)
        return node_error(&args, err, "empty; a command is expected");
    if (!*p->args[0]) {
        struct node first = node_at(&args, 0);
        return node_error(&first, err, "empty; a command is expected");
    }
    if (!p->env)
        p->env = xcalloc(1, sizeof *p->env);
    for (size_t i = 0; i < envc; i++)
        if (!strchr(p->env[i], '=') || p->env[i][0] == '=') {
            struct node e = node_at(&env, i);
            return node_error(&e, err, "'%s' is not NAME=VALUE", p->env[i]);
        }
    return 0;
}

int config_process(const struct node *n, struct process *p, struct error **err)
{
    p->ioprio = -1;
    if (node_required(n, err) < 0 || node_object(n, err) < 0)
        return -1;
    struct node terminal = node_get(n, "terminal"), user = node_get(n, "user"),
                nnp = node_get(n, "noNewPrivileges"), oom = node_get(n, "oomScoreAdj"),
                apparmor = node_get(n, "apparmorProfile"), selinux = node_get(n, "selinuxLabel"),
                caps = node_get(n, "capabilities"), rlimits = node_get(n, "rlimits"),
                sched = node_get(n, "scheduler"), io = node_get(n, "ioPriority"),
                console = node_get(n, "consoleSize"), affinity = node_get(n, "execCPUAffinity");
    int64_t score = 0;
    if (node_bool(&terminal, &p->terminal, err) < 0 || read_user(&user, &p->user, err) < 0 ||
        read_command(n, p, err) < 0 || node_bool(&nnp, &p->no_new_privileges, err) < 0 ||
        node_string(&apparmor, &p->apparmor_profile, err) < 0 ||
        node_string(&selinux, &p->selinux_label, err) < 0 || read_caps(&caps, p, err) < 0 ||
        read_rlimits(&rlimits, p, err) < 0 || read_scheduler(&sched, &p->scheduler, err) < 0 ||
        read_ioprio(&io, p, err) < 0 || read_console(&console, p, err) < 0 ||
        node_object(&affinity, err) < 0)
        return -1;
    int r = node_int(&oom, -1000, 1000, &score, err);
    if (r < 0)
        return -1;
    p->oom_score_adj_set = r > 0;
    p->oom_score_adj = (int)score;
    struct node initial = node_get(&affinity, "initial"), final = node_get(&affinity, "final");
    if (node_string(&initial, &p->exec_cpus_initial, err) < 0 ||
        node_string(&final, &p->exec_cpus_final, err) < 0)
        return -1;
    p->present = true;
    return 0;
}

void process_free(struct process *p)
{
    free(p->args);
    free(p->env);
    free(p->rlimits);
    free(p->user.groups);
}
