/* A process on its way into a container is, until it executes the command, this program. A command
 * that is a link to /proc/self/exe, or a neighbour that opens /proc/PID/exe, gets hold of the
 * program's file; when nothing runs it any more the file can be opened for writing, and the host's
 * runtime is the container's (CVE-2019-5736). PR_SET_DUMPABLE keeps neighbours out until the exec,
 * but not the first way.
 *
 * So the program runs from a mount of its own file that is readonly and in no namespace, made by
 * two system calls: whoever reopens the file from there gets EROFS. Compared with the sealed copy
 * in memory that others execute, no byte is copied, and the page cache's pages are used. Where the
 * right to mount is missing (no root) the sealed copy it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "container/container.h"

extern char **environ;

static bool is_protected(int self)
{
    struct statvfs s;
    if (fstatvfs(self, &s) == 0 && s.f_flag & ST_RDONLY)
        return true;
    int seals = fcntl(self, F_GET_SEALS);
    return seals >= 0 && seals & F_SEAL_WRITE;
}

static int readonly_mount(void)
{
    int fd = open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &a, sizeof a) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int sealed_copy(int self, struct error **err)
{
    AUTO_CLOSE int fd = memfd_create("wirt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    if (fd < 0 || fstat(self, &st) < 0)
        return error_set(err, errno, "copy the program into memory");
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(fd, self, NULL, (size_t)left);
        if (n <= 0)
            return error_set(err, n < 0 ? errno : EIO, "copy the program into memory");
        left -= n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_set(err, errno, "seal the program's copy");
    return STEAL_FD(fd);
}

int container_protect_binary(char **argv, struct error **err)
{
    AUTO_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0)
        return error_set(err, errno, "open /proc/self/exe");
    if (is_protected(self))
        return 0;
    AUTO_CLOSE int safe = readonly_mount();
    if (safe < 0)
        safe = sealed_copy(self, err);
    if (safe < 0)
        return -1;
    execveat(safe, "", argv, environ, AT_EMPTY_PATH);
    return error_set(err, errno, "execute the program's protected self");
}
