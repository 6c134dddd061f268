/* exec NATIVE: starts itself in other roles, and the native program NATIVE. */
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;
static char self[4096];

static int status_of(pid_t p)
{
    int s = -1;
    waitpid(p, &s, 0);
    return s;
}

/* Output of a command run by the shell-less way: fork, exec, read the pipe. */
static const char *output(char *const argv[], char *const envp[])
{
    static char b[4096];
    int p[2];
    pipe(p);
    pid_t child = fork();
    if (child == 0) {
        dup2(p[1], 1);
        close(p[0]);
        close(p[1]);
        execve(argv[0], argv, envp);
        _exit(errno == ENOENT ? 127 : 126);
    }
    close(p[1]);
    size_t n = 0;
    for (ssize_t k; n < sizeof b - 1 && (k = read(p[0], b + n, sizeof b - 1 - n)) > 0;)
        n += (size_t)k;
    b[n] = 0;
    close(p[0]);
    waitpid(child, NULL, 0);
    return b;
}

/* The roles. */
static int role(int argc, char **argv)
{
    if (!strcmp(argv[1], "show")) {
        printf("argv0=%s argc=%d last=%s X=%s\n", argv[0], argc, argv[argc - 1],
               getenv("X") ? getenv("X") : "(none)");
        return 0;
    }
    if (!strcmp(argv[1], "limit")) {
        struct rlimit r;
        int refused =
            mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
        getrlimit(RLIMIT_AS, &r);
        printf("%llu %d\n", (unsigned long long)r.rlim_cur, refused);
        return 0;
    }
    if (!strcmp(argv[1], "mask")) {
        sigset_t m;
        sigprocmask(SIG_BLOCK, NULL, &m);
        struct sigaction a, h, b;
        sigaction(SIGUSR2, NULL, &a);
        sigaction(SIGHUP, NULL, &h);
        sigaction(SIGSEGV, NULL, &b);
        printf("%d %d %d %d %d\n", sigismember(&m, SIGUSR1), sigismember(&m, SIGSEGV),
               a.sa_handler == SIG_IGN, h.sa_handler == SIG_DFL, b.sa_handler == SIG_IGN);
        return 0;
    }
    if (!strcmp(argv[1], "exe")) {
        char link[4096] = "";
        readlink("/proc/self/exe", link, sizeof link - 1);
        printf("%s %s\n", argv[0], link);
        return 0;
    }
    if (!strcmp(argv[1], "fd"))
        return fcntl(atoi(argv[2]), F_GETFD) == -1 ? 1 : 0;
    return atoi(argv[1]);
}

static void handler(int s)
{
    (void)s;
}

static void test_exec(void)
{
    char *env[] = {"X=1 2", NULL};
    CHECK("argv and environment",
          !strcmp(output((char *[]){self, "show", "a b", NULL}, env), "argv0=") ||
              strstr(output((char *[]){self, "show", "a b", NULL}, env), "argc=3 last=a b X=1 2"));
    int p[2];
    pipe(p);
    pid_t c = fork();
    if (c == 0) {
        dup2(p[1], 1);
        execve(self, (char *[]){"other name", "show", NULL}, env);
        _exit(1);
    }
    char b[200] = "";
    status_of(c);
    read(p[0], b, sizeof b - 1);
    CHECK("argv[0] is the caller's", !strncmp(b, "argv0=other name argc=2", 23));
    close(p[0]);
    close(p[1]);
    c = fork();
    if (c == 0)
        execv("/nonexistent", (char *[]){"x", NULL}), _exit(errno == ENOENT ? 7 : 8);
    CHECK("ENOENT", WEXITSTATUS(status_of(c)) == 7);
    c = fork();
    if (c == 0)
        execv("/tmp", (char *[]){"x", NULL}), _exit(errno == EACCES ? 7 : 8);
    CHECK("EACCES for a folder", WEXITSTATUS(status_of(c)) == 7);
    int keep = open("/dev/null", O_RDONLY), gone = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char k[12], g[12];
    snprintf(k, sizeof k, "%d", keep);
    snprintf(g, sizeof g, "%d", gone);
    c = fork();
    if (c == 0)
        execv(self, (char *[]){self, "fd", k, NULL});
    CHECK("descriptors survive", WEXITSTATUS(status_of(c)) == 0);
    c = fork();
    if (c == 0)
        execv(self, (char *[]){self, "fd", g, NULL});
    CHECK("but not with O_CLOEXEC", WEXITSTATUS(status_of(c)) == 1);
    close(keep);
    close(gone);
}

