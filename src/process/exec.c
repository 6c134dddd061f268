#include "process/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "process/cache.h"
#include "process/loader.h"
#include "process/path.h"
#include "process/seccomp.h"
#include "process/signal.h"

#define SCRIPT_DEPTH  4                 /* scripts that are interpreted by scripts */
#define HEAD_SIZE     257               /* one more than is looked at */
#define MAX_ARGUMENTS ((size_t)1 << 20) /* far more than the host's kernel takes */
#define MAX_OPTIONS   32                /* of the emulator, see emulator_options_begin */

bool shebang_parse(const uint8_t *head, size_t len, struct shebang *out)
{
    size_t limit = len < sizeof out->text ? len : sizeof out->text - 1, n = 0;
    while (n + 2 < limit && head[n + 2] != '\n' && head[n + 2])
        n++;
    bool cut = n + 2 == limit && limit < len;
    memcpy(out->text, head + 2, n);
    while (n && (out->text[n - 1] == ' ' || out->text[n - 1] == '\t'))
        n--;
    out->text[n] = '\0';
    char *s = out->text + strspn(out->text, " \t");
    char *end = s + strcspn(s, " \t");
    if (!*s || (!*end && cut))
        return false;
    out->interpreter = s;
    out->argument = NULL;
    if (*end) {
        *end = '\0';
        out->argument = end + 1 + strspn(end + 1, " \t");
    }
    return true;
}

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000 /* Linux 6.14 */
#endif

/* What an execve comes to. Lives in the thread's scratch mapping: a vfork child's is freed by its
 * parent. */
struct exec {
    struct thread *thread;
    int fd;                /* the file that is looked at, open for reading; -1: may not be read */
    struct host_path file; /* its path, if the guest's names it or a script does */
    const char *name;      /* what the guest has executed, for AT_EXECFN and scripts */
    char by_fd[PATH_MAX + 32];
    bool by_name;      /* the guest's own path names the file, without a directory descriptor */
    bool closes;       /* the descriptor that names the file is closed by the exec */
    int dirfd, flags;  /* for the host's own exec of it: */
    char *native_path; /* the first file, before #! lines are followed */
    char native_buffer[PATH_MAX];
    struct shebang scripts[SCRIPT_DEPTH];
    size_t n_scripts;
    enum program_kind kind;
    const char *options[MAX_OPTIONS];
    size_t n_options;
    char limits[2][64];      /* arguments of --limit */
    char cache_size[24];     /* of --cache-size */
    char descriptors[4][12]; /* of --fd, --emulator-fd, --messages-fd, --seccomp-fd */
    const char **argv;       /* room for what goes in front before it */
    size_t argc;
};

/* What the host's kernel says to the file as a program: EACCES, or ETXTBSY while it is being
 * written. Kernels before 6.14 tell only of the first. */
static long may_execute(int fd)
{
    const char *argv[] = {"", NULL}, *envp[] = {NULL};
    long r = HOST_CALL(SYS_execveat, fd, "", argv, envp, AT_EXECVE_CHECK | AT_EMPTY_PATH);
    return r == -EINVAL ? HOST_CALL(SYS_faccessat2, fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) : r;
}

static void look_at(struct exec *x, int fd)
{
    if (x->fd >= 0)
        HOST_CALL(SYS_close, x->fd);
    x->fd = fd;
}

#define LOOK_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* result: of the attempt to open the file. A file that may not be read may be executable all the
 * same: the host's kernel says. */
static long opened(struct exec *x, long result)
{
    look_at(x, result >= 0 ? (int)result : -1);
    x->kind = PROGRAM_OTHER;
    return result >= 0 || result == -EACCES ? 0 : result;
}

