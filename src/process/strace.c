/* -strace: a line a system call on what was standard error at the start, in the form of strace(1).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process/syscall.h"

/* One line, written by one write() so that lines of several threads do not mix. */
struct line {
    char text[1024];
    size_t len;
};

static void add(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(l->text + l->len, sizeof l->text - 1 - l->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        l->len += (size_t)n;
    if (l->len > sizeof l->text - 2)
        l->len = sizeof l->text - 2;
}

static void finish(const struct process *p, struct line *l)
{
    l->text[l->len++] = '\n';
    if (write(p->messages_fd, l->text, l->len) < 0)
        l->len = 0; /* nobody to tell */
}

static void add_string(struct line *l, uint64_t address)
{
    char s[65];
    if (!address) {
        add(l, "NULL");
        return;
    }
    long n = guest_strnlen((const char *)address, sizeof s - 1);
    if (n < 0 || guest_read(s, address, (size_t)n)) {
        add(l, "%#llx", (unsigned long long)address);
        return;
    }
    add(l, "\"");
    for (long i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            add(l, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            add(l, "\\%03o", c);
        else
            add(l, "%c", c);
    }
    add(l, n == (long)sizeof s - 1 ? "\"..." : "\"");
}

struct flag {
    uint64_t bit;
    const char *name;
};

static void add_flags(struct line *l, uint64_t v, const struct flag *flags, size_t n,
                      const char *none)
{
    const char *separator = "";
    for (size_t i = 0; i < n; i++)
        if (v & flags[i].bit) {
            add(l, "%s%s", separator, flags[i].name);
            separator = "|";
            v &= ~flags[i].bit;
        }
    if (v)
        add(l, "%s%#llx", separator, (unsigned long long)v);
    else if (!*separator)
        add(l, "%s", none);
}

static void add_open_flags(struct line *l, uint64_t v)
{
    static const struct flag flags[] = {{1, "O_WRONLY"},          {2, "O_RDWR"},
                                        {0100, "O_CREAT"},        {0200, "O_EXCL"},
                                        {0400, "O_NOCTTY"},       {01000, "O_TRUNC"},
                                        {02000, "O_APPEND"},      {04000, "O_NONBLOCK"},
                                        {040000, "O_DIRECT"},     {0100000, "O_LARGEFILE"},
                                        {0200000, "O_DIRECTORY"}, {0400000, "O_NOFOLLOW"},
                                        {02000000, "O_CLOEXEC"},  {010000000, "O_PATH"}};
    if (!(v & 3))
        add(l, v ? "O_RDONLY|" : "O_RDONLY");
    if (v)
        add_flags(l, v, flags, sizeof flags / sizeof *flags, "");
}

static void add_protection(struct line *l, uint64_t v)
{
    static const struct flag flags[] = {{1, "PROT_READ"}, {2, "PROT_WRITE"}, {4, "PROT_EXEC"}};
    add_flags(l, v, flags, sizeof flags / sizeof *flags, "PROT_NONE");
}

static void add_argument(struct line *l, char kind, uint64_t v)
{
    switch (kind) {
    case 'd': add(l, "%lld", (long long)(int64_t)v); break;
    case 'u': add(l, "%llu", (unsigned long long)v); break;
    case 'o': add(l, "0%llo", (unsigned long long)v); break;
    case 's': add_string(l, v); break;
    case 'F': add_open_flags(l, v); break;
    case 'P': add_protection(l, v); break;
    case 'g':
        if (v && sigabbrev_np((int)v))
            add(l, "SIG%s", sigabbrev_np((int)v));
        else
            add(l, "%llu", (unsigned long long)v);
        break;
    case 'D':
        if ((int)v == -100)
            add(l, "AT_FDCWD");
        else
            add(l, "%d", (int)v);
        break;
    default:
        if (v)
            add(l, "%#llx", (unsigned long long)v);
        else
            add(l, "%s", kind == 'p' ? "NULL" : "0");
    }
}

static void add_result(struct line *l, long r)
{
    if (r == -ERESTARTSYS)
        add(l, " = ? (a signal came first)");
    else if (r < 0 && r >= -4095)
        add(l, " = -1 %s (%s)", strerrorname_np((int)-r) ? strerrorname_np((int)-r) : "?",
            strerror((int)-r));
    else if (r > 0xffffff)
        add(l, " = %#lx", r);
    else
        add(l, " = %ld", r);
}

void strace_call(const struct thread *t, uint64_t nr, const uint64_t a[6], const long *result)
{
    struct line l = {.len = 0};
    add(&l, "%d ", (int)t->tid);
    if (nr < N_SYSCALLS && syscall_table[nr].name) {
        const char *kinds = syscall_table[nr].args;
        add(&l, "%s(", syscall_table[nr].name);
        for (int i = 0; kinds[i] && i < 6; i++) {
            if (i)
                add(&l, ", ");
            add_argument(&l, kinds[i], a[i]);
        }
        add(&l, ")");
    } else {
        add(&l, "syscall_%llu(%#llx, %#llx, %#llx, %#llx, %#llx, %#llx)", (unsigned long long)nr,
            (unsigned long long)a[0], (unsigned long long)a[1], (unsigned long long)a[2],
            (unsigned long long)a[3], (unsigned long long)a[4], (unsigned long long)a[5]);
    }
    if (result)
        add_result(&l, *result);
    finish(t->process, &l);
}

void strace_signal(const struct thread *t, const siginfo_t *info)
{
    struct line l = {.len = 0};
    add(&l, "%d --- ", (int)t->tid);
    add_argument(&l, 'g', (uint64_t)info->si_signo);
    add(&l, " {si_code=%d, si_addr=%p} ---", info->si_code, info->si_addr);
    finish(t->process, &l);
}