static void test_signals(void)
{
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGUSR1);
    sigaddset(&m, SIGSEGV);
    sigprocmask(SIG_BLOCK, &m, NULL);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGSEGV, SIG_IGN);
    signal(SIGHUP, handler);
    CHECK("the mask and ignored signals are inherited, handlers are not",
          !strcmp(output((char *[]){self, "mask", NULL}, environ), "1 1 1 1 1\n"));
    signal(SIGUSR2, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &m, NULL);
    CHECK("and as they are now",
          !strcmp(output((char *[]){self, "mask", NULL}, environ), "0 0 0 1 0\n"));
}

static void test_vfork(void)
{
    volatile int shared = 0;
    pid_t c = vfork();
    if (c == 0) {
        shared = 5;
        _exit(9);
    }
    CHECK("vfork waits and shares", shared == 5 && WEXITSTATUS(status_of(c)) == 9);
    c = vfork();
    if (c == 0) {
        execv(self, (char *[]){self, "33", NULL});
        _exit(1);
    }
    CHECK("vfork and exec", WEXITSTATUS(status_of(c)) == 33);
    c = vfork();
    if (c == 0) {
        execv("/nonexistent", (char *[]){"x", NULL});
        _exit(errno == ENOENT ? 3 : 4);
    }
    CHECK("vfork and exec of nothing", WEXITSTATUS(status_of(c)) == 3);
    c = vfork();
    if (c == 0) {
        kill(getpid(), SIGKILL);
        _exit(0);
    }
    CHECK("vfork and death", WTERMSIG(status_of(c)) == SIGKILL);
    pid_t p = 0;
    CHECK("posix_spawn tells why it failed",
          posix_spawn(&p, "/nonexistent", NULL, NULL, (char *[]){"x", NULL}, environ) == ENOENT);
    int bad = 0;
    for (int i = 0; i < 20; i++) {
        char n[4];
        snprintf(n, sizeof n, "%d", i);
        if (posix_spawn(&p, self, NULL, NULL, (char *[]){self, n, NULL}, environ) ||
            WEXITSTATUS(status_of(p)) != i)
            bad++;
    }
    CHECK("posix_spawn 20 times", !bad);
}

static void test_native(char *native)
{
    CHECK("a native program",
          !strcmp(output((char *[]){native, "native words", NULL}, environ), "native words\n"));
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    write(fd, text, strlen(text));
    close(fd);
}

