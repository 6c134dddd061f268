#include "container/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* In the kernel's order (linux/capability.h): the index is the number. */
static const char *const names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
#define CAPS ((int)(sizeof names / sizeof *names))

int cap_from_name(const char *name)
{
    for (int i = 0; i < CAPS; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

const char *cap_name(int n)
{
    return n >= 0 && n < CAPS ? names[n] : NULL;
}

int caps_drop_bounding(const struct capabilities *c, struct error **err)
{
    for (int i = 0; i < 64; i++) {
        if (c->bounding >> i & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL) /* past the kernel's last capability */
            return 0;
        return error_set(err, errno, "process.capabilities.bounding: drop %s",
                         cap_name(i) ? cap_name(i) : "a capability");
    }
    return 0;
}

/* Names of the bits of mask, for a warning. */
static void warn_not_granted(const char *set, uint64_t mask)
{
    for (int i = 0; i < CAPS; i++)
        if (mask >> i & 1)
            log_warn("process.capabilities.%s: %s cannot be granted here, and is left out", set,
                     names[i]);
}

int caps_apply(const struct capabilities *c, struct error **err)
{
    struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &hdr, data) < 0)
        return error_set(err, errno, "capget");
    uint64_t have = data[0].permitted | (uint64_t)data[1].permitted << 32;
    uint64_t permitted = c->permitted & have, effective = c->effective & permitted;
    /* config.md: what cannot be granted is a warning, not an error. */
    warn_not_granted("permitted", c->permitted & ~have);
    warn_not_granted("effective", c->effective & ~permitted & have);
    uint64_t inheritable = c->inheritable & (have | permitted);
    for (int i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].effective = (uint32_t)(effective >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &hdr, data) < 0)
        return error_set(err, errno, "process.capabilities: capset");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return error_set(err, errno, "process.capabilities.ambient: clear");
    /* Some callers list as ambient what is not inheritable, which no process can have
     * (capabilities(7)): every run of theirs would warn. */
    if (c->ambient & ~(permitted & inheritable))
        log_info("process.capabilities.ambient: only what is permitted and inheritable is raised");
    for (int i = 0; i < 64; i++)
        if ((c->ambient & permitted & inheritable) >> i & 1 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
            return error_set(err, errno, "process.capabilities.ambient: raise %s", cap_name(i));
    return 0;
}
