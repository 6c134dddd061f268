/* A hostile root file system: its databases of users, what its programs say that they are, and an
 * image of a disk. The files follow each other in the input, each up to a NUL: user to look for,
 * passwd, group; the rest is a program and a disk. */
#include "base/cleanup.h"
#include "files.h"
#include "image/disk.h"
#include "image/rootfs.h"

#define MAX_USER 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *root;
    static int folder;
    struct input in = {data, size};
    if (!root) {
        folder = memory_folder(&root);
        if (mkdirat(folder, "etc", 0755) < 0 || mkdirat(folder, "bin", 0755) < 0)
            abort();
    }
    struct input user = next_file(&in), passwd = next_file(&in), group = next_file(&in);
    char name[MAX_USER] = "";
    memcpy(name, user.data, user.left < MAX_USER - 1 ? user.left : MAX_USER - 1);
    put_file(folder, "etc/passwd", passwd.data, passwd.left);
    put_file(folder, "etc/group", group.data, group.left);
    put_file(folder, "bin/sh", in.data, in.left);
    struct rootfs_user u;
    ERROR_CLEANUP err = NULL;
    if (rootfs_lookup_user(root, name, &u, &err) == 0)
        free(u.home);
    else if (!err)
        abort();
    ERROR_CLEANUP command_err = NULL;
    enum program_kind kind;
    char *command = rootfs_find_command(root, "sh", "/", "/usr/bin:/bin", &kind, &command_err);
    if (!command && !command_err)
        abort();
    free(command);
    rootfs_kind(root);
    struct memory_file disk = memory_file(in.data, in.left);
    const struct disk_format *format = disk_format_of_fd(disk.fd);
    if (format && (!format->name || !format->convert))
        abort();
    close(disk.fd);
    return 0;
}