static void test_scripts(char *native)
{
    char dir[] = "/tmp/wirt-exec-XXXXXX", path[100], nested[100], text[5000];
    mkdtemp(dir);
    snprintf(path, sizeof path, "%s/script", dir);
    snprintf(nested, sizeof nested, "%s/nested", dir);
    snprintf(text, sizeof text, "#! %s show  \nrest\n", self);
    write_file(path, text);
    char want[5000];
    snprintf(want, sizeof want, "argv0=%s argc=4 last=end X=", self);
    CHECK("a script with an argument in its first line",
          !strncmp(output((char *[]){path, "end", NULL}, environ), want, strlen(want)));
    snprintf(text, sizeof text, "#!%s\n", path);
    write_file(nested, text);
    snprintf(want, sizeof want, "argv0=%s argc=5 last=end X=", self);
    CHECK("a script run by a script",
          !strncmp(output((char *[]){nested, "end", NULL}, environ), want, strlen(want)));
    snprintf(text, sizeof text, "#!%s\n", native);
    write_file(path, text);
    snprintf(want, sizeof want, "%s end\n", path);
    CHECK("a script of a native program",
          !strcmp(output((char *[]){path, "end", NULL}, environ), want));
    write_file(path, "#!/nonexistent\n");
    pid_t c = fork();
    if (c == 0)
        execv(path, (char *[]){path, NULL}), _exit(errno == ENOENT ? 7 : 8);
    CHECK("a script of nothing", WEXITSTATUS(status_of(c)) == 7);
    write_file(path, "neither ELF nor script");
    c = fork();
    if (c == 0)
        execv(path, (char *[]){path, NULL}), _exit(errno == ENOEXEC ? 7 : 8);
    CHECK("ENOEXEC", WEXITSTATUS(status_of(c)) == 7);
    chmod(path, 0600);
    c = fork();
    if (c == 0)
        execv(path, (char *[]){path, NULL}), _exit(errno == EACCES ? 7 : 8);
    CHECK("EACCES without x", WEXITSTATUS(status_of(c)) == 7);
    unlink(path);
    unlink(nested);
    rmdir(dir);
}

static void test_fexecve(void)
{
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    pid_t c = fork();
    if (c == 0)
        fexecve(fd, (char *[]){"x", "21", NULL}, environ), _exit(1);
    CHECK("fexecve", WEXITSTATUS(status_of(c)) == 21);
    int m = memfd_create("copy", 0);
    char b[65536];
    for (ssize_t n; (n = read(fd, b, sizeof b)) > 0;)
        write(m, b, (size_t)n);
    c = fork();
    if (c == 0)
        fexecve(m, (char *[]){"x", "22", NULL}, environ), _exit(1);
    CHECK("fexecve of a memfd", WEXITSTATUS(status_of(c)) == 22);
    close(m);
    close(fd);
}

/* How the exec of a file with this content ends: errno. */
static int refusal(const void *content, size_t size)
{
    int fd = open("refused", O_CREAT | O_TRUNC | O_WRONLY, 0700);
    write(fd, content, size);
    close(fd);
    char *const argv[] = {"x", NULL};
    errno = 0;
    pid_t c = fork();
    if (c == 0)
        execve("./refused", argv, environ), _exit(errno);
    int s = status_of(c);
    unlink("refused");
    return WIFEXITED(s) ? WEXITSTATUS(s) : -WTERMSIG(s);
}

/* What is wrong with a file is said by execve, not by a new program that dies of it. */
static void test_unsound(void)
{
    static unsigned char b[4 << 20];
    int fd = open(self, O_RDONLY);
    size_t n = (size_t)read(fd, b, sizeof b);
    close(fd);
    CHECK("an ELF header alone", refusal(b, 64) == ENOEXEC);
    CHECK("less than that", refusal(b, 20) == ENOEXEC);
    CHECK("an empty file", refusal(b, 0) == ENOEXEC);
    CHECK("#! alone", refusal("#!\n", 3) == ENOEXEC);
    CHECK("a script of itself", refusal("#!./refused\n", 12) == ELOOP);
    b[0x36] = 57; /* e_phentsize */
    CHECK("program headers of another size", refusal(b, n) == ENOEXEC);
    b[0x36] = 56;
    unsigned char *ph = b + 64; /* where every linker puts them */
    memcpy(ph, &(int){3}, 4);   /* PT_INTERP */
    memcpy(ph + 8, &(long){2048}, 8);
    memcpy(ph + 32, &(long){14}, 8);
    memcpy(b + 2048, "/nonexistent!", 14);
    CHECK("an interpreter that is not there", refusal(b, n) == ENOENT);
    static char big[200000];
    memset(big, 'a', sizeof big - 1);
    char *const argv[] = {"x", big, NULL};
    CHECK("an argument that is too long", execve(self, argv, environ) == -1 && errno == E2BIG);
}

