#include "image/rootfs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

enum program_kind program_kind_of_fd(int fd)
{
    unsigned char h[20];
    ssize_t n = pread(fd, h, sizeof h, 0);
    if (n >= 2 && h[0] == '#' && h[1] == '!')
        return PROGRAM_SCRIPT;
    if (n < (ssize_t)sizeof h || memcmp(h, ELFMAG, SELFMAG) != 0)
        return PROGRAM_NONE;
    unsigned type = h[16] | (unsigned)h[17] << 8, machine = h[18] | (unsigned)h[19] << 8;
    if (h[EI_DATA] != ELFDATA2LSB || (type != ET_EXEC && type != ET_DYN))
        return PROGRAM_FOREIGN;
    if (machine == EM_X86_64)
        return PROGRAM_NATIVE;
    return machine == EM_RISCV && h[EI_CLASS] == ELFCLASS64 ? PROGRAM_RISCV64 : PROGRAM_FOREIGN;
}

/* A regular file's kind; O_NONBLOCK so that a FIFO in the place of a program cannot hang us. */
static enum program_kind kind_of_opened(int fd)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return PROGRAM_NONE;
    return program_kind_of_fd(fd);
}

enum program_kind program_kind_of(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return kind_of_opened(fd);
}

int rootfs_open(int rootfd, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    for (int i = 0; i < 16; i++) {
        int fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof how);
        /* openat2(2): EAGAIN when something was renamed meanwhile. */
        if (fd >= 0 || errno != EAGAIN)
            return fd;
    }
    return -1;
}

static enum program_kind kind_in_folder(int rootfd, const char *folder)
{
    AUTO_CLOSE int fd = rootfs_open(rootfd, folder, O_RDONLY | O_DIRECTORY);
    AUTO_CLOSEDIR DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d)
        return PROGRAM_NONE;
    fd = -1;
    struct dirent *e;
    for (int tried = 0; tried < 64 && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", folder, e->d_name);
        AUTO_CLOSE int f = rootfs_open(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        enum program_kind k = kind_of_opened(f);
        if (k == PROGRAM_NATIVE || k == PROGRAM_RISCV64 || k == PROGRAM_FOREIGN)
            return k;
        tried++;
    }
    return PROGRAM_NONE;
}

enum program_kind rootfs_kind(const char *rootfs)
{
    static const char *const shells[] = {"bin/sh", "bin/bash", "bin/busybox", "usr/bin/env"};
    static const char *const folders[] = {"bin", "usr/bin", "sbin", "usr/sbin", "."};
    AUTO_CLOSE int root = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return PROGRAM_NONE;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        AUTO_CLOSE int fd = rootfs_open(root, shells[i], O_RDONLY | O_NONBLOCK | O_NOCTTY);
        enum program_kind k = kind_of_opened(fd);
        if (k != PROGRAM_NONE && k != PROGRAM_SCRIPT)
            return k;
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        enum program_kind k = kind_in_folder(root, folders[i]);
        if (k != PROGRAM_NONE)
            return k;
    }
    return PROGRAM_NONE;
}

/* 0 when path is an executable file in the root; else -1 with errno. */
static int check_command(int root, const char *path, enum program_kind *kind)
{
    AUTO_CLOSE int fd = rootfs_open(root, path, O_PATH);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111)) {
        errno = EACCES;
        return -1;
    }
    if (kind) {
        AUTO_CLOSE int f = rootfs_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        *kind = kind_of_opened(f);
    }
    return 0;
}

char *rootfs_find_command(const char *rootfs, const char *command, const char *workdir,
                          const char *path, enum program_kind *kind, struct error **err)
{
    AUTO_CLOSE int root = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        error_set(err, errno, "open root file system %s", rootfs);
        return NULL;
    }
    if (!*command) {
        error_set(err, ENOENT, "the command is an empty string");
        return NULL;
    }
    if (strchr(command, '/')) {
        char *p = command[0] == '/' ? xstrdup(command)
                                    : xasprintf("%s/%s", workdir ? workdir : "", command);
        if (check_command(root, p, kind) == 0)
            return p;
        error_set(err, errno, "command %s", command);
        free(p);
        return NULL;
    }
    int why = ENOENT;
    AUTO_FREE char *copy = xstrdup(path);
    char *rest = copy, *dir;
    while ((dir = strsep(&rest, ":"))) {
        char *p = xasprintf("%s/%s", *dir ? dir : ".", command);
        if (check_command(root, p, kind) == 0)
            return p;
        if (errno == EACCES)
            why = EACCES;
        free(p);
    }
    error_set(err, why, "command %s in $PATH %s", command, path);
    return NULL;
}
