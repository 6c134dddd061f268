/* The names of mount options (config.md, Linux mount options) and what they stand for. */
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/str.h"
#include "container/config.h"
#include "container/json.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum option_kind {
    FLAG_SET,
    FLAG_CLEAR,
    PROPAGATION,
    REC_SET,
    REC_CLEAR,
    REC_ATIME,
    SPECIAL
};

static const struct option {
    const char *name;
    enum option_kind kind;
    unsigned long value;
} options[] = {
    {"async", FLAG_CLEAR, MS_SYNCHRONOUS},
    {"atime", FLAG_CLEAR, MS_NOATIME},
    {"bind", SPECIAL, MS_BIND},
    {"defaults", SPECIAL, 0},
    {"dev", FLAG_CLEAR, MS_NODEV},
    {"diratime", FLAG_CLEAR, MS_NODIRATIME},
    {"dirsync", FLAG_SET, MS_DIRSYNC},
    {"exec", FLAG_CLEAR, MS_NOEXEC},
    {"idmap", SPECIAL, 0},
    {"iversion", FLAG_SET, MS_I_VERSION},
    {"lazytime", FLAG_SET, MS_LAZYTIME},
    {"loud", FLAG_CLEAR, MS_SILENT},
    {"mand", FLAG_SET, MS_MANDLOCK},
    {"noatime", FLAG_SET, MS_NOATIME},
    {"nodev", FLAG_SET, MS_NODEV},
    {"nodiratime", FLAG_SET, MS_NODIRATIME},
    {"noexec", FLAG_SET, MS_NOEXEC},
    {"noiversion", FLAG_CLEAR, MS_I_VERSION},
    {"nolazytime", FLAG_CLEAR, MS_LAZYTIME},
    {"nomand", FLAG_CLEAR, MS_MANDLOCK},
    {"norelatime", FLAG_CLEAR, MS_RELATIME},
    {"nostrictatime", FLAG_CLEAR, MS_STRICTATIME},
    {"nosuid", FLAG_SET, MS_NOSUID},
    {"nosymfollow", FLAG_SET, MS_NOSYMFOLLOW},
    {"private", PROPAGATION, MS_PRIVATE},
    {"ratime", REC_ATIME, MOUNT_ATTR_RELATIME},
    {"rbind", SPECIAL, MS_BIND | MS_REC},
    {"rdev", REC_CLEAR, MOUNT_ATTR_NODEV},
    {"rdiratime", REC_CLEAR, MOUNT_ATTR_NODIRATIME},
    {"relatime", FLAG_SET, MS_RELATIME},
    {"remount", SPECIAL, MS_REMOUNT},
    {"rexec", REC_CLEAR, MOUNT_ATTR_NOEXEC},
    {"ridmap", SPECIAL, MS_REC},
    {"rnoatime", REC_ATIME, MOUNT_ATTR_NOATIME},
    {"rnodev", REC_SET, MOUNT_ATTR_NODEV},
    {"rnodiratime", REC_SET, MOUNT_ATTR_NODIRATIME},
    {"rnoexec", REC_SET, MOUNT_ATTR_NOEXEC},
    {"rnorelatime", REC_ATIME, MOUNT_ATTR_STRICTATIME},
    {"rnostrictatime", REC_ATIME, MOUNT_ATTR_RELATIME},
    {"rnosuid", REC_SET, MOUNT_ATTR_NOSUID},
    {"rnosymfollow", REC_SET, MOUNT_ATTR_NOSYMFOLLOW},
    {"ro", FLAG_SET, MS_RDONLY},
    {"rprivate", PROPAGATION, MS_PRIVATE | MS_REC},
    {"rrelatime", REC_ATIME, MOUNT_ATTR_RELATIME},
    {"rro", REC_SET, MOUNT_ATTR_RDONLY},
    {"rrw", REC_CLEAR, MOUNT_ATTR_RDONLY},
    {"rshared", PROPAGATION, MS_SHARED | MS_REC},
    {"rslave", PROPAGATION, MS_SLAVE | MS_REC},
    {"rstrictatime", REC_ATIME, MOUNT_ATTR_STRICTATIME},
    {"rsuid", REC_CLEAR, MOUNT_ATTR_NOSUID},
    {"rsymfollow", REC_CLEAR, MOUNT_ATTR_NOSYMFOLLOW},
    {"runbindable", PROPAGATION, MS_UNBINDABLE | MS_REC},
    {"rw", FLAG_CLEAR, MS_RDONLY},
    {"shared", PROPAGATION, MS_SHARED},
    {"silent", FLAG_SET, MS_SILENT},
    {"slave", PROPAGATION, MS_SLAVE},
    {"strictatime", FLAG_SET, MS_STRICTATIME},
    {"suid", FLAG_CLEAR, MS_NOSUID},
    {"symfollow", FLAG_CLEAR, MS_NOSYMFOLLOW},
    {"sync", FLAG_SET, MS_SYNCHRONOUS},
    {"tmpcopyup", SPECIAL, 0},
    {"unbindable", PROPAGATION, MS_UNBINDABLE},
};
#define OPTIONS (sizeof options / sizeof *options)

