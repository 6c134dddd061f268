#include "guest/machine_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "guest/wall.h"
#include "image/cpio.h"
#include "image/rootfs.h"

/* 'quoted' for a POSIX shell. */
static void quote(struct str *s, const char *text)
{
    str_append(s, "'", 1);
    for (; *text; text++) {
        if (*text == '\'')
            str_printf(s, "'\\''");
        else
            str_append(s, text, 1);
    }
    str_append(s, "'", 1);
}

/* Runs in the initramfs: makes the guest's root usable and goes into it. */
static const char outer_script[] =
    "#!/bin/sh\n"
    "root=/.wirt/root\n"
    "mkdir -p $root/proc $root/sys $root/dev $root/run $root/tmp $root/.wirt\n"
    "for d in proc sys dev run; do mount --rbind /$d $root/$d; done\n"
    "cp /usr/bin/busybox $root/.wirt/busybox\n"
    "cp /.wirt/inner $root/.wirt/inner\n"
    "if [ -f /.wirt/network ]; then\n"
    "    for link in /sys/class/net/*; do\n"
    "        [ ${link##*/} = lo ] && continue\n"
    "        udhcpc -q -n -i ${link##*/} -s /etc/udhcpc.script >/dev/null 2>&1\n"
    "    done\n"
    "    [ -s $root/etc/resolv.conf ] || cp /etc/resolv.conf $root/etc/ 2>/dev/null\n"
    "fi\n"
    "chroot $root /.wirt/busybox sh /.wirt/inner\n"
    "status=$?\n"
    "sync\n"
    /* The board's test device ends the machine with a status. */
    "value=0x5555\n"
    "[ $status -eq 0 ] || value=$((status << 16 | 0x3333))\n"
    "devmem 0x100000 32 $value\n"
    "poweroff -f\n";

/* Runs in the guest's root, with busybox's shell: the root may have none. The command is looked up
 * by the same rules and answered with the same 126 and 127 as behind the other walls. */
static void inner_script(struct str *s, const struct guest_spec *spec,
                         const struct rootfs_user *user, char *const *env)
{
    str_printf(s, "b=/.wirt/busybox\n");
    if (spec->hostname) {
        str_printf(s, "$b hostname ");
        quote(s, spec->hostname);
        str_printf(s, "\n");
    }
    /* Without a terminal on the caller's side the console must not change bytes. */
    str_printf(s, spec->tty ? "$b stty sane\n" : "$b stty -echo -opost -icrnl\n");
    if (spec->read_only)
        str_printf(s, "$b mount --bind / /.wirt/root 2>/dev/null; $b mount -o remount,bind,ro /\n");
    str_printf(s, "cd ");
    quote(s, spec->workdir ? spec->workdir : "/");
    str_printf(s, " || exit 125\nexport");
    for (char *const *e = env; *e; e++) {
        size_t n = strcspn(*e, "=");
        str_printf(s, " ");
        str_append(s, *e, n);
        str_printf(s, "=");
        quote(s, (*e)[n] ? *e + n + 1 : "");
    }
    str_printf(s, "\nset --");
    for (char *const *c = spec->command; *c; c++) {
        str_printf(s, " ");
        if (spec->program && c == spec->command) {
            const char *slash = strrchr(spec->program, '/');
            str_printf(s, "/bin/");
            quote(s, slash ? slash + 1 : spec->program);
        } else {
            quote(s, *c);
        }
    }
    /* Busybox's shell would take one of its own applets for a command that is not there. */
    str_printf(s, "\ncase $1 in\n*/*) p=$1 ;;\n"
                  "*) p=; IFS=:; for d in $PATH; do [ -x \"$d/$1\" ] && p=$d/$1 && break; done; "
                  "unset IFS ;;\nesac\n"
                  "[ -n \"$p\" ] && [ -e \"$p\" ] || "
                  "{ echo \"wirt: command $1: not found\"; exit 127; }\n"
                  "[ -x \"$p\" ] && [ -f \"$p\" ] || "
                  "{ echo \"wirt: command $1: not executable\"; exit 126; }\n"
                  "shift\n");
    /* Busybox asks for a user that is listed; the root file system is a copy in memory. */
    if (user->uid || user->gid)
        str_printf(s,
                   "$b grep -qs '^[^:]*:[^:]*:%u:' /etc/passwd || "
                   "echo 'wirt-user:x:%u:%u::/:/bin/sh' >>/etc/passwd\n"
                   "$b grep -qs '^[^:]*:[^:]*:%u:' /etc/group || "
                   "echo 'wirt-group:x:%u:' >>/etc/group\n",
                   user->uid, user->uid, user->gid, user->gid, user->gid);
    if (user->uid || user->gid)
        str_printf(s,
                   "set -- -S -p /.wirt/none -c %u:%u -x \"$p\" -- \"$@\"\n"
                   "p=/.wirt/start-stop-daemon\nln -s busybox $p\n",
                   user->uid, user->gid);
    str_printf(s, spec->tty ? "exec $b setsid -c \"$p\" \"$@\"\n" : "exec \"$p\" \"$@\"\n");
}

static int add_guest_root(struct cpio *c, const struct guest_spec *s, struct error **err)
{
    if (s->rootfs)
        return cpio_add_tree(c, ".wirt/root", s->rootfs, err);
    static const char *const folders[] = {".wirt/root", ".wirt/root/bin", ".wirt/root/etc"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (cpio_add(c, folders[i], S_IFDIR | 0755, NULL, 0, err) < 0)
            return -1;
    const char *slash = strrchr(s->program, '/');
    AUTO_FREE char *name = xasprintf(".wirt/root/bin/%s", slash ? slash + 1 : s->program);
    return cpio_add_file(c, name, s->program, 0755, err);
}

static int append_file(int to, const char *path, struct error **err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    char buf[65536];
    ssize_t n;
    while ((n = read_full(fd, buf, sizeof buf)) > 0)
        if (write_all(to, buf, (size_t)n) < 0)
            return error_set(err, errno, "write the initramfs");
    return n < 0 ? error_set(err, errno, "read %s", path) : 0;
}

static int write_archive(struct cpio *c, struct guest *g, struct error **err)
{
    const struct guest_spec *s = &g->spec;
    struct rootfs_user user = {0};
    if (s->user &&
        rootfs_lookup_user(s->rootfs ? s->rootfs : "/nonexistent", s->user, &user, err) < 0)
        return -1;
    AUTO_FREE char *home = user.home;
    char **env = wall_environment(s, home ? home : "/root", NULL);
    STR_CLEANUP inner = {0};
    inner_script(&inner, s, &user, env);
    strv_free(env);
    if (cpio_add(c, ".wirt", S_IFDIR | 0755, NULL, 0, err) < 0 ||
        cpio_add(c, ".wirt/run", S_IFREG | 0755, outer_script, sizeof outer_script - 1, err) < 0 ||
        cpio_add(c, ".wirt/inner", S_IFREG | 0755, inner.data, inner.len, err) < 0 ||
        (s->network != NETWORK_NONE &&
         cpio_add(c, ".wirt/network", S_IFREG | 0644, "", 0, err) < 0) ||
        add_guest_root(c, s, err) < 0)
        return -1;
    return cpio_finish(c, err);
}

int machine_image_write(struct guest *g, const char *base, const char *path, struct error **err)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, errno, "create %s", path);
    struct cpio c;
    cpio_init(&c, fd);
    int r = write_archive(&c, g, err);
    cpio_free(&c);
    return r < 0 ? r : append_file(fd, base, err);
}
