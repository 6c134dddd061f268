/* Users, groups and capabilities. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/io.h"
#include "base/str.h"
#include "jail/steps.h"

#define NOBODY 65534u

#define CAP(c) (UINT64_C(1) << (c))

/* What keeping files for all users takes: to read and write them, to give them away, to make them
 * as one of the users. Not CAP_MKNOD: nobody makes devices. */
#define CAPS_FILES                                                                         \
    (CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_FOWNER) | \
     CAP(CAP_FSETID) | CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_SETFCAP))

/* Root may lack it: in a container that dropped its capabilities, it is a user like any other. */
static bool may_become_others(void)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    const uint32_t both = (1u << CAP_SETUID) | (1u << CAP_SETGID);
    return geteuid() == 0 && syscall(SYS_capget, &h, d) == 0 && (d[0].effective & both) == both;
}

enum jail_who jail_who(const struct jail_config *c)
{
    if (!may_become_others())
        return JAIL_CALLER;
    if (c->n_folders)
        return JAIL_FILES;
    /* Root of a user namespace may be all there is in it. */
    return id_is_mapped("uid_map", NOBODY) && id_is_mapped("gid_map", NOBODY) ? JAIL_NOBODY
                                                                              : JAIL_CALLER;
}

/* All ids of our own namespace, each as itself. */
static int same_map(const char *name, struct str *out, struct error **err)
{
    AUTO_FREE char *path = xasprintf("/proc/self/%s", name), *text = NULL;
    size_t len;
    if (read_file_at(AT_FDCWD, path, 65536, &text, &len, err) < 0)
        return -1;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        unsigned inside, outside, count;
        if (sscanf(line, "%u %u %u", &inside, &outside, &count) == 3)
            str_printf(out, "%u %u %u\n", inside, inside, count);
    }
    return 0;
}

static int write_map(enum jail_who who, pid_t child, const char *name, unsigned own,
                     struct error **err)
{
    STR_CLEANUP map = {0};
    AUTO_FREE char *path = xasprintf("/proc/%d/%s", (int)child, name);
    unsigned id = who == JAIL_NOBODY ? NOBODY : own;
    if (who == JAIL_FILES) {
        if (same_map(name, &map, err) < 0)
            return -1;
    } else {
        str_printf(&map, "%u %u 1\n", id, id);
    }
    return write_file_at(AT_FDCWD, path, map.data, err);
}

int jail_map_ids(enum jail_who who, pid_t child, struct error **err)
{
    AUTO_FREE char *groups = xasprintf("/proc/%d/setgroups", (int)child);
    /* As nobody, the child gives up its groups; an ordinary user may not (user_namespaces(7)). */
    if (who == JAIL_CALLER && write_file_at(AT_FDCWD, groups, "deny", err) < 0)
        return -1;
    return write_map(who, child, "uid_map", geteuid(), err) < 0 ||
                   write_map(who, child, "gid_map", getegid(), err) < 0
               ? -1
               : 0;
}

int jail_set_ids(enum jail_who who, struct error **err)
{
    if (who != JAIL_NOBODY)
        return 0;
    /* In a user namespace where root is nobody, this keeps the capabilities; else they are kept
     * for the steps that follow. */
    if (prctl(PR_SET_KEEPCAPS, 1) < 0)
        return error_set(err, errno, "keep capabilities");
    /* One thread is all there is. */
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
        syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
        return error_set(err, errno, "become user %u", NOBODY);
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return error_set(err, errno, "capget");
    for (int i = 0; i < 2; i++)
        d[i].effective = d[i].permitted;
    return syscall(SYS_capset, &h, d) < 0 ? error_set(err, errno, "capset") : 0;
}

int jail_drop_privileges(enum jail_who who, struct error **err)
{
    /* Making a file as one of the users takes no capability away from who makes it. */
    if (who == JAIL_FILES && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
        return error_set(err, errno, "securebits");
    return jail_drop_capabilities(who == JAIL_FILES ? CAPS_FILES : 0, err);
}

int jail_drop_capabilities(uint64_t kept, struct error **err)
{
    /* Up to the last one that the kernel knows. EPERM: there are none to give. */
    for (int c = 0; c < 64; c++)
        if (!(kept >> c & 1) && prctl(PR_CAPBSET_DROP, c) < 0) {
            if (errno == EPERM || (errno == EINVAL && c > CAP_AUDIT_READ))
                break;
            return error_set(err, errno, "drop capability %d", c);
        }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return error_set(err, errno, "drop ambient capabilities");
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return error_set(err, errno, "capget");
    for (int i = 0; i < 2; i++) {
        d[i].permitted &= (uint32_t)(kept >> 32 * i);
        d[i].effective = d[i].permitted;
        d[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &h, d) < 0)
        return error_set(err, errno, "drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "no new privileges");
    return 0;
}
