/* The container's root becomes "/". */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/mounts.h"

/* proc(5), mountinfo: space, tab, newline and backslash are written as \ooo. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
}

/* The mount point in a line of mountinfo, if a procfs or sysfs is mounted there; else NULL. */
static char *kernel_mount(char *line)
{
    char *type = strstr(line, " - "), *save = NULL, *field = NULL;
    if (!type || (strncmp(type + 3, "proc ", 5) && strncmp(type + 3, "sysfs ", 6)))
        return NULL;
    for (int i = 0; i < 5; i++)
        field = strtok_r(i ? NULL : line, " ", &save);
    if (field)
        unescape(field);
    return field;
}

/* Takes off what there is; how many, or -1. What is mounted over another one hides it, so once may
 * not be enough. */
static int detach_kernel_mounts(int mountinfo, const char *rootfs, struct error **err)
{
    AUTO_FREE char *text = NULL;
    if (lseek(mountinfo, 0, SEEK_SET) < 0)
        return error_set(err, errno, "mountinfo");
    if (read_fd(mountinfo, "mountinfo", 16 << 20, &text, NULL, err) < 0)
        return -1;
    size_t root_len = strlen(rootfs), n = 0, cap = 1;
    int detached = 0;
    for (const char *p = text; *p; p++)
        cap += *p == '\n';
    AUTO_FREE char **found = xcalloc(cap, sizeof *found);
    char *save = NULL;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char *at = kernel_mount(l);
        /* Those below the root are the container's own. */
        if (at && (strncmp(at, rootfs, root_len) || (at[root_len] && at[root_len] != '/')))
            found[n++] = at;
    }
    while (n-- > 0) { /* the last mounted first */
        if (umount2(found[n], MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            detached++;
        else if ((errno != EINVAL && errno != EPERM) ||
                 mount("tmpfs", found[n], "tmpfs", MS_RDONLY, "size=4k,mode=0") < 0)
            return error_set(err, errno, "--no-pivot: hide the host's %s", found[n]);
    }
    return detached;
}

/* The host's tree stays below a root that was moved over it, where nobody can reach it; but as long
 * as a procfs or sysfs in it is wholly visible, the kernel lets anybody who makes a user namespace
 * mount another one, without what is masked in the container's own. A mount that may not be taken
 * off, because it came with a namespace of more rights, is covered. */
static int hide_kernel_mounts(const char *rootfs, struct error **err)
{
    /* Opened once: the first round takes /proc away. */
    AUTO_CLOSE int mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (mountinfo < 0)
        return error_set(err, errno, "open /proc/self/mountinfo");
    int r;
    do {
        r = detach_kernel_mounts(mountinfo, rootfs, err);
    } while (r > 0);
    return r;
}

int mounts_enter_root(struct mount_context *c, bool no_pivot, struct error **err)
{
    if (fchdir(c->rootfd) < 0)
        return error_set(err, errno, "root.path: enter");
    if (!c->config->ns[NS_MOUNT].present) {
        if (chroot(".") < 0)
            return error_set(err, errno, "chroot");
    } else if (no_pivot) {
        /* For roots that cannot be pivoted from (initramfs): the tree is moved over "/". */
        char root[PATH_MAX]; /* as the kernel has it, not by way of links as the config may */
        if (!getcwd(root, sizeof root))
            return error_set(err, errno, "root.path: its place");
        if (hide_kernel_mounts(root, err) < 0)
            return -1;
        if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
            return error_set(err, errno, "move the root over /");
        if (chroot(".") < 0)
            return error_set(err, errno, "chroot");
    } else {
        /* pivot_root(2), NOTES: the old root ends up below the new one, at the same place. */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
            return error_set(err, errno, "pivot_root%s",
                             errno == EINVAL ? " (in an initramfs: --no-pivot)" : "");
        if (umount2(".", MNT_DETACH) < 0)
            return error_set(err, errno, "unmount the host's tree");
    }
    if (chdir("/") < 0)
        return error_set(err, errno, "chdir /");
    unsigned long p = c->config->rootfs_propagation;
    if (p && mount(NULL, "/", NULL, p, NULL) < 0)
        return error_set(err, errno, "linux.rootfsPropagation");
    return 0;
}
