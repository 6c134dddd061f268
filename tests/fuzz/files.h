/* Files in memory for fuzzers, made anew for each input. */
#ifndef WIRT_TESTS_FUZZ_FILES_H
#define WIRT_TESTS_FUZZ_FILES_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "fuzz.h"

/* An open file with these bytes, and its path; the caller closes it. */
struct memory_file {
    int fd;
    char path[32];
};

static inline struct memory_file memory_file(const void *data, size_t len)
{
    struct memory_file f = {.fd = memfd_create("input", MFD_CLOEXEC)};
    if (f.fd < 0 || write_all(f.fd, data, len) < 0)
        abort();
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static inline void put_file(int folder, const char *name, const void *data, size_t len)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (fd < 0 || write_all(fd, data, len) < 0)
        abort();
    close(fd);
}

static char memory_name[] = "/dev/shm/wirt-fuzz-XXXXXX";

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static inline void remove_memory_folder(void)
{
    nftw(memory_name, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes a folder in memory, once and until the fuzzer ends: *path (owned) and its descriptor. */
static inline int memory_folder(char **path)
{
    int fd = mkdtemp(memory_name) ? open(memory_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    *path = strdup(memory_name);
    if (fd < 0 || !*path || atexit(remove_memory_folder))
        abort();
    return fd;
}

/* The bytes up to the next NUL, or all: the next file of an input that holds several. */
static inline struct input next_file(struct input *in)
{
    const uint8_t *nul = memchr(in->data, 0, in->left);
    struct input file = {in->data, nul ? (size_t)(nul - in->data) : in->left};
    size_t used = file.left + (nul != NULL);
    in->data += used;
    in->left -= used;
    return file;
}

#endif
