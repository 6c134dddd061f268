#include "guest/machine_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "image/cpio.h"
#include "machine/machine.h"

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

#define AGENT "/usr/lib/wirt/agent"

/* Runs in the initramfs: makes the guest's root usable and leaves the rest to the agent, which runs
 * commands in it. What is needed there lies in the guest's /run, which is in memory: a shared
 * folder gets no file of ours. */
static const char outer_script[] =
    "#!/bin/sh\n"
    "root=/.wirt/root w=/run/wirt\n"
    /* The board's test device ends the machine with a status. */
    "end() {\n"
    "    sync\n"
    "    value=0x5555\n"
    "    [ $1 -eq 0 ] || value=$(($1 << 16 | 0x3333))\n"
    "    devmem 0x100000 32 $value\n"
    "    poweroff -f\n"
    "}\n"
    "fail() { echo \"wirt: $1\"; end 125; }\n"
    "mkdir -p $root $w\n"
    "[ ! -f /.wirt/shares ] || grep -qw virtiofs /proc/filesystems || fail \"kernel $(uname -r) "
    "cannot mount shared folders: it must have CONFIG_VIRTIO_FS built in\"\n"
    "if [ -f /.wirt/mode ]; then\n"
    "    mount -t virtiofs -o \"$(cat /.wirt/mode)\" root $root || fail 'no root file system'\n"
    "else\n"
    "    mount --bind $root $root\n"
    "fi\n"
    "for d in proc sys dev run; do\n"
    "    [ -d $root/$d ] || mkdir $root/$d || fail \"the root file system has no folder /$d\"\n"
    "    mount --rbind /$d $root/$d\n"
    "done\n"
    "[ -d $root/tmp ] || mkdir -m 1777 $root/tmp\n"
    "cp /usr/bin/busybox /.wirt/inner $w/\n"
    "if [ -f /.wirt/network ]; then\n"
    "    for link in /sys/class/net/*; do\n"
    "        [ ${link##*/} = lo ] && continue\n"
    "        udhcpc -q -n -i ${link##*/} -s /etc/udhcpc.script >/dev/null 2>&1\n"
    "    done\n"
    "    cp /etc/resolv.conf $w/ 2>/dev/null\n"
    "fi\n"
    "chroot $root $w/busybox sh $w/inner || end 125\n"
    "[ -d /sys/class/virtio-ports ] || fail \"kernel $(uname -r) has no ports for streams: it must "
    "have CONFIG_VIRTIO_CONSOLE built in\"\n"
    "[ -x " AGENT " ] || fail 'the guest files are from another version (make guest)'\n"
    "exec " AGENT " --root $root\n";

/* The guest's root mounts what the user shares: a file by way of a folder that holds it. */
static void mount_shares(struct str *s, const struct guest_spec *spec)
{
    struct stat st;
    if (spec->n_mounts)
        str_printf(
            s,
            "share() {\n"
            "    { [ -d \"$3\" ] || $b mkdir -p \"$3\"; } && $b mount -t virtiofs -o $2 $1 \"$3\"\n"
            "}\n"
            "share_file() {\n"
            "    share $1 $2 /run/wirt/$1 &&\n"
            "        { [ -e \"$3\" ] || { $b mkdir -p \"${3%%/*}/\" && $b touch \"$3\"; }; } &&\n"
            "        $b mount --bind /run/wirt/$1/" MACHINE_SHARE_FILE " \"$3\"\n"
            "}\n");
    for (unsigned i = 0; i < spec->n_mounts; i++) {
        const struct guest_mount *m = &spec->mounts[i];
        bool file = stat(m->source, &st) == 0 && S_ISREG(st.st_mode);
        str_printf(s, "share%s " MACHINE_SHARE_TAG " %s ", file ? "_file" : "", i,
                   m->readonly ? "ro" : "rw");
        quote(s, m->target);
        str_printf(s, " || { echo \"wirt: -v: nothing can be mounted at \"");
        quote(s, m->target);
        str_printf(s, "; exit 125; }\n");
    }
}

/* Runs in the guest's root, with a shell of its own: the root may have none. */
static void inner_script(struct str *s, const struct guest_spec *spec)
{
    str_printf(s, "b=/run/wirt/busybox\n"
                  "[ -s /etc/resolv.conf ] || [ ! -s /run/wirt/resolv.conf ] || {\n"
                  "    [ -e /etc/resolv.conf ] || $b touch /etc/resolv.conf\n"
                  "    $b mount --bind /run/wirt/resolv.conf /etc/resolv.conf\n"
                  "} 2>/dev/null\n");
    mount_shares(s, spec);
    if (spec->read_only) /* a shared root is so from the start */
        str_printf(s, "$b mount -o remount,bind,ro /\n");
    if (spec->hostname) {
        str_printf(s, "$b hostname ");
        quote(s, spec->hostname);
        str_printf(s, "\n");
    }
}

static int add_guest_root(struct cpio *c, const struct guest_spec *s, struct error **err)
{
    if (s->rootfs) {
        const char *mode = s->read_only ? "ro" : "rw";
        return cpio_add(c, ".wirt/mode", S_IFREG | 0644, mode, strlen(mode), err);
    }
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
    STR_CLEANUP inner = {0};
    inner_script(&inner, s);
    if (cpio_add(c, ".wirt", S_IFDIR | 0755, NULL, 0, err) < 0 ||
        cpio_add(c, ".wirt/run", S_IFREG | 0755, outer_script, sizeof outer_script - 1, err) < 0 ||
        cpio_add(c, ".wirt/inner", S_IFREG | 0755, inner.data, inner.len, err) < 0 ||
        (s->network != NETWORK_NONE &&
         cpio_add(c, ".wirt/network", S_IFREG | 0644, "", 0, err) < 0) ||
        ((s->rootfs || s->n_mounts) &&
         cpio_add(c, ".wirt/shares", S_IFREG | 0644, "", 0, err) < 0) ||
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
