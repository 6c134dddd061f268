/* The root of a container without a mount namespace: a mount in the runtime's own, in which the
 * container's mounts are made and with which they go. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "container/mounts.h"

/* Which mount the folder is in; 0: cannot be told. */
static uint64_t mount_of(const char *folder)
{
    struct statx s;
    AUTO_CLOSE int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &s) < 0 ||
        !(s.stx_mask & STATX_MNT_ID))
        return 0;
    return s.stx_mnt_id;
}

int shared_root_make(const char *rootfs, uint64_t *id, struct error **err)
{
    if (mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_set(err, errno, "root.path: bind %s", rootfs);
    *id = mount_of(rootfs);
    /* What is mounted in it belongs to nobody else. */
    if (mount(NULL, rootfs, NULL, MS_PRIVATE | MS_REC, NULL) < 0)
        return error_set(err, errno, "root.path: make %s a private mount", rootfs);
    return 0;
}

int shared_root_remove(const char *rootfs, uint64_t id, struct error **err)
{
    if (!id || mount_of(rootfs) != id) /* somebody has unmounted it */
        return 0;
    if (umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return error_set(err, errno, "unmount %s", rootfs);
    return 0;
}