static void test_nameless(void)
{
    char line[256];
    for (int k = 0; k < 4; k++) {
        int p[2];
        pipe(p);
        pid_t c = fork();
        if (c == 0) {
            int m = memfd_create("prog", k & 1 ? MFD_CLOEXEC : 0), in = open(self, O_RDONLY);
            sendfile(m, in, NULL, 1 << 30);
            char *const argv[] = {"name", "exe", NULL};
            dup2(p[1], 1);
            dup2(p[1], 2);
            if (k & 2)
                fexecve(m, argv, environ);
            else
                syscall(SYS_execveat, m, "", argv, environ, AT_EMPTY_PATH);
            _exit(9);
        }
        close(p[1]);
        ssize_t n = read(p[0], line, sizeof line - 1);
        line[n > 0 ? n : 0] = 0;
        CHECK("a memfd knows its name",
              status_of(c) == 0 && !strcmp(line, "name /memfd:prog (deleted)\n"));
        close(p[0]);
    }
    for (int k = 0; k < 2; k++) {
        pid_t c = fork();
        if (c == 0) {
            int m = memfd_create("script", k ? MFD_CLOEXEC : 0);
            dprintf(m, "#!%s 6\n", self);
            fexecve(m, (char *[]){"s", NULL}, environ);
            _exit(errno);
        }
        CHECK("a script in a memfd, which close-on-exec takes away",
              WEXITSTATUS(status_of(c)) == (k ? ENOENT : 6));
    }
    pid_t c = fork();
    if (c == 0) {
        int fd = open(self, O_PATH | O_CLOEXEC);
        fexecve(fd, (char *[]){"n", "23", NULL}, environ);
        _exit(9);
    }
    CHECK("a descriptor of O_PATH", WEXITSTATUS(status_of(c)) == 23);
}

/* A limit on memory is there in the next program too. */
static void test_limit(void)
{
    struct rlimit old, r;
    getrlimit(RLIMIT_AS, &old);
    r = old;
    r.rlim_cur = 512 << 20;
    setrlimit(RLIMIT_AS, &r);
    char *const own[] = {self, "limit", NULL};
    char *const shell[] = {"/bin/sh", "-c", "ulimit -v", NULL};
    CHECK("RLIMIT_AS after exec", !strcmp(output(own, environ), "536870912 1\n"));
    CHECK("and in a native program", !strcmp(output(shell, environ), "524288\n"));
    setrlimit(RLIMIT_AS, &old);
    CHECK("and gone again", strstr(output(own, environ), " 0\n") != NULL);
}

static void test_refused(void)
{
    char *const argv[] = {"x", NULL};
    CHECK("a descriptor that is not open",
          syscall(SYS_execveat, -1, "", argv, environ, AT_EMPTY_PATH) == -1 && errno == EBADF);
    CHECK("nor with a name below it",
          syscall(SYS_execveat, 999, "x", argv, environ, 0) == -1 && errno == EBADF);
    if (!kernel_at_least(6, 14))
        return; /* only from then on can one ask */
    int from = open(self, O_RDONLY), to = open("busy", O_CREAT | O_WRONLY, 0755);
    CHECK("a program that is being written", sendfile(to, from, NULL, 1 << 30) > 0 &&
                                                 execve("busy", argv, environ) == -1 &&
                                                 errno == ETXTBSY);
    close(from);
    close(to);
    unlink("busy");
}

int main(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '/')
        return role(argc, argv);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK("/proc/self/exe", n > 0 && argc == 2);
    test_exec();
    test_signals();
    test_vfork();
    test_native(argv[1]);
    test_scripts(argv[1]);
    test_fexecve();
    test_refused();
    test_unsound();
    test_nameless();
    test_limit();
    return check_failed;
}
