#include "guest/wall.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "container/container.h"

const struct wall *wall_of(const struct guest_spec *s)
{
    switch (s->wall) {
    case WALL_PROCESS: return s->confine ? &wall_container : &wall_process;
    case WALL_MACHINE: return &wall_machine;
    default: return &wall_container;
    }
}

/* Where the program is from, for the run of itself that wall_protect_self starts: that one is on a
 * mount of its own, and /proc/self/exe has no path then. */
#define FOLDER_VARIABLE "WIRT_FOLDER"

static char *own_folder(void)
{
    char buf[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", buf, sizeof buf - 1);
    buf[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(buf, '/');
    if (!slash || slash == buf) {
        const char *known = getenv(FOLDER_VARIABLE);
        return xstrdup(known ? known : "/usr/bin");
    }
    *slash = '\0';
    return xstrdup(buf);
}

int wall_protect_self(char **argv, struct error **err)
{
    AUTO_FREE char *folder = own_folder();
    if (setenv(FOLDER_VARIABLE, folder, 1) < 0)
        return error_set(err, errno, "setenv");
    return container_protect_binary(argv, err);
}

char *wall_helper(const char *name, struct error **err)
{
    AUTO_FREE char *folder = own_folder();
    const char *libexec = getenv("WIRT_LIBEXEC");
    char *tries[] = {libexec ? xasprintf("%s/%s", libexec, name) : NULL,
                     xasprintf("%s/%s", folder, name),
                     xasprintf("%s/../libexec/wirt/%s", folder, name)};
    char *found = NULL;
    for (int i = 0; i < 3; i++) {
        if (!found && tries[i] && access(tries[i], X_OK) == 0)
            found = realpath(tries[i], NULL);
        free(tries[i]);
    }
    if (!found)
        error_set(err, 0, "%s is missing: it belongs beside wirt in %s or in ../libexec/wirt", name,
                  folder);
    return found;
}

char *wall_guest_file(const char *name, struct error **err)
{
    const char *env = getenv("WIRT_GUEST_DIR");
    if (env) {
        char *path = xasprintf("%s/%s", env, name);
        if (access(path, R_OK) == 0)
            return path;
        error_set(err, errno, "%s ($WIRT_GUEST_DIR)", path);
        free(path);
        return NULL;
    }
    AUTO_FREE char *folder = own_folder();
    char *path = xasprintf("%s/guest/%s", folder, name);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    path = xasprintf("/usr/lib/wirt/guest/%s", name);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    path = xasprintf("%s/../lib/wirt/guest/%s", folder, name);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    error_set(err, ENOENT,
              "guest file %s: not in $WIRT_GUEST_DIR, %s/guest, /usr/lib/wirt/guest or "
              "%s/../lib/wirt/guest "
              "(`make guest` makes it, `make install` puts it there)",
              name, folder, folder);
    if (err && *err)
        (*err)->code = 0;
    return NULL;
}

char **wall_environment(const struct guest_spec *s, const char *home, char *const *more)
{
    char **v = xcalloc(1, sizeof *v);
    v = strv_add(v, xstrdup("PATH=" WALL_PATH));
    if (s->hostname)
        v = strv_add(v, xasprintf("HOSTNAME=%s", s->hostname));
    if (s->tty)
        v = strv_add(v, xstrdup("TERM=xterm"));
    if (home)
        v = strv_add(v, xasprintf("HOME=%s", home));
    for (int i = 0; i < 2; i++)
        for (char *const *e = i ? more : s->env; e && *e; e++)
            v = wall_set_env(v, *e);
    return v;
}

char **wall_set_env(char **v, const char *assignment)
{
    size_t n = strcspn(assignment, "=");
    for (char **p = v; *p; p++) {
        if (!strncmp(*p, assignment, n) && (*p)[n] == '=') {
            free(*p);
            *p = xstrdup(assignment);
            return v;
        }
    }
    return strv_add(v, xstrdup(assignment));
}

const char *wall_get_env(char *const *v, const char *name)
{
    size_t n = strlen(name);
    for (; v && *v; v++)
        if (!strncmp(*v, name, n) && (*v)[n] == '=')
            return *v + n + 1;
    return NULL;
}
