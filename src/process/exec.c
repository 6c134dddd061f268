#include "process/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "process/loader.h"
#include "process/path.h"
#include "process/signal.h"

#define SCRIPT_DEPTH  4                 /* scripts that are interpreted by scripts */
#define HEAD_SIZE     257               /* one more than is looked at */
#define MAX_ARGUMENTS ((size_t)1 << 20) /* far more than the host's kernel takes */
#define MAX_OPTIONS   20                /* of the emulator, see emulator_options */

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
    struct host_path file; /* what is to be run */
    char by_fd[PATH_MAX + 32];
    bool by_name; /* the guest's own path names the file, without a directory descriptor */
    struct shebang scripts[SCRIPT_DEPTH];
    size_t n_scripts;
    enum program_kind kind;
    const char *options[MAX_OPTIONS];
    size_t n_options;
    char limits[2][64]; /* arguments of --limit */
    const char **argv;  /* room for what goes in front before it */
    size_t argc;
};

/* What the host's kernel says to the file as a program: EACCES, or ETXTBSY while it is being
 * written. Kernels before 6.14 tell only of the first. */
static long may_execute(const char *path)
{
    const char *argv[] = {path, NULL}, *envp[] = {NULL};
    long r = HOST_CALL(SYS_execveat, AT_FDCWD, path, argv, envp, AT_EXECVE_CHECK);
    return r == -EINVAL ? HOST_CALL(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) : r;
}

static long classify(const char *path, uint8_t head[HEAD_SIZE], size_t *len,
                     enum program_kind *kind)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *kind = PROGRAM_OTHER; /* may be executable all the same; the host's kernel says */
        return errno == EACCES ? 0 : -errno;
    }
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EACCES;
    long r = may_execute(path);
    if (r < 0)
        return r;
    ssize_t n = pread(fd, head, HEAD_SIZE, 0);
    if (n < 0)
        return -errno;
    *len = (size_t)n;
    *kind = program_kind(head, *len);
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
static long find_program(struct exec *x, const char *guest_path)
{
    const char *path = guest_path;
    for (;;) {
        uint8_t head[HEAD_SIZE];
        size_t len = 0;
        long r = classify(x->file.path, head, &len, &x->kind);
        if (r || x->kind != PROGRAM_SCRIPT)
            return r;
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
    }
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
static void emulator_options(struct exec *x)
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
    option(x, "-0");
    option(x, x->argc ? x->argv[0] : "");
    option(x, "--");
    option(x, x->file.path);
}

/* Runs the emulator again on what was found. */
static long exec_emulator(struct exec *x, uint64_t envp)
{
    struct thread *t = x->thread;
    const struct process *p = t->process;
    emulator_options(x);
    if (x->argc) {
        x->argv++;
        x->argc--;
    }
    for (size_t i = x->n_options; i-- > 0;)
        *--x->argv = x->options[i];
    if (p->emulator_fd >= 0)
        return host_wait(t, SYS_execveat, (uint64_t)p->emulator_fd, (uint64_t) "",
                         (uint64_t)x->argv, envp, AT_EMPTY_PATH, 0);
    long r =
        host_wait(t, SYS_execve, (uint64_t) "/proc/self/exe", (uint64_t)x->argv, envp, 0, 0, 0);
    if (r == -ENOENT && p->emulator) /* no /proc here */
        r = host_wait(t, SYS_execve, (uint64_t)p->emulator, (uint64_t)x->argv, envp, 0, 0, 0);
    return r;
}

/* The file that dirfd, path and flags name. */
static long find_file(struct exec *x, int dirfd, uint64_t path, int flags)
{
    char first;
    if (guest_read(&first, path, 1))
        return -EFAULT;
    if (!first && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    x->by_name = first == '/' || dirfd == AT_FDCWD;
    if (x->by_name) {
        path_resolve(x->thread, path, !(flags & AT_SYMLINK_NOFOLLOW), &x->file);
        long n = guest_strnlen((const char *)path, PATH_MAX);
        if (n < 0 || n >= PATH_MAX)
            return n < 0 ? n : -ENAMETOOLONG;
    } else {
        char rest[PATH_MAX];
        if (HOST_CALL(SYS_fcntl, dirfd, F_GETFD) < 0)
            return -EBADF;
        long n = guest_strnlen((const char *)path, PATH_MAX);
        if (n < 0 || n >= PATH_MAX || guest_read(rest, path, (size_t)n + 1))
            return n < 0 ? n : -ENAMETOOLONG;
        snprintf(x->by_fd, sizeof x->by_fd, *rest ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d",
                 dirfd, rest);
        x->file.path = x->by_fd;
        if (!*rest && HOST_CALL(SYS_fcntl, dirfd, F_GETFD) == FD_CLOEXEC) {
            /* The emulator opens it after the exec: it needs a name that lasts. */
            ssize_t len = readlink(x->by_fd, x->file.buffer, sizeof x->file.buffer - 1);
            if (len > 0) {
                x->file.buffer[len] = '\0';
                if (access(x->file.buffer, F_OK) == 0) {
                    x->file.path = x->file.buffer;
                    return 0;
                }
            }
            long fd = HOST_CALL(SYS_dup, dirfd);
            if (fd < 0)
                return fd;
            snprintf(x->by_fd, sizeof x->by_fd, "/proc/self/fd/%d", (int)fd);
        }
    }
    if (flags & AT_SYMLINK_NOFOLLOW) {
        struct stat st;
        if (lstat(x->file.path, &st) == 0 && S_ISLNK(st.st_mode))
            return -ELOOP;
    }
    return 0;
}

/* A program of the host's: there the limits are the host's too. */
static long exec_native(struct thread *t, const char *path, uint64_t argv, uint64_t envp)
{
    static const int which[2] = {RLIMIT_AS, RLIMIT_DATA};
    const struct memory_limit *limit[2] = {&t->process->limit_as, &t->process->limit_data};
    uint64_t before[2][2];
    bool changed[2] = {0};
    for (int i = 0; i < 2; i++)
        if (limit[i]->set)
            changed[i] = HOST_CALL(SYS_prlimit64, 0, which[i], &limit[i]->soft, before[i]) == 0;
    long r = host_wait(t, SYS_execve, (uint64_t)path, argv, envp, 0, 0, 0);
    for (int i = 0; i < 2; i++)
        if (changed[i])
            HOST_CALL(SYS_prlimit64, 0, which[i], before[i], NULL);
    return r;
}

static long exec_found(struct exec *x, int dirfd, uint64_t path, uint64_t argv, uint64_t envp,
                       int flags)
{
    struct thread *t = x->thread;
    long r = find_file(x, dirfd, path, flags);
    if (r)
        return r;
    char native[PATH_MAX]; /* the file itself, before #! lines are followed */
    if (snprintf(native, sizeof native, "%s", x->file.path) >= (int)sizeof native)
        return -ENAMETOOLONG;
    r = find_program(x, x->by_name ? (const char *)path : native);
    if (r)
        return r;
    signal_before_exec(t);
    if (x->kind == PROGRAM_FOREIGN)
        r = exec_emulator(x, envp);
    else
        r = exec_native(t, native, argv, envp);
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
    x->argv = (const char **)(x + 1) + front;
    x->argc = (size_t)n;
    long r = copy_vector(argv, (size_t)n, x->argv);
    if (r >= 0)
        r = exec_found(x, dirfd, path, argv, envp, flags);
    t->scratch = NULL;
    munmap(x, size);
    return r;
}
