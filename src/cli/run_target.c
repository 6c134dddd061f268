#include "cli/run_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "image/rootfs.h"

static const char *kind_name(enum program_kind k)
{
    switch (k) {
    case PROGRAM_NATIVE: return "linux/amd64";
    case PROGRAM_RISCV64: return "linux/riscv64";
    case PROGRAM_SCRIPT: return "a script";
    case PROGRAM_FOREIGN: return "for another platform";
    default: return "no program";
    }
}

static int check_platform(const char *platform, enum program_kind k, const char *target,
                          struct error **err)
{
    if (!platform)
        return 0;
    if (strcmp(platform, "linux/amd64") != 0 && strcmp(platform, "linux/riscv64") != 0)
        return error_set(err, 0, "--platform %s: must be linux/amd64 or linux/riscv64", platform);
    if (strcmp(platform, kind_name(k)) != 0)
        return error_set(err, 0, "--platform %s: %s is %s", platform, target, kind_name(k));
    return 0;
}

static int target_rootfs(struct guest_spec *s, const char *platform, struct error **err)
{
    enum program_kind k = rootfs_kind(s->rootfs);
    if (check_platform(platform, k, s->image, err) < 0)
        return -1;
    s->foreign = k == PROGRAM_RISCV64;
    if (k == PROGRAM_FOREIGN)
        return error_set(err, ENOEXEC, "%s: its programs are neither x86-64 nor riscv64 ones",
                         s->image);
    if (s->wall == WALL_AUTO)
        s->wall = s->kernel ? WALL_MACHINE : WALL_CONTAINER;
    /* A root without any program may still be mounted full: the container's business. */
    if (s->wall != WALL_CONTAINER && k != PROGRAM_RISCV64)
        return error_set(err, ENOEXEC, "%s: a %s runs riscv64 programs, here /bin is %s", s->image,
                         wall_name(s->wall), kind_name(k));
    return 0;
}

static int target_file(struct guest_spec *s, const char *platform, struct error **err)
{
    enum program_kind k = program_kind_of(s->program);
    if (k == PROGRAM_NONE && s->wall == WALL_MACHINE) {
        /* Not a program: a disk, then. */
        struct guest_disk *d = xcalloc(s->n_disks + 1, sizeof *d);
        d[0].path = STEAL_PTR(s->program);
        for (unsigned i = 0; i < s->n_disks; i++)
            d[i + 1] = s->disks[i];
        free(s->disks);
        s->disks = d;
        s->n_disks++;
        return 0;
    }
    if (k == PROGRAM_NONE || k == PROGRAM_SCRIPT || k == PROGRAM_FOREIGN)
        return error_set(
            err, ENOEXEC,
            "%s: is %s; what runs is a root file system, or an ELF program for riscv64 "
            "or x86-64",
            s->image, kind_name(k));
    if (check_platform(platform, k, s->image, err) < 0)
        return -1;
    s->foreign = k == PROGRAM_RISCV64;
    if (s->wall == WALL_AUTO)
        s->wall = s->kernel ? WALL_MACHINE : s->foreign ? WALL_PROCESS : WALL_CONTAINER;
    if (!s->foreign && s->wall != WALL_CONTAINER)
        return error_set(err, ENOEXEC, "%s: a %s runs riscv64 programs, this one is x86-64",
                         s->image, wall_name(s->wall));
    if (access(s->program, X_OK) < 0)
        return error_set(err, EACCES, "%s", s->image);
    return 0;
}

int run_target(struct guest_spec *s, const char *target, char **words, const char *platform,
               struct error **err)
{
    s->command = strv_dup(words);
    if (!target) {
        if (s->wall == WALL_AUTO && (s->kernel || s->firmware))
            s->wall = WALL_MACHINE;
        if (s->wall != WALL_MACHINE)
            return error_set(err, 0,
                             "what is to run? A root file system, a program, or --as machine");
        return 0;
    }
    struct stat st;
    s->image = xstrdup(target);
    AUTO_FREE char *path = realpath(target, NULL);
    if (!path || stat(path, &st) < 0)
        return error_set(err, 0, "%s: %s", target,
                         errno == ENOENT ? "there is no such folder or file" : strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        s->rootfs = STEAL_PTR(path);
        return target_rootfs(s, platform, err);
    }
    if (S_ISBLK(st.st_mode) && s->wall != WALL_MACHINE)
        return error_set(err, ENOEXEC, "%s: is a disk; use --as machine", target);
    s->program = STEAL_PTR(path);
    if (target_file(s, platform, err) < 0)
        return -1;
    if (s->program) {
        char **with_name = strv_add(NULL, xstrdup(target));
        for (char **w = s->command; *w; w++)
            with_name = strv_add(with_name, xstrdup(*w));
        strv_free(s->command);
        s->command = with_name;
    }
    return 0;
}
