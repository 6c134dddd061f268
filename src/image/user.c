/* Users by name, from a root file system's own files (passwd(5), group(5)). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "image/rootfs.h"

#define MAX_DATABASE (4u << 20)

static char *read_database(const char *rootfs, const char *path)
{
    AUTO_CLOSE int root = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return NULL;
    AUTO_CLOSE int fd = rootfs_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || !is_regular(fd))
        return NULL;
    char *text = NULL;
    return read_fd(fd, path, MAX_DATABASE, &text, NULL, NULL) == 0 ? text : NULL;
}

/* Splits a line at its colons in place; the number of fields, at most max. */
static int split(char *line, char **field, int max)
{
    int n = 0;
    while (n < max && line)
        field[n++] = strsep(&line, ":");
    return n;
}

/* Decimal, as everybody reads these files: 010 is ten. */
static bool number(const char *s, unsigned *out)
{
    uint64_t v = 0;
    if (!s || !*s)
        return false;
    for (; *s; s++)
        if (*s < '0' || *s > '9' || (v = 10 * v + (uint64_t)(*s - '0')) >= UINT32_MAX)
            return false;
    *out = (unsigned)v;
    return true;
}

/* The entry of a user by name or, with name NULL, by uid. */
static bool find_user(const char *passwd, const char *name, struct rootfs_user *u)
{
    AUTO_FREE char *copy = passwd ? xstrdup(passwd) : NULL;
    char *rest = copy, *line, *f[7];
    while (rest && (line = strsep(&rest, "\n"))) {
        unsigned uid, gid;
        if (split(line, f, 7) < 6 || !number(f[2], &uid) || !number(f[3], &gid) ||
            (name ? strcmp(f[0], name) != 0 : uid != u->uid))
            continue;
        u->uid = uid;
        u->gid = gid;
        u->home = *f[5] ? xstrdup(f[5]) : NULL;
        return true;
    }
    return false;
}

static bool has_member(char *members, const char *name)
{
    char *m;
    while ((m = strsep(&members, ",")))
        if (!strcmp(m, name))
            return true;
    return false;
}

/* Adds the groups that list the user; or, with group, only looks for its number. */
static bool scan_groups(const char *text, const char *user, const char *group,
                        struct rootfs_user *u)
{
    AUTO_FREE char *copy = text ? xstrdup(text) : NULL;
    char *rest = copy, *line, *f[4];
    while (rest && (line = strsep(&rest, "\n"))) {
        unsigned gid;
        int n = split(line, f, 4);
        if (n < 3 || !number(f[2], &gid))
            continue;
        if (group && !strcmp(f[0], group)) {
            u->gid = gid;
            return true;
        }
        if (!group && n == 4 && u->n_groups < 64 && has_member(f[3], user))
            u->groups[u->n_groups++] = gid;
    }
    return false;
}

int rootfs_lookup_user(const char *rootfs, const char *user, struct rootfs_user *out,
                       struct error **err)
{
    *out = (struct rootfs_user){0};
    const char *shown = strcmp(rootfs, "/") ? rootfs : "";
    AUTO_FREE char *copy = xstrdup(user && *user ? user : "0");
    char *group = copy, *name = strsep(&group, ":");
    AUTO_FREE char *passwd = read_database(rootfs, "etc/passwd");
    AUTO_FREE char *groups = read_database(rootfs, "etc/group");
    if (number(name, &out->uid))
        find_user(passwd, NULL, out); /* a number need not be listed */
    else if (!find_user(passwd, name, out))
        return error_set(err, 0, "--user %s: no such user in %s/etc/passwd; a number always works",
                         user, shown);
    else
        scan_groups(groups, name, NULL, out);
    if (group && !number(group, &out->gid) && !scan_groups(groups, name, group, out)) {
        free(out->home);
        out->home = NULL;
        return error_set(err, 0, "--user %s: no such group in %s/etc/group; a number always works",
                         user, shown);
    }
    return 0;
}
