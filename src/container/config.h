/* config.json of an OCI bundle, checked and in C structures (runtime-spec 1.2: config.md,
 * config-linux.md). Strings are borrowed from the JSON document, which the config keeps. */
#ifndef WIRT_CONTAINER_CONFIG_H
#define WIRT_CONTAINER_CONFIG_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"

#define OCI_VERSION     "1.2.0"
#define OCI_VERSION_MIN "1.0.0"

/* Order: the order in which namespaces given by path are joined. */
enum ns_kind {
    NS_USER,
    NS_CGROUP,
    NS_IPC,
    NS_UTS,
    NS_NET,
    NS_PID,
    NS_TIME,
    NS_MOUNT,
    NS_COUNT
};

struct ns_entry {
    bool present;
    const char *path; /* NULL: a new one */
};

struct id_map {
    uint32_t inside, outside, size;
};

struct id_maps {
    struct id_map *list;
    size_t len;
};

enum hook_kind {
    HOOK_PRESTART,
    HOOK_CREATE_RUNTIME,
    HOOK_CREATE_CONTAINER,
    HOOK_START_CONTAINER,
    HOOK_POSTSTART,
    HOOK_POSTSTOP,
    HOOK_COUNT
};

struct hook {
    const char *path;
    const char **args; /* NULL: {path} */
    const char **env;  /* NULL: the runtime's */
    int64_t timeout;   /* seconds; 0: none */
};

struct hooks {
    struct hook *list;
    size_t len;
};

struct mount_entry {
    const char *destination, *type, *source;
    unsigned long flags;                  /* MS_*, without propagation */
    unsigned long cleared;                /* MS_* that an option took back (rw, exec, ...) */
    unsigned long *propagation;           /* MS_* | MS_REC each, in order */
    size_t propagation_len;               /* */
    uint64_t rec_set, rec_clr, rec_atime; /* MOUNT_ATTR_* applied recursively; rec_atime: or'ed */
    bool rec, rec_atime_set;              /* any recursive attribute at all */
    char *source_path;                    /* what source points to if it was relative; owned */
    char *data;                           /* file-system-specific options, "" if none; owned */
    bool bind, rbind, remount, tmpcopyup, idmap, ridmap;
    struct id_maps uid_maps, gid_maps;
};

struct device_node {
    const char *path;
    mode_t mode; /* S_IFCHR and so on, with permissions */
    dev_t dev;
    uid_t uid;
    gid_t gid;
};

struct device_rule {
    bool allow;
    char type;            /* 'a', 'b' or 'c' */
    int64_t major, minor; /* -1: all */
    unsigned access;      /* bits of DEVICE_* */
};
enum {
    DEVICE_MKNOD = 1,
    DEVICE_READ = 2,
    DEVICE_WRITE = 4,
    DEVICE_ALL = 7
};

struct rlimit_entry {
    int resource;
    const char *name;
    struct rlimit limit;
};

struct user {
    uid_t uid;
    gid_t gid;
    mode_t umask;
    bool umask_set;
    gid_t *groups;
    size_t groups_len;
    bool keep_groups; /* see config_keep_groups */
};

