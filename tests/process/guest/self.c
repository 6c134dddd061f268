/* What a program sees of itself, of its threads and of a child in /proc. */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char exe[4096];

static const char *content(const char *path)
{
    static char b[1 << 20];
    int fd = open(path, O_RDONLY);
    size_t n = 0;
    for (ssize_t k; fd >= 0 && (k = read(fd, b + n, sizeof b - 1 - n)) > 0;)
        n += (size_t)k;
    b[n] = 0;
    for (size_t i = 0; i < n; i++)
        if (!b[i])
            b[i] = ' ';
    close(fd);
    return b;
}

static int is_exe(ssize_t n, char *link)
{
    link[n > 0 ? n : 0] = 0;
    return n > 0 && !strcmp(link, exe);
}

static int link_is_exe(const char *path)
{
    char link[4096];
    return is_exe(readlink(path, link, sizeof link - 1), link);
}

static const char *pid_path(const char *format, int pid)
{
    static char path[100];
    snprintf(path, sizeof path, format, pid);
    return path;
}

static void *look_from_thread(void *arg)
{
    int tid = (int)syscall(SYS_gettid);
    char path[100];
    snprintf(path, sizeof path, "/proc/self/task/%d/exe", tid);
    CHECK("exe of a thread", link_is_exe(path) && link_is_exe(pid_path("/proc/%d/exe", tid)));
    CHECK("and of thread-self", link_is_exe("/proc/thread-self/exe"));
    CHECK("its maps", strstr(content("/proc/thread-self/maps"), exe));
    return arg;
}

static void test_exe(void)
{
    char link[4096];
    struct stat a, b;
    CHECK("exe by number", link_is_exe(pid_path("/proc/%d/exe", getpid())));
    int d = open("/proc/self", O_PATH);
    CHECK("exe below a descriptor", is_exe(readlinkat(d, "exe", link, sizeof link - 1), link));
    close(d);
    d = open("/proc", O_RDONLY);
    CHECK("and further below", is_exe(readlinkat(d, "self/exe", link, sizeof link - 1), link));
    close(d);
    d = open("/proc/self/exe", O_PATH | O_NOFOLLOW);
    CHECK("exe of the link itself", is_exe(readlinkat(d, "", link, sizeof link - 1), link));
    close(d);
    chdir("/proc/self");
    CHECK("exe in the working folder", link_is_exe("exe"));
    int fd = open("exe", O_RDONLY);
    CHECK("opened there", fd >= 0 && !fstat(fd, &a) && !stat(exe, &b) && a.st_ino == b.st_ino);
    close(fd);
    chdir("/");
    CHECK("stat of exe", !stat("/proc/self/exe", &a) && !stat(exe, &b) && a.st_ino == b.st_ino);
    CHECK("what is no file of a process stays what it is", readlink("/proc/self/cwd", link, 9) > 0);
}

static void handler(int s)
{
    (void)s;
}

/* A line of signals, without the two that are libc's own: it handles 33 once there was a thread,
 * and posix_spawn has whom it starts ignore both. */
static uint64_t signals(const char *status, const char *line)
{
    const char *at = strstr(status, line);
    return at ? strtoull(at + strlen(line), NULL, 16) & ~(3ull << 31) : ~0ull;
}

static void test_status(void)
{
    sigset_t set;
    for (int s = 1; s < 32; s++) /* whoever started us may have some ignored */
        signal(s, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGBUS);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, handler);
    raise(SIGUSR1);
    kill(getpid(), SIGBUS);
    const char *s = content("/proc/self/status");
    char pid[32];
    snprintf(pid, sizeof pid, "\nPid:\t%d\n", getpid());
    CHECK("Pid", strstr(s, pid));
    CHECK("Name", strstr(s, "Name:\tself-"));
    CHECK("SigBlk", strstr(s, "SigBlk:\t0000000000000240"));
    CHECK("SigIgn", signals(s, "SigIgn:\t") == 1 << (SIGHUP - 1));
    CHECK("SigCgt", signals(s, "SigCgt:\t") == 1 << (SIGTERM - 1));
    CHECK("SigPnd or ShdPnd",
          strstr(s, "SigPnd:\t0000000000000200") || strstr(s, "SigPnd:\t0000000000000240"));
    signal(SIGUSR1, SIG_IGN);
    signal(SIGBUS, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    s = content("/proc/self/status");
    CHECK("SigIgn with SIGBUS", signals(s, "SigIgn:\t") == 0x241);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
}