static long classify(struct exec *x, uint8_t head[HEAD_SIZE], size_t *len)
{
    struct stat st;
    if (fstat(x->fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EACCES;
    long r = may_execute(x->fd);
    if (r < 0)
        return r;
    ssize_t n = pread(x->fd, head, HEAD_SIZE, 0);
    if (n < 0)
        return -errno;
    *len = (size_t)n;
    x->kind = program_kind(head, *len);
    return 0;
}

/* Counts the guest's vector, up to max, and copies its pointers to out, if given. */
static long copy_vector(uint64_t vector, size_t max, const char **out)
{
    if (!vector)
        return 0;
    for (size_t n = 0;; n++) {
        uint64_t s;
        if (guest_read(&s, vector + n * sizeof s, sizeof s))
            return -EFAULT;
        if (!s)
            return (long)n;
        if (n == max)
            return -E2BIG;
        if (out)
            out[n] = (const char *)s;
    }
}

/* Follows #! lines until a program is found; what they add is put in front of the arguments. */
static long find_program(struct exec *x)
{
    const char *path = x->name;
    while (x->fd >= 0) {
        uint8_t head[HEAD_SIZE];
        size_t len = 0;
        long r = classify(x, head, &len);
        if (r || x->kind != PROGRAM_SCRIPT)
            return r;
        if (x->closes) /* the interpreter could not open it any more */
            return -ENOENT;
        if (x->n_scripts == SCRIPT_DEPTH)
            return -ELOOP;
        struct shebang *s = &x->scripts[x->n_scripts++];
        if (!shebang_parse(head, len, s))
            return -ENOEXEC;
        if (x->argc) { /* argv[0] gives way to the script's name */
            x->argv++;
            x->argc--;
        }
        *--x->argv = path;
        x->argc++;
        if (s->argument) {
            *--x->argv = s->argument;
            x->argc++;
        }
        *--x->argv = s->interpreter;
        x->argc++;
        path = s->interpreter;
        path_resolve_own(x->thread->process, path, true, &x->file);
        r = opened(x, HOST_CALL(SYS_openat, AT_FDCWD, x->file.path, LOOK_FLAGS));
        if (r)
            return r;
    }
    return 0;
}

static void option(struct exec *x, const char *word)
{
    x->options[x->n_options++] = word;
}

static void limit_option(struct exec *x, int nr, const char *name, const struct memory_limit *l)
{
    if (!l->set)
        return;
    snprintf(x->limits[nr], sizeof x->limits[nr], "%s=%llu:%llu", name, (unsigned long long)l->soft,
             (unsigned long long)l->hard);
    option(x, "--limit");
    option(x, x->limits[nr]);
}

/* The emulator's own arguments: this process's, for the next program. */
static void emulator_options_begin(struct exec *x)
{
    const struct process *p = x->thread->process;
    option(x, "wirt-riscv64");
    if (p->sysroot) {
        option(x, "-L");
        option(x, p->sysroot);
    }
    if (p->config.strace)
        option(x, "-strace");
    if (p->config.interpret)
        option(x, "--interpret");
    if (p->config.stats)
        option(x, "--stats");
    if (p->config.cache) {
        option(x, "--cache");
        option(x, p->config.cache);
    }
    if (p->config.cache_size) {
        snprintf(x->cache_size, sizeof x->cache_size, "%zu", p->config.cache_size);
        option(x, "--cache-size");
        option(x, x->cache_size);
    }
    if (p->config.trace) {
        option(x, "--trace");
        option(x, p->config.trace);
    }
    if (p->config.uname_release) {
        option(x, "-r");
        option(x, p->config.uname_release);
    }
    limit_option(x, 0, "as", &p->limit_as);
    limit_option(x, 1, "data", &p->limit_data);
}

static void emulator_options_end(struct exec *x)
{
    option(x, "-0");
    option(x, x->argc ? x->argv[0] : "");
    option(x, "--");
    option(x, x->name);
}

/* A copy of fd that outlives the exec, as an option of the next emulator; -errno. It is made only
 * now, so that no other thread's child inherits it for long. */
static long hand_on(struct exec *x, int nr, const char *name, int fd)
{
    long copy = HOST_CALL(SYS_fcntl, fd, F_DUPFD, x->thread->process->exe_fd);
    if (copy == -EINVAL || copy == -EMFILE) /* the limit was lowered since */
        copy = HOST_CALL(SYS_dup, fd);
    if (copy < 0)
        return copy;
    snprintf(x->descriptors[nr], sizeof x->descriptors[nr], "%d", (int)copy);
    option(x, name);
    option(x, x->descriptors[nr]);
    return copy;
}

/* A host kernel that knows us as an interpreter (binfmt_misc) gives a program the rights that its
 * file has. We cannot: they are lost with every program that we start ourselves. With a sysroot it
 * would not find its libraries. */
static bool gives_rights(const struct exec *x)
{
    struct stat st;
    if (x->thread->process->sysroot || fstat(x->fd, &st) < 0)
        return false;
    return (st.st_mode & (S_ISUID | S_ISGID)) ||
           HOST_CALL(SYS_fgetxattr, x->fd, "security.capability", NULL, 0) > 0;
}

/* Runs the emulator again on what was found. */
static long exec_emulator(struct exec *x, uint64_t envp)
{
    struct thread *t = x->thread;
    int self = t->process->emulator_fd, messages = t->process->messages_fd;
    emulator_options_begin(x);
    long file = hand_on(x, 0, "--fd", x->fd);
    long emulator = file < 0 ? file : hand_on(x, 1, "--emulator-fd", self);
    /* For want of a descriptor: its own standard error then. */
    long told = emulator < 0 || messages < 0 ? -1 : hand_on(x, 2, "--messages-fd", messages);
    long filters = emulator < 0 ? emulator : seccomp_save(t), kept = -1;
    if (filters >= 0)
        kept = hand_on(x, 3, "--seccomp-fd", (int)filters);
    long r = filters >= 0 ? kept : filters == -1 ? 0 : filters;
    if (r >= 0) {
        emulator_options_end(x);
        if (x->argc) {
            x->argv++;
            x->argc--;
        }
        for (size_t i = x->n_options; i-- > 0;)
            *--x->argv = x->options[i];
        r = host_wait(t, SYS_execveat, (uint64_t)self, (uint64_t) "", (uint64_t)x->argv, envp,
                      AT_EMPTY_PATH, 0);
    }
    if (kept >= 0)
        HOST_CALL(SYS_close, kept);
    if (filters >= 0)
        HOST_CALL(SYS_close, filters);
    if (told >= 0)
        HOST_CALL(SYS_close, told);
    if (emulator >= 0)
        HOST_CALL(SYS_close, emulator);
    if (file >= 0)
        HOST_CALL(SYS_close, file);
    return r;
}

/* The file that dirfd, path and flags name. */
static long find_file(struct exec *x, uint64_t path)
{
    char rest[PATH_MAX];
    uint64_t flags = LOOK_FLAGS | (x->flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
    long n = guest_strnlen((const char *)path, PATH_MAX);
    if (n < 0 || n >= PATH_MAX || guest_read(rest, path, (size_t)n + 1))
        return n < 0 ? n : -ENAMETOOLONG;
    rest[n] = '\0';
    if (!n && !(x->flags & AT_EMPTY_PATH))
        return -ENOENT;
    x->by_name = rest[0] == '/' || x->dirfd == AT_FDCWD;
    if (x->by_name) {
        x->name = (const char *)path;
        path_resolve(x->thread, path, !(flags & O_NOFOLLOW), &x->file);
        x->native_path = strcpy(x->native_buffer, x->file.path == x->name ? rest : x->file.path);
        return opened(x, HOST_CALL(SYS_openat, AT_FDCWD, x->file.path, flags));
    }
    long own = HOST_CALL(SYS_fcntl, x->dirfd, F_GETFD);
    if (own < 0)
        return -EBADF;
    x->closes = own & FD_CLOEXEC;
    x->native_path = strcpy(x->native_buffer, rest);
    x->name = x->by_fd;
    snprintf(x->by_fd, sizeof x->by_fd, n ? "/dev/fd/%d/%s" : "/dev/fd/%d", x->dirfd, rest);
    if (n)
        return opened(x, HOST_CALL(SYS_openat, x->dirfd, rest, flags));
    char link[32]; /* again, for reading: the guest's may be good for nothing but this */
    snprintf(link, sizeof link, "/proc/self/fd/%d", x->dirfd);
    long fd = HOST_CALL(SYS_openat, AT_FDCWD, link, LOOK_FLAGS);
    return opened(x, fd == -ENOENT ? HOST_CALL(SYS_fcntl, x->dirfd, F_DUPFD_CLOEXEC, 0) : fd);
}

/* A program of the host's: there the limits are the host's too. */
static long exec_native(struct exec *x, uint64_t argv, uint64_t envp)
{
    static const int which[2] = {RLIMIT_AS, RLIMIT_DATA};
    struct thread *t = x->thread;
    const struct memory_limit *limit[2] = {&t->process->limit_as, &t->process->limit_data};
    uint64_t before[2][2];
    bool changed[2] = {0};
    for (int i = 0; i < 2; i++)
        if (limit[i]->set)
            changed[i] = HOST_CALL(SYS_prlimit64, 0, which[i], &limit[i]->soft, before[i]) == 0;
    long r = host_wait(t, SYS_execveat, (uint64_t)(x->by_name ? AT_FDCWD : x->dirfd),
                       (uint64_t)x->native_path, argv, envp, (uint64_t)x->flags, 0);
    for (int i = 0; i < 2; i++)
        if (changed[i])
            HOST_CALL(SYS_prlimit64, 0, which[i], before[i], NULL);
    return r;
}

static long exec_found(struct exec *x, uint64_t path, uint64_t argv, uint64_t envp)
{
    struct thread *t = x->thread;
    long r = find_file(x, path);
    if (!r)
        r = find_program(x);
    if (!r && x->kind == PROGRAM_FOREIGN)
        r = program_check(t->process, x->fd);
    if (r)
        return r;
    /* The guest's filters are about riscv64's calls, and would not count in a program of the
     * host's: whoever has set one gets no way around it. */
    bool filtered = seccomp_mode(t) != SECCOMP_MODE_DISABLED;
    if (filtered && (x->kind != PROGRAM_FOREIGN || t->process->emulator_fd < 0))
        return -EACCES;
    if (!t->vfork_child) /* whose translations are its parent's too */
        cache_save(t->process, false);
    signal_before_exec(t);
    if (x->kind != PROGRAM_FOREIGN || t->process->emulator_fd < 0) {
        r = exec_native(x, argv, envp);
    } else {
        r = !filtered && gives_rights(x) ? exec_native(x, argv, envp) : -ENOEXEC;
        if (r == -ENOEXEC)
            r = exec_emulator(x, envp);
    }
    signal_after_exec(t);
    return r == -ERESTARTSYS ? -ERESTARTNOINTR : r;
}

long exec_program(struct thread *t, int dirfd, uint64_t path, uint64_t argv, uint64_t envp,
                  int flags)
{
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    long n = copy_vector(argv, MAX_ARGUMENTS, NULL);
    if (n < 0)
        return n;
    size_t front = MAX_OPTIONS + 3 * SCRIPT_DEPTH;
    size_t size = sizeof(struct exec) + (front + (size_t)n + 1) * sizeof(char *);
    struct exec *x = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (x == MAP_FAILED)
        return -ENOMEM;
    t->scratch = x;
    t->scratch_size = size;
    x->thread = t;
    x->fd = -1;
    x->dirfd = dirfd;
    x->flags = flags;
    x->argv = (const char **)(x + 1) + front;
    x->argc = (size_t)n;
    long r = copy_vector(argv, (size_t)n, x->argv);
    if (r >= 0)
        r = exec_found(x, path, argv, envp);
    look_at(x, -1);
    t->scratch = NULL;
    munmap(x, size);
    return r;
}