/* Capability sets as bit masks (bit n: capability n). */
struct capabilities {
    uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct scheduler {
    bool present;
    uint32_t policy, priority;
    int32_t nice;
    uint64_t flags, runtime, deadline, period;
};

struct process {
    bool present, terminal, no_new_privileges;
    uint16_t height, width; /* 0: unset */
    struct user user;
    const char *cwd;
    const char **args;                /* NULL-terminated */
    const char **env;                 /* NULL-terminated, never NULL */
    struct capabilities capabilities; /* what is not given is not granted */
    struct rlimit_entry *rlimits;
    size_t rlimits_len;
    bool oom_score_adj_set;
    int oom_score_adj;
    const char *apparmor_profile, *selinux_label; /* NULL: none */
    struct scheduler scheduler;
    int ioprio; /* as ioprio_set(2) takes it; -1: unset */
    const char *exec_cpus_initial, *exec_cpus_final;
};

struct blkio_weight {
    int64_t major, minor;
    int64_t weight, leaf_weight; /* -1: unset */
};

struct blkio_rate {
    int64_t major, minor;
    uint64_t rate;
};

enum {
    BLKIO_READ_BPS,
    BLKIO_WRITE_BPS,
    BLKIO_READ_IOPS,
    BLKIO_WRITE_IOPS,
    BLKIO_RATES
};

struct key_value {
    const char *key, *value;
};

struct hugepage_limit {
    const char *size;
    uint64_t limit;
};

struct rdma_limit {
    const char *device;
    int64_t handles, objects; /* -1: unset */
};

/* linux.resources. Numbers are UNSET when absent; -1 means no limit where the spec says so. */
#define UNSET INT64_MIN
struct resources {
    int64_t memory_limit, memory_reservation, memory_swap, memory_kernel, memory_kernel_tcp;
    int64_t memory_swappiness;
    bool disable_oom_killer, check_before_update;
    int64_t cpu_shares, cpu_quota, cpu_period, cpu_burst, cpu_rt_runtime, cpu_rt_period, cpu_idle;
    const char *cpus, *mems;
    int64_t pids_limit;
    int64_t blkio_weight, blkio_leaf_weight;
    struct blkio_weight *weights;
    size_t weights_len;
    struct blkio_rate *rates[BLKIO_RATES];
    size_t rates_len[BLKIO_RATES];
    struct device_rule *devices;
    size_t devices_len;
    struct hugepage_limit *hugepages;
    size_t hugepages_len;
    struct rdma_limit *rdma;
    size_t rdma_len;
    int64_t net_classid;
    struct key_value *net_priorities; /* values are decimal text, owned */
    size_t net_priorities_len;
    struct key_value *unified;
    size_t unified_len;
};

struct time_offset {
    bool present;
    int64_t secs;
    uint32_t nanosecs;
};

struct config {
    struct json_object *json;
    const char *version;
    char *rootfs; /* absolute; owned */
    bool rootfs_readonly;
    const char *hostname, *domainname;
    bool all_devices; /* only limits: whoever is in the group has the devices that it had before */
    struct mount_entry *mounts;
    size_t mounts_len;
    struct process process;
    struct hooks hooks[HOOK_COUNT];
    struct json_object *annotations; /* borrowed, may be NULL */
    struct ns_entry ns[NS_COUNT];
    struct id_maps uid_maps, gid_maps;
    struct time_offset boottime, monotonic;
    struct device_node *devices;
    size_t devices_len;
    const char *cgroups_path;
    struct resources resources;
    struct key_value *sysctl;
    size_t sysctl_len;
    struct json_object *seccomp; /* linux.seccomp, borrowed; checked by seccomp.c */
    const char **masked_paths, **readonly_paths;
    const char *mount_label;
    unsigned long rootfs_propagation; /* 0: unset */
    unsigned long personality;
    bool personality_set;
    int mempolicy; /* MPOL_* with flags; -1: unset */
    unsigned long mempolicy_nodes[16];
};

/* Reads and checks a document, which it takes over (and frees with itself). bundle is the absolute
 * folder that relative paths start from. */
struct config *config_new(struct json_object *doc, const char *bundle, struct error **err);
void config_free(struct config *c);

/* A `process` object alone (exec --process), whose document must outlive it. */
struct node;
int config_process(const struct node *n, struct process *p, struct error **err);
void process_free(struct process *p);

/* A `resources` object alone (update --resources). */
int config_resources(const struct node *n, struct resources *r, struct error **err);
void resources_init(struct resources *r);
void resources_free(struct resources *r);

/* Whether the command is to have the groups of the runtime's caller in the place of
 * user.additionalGids. */
bool config_keep_groups(const struct config *c);

/* A `hooks` object alone. */
int config_hooks(const struct node *n, struct hooks hooks[HOOK_COUNT], struct error **err);
void hooks_free(struct hooks hooks[HOOK_COUNT]);

int config_mount(const struct node *n, struct mount_entry *m, struct error **err);
void mount_entry_free(struct mount_entry *m);
/* Splits options into flags, attributes and data. */
int mount_options(const struct node *options, struct mount_entry *m, struct error **err);
/* All option names known, NULL-terminated (for `features`). */
const char *const *mount_option_names(void);
int config_linux(const struct node *n, struct config *c, struct error **err);
int config_id_maps(const struct node *n, struct id_maps *m, struct error **err);

const char *ns_name(enum ns_kind k);      /* as config.json writes it */
const char *ns_proc_name(enum ns_kind k); /* as /proc/PID/ns has it */
int ns_clone_flag(enum ns_kind k);
const char *hook_name(enum hook_kind k);

#endif
