#include "guest/subids.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/* A whole number up to max, ended by end. */
static bool number(const char *s, char end, uint64_t max, uint64_t *out)
{
    char *stop;
    if (*s < '0' || *s > '9')
        return false;
    *out = strtoull(s, &stop, 10);
    return *out <= max && (*stop == end || (end == '\n' && !*stop));
}

size_t subids_parse(FILE *f, const char *name, uid_t uid, struct id_range *out, size_t max)
{
    AUTO_FREE char *line = NULL;
    size_t cap = 0, n = 0;
    while (n < max && getline(&line, &cap, f) >= 0) {
        uint64_t id, start, count;
        char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        if (!second || !number(first + 1, ':', UINT32_MAX - 1, &start) ||
            !number(second + 1, '\n', UINT32_MAX - 1, &count) || !count ||
            start + count > UINT32_MAX)
            continue;
        *first = 0;
        if ((name && !strcmp(line, name)) || (number(line, '\n', UINT32_MAX - 1, &id) && id == uid))
            out[n++] = (struct id_range){(uint32_t)start, (uint32_t)count};
    }
    return n;
}

/* Whether a program is found that gains rights as it is executed. */
static bool privileged_helper(const char *name)
{
    const char *path = getenv("PATH");
    AUTO_FREE char *list = xstrdup(path && *path ? path : "/usr/bin:/bin");
    char *save = NULL;
    for (char *dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        AUTO_FREE char *file = xasprintf("%s/%s", dir, name);
        struct stat st;
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0)
            return (st.st_mode & S_ISUID && st.st_uid == 0) ||
                   getxattr(file, "security.capability", NULL, 0) > 0;
    }
    return false;
}

static size_t read_file(const char *path, const char *name, struct id_range *out, size_t max)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    size_t n = subids_parse(f, name, getuid(), out, max);
    fclose(f);
    return n;
}

/* The user's name: of /etc/passwd, or else of what name service switch (nsswitch.conf(5)) the host
 * has, asked by its own program, as a static program cannot ask it. NULL: it has none; the caller
 * frees it. */
static char *own_name(void)
{
    const uid_t uid = getuid();
    const struct passwd *p = NULL;
    AUTO_FREE char *line = NULL;
    size_t cap = 0;
    FILE *f = fopen("/etc/passwd", "re");
    while (f && (p = fgetpwent(f)) && p->pw_uid != uid)
        ;
    char *name = p ? xstrdup(p->pw_name) : NULL;
    if (f)
        fclose(f);
    if (name)
        return name;
    AUTO_FREE char *command = xasprintf("exec getent passwd %u 2>/dev/null", (unsigned)uid);
    f = popen(command, "re");
    if (!f)
        return NULL;
    if (getline(&line, &cap, f) > 0 && strchr(line, ':'))
        name = xasprintf("%.*s", (int)strcspn(line, ":"), line);
    pclose(f);
    return name;
}

void subids_own(struct subids *s)
{
    *s = (struct subids){0};
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0 || !privileged_helper("newuidmap") ||
        !privileged_helper("newgidmap"))
        return;
    AUTO_FREE char *name = own_name();
    const size_t max = sizeof s->uids / sizeof *s->uids;
    s->n_uids = read_file("/etc/subuid", name, s->uids, max);
    s->n_gids = read_file("/etc/subgid", name, s->gids, max);
    if (!s->n_uids || !s->n_gids)
        *s = (struct subids){0};
}
