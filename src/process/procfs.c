/* Which process, and which file of it, a path below /proc means; and what program runs there. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "process/path.h"

/* Those of each process and thread. */
static const char *const names[] = {"exe", "maps", "smaps", "stat", "status", "cmdline", "auxv"};
/* A relative path, or one below a descriptor, is not looked at if it is longer: "self/task/N/exe"
 */
#define LONGEST_RELATIVE 48

static bool is_name(const char *s)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(s, names[i]) == 0)
            return true;
    return false;
}

/* "NUMBER/" at the start: its length, and the number; else 0. */
static size_t number(const char *s, long *out)
{
    size_t n = strspn(s, "0123456789");
    if (!n || n > 10 || s[n] != '/')
        return 0;
    *out = strtol(s, NULL, 10);
    return n + 1;
}

/* Whether tid is a thread of this process. */
static bool is_thread(long tid)
{
    return HOST_CALL(SYS_tgkill, getpid(), tid, 0) == 0;
}

bool proc_parse(const char *path, struct proc_file *out)
{
    if (!str_starts(path, "/proc/"))
        return false;
    const char *rest = path + 6;
    if (strcmp(rest, "cpuinfo") == 0 || strcmp(rest, "sys/kernel/arch") == 0) {
        strcpy(out->folder, "/proc");
        strcpy(out->name, rest);
        out->own = true;
        return true;
    }
    long pid = 0, tid = 0;
    size_t n;
    if (str_starts(rest, "self/")) {
        out->own = true;
        rest += 5;
    } else if (str_starts(rest, "thread-self/")) {
        out->own = true;
        rest += 12;
    } else if ((n = number(rest, &pid))) { /* a thread's number works too, but is not listed */
        out->own = pid == getpid() || is_thread(pid);
        rest += n;
    } else {
        return false;
    }
    if (str_starts(rest, "task/") && (n = number(rest + 5, &tid)))
        rest += 5 + n;
    size_t folder = (size_t)(rest - path) - 1;
    if (!is_name(rest) || folder >= sizeof out->folder)
        return false;
    memcpy(out->folder, path, folder);
    out->folder[folder] = '\0';
    strcpy(out->name, rest);
    return true;
}

/* A path that starts at a folder which dirfd names, as the absolute one. */
static bool below_folder(int dirfd, const char *relative, char out[PATH_MAX])
{
    char folder[LONGEST_RELATIVE + 1];
    struct statfs fs;
    const char *slash = strrchr(relative, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - relative) : 1,
             slash ? relative : ".");
    AUTO_CLOSE int fd = openat(dirfd, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC ||
        !descriptor_path(fd, out))
        return false;
    size_t n = strlen(out);
    return snprintf(out + n, PATH_MAX - n, "/%s", slash ? slash + 1 : relative) <
           (int)(PATH_MAX - n);
}

/* An empty path: the link itself, opened with O_PATH and O_NOFOLLOW. */
static bool link_itself(int fd, char out[PATH_MAX])
{
    struct statfs fs;
    struct stat st;
    return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC &&
           fstat(fd, &st) == 0 && S_ISLNK(st.st_mode) && descriptor_path(fd, out);
}

bool proc_find(int dirfd, uint64_t guest_path, struct proc_file *out)
{
    char text[PATH_MAX], start[6];
    int saved = errno;
    bool found = false;
    if (guest_read(start, guest_path, 1))
        return false;
    if (start[0] == '/') {
        if (guest_read(start, guest_path, sizeof start) || memcmp(start, "/proc/", 6) != 0)
            return false;
        long n = guest_strnlen((const char *)guest_path, PATH_MAX);
        found = n > 0 && n < PATH_MAX && !guest_read(text, guest_path, (size_t)n + 1) &&
                proc_parse(text, out);
    } else {
        char relative[LONGEST_RELATIVE + 1];
        long n = guest_strnlen((const char *)guest_path, sizeof relative);
        if (n < 0 || n >= (long)sizeof relative || guest_read(relative, guest_path, (size_t)n + 1))
            return false;
        relative[n] = '\0';
        const char *slash = strrchr(relative, '/');
        found = n ? is_name(slash ? slash + 1 : relative) && below_folder(dirfd, relative, text)
                  : link_itself(dirfd, text);
        found = found && proc_parse(text, out);
    }
    errno = saved;
    return found;
}

/* --- The program of another process --- */

static bool read_link(const char *folder, const char *name, char out[PATH_MAX])
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ssize_t n = readlink(path, out, PATH_MAX - 1);
    if (n > 0)
        out[n] = '\0';
    return n > 0;
}

/* Where its program headers or its entry are, as the auxiliary vector says: a guest's own there
 * (appearance.c). */
static uint64_t program_address(const char *folder)
{
    char path[96];
    AUTO_FREE char *data = NULL;
    size_t len;
    snprintf(path, sizeof path, "%s/auxv", folder);
    if (read_file_at(AT_FDCWD, path, 4096, &data, &len, NULL) < 0)
        return 0;
    uint64_t entry = 0;
    for (size_t at = 0; at + 16 <= len; at += 16) {
        uint64_t v[2];
        memcpy(v, data + at, sizeof v);
        if (v[0] == AT_PHDR && v[1])
            return v[1];
        if (v[0] == AT_ENTRY)
            entry = v[1];
    }
    return entry;
}

/* The file that is mapped there. */
static bool mapped_file(const char *folder, uint64_t address, char out[PATH_MAX])
{
    char path[96];
    AUTO_FREE char *text = NULL;
    size_t len;
    snprintf(path, sizeof path, "%s/maps", folder);
    if (!address || read_file_at(AT_FDCWD, path, 64u << 20, &text, &len, NULL) < 0)
        return false;
    for (char *line = text, *next; (next = strchr(line, '\n')); line = next + 1) {
        unsigned long long start, end;
        *next = '\0';
        const char *file = strchr(line, '/');
        if (sscanf(line, "%llx-%llx", &start, &end) == 2 && address >= start && address < end)
            return file && snprintf(out, PATH_MAX, "%s", file) < PATH_MAX;
    }
    return false;
}

bool proc_exe(const struct process *p, const struct proc_file *f, bool guest, char out[PATH_MAX])
{
    char theirs[PATH_MAX];
    if (f->own && !guest) { /* whatever has become of its name */
        snprintf(out, PATH_MAX, "/proc/self/fd/%d", p->exe_fd);
        return true;
    }
    if (f->own) {
        if (!descriptor_path(p->exe_fd, out))
            snprintf(out, PATH_MAX, "%s", p->exe_host);
    } else if (!read_link(f->folder, "exe", theirs) || !descriptor_path(p->emulator_fd, out) ||
               strcmp(theirs, out) != 0 ||
               !mapped_file(f->folder, program_address(f->folder), out)) {
        return false;
    }
    const char *inside;
    if (guest && path_below_sysroot(p, out, &inside))
        memmove(out, inside, strlen(inside) + 1);
    return true;
}
