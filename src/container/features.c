/* features.md and features-linux.md of the runtime-spec: what this runtime recognizes. */
#include <seccomp.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/caps.h"
#include "container/config.h"
#include "container/container.h"

static void add_list(struct json_object *o, const char *key, const char *const *items)
{
    struct json_object *a = json_object_new_array();
    for (size_t i = 0; items[i]; i++)
        json_object_array_add(a, json_object_new_string(items[i]));
    json_object_object_add(o, key, a);
}

static struct json_object *enabled(bool on)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "enabled", json_object_new_boolean(on));
    return o;
}

static struct json_object *seccomp_features(void)
{
    static const char *const actions[] = {"SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
                                          "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
                                          "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                                          "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
                                          "SCMP_ACT_TRAP",        NULL};
    static const char *const operators[] = {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
                                            "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                                            "SCMP_CMP_NE", NULL};
    static const char *const archs[] = {
        "SCMP_ARCH_AARCH64",   "SCMP_ARCH_ARM",      "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",   "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PARISC",    "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC",      "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE",   "SCMP_ARCH_RISCV64",  "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",
        "SCMP_ARCH_X32",       "SCMP_ARCH_X86",      "SCMP_ARCH_X86_64",   NULL};
    static const char *const flags[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL};
    struct json_object *o = enabled(true);
    add_list(o, "actions", actions);
    add_list(o, "operators", operators);
    add_list(o, "archs", archs);
    add_list(o, "knownFlags", flags);
    add_list(o, "supportedFlags", flags);
    return o;
}

static struct json_object *linux_features(void)
{
    static const char *const modes[] = {
        "MPOL_DEFAULT",   "MPOL_BIND",           "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
        "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL",      NULL};
    static const char *const policy_flags[] = {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                               "MPOL_F_STATIC_NODES", NULL};
    struct json_object *o = json_object_new_object(), *namespaces = json_object_new_array(),
                       *caps = json_object_new_array(), *cgroup = json_object_new_object(),
                       *policy = json_object_new_object(), *mounts = json_object_new_object();
    for (int k = 0; k < NS_COUNT; k++)
        json_object_array_add(namespaces, json_object_new_string(ns_name((enum ns_kind)k)));
    for (int i = 0; cap_name(i); i++)
        json_object_array_add(caps, json_object_new_string(cap_name(i)));
    json_object_object_add(cgroup, "v1", json_object_new_boolean(true));
    json_object_object_add(cgroup, "v2", json_object_new_boolean(true));
    json_object_object_add(cgroup, "systemd", json_object_new_boolean(false));
    json_object_object_add(cgroup, "systemdUser", json_object_new_boolean(false));
    json_object_object_add(cgroup, "rdma", json_object_new_boolean(true));
    json_object_object_add(o, "namespaces", namespaces);
    json_object_object_add(o, "capabilities", caps);
    json_object_object_add(o, "cgroup", cgroup);
    json_object_object_add(o, "seccomp", seccomp_features());
    json_object_object_add(o, "apparmor", enabled(true));
    json_object_object_add(o, "selinux", enabled(true));
    add_list(policy, "modes", modes);
    add_list(policy, "flags", policy_flags);
    json_object_object_add(o, "memoryPolicy", policy);
    json_object_object_add(o, "intelRdt", enabled(false));
    json_object_object_add(mounts, "idmap", enabled(true));
    json_object_object_add(o, "mountExtensions", mounts);
    json_object_object_add(o, "netDevices", enabled(false));
    return o;
}

struct json_object *container_features(void)
{
    struct json_object *o = json_object_new_object(), *hooks = json_object_new_array(),
                       *notes = json_object_new_object();
    json_object_object_add(o, "ociVersionMin", json_object_new_string(OCI_VERSION_MIN));
    json_object_object_add(o, "ociVersionMax", json_object_new_string(OCI_VERSION));
    for (int k = 0; k < HOOK_COUNT; k++)
        json_object_array_add(hooks, json_object_new_string(hook_name((enum hook_kind)k)));
    json_object_object_add(o, "hooks", hooks);
    add_list(o, "mountOptions", mount_option_names());
    json_object_object_add(o, "linux", linux_features());
    const struct scmp_version *v = seccomp_version();
    AUTO_FREE char *version = xasprintf("%u.%u.%u", v->major, v->minor, v->micro);
    json_object_object_add(notes, "io.github.seccomp.libseccomp.version",
                           json_object_new_string(version));
    json_object_object_add(notes, "io.wirt.version", json_object_new_string(WIRT_VERSION));
    json_object_object_add(o, "annotations", notes);
    return o;
}