static void test_maps(void)
{
    char want[100];
    const char *s = content("/proc/self/maps");
    CHECK("maps name the program", strstr(s, exe));
    CHECK("and nothing else that runs here", !strstr(s, "wirt-riscv64"));
    CHECK("[stack]", strstr(s, "[stack]"));
    sbrk(4096);
    s = content("/proc/self/maps");
    CHECK("[heap]", strstr(s, "[heap]"));
    char *m = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(m + 4096, 4096, PROT_READ | PROT_EXEC);
    snprintf(want, sizeof want, "%lx-%lx r-xp", (long)m + 4096, (long)m + 8192);
    CHECK("a page of code in maps", strstr(content("/proc/self/maps"), want));
    s = strstr(content("/proc/self/smaps"), want);
    CHECK("and in smaps", s && strstr(s, "Size:                  4 kB"));
}

static void test_stat(void)
{
    int local;
    const char *s = strrchr(content("/proc/self/stat"), ')') + 2;
    for (int field = 3; field < 28; field++)
        s = strchr(s, ' ') + 1;
    uint64_t start = strtoull(s, NULL, 10), here = (uint64_t)&local;
    CHECK("where the stack starts", start >= here && start < here + (1 << 20));
    CHECK("comm", strstr(content("/proc/self/stat"), " (self-"));
    CHECK("cmdline", !strstr(content("/proc/self/cmdline"), "wirt"));
    uint64_t v[128] = {0};
    int found = 0, fd = open("/proc/self/auxv", O_RDONLY);
    read(fd, v, sizeof v);
    close(fd);
    for (int i = 0; i < 126; i += 2)
        found += v[i] == AT_PHDR && v[i + 1] == getauxval(AT_PHDR);
    CHECK("auxv", found == 1);
}

static void test_child(void)
{
    int p[2];
    pipe(p);
    pid_t c = fork();
    if (c == 0) {
        dup2(p[1], 1);
        execl(exe, "childname", "child", NULL);
        _exit(9);
    }
    char b;
    read(p[0], &b, 1);
    CHECK("a child's exe", link_is_exe(pid_path("/proc/%d/exe", c)));
    CHECK("its cmdline", !strcmp(content(pid_path("/proc/%d/cmdline", c)), "childname child "));
    CHECK("its comm", !strncmp(content(pid_path("/proc/%d/comm", c)), "self-", 5));
    CHECK("its maps", strstr(content(pid_path("/proc/%d/maps", c)), exe));
    struct stat s, t;
    CHECK("stat of its exe",
          !stat(pid_path("/proc/%d/exe", c), &s) && !stat(exe, &t) && s.st_ino == t.st_ino);
    kill(c, SIGKILL);
    waitpid(c, NULL, 0);
    CHECK("another's exe is its own", !link_is_exe(pid_path("/proc/%d/exe", getppid())));
}

/* What the program was called, and what the host knows it as. */
static void test_name(int argc, char **argv)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    CHECK("AT_EXECFN is the path as it was given", argc == 1 && !strcmp(name, argv[0]));
    pid_t c = fork();
    if (c == 0) {
        char dir[] = "/tmp/wirt-self-XXXXXX", path[100], link[4096];
        mkdtemp(dir);
        snprintf(path, sizeof path, "%s/copy", dir);
        int in = open(exe, O_RDONLY), out = open(path, O_CREAT | O_WRONLY, 0700);
        while (copy_file_range(in, NULL, out, NULL, 1 << 20, 0) > 0)
            ;
        close(out);
        execl(path, path, "removed", dir, NULL);
        _exit(9);
    }
    int s;
    waitpid(c, &s, 0);
    CHECK("a program that was removed knows what it was, and can be run again", s == 0);
}

static int removed(char **argv)
{
    char link[4096] = "", want[4096];
    unlink(argv[0]);
    rmdir(argv[2]);
    readlink("/proc/self/exe", link, sizeof link - 1);
    snprintf(want, sizeof want, "%s (deleted)", argv[0]);
    if (strcmp(link, want))
        return 1;
    execl("/proc/self/exe", "again", "again", NULL);
    return 2;
}

int main(int argc, char **argv)
{
    pthread_t t;
    if (argc > 1 && !strcmp(argv[1], "child"))
        return write(1, "x", 1) == 1 && pause();
    if (argc > 2 && !strcmp(argv[1], "removed"))
        return removed(argv);
    if (argc > 1)
        return 0;
    readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK("exe", strstr(exe, "/self-"));
    test_name(argc, argv);
    test_exe();
    pthread_create(&t, NULL, look_from_thread, NULL);
    pthread_join(t, NULL);
    test_status();
    test_maps();
    test_stat();
    test_child();
    return check_failed;
}
