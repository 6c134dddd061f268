/* Files and folders: paths that may lead below the sysroot, and structures that differ. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "process/path.h"
#include "process/syscall.h"

/* struct stat of riscv64 (asm-generic/stat.h). */
struct guest_stat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, pad1;
    int64_t size;
    int32_t blksize, pad2;
    int64_t blocks;
    int64_t atime;
    uint64_t atime_nsec;
    int64_t mtime;
    uint64_t mtime_nsec;
    int64_t ctime;
    uint64_t ctime_nsec;
    uint32_t unused[2];
};

_Static_assert(sizeof(struct guest_stat) == 128, "as in asm-generic");

static long put_stat(uint64_t to, const struct stat *s)
{
    struct guest_stat g = {
        .dev = s->st_dev,
        .ino = s->st_ino,
        .mode = s->st_mode,
        .nlink = (uint32_t)s->st_nlink,
        .uid = s->st_uid,
        .gid = s->st_gid,
        .rdev = s->st_rdev,
        .size = s->st_size,
        .blksize = (int32_t)s->st_blksize,
        .blocks = s->st_blocks,
        .atime = s->st_atim.tv_sec,
        .atime_nsec = (uint64_t)s->st_atim.tv_nsec,
        .mtime = s->st_mtim.tv_sec,
        .mtime_nsec = (uint64_t)s->st_mtim.tv_nsec,
        .ctime = s->st_ctim.tv_sec,
        .ctime_nsec = (uint64_t)s->st_ctim.tv_nsec,
    };
    return guest_write(to, &g, sizeof g);
}

/* The host's call nr with the path in argument n resolved. */
static long with_path(struct thread *t, long nr, const uint64_t a[6], int n, bool follow)
{
    struct host_path path;
    uint64_t b[6] = {a[0], a[1], a[2], a[3], a[4], a[5]};
    path_resolve(t, a[n], follow, &path);
    b[n] = (uint64_t)path.path;
    return host_call(nr, b[0], b[1], b[2], b[3], b[4], b[5]);
}

long sys_fstat(struct thread *t, const uint64_t a[6])
{
    struct stat s;
    long r = HOST_CALL(SYS_fstat, a[0], &s);
    return r ? r : put_stat(a[1], &s);
}

long sys_newfstatat(struct thread *t, const uint64_t a[6])
{
    struct stat s;
    struct host_path path;
    path_resolve(t, a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), &path);
    long r = HOST_CALL(SYS_newfstatat, a[0], path.path, &s, a[3]);
    return r ? r : put_stat(a[2], &s);
}

long sys_statx(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_statx, a, 1, !(a[2] & AT_SYMLINK_NOFOLLOW));
}

long sys_openat(struct thread *t, const uint64_t a[6])
{
    long r;
    if (path_open(t, (int)a[0], a[1], (int)a[2], (unsigned)a[3], &r))
        return r;
    return host_wait(t, SYS_openat, a[0], a[1], a[2], a[3], 0, 0);
}

long sys_openat2(struct thread *t, const uint64_t a[6])
{
    struct open_how how;
    long r;
    /* A call that limits where the path may lead knows better than the sysroot. */
    if (a[3] >= sizeof how && !guest_read(&how, a[2], sizeof how) && !how.resolve &&
        path_open(t, (int)a[0], a[1], (int)how.flags, (unsigned)how.mode, &r))
        return r;
    return host_wait(t, SYS_openat2, a[0], a[1], a[2], a[3], 0, 0);
}

long sys_faccessat(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_faccessat, a, 1, true);
}

long sys_faccessat2(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_faccessat2, a, 1, !(a[3] & AT_SYMLINK_NOFOLLOW));
}

long sys_chdir(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_chdir, a, 0, true);
}

