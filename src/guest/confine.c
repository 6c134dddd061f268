#include "guest/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

int confine_check(const struct guest_spec *s, struct error **err)
{
    if (geteuid() == 0)
        return 0;
    const char *option = s->n_mounts                       ? "-v"
                         : s->hostname                     ? "--hostname"
                         : s->network == NETWORK_NONE      ? "--network none"
                         : s->read_only                    ? "--read-only"
                         : s->user && strcmp(s->user, "0") ? "--user"
                                                           : NULL;
    if (option)
        return error_set(err, 0,
                         "%s: behind the process wall only root may use this; --as container "
                         "gives it to everybody",
                         option);
    return 0;
}

/* Binds source over target, which is looked up inside the root so that a link in it cannot lead the
 * mount elsewhere. */
static int bind(const struct guest_spec *s, const struct guest_mount *m, struct error **err)
{
    AUTO_CLOSE int root = open(s->rootfs ? s->rootfs : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int target = root >= 0 ? rootfs_open(root, m->target, O_PATH) : -1;
    if (target < 0)
        return error_set(err, 0, "-v %s:%s: the target must exist%s%s: %s", m->source, m->target,
                         s->rootfs ? " in " : "", s->rootfs ? s->rootfs : "", strerror(errno));
    AUTO_FREE char *to = xasprintf("/proc/self/fd/%d", target);
    if (mount(m->source, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_set(err, 0, "-v %s:%s: %s", m->source, m->target, strerror(errno));
    if (!m->readonly)
        return 0;
    /* The descriptor still names what is below the new mount: look it up again. */
    AUTO_CLOSE int on_top = rootfs_open(root, m->target, O_PATH);
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
    if (on_top < 0 || mount_setattr(on_top, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a) < 0)
        return error_set(err, 0, "-v %s:%s:ro: %s", m->source, m->target, strerror(errno));
    return 0;
}

static int apply_mounts(const struct guest_spec *s, struct error **err)
{
    if (!s->n_mounts && !s->read_only)
        return 0;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set(err, 0, "a mount namespace of its own: %s", strerror(errno));
    const char *root = s->rootfs ? s->rootfs : "/";
    if (s->read_only && (mount(root, root, NULL, MS_BIND, NULL) < 0 ||
                         mount(NULL, root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0))
        return error_set(err, 0, "--read-only %s: %s", root, strerror(errno));
    for (unsigned i = 0; i < s->n_mounts; i++)
        if (bind(s, &s->mounts[i], err) < 0)
            return -1;
    return 0;
}

int confine_apply(const struct confine *c, struct error **err)
{
    const struct guest_spec *s = c->spec;
    if (apply_mounts(s, err) < 0)
        return -1;
    if (s->hostname &&
        (unshare(CLONE_NEWUTS) < 0 || sethostname(s->hostname, strlen(s->hostname)) < 0))
        return error_set(err, 0, "--hostname %s: %s", s->hostname, strerror(errno));
    if (s->network == NETWORK_NONE && unshare(CLONE_NEWNET) < 0)
        return error_set(err, 0, "--network none: %s", strerror(errno));
    if (!c->set_user || geteuid() != 0)
        return 0;
    gid_t groups[64];
    for (unsigned i = 0; i < c->user.n_groups; i++)
        groups[i] = c->user.groups[i];
    if (setgroups(c->user.n_groups, groups) < 0 ||
        setresgid(c->user.gid, c->user.gid, c->user.gid) < 0 ||
        setresuid(c->user.uid, c->user.uid, c->user.uid) < 0)
        return error_set(err, 0, "--user %s: %s", s->user, strerror(errno));
    return 0;
}
