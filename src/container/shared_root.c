#include "container/shared_root.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Which mount the folder is in; 0: cannot be told, with errno. */
static uint64_t mount_of(const char *folder)
{
    struct statx s;
    AUTO_CLOSE int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &s) < 0)
        return 0;
    errno = ENOSYS;
    return s.stx_mask & STATX_MNT_ID ? s.stx_mnt_id : 0;
}

int shared_root_plan(const char *rootfs, struct shared_root *s, struct error **err)
{
    s->below = mount_of(rootfs);
    return s->below ? 0 : error_set(err, errno, "root.path: %s: which mount it is in", rootfs);
}

int shared_root_make(const char *rootfs, struct shared_root *s, struct error **err)
{
    if (mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_set(err, errno, "root.path: bind %s", rootfs);
    s->id = mount_of(rootfs);
    /* What is mounted in it belongs to nobody else. */
    if (mount(NULL, rootfs, NULL, MS_PRIVATE | MS_REC, NULL) < 0)
        return error_set(err, errno, "root.path: make %s a private mount", rootfs);
    return 0;
}

int shared_root_remove(const char *rootfs, const struct shared_root *s, struct error **err)
{
    if (!s->below)
        return 0;
    uint64_t now = mount_of(rootfs);
    if (!now && errno != ENOENT && errno != ENOTDIR)
        return error_set(err, errno, "root.path: %s: which mount it is in", rootfs);
    if (!now || (s->id ? now != s->id : now == s->below))
        return 0;
    if (umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return error_set(err, errno, "unmount %s", rootfs);
    return 0;
}
