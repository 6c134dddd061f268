#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

static char dir[] = "/tmp/wirt-files-XXXXXX";

static void test_stat(void)
{
    struct stat s, l;
    int fd = open("a", O_CREAT | O_RDWR | O_EXCL, 0640);
    CHECK("open and write", fd >= 0 && write(fd, "hello world", 11) == 11);
    CHECK("fstat", fstat(fd, &s) == 0 && s.st_size == 11 && S_ISREG(s.st_mode) &&
                       (s.st_mode & 0777) == 0640 && s.st_nlink == 1 && s.st_uid == getuid());
    CHECK("link", link("a", "b") == 0 && stat("b", &l) == 0 && l.st_ino == s.st_ino &&
                      l.st_nlink == 2 && l.st_dev == s.st_dev);
    CHECK("symlink", symlink("a", "c") == 0 && lstat("c", &l) == 0 && S_ISLNK(l.st_mode) &&
                         l.st_size == 1 && stat("c", &l) == 0 && l.st_size == 11);
    char buf[20] = "";
    CHECK("readlink", readlink("c", buf, sizeof buf) == 1 && buf[0] == 'a');
    CHECK("O_NOFOLLOW", open("c", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
    CHECK("O_DIRECTORY", open("a", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
    CHECK("O_EXCL", open("a", O_CREAT | O_EXCL | O_RDWR, 0600) == -1 && errno == EEXIST);
    struct timespec t[2] = {{1000000000, 5}, {1100000000, 7}};
    CHECK("utimens", futimens(fd, t) == 0 && fstat(fd, &s) == 0 && s.st_mtim.tv_sec == 1100000000 &&
                         s.st_mtim.tv_nsec == 7 && s.st_atim.tv_sec == 1000000000);
    struct statx x;
    CHECK("statx", statx(AT_FDCWD, "a", 0, STATX_ALL, &x) == 0 && x.stx_size == 11 &&
                       x.stx_mtime.tv_sec == 1100000000);
    CHECK("stat of a device",
          stat("/dev/null", &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == ((1 << 8) | 3));
    CHECK("access", access("a", R_OK) == 0 && access("nothing", F_OK) == -1 && errno == ENOENT);
    struct statfs f;
    CHECK("statfs", statfs(".", &f) == 0 && f.f_bsize > 0 && f.f_namelen >= 14);
    close(fd);
}

static void test_io(void)
{
    int fd = open("io", O_CREAT | O_RDWR | O_TRUNC, 0600);
    struct iovec v[3] = {{"abc", 3}, {"", 0}, {"defg", 4}};
    CHECK("writev", writev(fd, v, 3) == 7);
    char b[8] = "";
    CHECK("pread", pread(fd, b, 3, 2) == 3 && !memcmp(b, "cde", 3));
    CHECK("lseek", lseek(fd, 1, SEEK_SET) == 1 && lseek(fd, 0, SEEK_END) == 7);
    CHECK("truncate", ftruncate(fd, 3) == 0 && lseek(fd, 0, SEEK_END) == 3);
    CHECK("large offsets",
          pwrite(fd, "x", 1, 1ll << 33) == 1 && lseek(fd, 0, SEEK_END) == (1ll << 33) + 1);
    ftruncate(fd, 3);
    int out = open("out", O_CREAT | O_RDWR, 0600);
    off_t at = 0;
    CHECK("sendfile", sendfile(out, fd, &at, 3) == 3 && at == 3);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 2};
    CHECK("fcntl lock", fcntl(fd, F_SETLK, &l) == 0);
    if (fork() == 0) {
        l.l_type = F_WRLCK;
        _exit(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_pid == getppid() ? 0 : 1);
    }
    int status;
    wait(&status);
    CHECK("another process sees the lock", status == 0);
    CHECK("flock", flock(fd, LOCK_EX | LOCK_NB) == 0);
    CHECK("flags", (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(fd, F_GETFD) == 0);
    CHECK("O_APPEND", fcntl(fd, F_SETFL, O_APPEND) == 0 && write(fd, "z", 1) == 1 &&
                          pread(fd, b, 1, 3) == 1 && b[0] == 'z');
    int d = dup2(fd, 100);
    CHECK("dup2", d == 100 && fcntl(100, F_GETFD) == 0 && close(100) == 0);
    int n = 0;
    CHECK("ioctl FIONREAD", ioctl(fd, FIONREAD, &n) == 0);
    CHECK("bad descriptor", read(99, b, 1) == -1 && errno == EBADF);
    close(fd);
    close(out);
}

static void test_dirs(void)
{
    CHECK("mkdir", mkdir("d", 0700) == 0 && mkdir("d", 0700) == -1 && errno == EEXIST);
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "d/f%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    DIR *d = opendir("d");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] == 'f' && e->d_type == DT_REG;
    closedir(d);
    CHECK("readdir", n == 200);
    CHECK("rename", rename("d/f0", "d/g0") == 0 && access("d/f0", F_OK) == -1);
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    struct stat s;
    CHECK("openat and friends", fstatat(fd, "g0", &s, 0) == 0 && unlinkat(fd, "g0", 0) == 0 &&
                                    faccessat(fd, "g0", F_OK, 0) == -1);
    char cwd[PATH_MAX];
    CHECK("fchdir, getcwd", fchdir(fd) == 0 && getcwd(cwd, sizeof cwd) &&
                                !strcmp(strrchr(cwd, '/'), "/d") && chdir("..") == 0);
    close(fd);
}

static void test_epoll(void)
{
    int e = epoll_create1(EPOLL_CLOEXEC), p[2], q[2];
    pipe(p);
    pipe(q);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0x1122334455667788}, got[8];
    CHECK("epoll_ctl", epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev) == 0);
    ev.data.u64 = 0x99aabbccddeeff00;
    epoll_ctl(e, EPOLL_CTL_ADD, q[0], &ev);
    CHECK("nothing yet", epoll_wait(e, got, 8, 0) == 0);
    write(p[1], "x", 1);
    write(q[1], "x", 1);
    int n = epoll_wait(e, got, 8, 1000);
    unsigned long sum = n == 2 ? got[0].data.u64 + got[1].data.u64 : 0;
    CHECK("two events with their data", n == 2 && got[0].events == EPOLLIN &&
                                            got[1].events == EPOLLIN &&
                                            sum == 0x1122334455667788 + 0x99aabbccddeeff00);
    CHECK("EPOLL_CTL_DEL",
          epoll_ctl(e, EPOLL_CTL_DEL, p[0], NULL) == 0 && epoll_wait(e, got, 8, 0) == 1);
    close(e);
}

static void test_event_fds(void)
{
    uint64_t v = 5;
    int e = eventfd(2, EFD_NONBLOCK);
    CHECK("eventfd", write(e, &v, 8) == 8 && read(e, &v, 8) == 8 && v == 7 &&
                         read(e, &v, 8) == -1 && errno == EAGAIN);
    int t = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec it = {.it_value = {0, 10000000}}, now;
    CHECK("timerfd", timerfd_settime(t, 0, &it, NULL) == 0 && timerfd_gettime(t, &now) == 0 &&
                         now.it_value.tv_nsec <= 10000000 && read(t, &v, 8) == 8 && v == 1);
    int i = inotify_init1(IN_NONBLOCK);
    CHECK("inotify_add_watch", inotify_add_watch(i, ".", IN_CREATE) >= 0);
    close(open("new", O_CREAT | O_WRONLY, 0600));
    char b[512] __attribute__((aligned(8)));
    struct inotify_event *ev = (void *)b;
    CHECK("inotify", read(i, b, sizeof b) > 0 && ev->mask == IN_CREATE && !strcmp(ev->name, "new"));
    close(e);
    close(t);
    close(i);
}

static void test_sem(void)
{
    int id = semget(IPC_PRIVATE, 3, 0600 | IPC_CREAT);
    union {
        int val;
        struct semid_ds *buf;
        unsigned short *array;
    } arg;
    struct semid_ds ds;
    unsigned short values[3] = {1, 2, 3};
    arg.array = values;
    CHECK("semctl SETALL", semctl(id, 0, SETALL, arg) == 0);
    arg.buf = &ds;
    CHECK("semctl IPC_STAT", semctl(id, 0, IPC_STAT, arg) == 0 && ds.sem_nsems == 3 &&
                                 ds.sem_ctime > 1000000000 && ds.sem_perm.uid == geteuid() &&
                                 ds.sem_otime == 0);
    struct sembuf op = {1, -2, 0};
    CHECK("semop", semop(id, &op, 1) == 0 && semctl(id, 1, GETVAL) == 0);
    struct timespec ts = {0, 1000000};
    CHECK("semtimedop", semtimedop(id, &op, 1, &ts) == -1 && errno == EAGAIN);
    semctl(id, 0, IPC_RMID);
}

static void test_time(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double d = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    CHECK("time passes", d >= 0.02 && d < 5);
    struct timeval tv;
    gettimeofday(&tv, NULL);
    CHECK("gettimeofday", llabs((long long)tv.tv_sec - (long long)time(NULL)) <= 1);
    CHECK("a bad clock", syscall(SYS_clock_gettime, 9999, &a) == -1 && errno == EINVAL);
    CHECK("a bad address", syscall(SYS_clock_gettime, 0, 8) == -1 && errno == EFAULT);
}

static void test_proc(void)
{
    char b[PATH_MAX] = "", c[PATH_MAX] = "", line[512];
    ssize_t n = readlink("/proc/self/exe", b, sizeof b - 1);
    CHECK("/proc/self/exe", n > 0 && strstr(b, "files-"));
    int fd = open("/proc/self/cmdline", O_RDONLY);
    n = read(fd, c, sizeof c);
    CHECK("it is for reading only", write(fd, "x", 1) == -1 && errno == EBADF &&
                                        (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    close(fd);
    CHECK("/proc/self/cmdline", n > 0 && strstr(c, "files-") && strlen(c) + 1 == (size_t)n);
    int code = 0, stack = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f)) {
        unsigned long lo, hi;
        char perms[8];
        if (sscanf(line, "%lx-%lx %7s", &lo, &hi, perms) != 3)
            continue;
        if ((unsigned long)test_proc >= lo && (unsigned long)test_proc < hi)
            code = !strcmp(perms, "r-xp") && strstr(line, "files-");
        if ((unsigned long)&code >= lo && (unsigned long)&code < hi)
            stack = strstr(line, "[stack]") && !strncmp(perms, "rw", 2);
    }
    fclose(f);
    CHECK("/proc/self/maps", code && stack);
}

static void test_xattr(void)
{
    char b[8];
    if (setxattr("a", "user.k", "v1", 2, 0) == -1) {
        printf("skip - extended attributes: %s\n", strerror(errno));
        return;
    }
    CHECK("extended attributes", getxattr("a", "user.k", b, 8) == 2 && !memcmp(b, "v1", 2));
}

/* Calls newer than libc's headers. */
static void test_new_calls(void)
{
    enum {
        CACHESTAT = 451,
        FCHMODAT2 = 452,
        SETXATTRAT = 463,
        GETXATTRAT = 464,
        LISTXATTRAT = 465,
        REMOVEXATTRAT = 466,
    };
    struct stat s;
    int fd = open("new", O_CREAT | O_RDWR | O_TRUNC, 0600);
    if (kernel_at_least(6, 5)) {
        uint64_t range[2] = {0, 8192}, cached[5] = {0};
        char page[8192] = "";
        CHECK("cachestat", write(fd, page, sizeof page) == sizeof page &&
                               syscall(CACHESTAT, fd, range, cached, 0) == 0 && cached[0] == 2);
    }
    if (kernel_at_least(6, 6))
        CHECK("fchmodat2", syscall(FCHMODAT2, AT_FDCWD, "new", 0640, AT_SYMLINK_NOFOLLOW) == 0 &&
                               stat("new", &s) == 0 && (s.st_mode & 0777) == 0640);
    if (kernel_at_least(6, 13)) {
        struct {
            uint64_t value;
            uint32_t size, flags;
        } args = {(uintptr_t) "blue", 4, 0};
        char value[8] = "", list[64] = "";
        long r = syscall(SETXATTRAT, AT_FDCWD, "new", 0, "user.colour", &args, sizeof args);
        if (r == 0 || errno != EOPNOTSUPP) {
            CHECK("setxattrat", r == 0);
            args.value = (uintptr_t)value;
            CHECK("getxattrat",
                  syscall(GETXATTRAT, AT_FDCWD, "new", 0, "user.colour", &args, sizeof args) == 4 &&
                      !strcmp(value, "blue"));
            CHECK("listxattrat", syscall(LISTXATTRAT, AT_FDCWD, "new", 0, list, sizeof list) >=
                                         (long)sizeof "user.colour" &&
                                     memmem(list, sizeof list, "user.colour", 12));
            CHECK("removexattrat", syscall(REMOVEXATTRAT, AT_FDCWD, "new", 0, "user.colour") == 0 &&
                                       getxattr("new", "user.colour", value, sizeof value) == -1);
        }
    }
    close(fd);
}

int main(void)
{
    if (!mkdtemp(dir) || chdir(dir))
        return 1;
    test_stat();
    test_io();
    test_dirs();
    test_epoll();
    test_event_fds();
    test_sem();
    test_time();
    test_proc();
    test_xattr();
    test_new_calls();
    chdir("/");
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    return system(cmd) || check_failed;
}