const char *const *mount_option_names(void)
{
    static const char *names[OPTIONS + 1];
    for (size_t i = 0; i < OPTIONS; i++)
        names[i] = options[i].name;
    return names;
}

static int by_name(const void *key, const void *element)
{
    return strcmp(key, ((const struct option *)element)->name);
}

static void special(const struct option *o, struct mount_entry *m)
{
    if (o->value & MS_BIND) {
        m->bind = true;
        m->rbind |= (o->value & MS_REC) != 0;
    } else if (o->value & MS_REMOUNT) {
        m->remount = true;
    } else if (!strcmp(o->name, "tmpcopyup")) {
        m->tmpcopyup = true;
    } else if (!strcmp(o->name, "idmap")) {
        m->idmap = true;
    } else if (!strcmp(o->name, "ridmap")) {
        m->idmap = m->ridmap = true;
    }
}

static void apply(const struct option *o, struct mount_entry *m)
{
    switch (o->kind) {
    case FLAG_SET:
        m->flags |= o->value;
        m->cleared &= ~o->value;
        break;
    case FLAG_CLEAR:
        m->flags &= ~o->value;
        m->cleared |= o->value;
        break;
    case PROPAGATION:
        m->propagation =
            xrealloc(m->propagation, (m->propagation_len + 1) * sizeof *m->propagation);
        m->propagation[m->propagation_len++] = o->value;
        break;
    case REC_SET:
        m->rec_set |= o->value;
        m->rec_clr &= ~o->value;
        m->rec = true;
        break;
    case REC_CLEAR:
        m->rec_clr |= o->value;
        m->rec_set &= ~o->value;
        m->rec = true;
        break;
    case REC_ATIME:
        m->rec_atime = o->value;
        m->rec_atime_set = m->rec = true;
        break;
    case SPECIAL: special(o, m); break;
    }
}

int mount_options(const struct node *n, struct mount_entry *m, struct error **err)
{
    size_t len;
    if (node_array(n, &len, err) < 0)
        return -1;
    STR_CLEANUP data = {0};
    str_append(&data, "", 0);
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(n, i);
        const char *name = "";
        if (node_required(&e, err) < 0 || node_string(&e, &name, err) < 0)
            return -1;
        const struct option *o = bsearch(name, options, OPTIONS, sizeof *options, by_name);
        if (o)
            apply(o, m);
        else if (*name)
            str_printf(&data, "%s%s", data.len ? "," : "", name);
    }
    /* mount(2) reads one page. */
    if (data.len >= 4096)
        return node_error(n, err, "file system options longer than a page");
    m->data = data.data;
    data = (struct str){0};
    return 0;
}
