/* The filter of system calls of a guest behind the container wall (config-linux.md, linux.seccomp).
 */
#include <errno.h>
#include <linux/sched.h>
#include <sys/socket.h>

#include "guest/container_spec.h"

/* Calls that speak to the kernel as a whole and not to the container's part of it. Most of them ask
 * for a capability that a container does not have; this is the second lock. */
static const char *const refused[] = {"acct",
                                      "add_key",
                                      "bpf",
                                      "clock_adjtime",
                                      "clock_settime",
                                      "create_module",
                                      "delete_module",
                                      "fanotify_init",
                                      "finit_module",
                                      "get_mempolicy",
                                      "init_module",
                                      "kexec_file_load",
                                      "kexec_load",
                                      "keyctl",
                                      "lookup_dcookie",
                                      "mbind",
                                      "move_pages",
                                      "nfsservctl",
                                      "open_by_handle_at",
                                      "perf_event_open",
                                      "quotactl",
                                      "quotactl_fd",
                                      "reboot",
                                      "request_key",
                                      "set_mempolicy",
                                      "settimeofday",
                                      "stime",
                                      "swapoff",
                                      "swapon",
                                      "sysfs",
                                      "syslog",
                                      "uselib",
                                      "userfaultfd",
                                      "ustat",
                                      "vhangup",
                                      NULL};

/* What a confined process has no use for, and what kernels had most of their holes in: other
 * namespaces and mounts, other processes' memory. */
static const char *const refused_confined[] = {"fsconfig",
                                               "fsmount",
                                               "fsopen",
                                               "fspick",
                                               "io_uring_enter",
                                               "io_uring_register",
                                               "io_uring_setup",
                                               "kcmp",
                                               "mount",
                                               "mount_setattr",
                                               "move_mount",
                                               "name_to_handle_at",
                                               "open_tree",
                                               "pidfd_getfd",
                                               "pivot_root",
                                               "process_madvise",
                                               "process_vm_readv",
                                               "process_vm_writev",
                                               "ptrace",
                                               "setns",
                                               "umount2",
                                               "unshare",
                                               NULL};

static void add_rule(json_object *rules, json_object *names, int code, json_object *args)
{
    json_object *rule = json_object_new_object();
    json_object_object_add(rule, "names", names);
    json_put_str(rule, "action", "SCMP_ACT_ERRNO");
    json_put_int(rule, "errnoRet", code);
    if (args)
        json_object_object_add(rule, "args", args);
    json_object_array_add(rules, rule);
}

/* The first argument, as far as mask goes, is value. */
static json_object *first_is(uint64_t mask, uint64_t value)
{
    json_object *args = json_object_new_array(), *arg = json_object_new_object();
    json_put_int(arg, "index", 0);
    json_put_int(arg, "value", (int64_t)mask);
    json_put_int(arg, "valueTwo", (int64_t)value);
    json_put_str(arg, "op", "SCMP_CMP_MASKED_EQ");
    json_object_array_add(args, arg);
    return args;
}

/* The kernel looks at an int of the register; what stands above it must not hide it from us. */
static void refuse_family(json_object *rules, int family)
{
    add_rule(rules, WORDS("socket"), EAFNOSUPPORT, first_is(UINT32_MAX, (uint64_t)family));
}

/* Sockets of its own network namespace, and netlink, which asks about that; the others reach past
 * it, or are parts of the kernel that nobody else looks after. */
static void refuse_families(json_object *rules)
{
    for (int family = AF_UNSPEC; family < 64; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
            refuse_family(rules, family);
}

json_object *container_filter(bool confine)
{
    json_object *o = json_object_new_object(), *rules = json_object_new_array();
    json_put_str(o, "defaultAction", "SCMP_ACT_ALLOW");
    /* Arguments of 32-bit calls can be in memory (socketcall), where no filter sees them. */
    json_object_object_add(o, "architectures",
                           confine ? WORDS("SCMP_ARCH_X86_64")
                                   : WORDS("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"));
    add_rule(rules, json_words(refused), EPERM, NULL);
    if (!confine) {
        refuse_family(rules, AF_VSOCK); /* no namespace holds it: it leads to this machine's host */
    } else {
        add_rule(rules, json_words(refused_confined), EPERM, NULL);
        /* The one namespace that needs no capability, and gives them all. clone3 has its flags in
         * memory: libc goes back to clone. */
        add_rule(rules, WORDS("clone"), EPERM, first_is(CLONE_NEWUSER, CLONE_NEWUSER));
        add_rule(rules, WORDS("clone3"), ENOSYS, NULL);
        refuse_families(rules);
    }
    json_object_object_add(o, "syscalls", rules);
    return o;
}
