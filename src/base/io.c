#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int read_fd(int fd, const char *name, size_t max, char **data, size_t *len, struct error **err)
{
    STR_CLEANUP s = {0};
    char buf[16384];
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, errno, "read %s", name);
        if (n == 0)
            break;
        if (s.len + (size_t)n > max)
            return error_set(err, EFBIG, "read %s: larger than %zu bytes", name, max);
        str_append(&s, buf, (size_t)n);
    }
    str_append(&s, "", 0);
    *data = STEAL_PTR(s.data);
    if (len)
        *len = s.len;
    return 0;
}

int read_file_at(int dirfd, const char *path, size_t max, char **data, size_t *len,
                 struct error **err)
{
    AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    return read_fd(fd, path, max, data, len, err);
}

bool is_regular(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int read_regular_at(int dirfd, const char *path, size_t max, char **data, size_t *len,
                    struct error **err)
{
    AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    if (!is_regular(fd))
        return error_set(err, EINVAL, "%s is not a regular file", path);
    return read_fd(fd, path, max, data, len, err);
}

int write_file_at(int dirfd, const char *path, const char *data, struct error **err)
{
    AUTO_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    ssize_t n;
    do {
        n = write(fd, data, strlen(data));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set(err, errno, "write '%s' to %s", data, path);
    return 0;
}

int replace_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                    struct error **err)
{
    AUTO_FREE char *tmp = xasprintf("%s.%d.tmp", path, (int)getpid());
    AUTO_CLOSE int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return error_set(err, errno, "create %s", tmp);
    if (write_all(fd, data, len) < 0 || renameat(dirfd, tmp, dirfd, path) < 0) {
        error_set(err, errno, "write %s", path);
        unlinkat(dirfd, tmp, 0);
        return -1;
    }
    return 0;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void close_between(int from, int to)
{
    if (from > to || close_range((unsigned)from, (unsigned)to, 0) == 0)
        return;
    long most = sysconf(_SC_OPEN_MAX);
    for (int fd = from; fd <= to && fd < most; fd++)
        close(fd);
}

void close_but(int first, int *keep, size_t n)
{
    qsort(keep, n, sizeof *keep, compare_ints);
    for (size_t i = 0; i < n; i++) {
        if (keep[i] < first)
            continue;
        close_between(first, keep[i] - 1);
        first = keep[i] + 1;
    }
    close_between(first, INT_MAX);
}

int write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

bool refused_for_now(int code)
{
    return code == EAGAIN || code == EINTR || code == ENOMEM || code == ENOBUFS;
}

int flush_socket(int sock, struct str *out)
{
    size_t done = 0;
    int r = 0;
    while (done < out->len) {
        ssize_t n = send(sock, out->data + done, out->len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            r = refused_for_now(errno) ? 0 : -1;
            break;
        }
        done += (size_t)n;
    }
    str_drop(out, done);
    return r;
}

ssize_t read_full(int fd, void *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read(fd, (char *)data + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int mkdir_all(const char *path, mode_t mode, struct error **err)
{
    AUTO_FREE char *p = xstrdup(path);
    for (char *s = p + 1;; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char c = *s;
        *s = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return error_set(err, errno, "create folder %s", p);
        *s = c;
        if (!c)
            return 0;
    }
}