long sys_chroot(struct thread *t, const uint64_t a[6])
{
    struct process *p = t->process;
    long r = with_path(t, SYS_chroot, a, 0, true);
    if (r == 0 && p->sysroot) { /* the new root is all there is */
        HOST_CALL(SYS_close, p->sysroot_fd);
        p->sysroot = NULL;
        p->sysroot_fd = -1;
    }
    return r;
}

long sys_statfs(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_statfs, a, 0, true);
}

long sys_inotify_add_watch(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_inotify_add_watch, a, 1, true);
}

long sys_readlinkat(struct thread *t, const uint64_t a[6])
{
    char exe[PATH_MAX];
    struct proc_file f;
    if (!proc_find((int)a[0], a[1], &f) || strcmp(f.name, "exe") != 0 ||
        !proc_exe(t->process, &f, true, exe))
        return with_path(t, SYS_readlinkat, a, 1, false);
    size_t len = strlen(exe);
    if ((int)a[3] <= 0)
        return -EINVAL;
    if (len > (size_t)(int)a[3])
        len = (size_t)(int)a[3];
    return guest_write(a[2], exe, len) ? -EFAULT : (long)len;
}

/* --- Extended attributes --- */

/* Linux 6.13; the host's headers may be older. */
#define HOST_GETXATTRAT  464
#define HOST_LISTXATTRAT 465

long sys_setxattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_setxattr, a, 0, true);
}

long sys_lsetxattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_lsetxattr, a, 0, false);
}

long sys_getxattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_getxattr, a, 0, true);
}

long sys_lgetxattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_lgetxattr, a, 0, false);
}

long sys_listxattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_listxattr, a, 0, true);
}

long sys_llistxattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_llistxattr, a, 0, false);
}

long sys_getxattrat(struct thread *t, const uint64_t a[6])
{
    return with_path(t, HOST_GETXATTRAT, a, 1, !(a[2] & AT_SYMLINK_NOFOLLOW));
}

long sys_listxattrat(struct thread *t, const uint64_t a[6])
{
    return with_path(t, HOST_LISTXATTRAT, a, 1, !(a[2] & AT_SYMLINK_NOFOLLOW));
}

long sys_removexattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_removexattr, a, 0, true);
}

long sys_lremovexattr(struct thread *t, const uint64_t a[6])
{
    return with_path(t, SYS_lremovexattr, a, 0, false);
}

/* --- Descriptors: the emulator's own are not there --- */

static bool is_own(const struct thread *t, uint64_t fd)
{
    int own[N_OWN_DESCRIPTORS];
    process_own_descriptors(t->process, own);
    for (size_t i = 0; (int)fd >= 0 && i < N_OWN_DESCRIPTORS; i++)
        if ((int)fd == own[i])
            return true;
    return false;
}

long sys_close(struct thread *t, const uint64_t a[6])
{
    if (is_own(t, a[0]))
        return -EBADF;
    return HOST_CALL(SYS_close, a[0]);
}

long sys_dup3(struct thread *t, const uint64_t a[6])
{
    if (is_own(t, a[0]) || is_own(t, a[1]))
        return -EBADF;
    return HOST_CALL(SYS_dup3, a[0], a[1], a[2]);
}

long sys_close_range(struct thread *t, const uint64_t a[6])
{
    uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1];
    if (first > last)
        return -EINVAL;
    int own[N_OWN_DESCRIPTORS];
    process_own_descriptors(t->process, own);
    for (;;) { /* up to the next of ours, and on behind it */
        uint32_t next = last;
        bool found = false;
        for (size_t i = 0; i < N_OWN_DESCRIPTORS; i++)
            if (own[i] >= 0 && (uint32_t)own[i] >= first && (uint32_t)own[i] <= next) {
                next = (uint32_t)own[i];
                found = true;
            }
        long r = !found || next > first
                     ? HOST_CALL(SYS_close_range, first, found ? next - 1 : last, a[2])
                     : 0;
        if (r || !found || next == last)
            return r;
        first = next + 1;
    }
}
