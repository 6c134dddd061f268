#include "container/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
    ROOT_INODE = 1
}; /* of every procfs */

int procfs_open(struct error **err)
{
    AUTO_CLOSE int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;
    struct stat st;
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
        return error_set(err, errno, "open /proc");
    if (fs.f_type != PROC_SUPER_MAGIC || st.st_ino != ROOT_INODE)
        return error_set(err, 0, "/proc is not a procfs");
    return STEAL_FD(fd);
}

int procfs_write(int proc, const char *path, const char *text, struct error **err)
{
    struct open_how how = {.flags = O_WRONLY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    AUTO_CLOSE int fd = -1;
    do {
        fd = (int)syscall(SYS_openat2, proc, path, &how, sizeof how);
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    if (fd < 0)
        return error_set(err, errno, "open /proc/%s%s", path,
                         errno == EXDEV ? " (something is mounted over it)" : "");
    ssize_t n;
    do {
        n = write(fd, text, strlen(text));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set(err, errno, "write '%s' to /proc/%s", text, path);
    return 0;
}
