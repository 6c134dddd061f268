#include "process/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/store.h"
#include "process/state.h"

#define FILES_KEPT 4 /* of other builds of this program; the others' are removed */
#define NAME       "riscv64-%016llx.translations"

/* Whether the path of this program means this program; without /proc it cannot be told. */
static bool is_in_own_root(const struct process *p)
{
    char path[PATH_MAX];
    struct stat named, running;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    return stat(path, &named) == 0 && fstat(p->emulator_fd, &running) == 0 &&
           named.st_dev == running.st_dev && named.st_ino == running.st_ino;
}

/* The folder's path; NULL: there is none to be used. */
static char *choose_folder(const struct process *p)
{
    const char *said = p->config.cache, *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (getauxval(AT_SECURE) || !is_in_own_root(p))
        return NULL;
    if (said)
        return strcmp(said, "off") == 0 ? NULL : xstrdup(said);
    if (base && base[0] == '/')
        return xasprintf("%s/wirt", base);
    if (geteuid() == 0)
        return xstrdup("/var/cache/wirt");
    return home && home[0] == '/' ? xasprintf("%s/.cache/wirt", home) : NULL;
}

/* Nobody else's, and nobody else may write to it. */
static bool is_mine(const struct stat *st)
{
    return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* The folder; when may_make, it is made if only it and the one above are missing. */
static int open_folder(const char *path, bool may_make)
{
    struct stat st;
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    AUTO_CLOSE int fd = open(path, flags);
    if (fd < 0 && may_make) {
        AUTO_FREE char *above = xstrdup(path);
        char *slash = strrchr(above, '/');
        if (slash && slash != above) {
            *slash = '\0';
            mkdir(above, 0700);
        }
        mkdir(path, 0700);
        fd = open(path, flags);
    }
    if (fd < 0 || fstat(fd, &st) < 0 || !is_mine(&st))
        return -1;
    return STEAL_FD(fd);
}

static bool is_earlier(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* When a file was written, or mapped, as far as its file system keeps that. */
static struct timespec last_use(const struct stat *st)
{
    return is_earlier(st->st_mtim, st->st_atim) ? st->st_atim : st->st_mtim;
}

/* The folder may be any of the user's, with other files of any name. */
static bool is_name_of_ours(const char *name)
{
    unsigned long long build;
    char again[64];
    if (sscanf(name, "riscv64-%16llx", &build) != 1)
        return false;
    snprintf(again, sizeof again, NAME, build);
    return strcmp(name, again) == 0;
}

/* Those of other builds that were not used for longest go. */
static void remove_old(int folder)
{
    for (;;) {
        char oldest[NAME_MAX + 1] = "";
        struct timespec when = {0};
        unsigned n = 0;
        AUTO_CLOSE int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO_CLOSEDIR DIR *d = fdopendir(fd);
        if (!d)
            return;
        fd = -1; /* it is d's */
        for (struct dirent *e; (e = readdir(d));) {
            struct stat st;
            if (!is_name_of_ours(e->d_name) ||
                fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                continue;
            if (!n++ || is_earlier(last_use(&st), when)) {
                when = last_use(&st);
                strcpy(oldest, e->d_name);
            }
        }
        if (n <= FILES_KEPT || unlinkat(folder, oldest, 0) < 0)
            return;
    }
}

/* how: O_RDONLY, O_RDWR, and O_CREAT. */
static int open_file(const struct process *p, int how, struct stat *st)
{
    char name[64];
    AUTO_CLOSE int folder = open_folder(p->cache_folder, how & O_CREAT);
    if (folder < 0)
        return -1;
    snprintf(name, sizeof name, NAME, (unsigned long long)engine_build(p->engine));
    AUTO_CLOSE int fd = openat(folder, name, how | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (how & O_CREAT)
        remove_old(folder);
    if (fd < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_nlink != 1 || !is_mine(st))
        return -1;
    return STEAL_FD(fd);
}

static bool use_file(struct process *p)
{
    struct stat st;
    AUTO_CLOSE int fd = open_file(p, O_RDONLY, &st);
    if (fd >= 0)
        fd = process_move_away(fd);
    if (fd < 0 || !store_use_file(p->store, fd, engine_build(p->engine)))
        return false;
    p->cache_device = st.st_dev;
    p->cache_inode = st.st_ino;
    p->cache_fd = STEAL_FD(fd);
    return true;
}

static bool make_file(struct process *p)
{
    struct stat st;
    AUTO_CLOSE int fd = open_file(p, O_RDWR | O_CREAT, &st);
    return fd >= 0 && store_make_file(p->store, fd, engine_build(p->engine));
}

void cache_begin(struct process *p)
{
    p->cache_fd = -1;
    if (p->config.interpret || p->config.trace || !engine_build(p->engine))
        return;
    p->cache_folder = choose_folder(p);
    if (!p->cache_folder)
        return;
    p->store = store_new(p->config.cache_size ? p->config.cache_size : CACHE_SIZE);
    if (use_file(p) || (make_file(p) && use_file(p))) {
        engine_keep(p->engine, p->store);
        return;
    }
    store_free(p->store);
    free(p->cache_folder);
    p->store = NULL;
    p->cache_folder = NULL;
}

/* Whether a descriptor stays what it is. Else another of the guest's threads could close it and
 * open a file of its own as the same. What ends needs its descriptors no longer together with
 * them; before an exec, which may fail, they must stay common. */
static bool owns_descriptors(const struct process *p, bool ends)
{
    return p->n_threads <= 1 || (ends && unshare(CLONE_FILES) == 0);
}

/* Into the file that was opened at first, or none: by now the program may be another user, and in
 * another root, where the path means something else. */
void cache_save(struct process *p, bool ends)
{
    struct stat st;
    if (!p->cache_folder || !engine_has_new(p->engine) || !owns_descriptors(p, ends))
        return;
    AUTO_CLOSE int fd = open_file(p, O_RDWR, &st);
    if (fd >= 0 && st.st_dev == p->cache_device && st.st_ino == p->cache_inode)
        engine_save(p->engine, fd);
}
