#include "process/core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "process/space.h"
#include "process/stop.h"

#define SUFFIX        ".riscv64"
#define COMM_SIZE     16
#define ARGUMENT_SIZE 80
#define CHUNK         65536

/* struct elf_prstatus and elf_prpsinfo of linux/elfcore.h with riscv64's registers: pc, x1 to x31.
 */
struct prstatus {
    int32_t signo, code, errno_;
    int16_t cursig, pad;
    uint64_t sigpend, sighold;
    int32_t pid, ppid, pgrp, sid;
    int64_t times[8];
    uint64_t regs[32];
    int32_t fpvalid, pad2;
};

struct prpsinfo {
    char state, sname, zombie, nice;
    uint64_t flag;
    uint32_t uid, gid;
    int32_t pid, ppid, pgrp, sid;
    char fname[COMM_SIZE], psargs[ARGUMENT_SIZE];
};

struct fpregs {
    uint64_t f[32];
    uint32_t fcsr, pad;
};

_Static_assert(sizeof(struct prstatus) == 376, "as debuggers expect it");
_Static_assert(sizeof(struct prpsinfo) == 136, "likewise");

/* --- The name --- */

static bool setting(const char *name, char *out, size_t size)
{
    AUTO_FREE char *path = xasprintf("/proc/sys/kernel/%s", name);
    AUTO_FREE char *text = NULL;
    size_t len;
    if (read_file_at(AT_FDCWD, path, size - 1, &text, &len, NULL) < 0)
        return false;
    snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
    return true;
}

/* core_pattern(5), as far as it names a file. What it would put in from the program has no slash.
 */
static void expand(const struct thread *t, int signo, const char *pattern, struct str *out)
{
    char comm[COMM_SIZE + 1] = "";
    struct utsname u = {0};
    prctl(PR_GET_NAME, comm);
    for (char *c = comm; *c; c++)
        if (*c == '/')
            *c = '!';
    for (const char *p = pattern; *p; p++) {
        if (*p != '%' || !p[1]) {
            if (*p != '%')
                str_append(out, p, 1);
            continue;
        }
        switch (*++p) {
        case '%': str_printf(out, "%%"); break;
        case 'p':
        case 'P': str_printf(out, "%d", getpid()); break;
        case 'i':
        case 'I': str_printf(out, "%d", t->tid); break;
        case 'u': str_printf(out, "%u", getuid()); break;
        case 'g': str_printf(out, "%u", getgid()); break;
        case 's': str_printf(out, "%d", signo); break;
        case 't': str_printf(out, "%lld", (long long)time(NULL)); break;
        case 'e':
        case 'f': str_printf(out, "%s", comm); break;
        case 'h':
            uname(&u);
            str_printf(out, "%s", u.nodename);
            break;
        default: break; /* the kernel drops what it does not know, too */
        }
    }
}

