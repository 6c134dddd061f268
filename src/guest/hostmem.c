#include "guest/hostmem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#define FILE_MAX (64u << 10)

/* Share of the last ten seconds in which some task waited for memory, in percent, from which on
 * that is no accident. */
#define STALLED_PERCENT 10

static char *read_again(int fd)
{
    char *text;
    return fd < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
                   read_fd(fd, "/proc", FILE_MAX, &text, NULL, NULL) < 0
               ? NULL
               : text;
}

static char *read_text(const char *path)
{
    char *text;
    size_t len;
    return read_file_at(AT_FDCWD, path, FILE_MAX, &text, &len, NULL) < 0 ? NULL : text;
}

/* The number behind "KEY", a space or colon, and blanks, at the beginning of a line. */
static bool find_number(const char *text, const char *key, uint64_t *out)
{
    size_t len = strlen(key);
    for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (!strncmp(p, key, len) && (p[len] == ' ' || p[len] == ':'))
            return sscanf(p + len + 1, "%" SCNu64, out) == 1;
    return false;
}

static bool read_number(const char *dir, const char *file, uint64_t *out)
{
    AUTO_FREE char *path = xasprintf("%s/%s", dir, file);
    AUTO_FREE char *text = read_text(path);
    return text && sscanf(text, "%" SCNu64, out) == 1; /* "max" is none */
}

/* The names of the same things in the two versions of control groups. */
struct group_files {
    const char *root, *limit, *usage, *inactive, *active;
};

static const struct group_files version1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                            "memory.usage_in_bytes", "total_inactive_file",
                                            "total_active_file"};
static const struct group_files version2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                            "inactive_file", "active_file"};

static void take_scarcer(struct host_memory *out, uint64_t total, uint64_t available)
{
    if (available < out->available)
        *out = (struct host_memory){total, available, out->stalled};
}

static void look_at_group(struct host_memory *out, const struct group_files *f, const char *dir)
{
    uint64_t limit, usage, inactive = 0, active = 0;
    if (!read_number(dir, f->limit, &limit) || !read_number(dir, f->usage, &usage) ||
        limit >= out->total)
        return;
    AUTO_FREE char *path = xasprintf("%s/memory.stat", dir);
    AUTO_FREE char *stat = read_text(path);
    if (stat) {
        find_number(stat, f->inactive, &inactive);
        find_number(stat, f->active, &active);
    }
    uint64_t files = inactive + active, held = usage > files ? usage - files : 0;
    take_scarcer(out, limit, limit > held ? limit - held : 0);
}

/* A line of /proc/self/cgroup: NUMBER:CONTROLLERS:PATH. */
static void look_at_line(struct host_memory *out, char *line)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    *controllers++ = *path++ = '\0';
    const struct group_files *f = !*controllers                    ? &version2
                                  : !strcmp(controllers, "memory") ? &version1
                                                                   : NULL;
    if (!f || strstr(path, ".."))
        return;
    while (*path) {
        AUTO_FREE char *dir = xasprintf("%s%s", f->root, path);
        look_at_group(out, f, dir);
        char *slash = strrchr(path, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
}

int host_memory_open(struct host_memory_files *f, struct error **err)
{
    *f = (struct host_memory_files){open("/proc/meminfo", O_RDONLY | O_CLOEXEC),
                                    open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC),
                                    open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC)};
    if (f->meminfo >= 0)
        return 0;
    error_set(err, errno, "open /proc/meminfo");
    host_memory_close(f);
    return -1;
}

void host_memory_close(struct host_memory_files *f)
{
    const int fds[] = {f->meminfo, f->pressure, f->groups};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *f = (struct host_memory_files){-1, -1, -1};
}

int host_memory_read(const struct host_memory_files *f, struct host_memory *out, struct error **err)
{
    AUTO_FREE char *meminfo = read_again(f->meminfo);
    if (!meminfo || !find_number(meminfo, "MemTotal", &out->total) ||
        !find_number(meminfo, "MemAvailable", &out->available))
        return error_set(err, 0, "/proc/meminfo has no MemTotal and MemAvailable");
    out->total <<= 10;
    out->available <<= 10;

    AUTO_FREE char *pressure = read_again(f->pressure);
    double avg10 = 0;
    out->stalled =
        pressure && sscanf(pressure, "some avg10=%lf", &avg10) == 1 && avg10 >= STALLED_PERCENT;

    AUTO_FREE char *groups = read_again(f->groups);
    char *save = NULL;
    for (char *line = groups ? strtok_r(groups, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        look_at_line(out, line);
    return 0;
}
