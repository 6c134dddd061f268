/* A new instance of one of the kernel's own file systems, as a mount that is attached nowhere yet:
 * what is set up on it is set up by its descriptor, and never looked up by a path again, which
 * could lead to something else by then (a container that shares the root or a volume may rename
 * and link as fast as it can). */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/mounts.h"

/* mount(2)'s flags that are the file system's, and their names for fsconfig(2). */
static const struct {
    unsigned long flag;
    const char *name;
} super_flags[] = {
    {MS_RDONLY, "ro"},     {MS_SYNCHRONOUS, "sync"},  {MS_DIRSYNC, "dirsync"},
    {MS_MANDLOCK, "mand"}, {MS_LAZYTIME, "lazytime"},
};

bool new_fs_known(const char *type, unsigned long flags)
{
    static const char *const types[] = {"proc", "sysfs", "tmpfs", "devpts", "mqueue"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i]))
            return !(flags & MS_I_VERSION); /* has no name there */
    return false;
}

/* One option: a name, or name=value with the value in quotes or not. */
static int set_option(int fs, char *option)
{
    char *value = strchr(option, '=');
    if (!value)
        return fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
    *value++ = '\0';
    size_t n = strlen(value);
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value[n - 1] = '\0';
        value++;
    }
    return fsconfig(fs, FSCONFIG_SET_STRING, option, value, 0);
}

/* The options in data, between commas; those in quotes are part of a value. */
static int set_options(int fs, char *data)
{
    bool quoted = false;
    char *start = data;
    for (char *p = data;; p++) {
        quoted ^= *p == '"';
        if (*p && (*p != ',' || quoted))
            continue;
        bool last = !*p;
        *p = '\0';
        if (*start && set_option(fs, start) < 0)
            return -1;
        if (last)
            return 0;
        start = p + 1;
    }
}

static int configure(int fs, const char *source, unsigned long flags, const char *data)
{
    if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return -1;
    for (size_t i = 0; i < sizeof super_flags / sizeof *super_flags; i++)
        if (flags & super_flags[i].flag &&
            fsconfig(fs, FSCONFIG_SET_FLAG, super_flags[i].name, NULL, 0) < 0)
            return -1;
    AUTO_FREE char *copy = xstrdup(data);
    if (set_options(fs, copy) < 0)
        return -1;
    return fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int new_fs(const char *type, const char *source, unsigned long flags, const char *data,
           struct error **err)
{
    AUTO_CLOSE int fs = fsopen(type, FSOPEN_CLOEXEC);
    int fd = -1;
    if (fs >= 0 && configure(fs, source, flags, data) == 0)
        fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)mount_attributes(flags, 0).attr_set);
    if (fd < 0)
        return error_set(err, errno, "mount %s with options '%s'", type, data);
    return fd;
}
