/* Files below /proc that have to speak of the guest, not of the emulator that runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "process/features.h"
#include "process/path.h"
#include "process/space.h"

struct maps {
    struct str out;
    const char *rest; /* the host's list, from the first line that may still matter */
    const struct process *process;
};

/* One host line "start-end perms offset dev inode   name". */
struct line {
    unsigned long long start, end;
    const char *rest; /* from the offset on */
    size_t rest_len;
};

static const char *parse_line(const char *text, struct line *out)
{
    char perms[8];
    int n = 0;
    if (sscanf(text, "%llx-%llx %7s %n", &out->start, &out->end, perms, &n) != 3)
        return NULL;
    const char *end = strchr(text, '\n');
    if (!end)
        return NULL;
    out->rest = text + n;
    out->rest_len = (size_t)(end - out->rest);
    return end + 1;
}

/* The host's lines within one mapping of the guest, with the guest's protection. */
static void add_mapping(const struct mapping *m, void *arg)
{
    struct maps *maps = arg;
    const struct process *p = maps->process;
    struct line l;
    for (const char *next; (next = parse_line(maps->rest, &l)); maps->rest = next) {
        if (l.start >= m->end)
            return;
        if (l.end <= m->start)
            continue;
        uint64_t start = l.start > m->start ? l.start : m->start;
        uint64_t end = l.end < m->end ? l.end : m->end;
        const char *perms = memchr(maps->rest, ' ', 64);
        str_printf(&maps->out, "%08llx-%08llx %c%c%c%c ", (unsigned long long)start,
                   (unsigned long long)end, m->prot & PROT_READ ? 'r' : '-',
                   m->prot & PROT_WRITE ? 'w' : '-', m->prot & PROT_EXEC ? 'x' : '-', perms[4]);
        str_append(&maps->out, l.rest, l.rest_len);
        bool anonymous = memchr(l.rest, '/', l.rest_len) == NULL;
        if (anonymous && start >= p->stack_lo && end <= p->stack_hi)
            str_printf(&maps->out, "                     [stack]");
        else if (anonymous && start >= p->space.brk_start && end <= p->space.brk_mapped)
            str_printf(&maps->out, "                     [heap]");
        str_append(&maps->out, "\n", 1);
        if (l.end > m->end)
            return; /* the same line again for the next mapping */
    }
}

static void write_maps(struct process *p, struct str *out)
{
    AUTO_FREE char *host = NULL;
    size_t len;
    if (read_file_at(AT_FDCWD, "/proc/self/maps", 64u << 20, &host, &len, NULL) < 0)
        return;
    struct maps maps = {.rest = host, .process = p};
    space_each(&p->space, add_mapping, &maps);
    *out = maps.out;
}

static void write_cpuinfo(struct str *out)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < n; i++)
        str_printf(out, "processor\t: %ld\nhart\t\t: %ld\nisa\t\t: %s\nmmu\t\t: sv48\n\n", i, i,
                   features_isa());
}

/* Bytes from the guest's stack, as far as it is still there. */
static void append_guest(struct str *out, uint64_t address, size_t len)
{
    AUTO_FREE char *copy = xcalloc(1, len + 1);
    if (guest_read(copy, address, len) == 0)
        str_append(out, copy, len);
}

int proc_open(struct process *p, const char *path, int flags)
{
    STR_CLEANUP content = {0};
    if ((flags & O_ACCMODE) != O_RDONLY) /* the host's file says what is right */
        return -1;
    if (strcmp(path, "maps") == 0)
        write_maps(p, &content);
    else if (strcmp(path, "cpuinfo") == 0)
        write_cpuinfo(&content);
    else if (strcmp(path, "cmdline") == 0)
        append_guest(&content, p->args, p->args_len);
    else if (strcmp(path, "auxv") == 0)
        append_guest(&content, p->auxv, p->auxv_len);
    else
        return -1;
    AUTO_CLOSE int fd = memfd_create(path, MFD_CLOEXEC);
    if (fd < 0 || write_all(fd, content.data, content.len) < 0)
        return -1;
    char link[32]; /* a descriptor of it that cannot write, as of the file it stands for */
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return open(link, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK)));
}