/* A new file that nobody else has put there, or -1. */
static int open_core(const struct thread *t, int signo)
{
    char pattern[128], uses_pid[4] = "0";
    STR_CLEANUP name = {0};
    if (!setting("core_pattern", pattern, sizeof pattern) || !pattern[0] || pattern[0] == '|' ||
        pattern[0] == '@')
        return -1;
    expand(t, signo, pattern, &name);
    setting("core_uses_pid", uses_pid, sizeof uses_pid);
    if (uses_pid[0] != '0' && !strstr(pattern, "%p"))
        str_printf(&name, ".%d", getpid());
    str_printf(&name, SUFFIX);
    unlink(name.data);
    return open(name.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* --- The content --- */

static void note(struct str *out, uint32_t type, const void *data, size_t size)
{
    Elf64_Nhdr h = {sizeof "CORE", (uint32_t)size, type};
    str_append(out, &h, sizeof h);
    str_append(out, "CORE\0\0\0", 8);
    str_append(out, data, size);
    str_append(out, "\0\0\0", (4 - size % 4) % 4);
}

/* What each thread has notes of; a debugger knows the threads by the first, NT_PRSTATUS. */
static void add_status(const struct thread *t, const siginfo_t *info, struct str *out)
{
    struct prstatus s = {.signo = info->si_signo,
                         .code = info->si_code,
                         .cursig = (int16_t)info->si_signo,
                         .sighold = t->mask,
                         .pid = t->tid,
                         .ppid = getppid(),
                         .pgrp = getpgrp(),
                         .sid = getsid(0),
                         .fpvalid = 1};
    s.regs[0] = t->cpu.pc;
    memcpy(s.regs + 1, t->cpu.x + 1, 31 * sizeof(uint64_t));
    note(out, NT_PRSTATUS, &s, sizeof s);
}

static void add_floats(const struct thread *t, struct str *out)
{
    struct fpregs f = {.fcsr = (uint32_t)t->cpu.frm << 5 | t->cpu.fflags};
    memcpy(f.f, t->cpu.f, sizeof f.f);
    note(out, NT_FPREGSET, &f, sizeof f);
}

static void add_process(const struct process *p, const siginfo_t *info, struct str *out)
{
    struct prpsinfo i = {.sname = 'R',
                         .uid = getuid(),
                         .gid = getgid(),
                         .pid = getpid(),
                         .ppid = getppid(),
                         .pgrp = getpgrp(),
                         .sid = getsid(0)};
    prctl(PR_GET_NAME, i.fname);
    size_t len = p->args_len < sizeof i.psargs - 1 ? p->args_len : sizeof i.psargs - 1;
    guest_read(i.psargs, p->args, len);
    for (size_t k = 0; k < len; k++)
        if (!i.psargs[k])
            i.psargs[k] = ' ';
    note(out, NT_PRPSINFO, &i, sizeof i);
    note(out, NT_SIGINFO, info, sizeof *info);

    AUTO_FREE char *auxv = xcalloc(1, p->auxv_len + 1);
    guest_read(auxv, p->auxv, p->auxv_len);
    note(out, NT_AUXV, auxv, p->auxv_len);
}

/* In the order of linux/fs/binfmt_elf.c: the thread that dies first, and the process's notes behind
 * its status. */
static void add_notes(const struct thread *t, const siginfo_t *info, struct str *out)
{
    add_status(t, info, out);
    add_process(t->process, info, out);
    add_floats(t, out);
    if (t->vfork_child) /* the others are its parent's */
        return;
    for (const struct thread *o = t->process->threads; o; o = o->next)
        if (o != t) {
            add_status(o, info, out);
            add_floats(o, out);
        }
}

struct segments {
    Elf64_Phdr *ph;
    size_t n, cap;
    uint64_t offset;
};

static void add_segment(const struct mapping *m, void *arg)
{
    struct segments *s = arg;
    if (s->n == s->cap) {
        s->cap = s->cap * 2 + 64;
        s->ph = xrealloc(s->ph, s->cap * sizeof *s->ph);
    }
    bool readable = m->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    uint64_t size = m->end - m->start;
    s->ph[s->n++] = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = (m->prot & PROT_READ ? PF_R : 0u) |
                                            (m->prot & PROT_WRITE ? PF_W : 0u) |
                                            (m->prot & PROT_EXEC ? PF_X : 0u),
                                 .p_offset = s->offset,
                                 .p_vaddr = m->start,
                                 .p_filesz = readable ? size : 0,
                                 .p_memsz = size,
                                 .p_align = PAGE_SIZE};
    s->offset += readable ? size : 0;
}

static bool all_zero(const char *data, size_t n)
{
    return n == 0 || (!data[0] && memcmp(data, data + 1, n - 1) == 0);
}

/* The memory of one segment; pages of zeros, and what cannot be read, stay holes. */
static bool write_memory(int fd, const Elf64_Phdr *ph, uint64_t limit)
{
    char page[PAGE_SIZE];
    for (uint64_t at = 0; at < ph->p_filesz && ph->p_offset + at + PAGE_SIZE <= limit;
         at += PAGE_SIZE)
        if (!guest_read(page, ph->p_vaddr + at, PAGE_SIZE) && !all_zero(page, PAGE_SIZE) &&
            pwrite(fd, page, PAGE_SIZE, (off_t)(ph->p_offset + at)) != (ssize_t)PAGE_SIZE)
            return false;
    return true;
}

static uint64_t page_up(uint64_t v)
{
    return (v + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static void write_core(const struct thread *t, const siginfo_t *info, int fd, uint64_t limit)
{
    STR_CLEANUP notes = {0};
    struct segments s = {0};
    add_notes(t, info, &notes);
    add_segment(&(struct mapping){0}, &s); /* the place of the notes */
    space_each(&t->process->space, add_segment, &s);
    uint64_t head = sizeof(Elf64_Ehdr) + s.n * sizeof *s.ph;
    uint64_t memory = page_up(head + notes.len);
    s.ph[0] =
        (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = head, .p_filesz = notes.len, .p_align = 4};
    for (size_t i = 1; i < s.n; i++)
        s.ph[i].p_offset += memory;
    Elf64_Ehdr e = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_RISCV,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof e,
        .e_ehsize = sizeof e,
        .e_phentsize = sizeof *s.ph,
        .e_phnum = (uint16_t)s.n};
    bool ok = s.n < PN_XNUM && memory <= limit && write_all(fd, &e, sizeof e) == 0 &&
              write_all(fd, s.ph, s.n * sizeof *s.ph) == 0 &&
              write_all(fd, notes.data, notes.len) == 0;
    for (size_t i = 1; ok && i < s.n; i++)
        ok = write_memory(fd, &s.ph[i], limit);
    uint64_t size = memory + s.offset;
    if (ftruncate(fd, ok ? (off_t)(size < limit ? size : limit) : 0) < 0)
        ok = false; /* what is there is there: the process is dying */
    free(s.ph);
}

void core_write(struct thread *t, const siginfo_t *info, bool go_on)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_CORE, &r) < 0 || r.rlim_cur < PAGE_SIZE ||
        prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
        return;
    while (!stop_others(t))
        stop_wait(t);
    AUTO_CLOSE int fd = open_core(t, info->si_signo);
    if (fd >= 0)
        write_core(t, info, fd, r.rlim_cur);
    stop_end(t, go_on);
}
