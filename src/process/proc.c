/* Files below /proc that have to speak of the guest, not of the emulator that runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "process/features.h"
#include "process/path.h"
#include "process/seccomp.h"
#include "process/signal.h"
#include "process/space.h"

/* --- maps and smaps --- */

struct maps {
    struct str out;
    const char *rest; /* the host's list, from the first line that may still matter */
    const struct process *process;
};

/* One host line "start-end perms offset dev inode   name", and in smaps what is said of it in the
 * lines that follow. */
struct line {
    unsigned long long start, end;
    const char *rest; /* from the offset on */
    size_t rest_len;
    const char *more; /* smaps: "Size: ..." */
    size_t more_len;
};

/* The line that starts with the next mapping, or the end. */
static const char *next_mapping(const char *text)
{
    while (*text) {
        size_t hex = strspn(text, "0123456789abcdef");
        if (hex && text[hex] == '-')
            break;
        const char *end = strchr(text, '\n');
        text = end ? end + 1 : text + strlen(text);
    }
    return text;
}

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
    out->more = end + 1;
    const char *next = next_mapping(out->more);
    out->more_len = (size_t)(next - out->more);
    return next;
}

static const char *special_name(const struct process *p, uint64_t start, uint64_t end)
{
    if (start >= p->stack_lo && end <= p->stack_hi)
        return "[stack]";
    if (start < p->space.brk_mapped && end > p->space.brk_start)
        return "[heap]";
    return start == p->vdso ? "[vdso]" : NULL;
}

/* What smaps says of a host mapping. Where several of the guest's lie in it, all of it is said of
 * the first; of the others only the size. */
static void add_details(struct str *out, const struct line *l, uint64_t start, uint64_t end)
{
    if (!l->more_len)
        return;
    str_printf(out, "Size:           %8llu kB\n", (unsigned long long)(end - start) / 1024);
    const char *second = memchr(l->more, '\n', l->more_len);
    if (start == l->start && second)
        str_append(out, second + 1, l->more_len - (size_t)(second + 1 - l->more));
}

/* The host's lines within one mapping of the guest, with the guest's protection. */
static void add_mapping(const struct mapping *m, void *arg)
{
    struct maps *maps = arg;
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
        bool named = memchr(l.rest, '/', l.rest_len) != NULL;
        const char *special = named ? NULL : special_name(maps->process, start, end);
        const char *host_name = memchr(l.rest, '[', l.rest_len); /* its idea of heap and stack */
        size_t len = host_name && (special || strncmp(host_name, "[anon", 5) != 0)
                         ? (size_t)(host_name - l.rest)
                         : l.rest_len;
        while (len && l.rest[len - 1] == ' ')
            len--;
        str_append(&maps->out, l.rest, len);
        if (special)
            str_printf(&maps->out, "%*s%s", len < 47 ? (int)(47 - len) : 1, "", special);
        str_append(&maps->out, "\n", 1);
        add_details(&maps->out, &l, start, end);
        if (l.end > m->end)
            return; /* the same line again for the next mapping */
    }
}

static void write_maps(struct process *p, const char *host, struct str *out)
{
    struct maps maps = {.rest = host, .process = p};
    space_each(&p->space, add_mapping, &maps);
    *out = maps.out;
}

/* --- status --- */

/* SIGSEGV and SIGBUS always have a handler of ours, and are always open. */
static uint64_t signal_field(const struct process *p, const struct thread *t, const char *name,
                             uint64_t host)
{
    static const int ours[] = {SIGSEGV, SIGBUS};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        uint64_t handler = p->sighand.action[ours[i]].handler, bit = SIGNAL_BIT(ours[i]);
        bool set = strcmp(name, "SigBlk") == 0   ? t->mask & bit
                   : strcmp(name, "SigIgn") == 0 ? handler == (uint64_t)SIG_IGN
                   : strcmp(name, "SigCgt") == 0
                       ? handler != (uint64_t)SIG_IGN && handler != (uint64_t)SIG_DFL
                       : signal_held(t) & bit;
        host = set ? host | bit : host & ~bit;
    }
    return host;
}

static bool is_signal_field(const char *name)
{
    static const char *const fields[] = {"SigPnd", "SigBlk", "SigIgn", "SigCgt"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(name, fields[i]) == 0)
            return true;
    return false;
}

static void write_status(const struct process *p, const char *host, struct str *out)
{
    for (const char *line = host, *end; (end = strchr(line, '\n')); line = end + 1) {
        unsigned long long value;
        char name[7];
        snprintf(name, sizeof name, "%s", line);
        if (is_signal_field(name) && sscanf(line + 6, ":\t%16llx\n", &value) == 1)
            str_printf(out, "%s:\t%016llx\n", name,
                       (unsigned long long)signal_field(p, current_thread, name, value));
        else if (str_starts(line, "Seccomp:\t0\n"))
            str_printf(out, "Seccomp:\t%d\n", seccomp_mode(current_thread));
        else if (str_starts(line, "Seccomp_filters:\t0\n"))
            str_printf(out, "Seccomp_filters:\t%u\n", seccomp_filters(current_thread));
        else
            str_append(out, line, (size_t)(end + 1 - line));
    }
}

/* --- The rest --- */

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

/* The content, or false: it is the host's. */
static bool write_content(struct process *p, const struct proc_file *f, struct str *out)
{
    AUTO_FREE char *host = NULL;
    size_t len;
    char path[96];
    bool maps = strcmp(f->name, "maps") == 0 || strcmp(f->name, "smaps") == 0;
    bool status = strcmp(f->name, "status") == 0;
    if (maps || status) {
        snprintf(path, sizeof path, "%s/%s", f->folder, f->name);
        if (read_file_at(AT_FDCWD, path, 64u << 20, &host, &len, NULL) < 0)
            return false;
    }
    if (maps)
        write_maps(p, host, out);
    else if (status)
        write_status(p, host, out);
    else if (strcmp(f->name, "cpuinfo") == 0)
        write_cpuinfo(out);
    else if (strcmp(f->name, "sys/kernel/arch") == 0)
        str_printf(out, "riscv64\n");
    else if (strcmp(f->name, "cmdline") == 0)
        append_guest(out, p->args, p->args_len);
    else if (strcmp(f->name, "auxv") == 0)
        append_guest(out, p->auxv, p->auxv_len);
    else
        return false;
    return true;
}

int proc_open(struct process *p, const struct proc_file *f, int flags)
{
    STR_CLEANUP content = {0};
    if (!f->own || (flags & O_ACCMODE) != O_RDONLY || (flags & (O_PATH | O_DIRECTORY)))
        return -1; /* the host's file says what is right */
    if (!write_content(p, f, &content))
        return -1;
    AUTO_CLOSE int fd = memfd_create(f->name, MFD_CLOEXEC);
    if (fd < 0 || write_all(fd, content.data, content.len) < 0)
        return -1;
    char link[32]; /* a descriptor of it that cannot write, as of the file it stands for */
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return open(link, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK)));
}
