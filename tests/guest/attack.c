/* Tries what leads out of a jail. A line for each thing that worked: "NAME: ...", or nothing at
 * all. usage: attack PID SOCKET FILE     a process, an abstract socket and a file of the host's
 * Compiled for riscv64, and for this machine: a program that has taken over its translator is a
 * native one. It changes nothing that is not its own where it succeeds. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM(a) (sizeof(a) / sizeof *(a))
static const char *secret;
static pid_t victim;

static void worked(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void worked(const char *fmt, ...)
{
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    vprintf(fmt, ap);
    __builtin_va_end(ap);
    putchar('\n');
}

/* --- Calls, by number: the same on both machines from 424 on --- */

static void calls(void)
{
    char page[4096] = "";
    static const struct {
        const char *name;
        long nr, a, b, c;
    } tried[] = {
        {"unshare user", SYS_unshare, CLONE_NEWUSER, 0, 0},
        {"unshare mount", SYS_unshare, CLONE_NEWNS, 0, 0},
        {"unshare net", SYS_unshare, CLONE_NEWNET, 0, 0},
        {"unshare cgroup", SYS_unshare, CLONE_NEWCGROUP, 0, 0},
        {"unshare time", SYS_unshare, CLONE_NEWTIME, 0, 0},
        {"fsopen", 430, (long)"tmpfs", 0, 0},
        {"open_tree", 428, AT_FDCWD, (long)"/", 1 /* clone */},
        {"fspick", 433, AT_FDCWD, (long)"/", 0},
        {"io_uring_setup", 425, 1, 0, 0},
        {"keyctl", SYS_keyctl, 0, -4, 0},
        {"chroot", SYS_chroot, (long)"/tmp", 0, 0},
        {"pivot_root", SYS_pivot_root, (long)".", (long)".", 0},
        {"sethostname", SYS_sethostname, (long)"taken", 5, 0},
        {"fanotify_init", SYS_fanotify_init, 0, 0, 0},
        {"userfaultfd", SYS_userfaultfd, 1, 0, 0},
        {"ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0},
        {"swapoff", SYS_swapoff, (long)"/none", 0, 0},
        {"syslog", SYS_syslog, 3, 0, 0},
        {"setpriority", SYS_setpriority, PRIO_PROCESS, 0, -5},
    };
    for (size_t i = 0; i < ROOM(tried); i++)
        if (syscall(tried[i].nr, tried[i].a, tried[i].b, tried[i].c, 0, 0) >= 0)
            worked("call: %s", tried[i].name);
    if (syscall(SYS_add_key, "user", "wirt", "x", 1, -4) >= 0)
        worked("call: add_key");
    if (syscall(SYS_request_key, "user", "wirt", NULL, -4) >= 0 || errno == ENOKEY)
        worked("call: request_key");
    if (syscall(SYS_bpf, 0, page, sizeof page) >= 0 || errno == E2BIG || errno == EINVAL)
        worked("call: bpf");
    if (syscall(SYS_perf_event_open, page, 0, -1, -1, 0) >= 0 || errno == E2BIG)
        worked("call: perf_event_open");
    struct timex t = {.modes = ADJ_STATUS};
    if (adjtimex(&t) >= 0)
        worked("call: adjtimex");
    union {
        struct file_handle h;
        char room[128];
    } u = {.h.handle_bytes = 100};
    int id;
    if (name_to_handle_at(AT_FDCWD, "/", &u.h, &id, 0) == 0)
        worked("call: name_to_handle_at");
    if (open_by_handle_at(AT_FDCWD, &u.h, O_RDONLY) >= 0 || errno == ESTALE)
        worked("call: open_by_handle_at");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 1, 0, 0) == 0 || seteuid(1) == 0)
        worked("call: rights");
}

static void namespaces(void)
{
    static const unsigned long flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                          CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    for (size_t i = 0; i < ROOM(flags); i++) {
        long pid = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            worked("clone: %#lx", flags[i]);
        struct {
            unsigned long flags, pidfd, child, parent, signal, stack, size, tls;
        } a = {.flags = flags[i], .signal = SIGCHLD};
        pid = syscall(435, &a, sizeof a);
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            worked("clone3: %#lx", flags[i]);
    }
    static const char *const kinds[] = {"mnt", "pid", "net", "user", "ipc", "uts", "cgroup"};
    char path[64];
    for (size_t i = 0; i < ROOM(kinds); i++) {
        snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[i]);
        int fd = open(path, O_RDONLY);
        if (fd >= 0 && setns(fd, 0) == 0)
            worked("setns: %s", path);
    }
}

/* --- Descriptors and links --- */

static int beyond(int dirfd, const char *from)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/../../../../../../../../../../../..%s", from, secret);
    return openat(dirfd, path, O_RDONLY);
}

static void paths(void)
{
    static const char *const from[] = {"/",           ".",     "/proc/1/root",
                                       "/proc/1/cwd", "/proc", "/proc/self/root",
                                       "/sys",        "/dev",  "/dev/pts"};
    char path[64];
    for (size_t i = 0; i < ROOM(from); i++)
        if (beyond(AT_FDCWD, from[i]) >= 0)
            worked("path: %s", from[i]);
    for (int fd = 0; fd < 1100; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (fcntl(fd, F_GETFD) >= 0 && (beyond(fd, ".") >= 0 || beyond(AT_FDCWD, path) >= 0))
            worked("descriptor: %d", fd);
    }
    /* Streams: no more than was given. */
    struct stat st;
    for (int fd = 0; fd < 3; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (fstat(fd, &st) == 0 &&
            (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)))
            worked("stream: %d is a file%s", fd,
                   open(path, O_RDWR) >= 0 ? ", open for reading and writing" : "");
        char c = 'x';
        if (isatty(fd) && ioctl(fd, TIOCSTI, &c) == 0)
            worked("stream: %d: typed for the terminal", fd);
    }
    static const char *const translator[] = {"/proc/self/exe", "/proc/1/exe", "/dev/.wirt-riscv64"};
    for (size_t i = 0; i < ROOM(translator);
         i++) { /* or a program of its own root's: that is its own */
        char name[4096] = "";
        int fd = open(translator[i], O_WRONLY);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (fd >= 0 && readlink(path, name, sizeof name - 1) > 0 && strstr(name, "wirt-riscv64"))
            worked("path: %s, for writing: %s", translator[i], name);
    }
    if (mknod("/tmp/wirt-disk", S_IFBLK | 0600, makedev(254, 0)) == 0 ||
        mknod("/tmp/wirt-mem", S_IFCHR | 0600, makedev(1, 1)) == 0)
        worked("path: device");
    unlink("/tmp/wirt-disk");
    unlink("/tmp/wirt-mem");
}

/* What the kernel offers for writing: everything below /proc and /sys but the own processes. */
static void walk(int depth, const char *folder)
{
    DIR *d = opendir(folder);
    if (!d || depth > 12)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[4096];
        if (e->d_name[0] == '.' || !strcmp(e->d_name, "self") ||
            !strcmp(e->d_name, "thread-self") ||
            (depth == 0 && strspn(e->d_name, "0123456789") == strlen(e->d_name)) ||
            e->d_type == DT_LNK)
            continue;
        snprintf(path, sizeof path, "%s/%s", strcmp(folder, "/") ? folder : "", e->d_name);
        if (e->d_type == DT_DIR) {
            walk(depth + 1, path);
            continue;
        }
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && !S_ISCHR(st.st_mode)) /* what masks a file is /dev/null */
            worked("kernel file, for writing: %s", path);
        close(fd);
    }
    closedir(d);
}

/* --- Sockets --- */

static void sockets(const char *abstract)
{
    for (int family = 0; family < 64; family++)
        for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
            int fd = socket(family, type, 0);
            if (fd >= 0 && family != AF_UNIX && family != AF_INET && family != AF_INET6 &&
                family != AF_NETLINK)
                worked("socket: family %d", family);
            else if (fd >= 0 && type == SOCK_RAW && family != AF_UNIX && family != AF_NETLINK)
                worked("socket: raw, family %d", family);
            close(fd);
        }
    /* What stands above an int. */
    if (syscall(SYS_socket, (1ul << 32) | AF_VSOCK, SOCK_STREAM, 0) >= 0 ||
        syscall(SYS_socket, (1ul << 32) | AF_ALG, SOCK_SEQPACKET, 0) >= 0)
        worked("socket: a family that hides");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(abstract);
    memcpy(a.sun_path + 1, abstract, len);
    if (connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) == 0)
        worked("socket: abstract, of the host's");
}

static void netlink(void)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } dump = {{sizeof dump, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {0}},
      set = {{sizeof set, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0},
             {.ifi_index = 1, .ifi_flags = 0, .ifi_change = 1}};
    char buf[16384];
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), links = 0;
    if (fd < 0 || send(fd, &dump, sizeof dump, 0) < 0)
        return;
    int n = (int)recv(fd, buf, sizeof buf, 0);
    for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned)n); h = NLMSG_NEXT(h, n))
        links += h->nlmsg_type == RTM_NEWLINK;
    if (links > 1)
        worked("netlink: %d interfaces", links);
    if (send(fd, &set, sizeof set, 0) > 0 && recv(fd, buf, sizeof buf, 0) > 0) {
        struct nlmsghdr *h = (void *)buf;
        while (h->nlmsg_type != NLMSG_ERROR && recv(fd, buf, sizeof buf, 0) > 0)
            ;
        if (((struct nlmsgerr *)NLMSG_DATA(h))->error == 0)
            worked("netlink: an interface is changed");
    }
    struct {
        struct nlmsghdr h;
        char text[16];
    } audit = {{sizeof audit, AUDIT_USER, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, "wirt"};
    fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
    if (fd >= 0 && send(fd, &audit, sizeof audit, 0) > 0 &&
        recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0 &&
        ((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)buf))->error == 0)
        worked("netlink: an audit record");
}

/* --- Processes --- */

static void processes(void)
{
    char b[8];
    struct iovec l = {b, 8}, r = {(void *)0x400000, 8};
    if (kill(victim, 0) == 0 || syscall(SYS_tgkill, victim, victim, 0) == 0)
        worked("process: signal");
    if (syscall(434, victim, 0) >= 0) /* pidfd_open */
        worked("process: pidfd");
    if (process_vm_readv(victim, &l, 1, &r, 1, 0) > 0 ||
        process_vm_readv(getppid(), &l, 1, &r, 1, 0) > 0)
        worked("process: memory");
    if (ptrace(PTRACE_ATTACH, victim, 0, 0) == 0 || ptrace(PTRACE_ATTACH, 1, 0, 0) == 0)
        worked("process: traced");
    if (setpriority(PRIO_PROCESS, (id_t)victim, 10) == 0)
        worked("process: priority");
    struct rlimit limit;
    if (prlimit(victim, RLIMIT_CORE, NULL, &limit) == 0)
        worked("process: limits");
    cpu_set_t set;
    if (sched_getaffinity(victim, sizeof set, &set) == 0)
        worked("process: scheduling");
    int p[2];
    if (pipe(p) == 0 && fcntl(p[0], F_SETOWN, victim) == 0)
        worked("process: owner of a signal");
}

/* --- Other ABIs of this machine's kernel, where their calls could hide --- */

#ifdef __x86_64__
static void in_child(const char *name, int (*try)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        _exit(try() ? 0 : 1);
    }
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        worked("abi: %s", name);
}

static int call32(void)
{
    int r;
    __asm__ volatile("int $0x80"
                     : "=a"(r)
                     : "a"(20 /* getpid */)
                     : "memory", "r8", "r9", "r10", "r11");
    return r > 0;
}

static int callx32(void)
{
    return syscall(0x40000000 | 39 /* getpid */) > 0;
}

static void abis(void)
{
    in_child("32-bit calls", call32);
    in_child("x32 calls", callx32);
}
#else
static void abis(void)
{
}
#endif

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    signal(SIGSYS, SIG_IGN);
    victim = (pid_t)atoi(argv[1]);
    secret = argv[3];
    paths();
    sockets(argv[2]);
    netlink();
    processes();
    walk(0, "/proc");
    walk(0, "/sys");
    abis();
    namespaces();
    calls();
    puts("tried");
    return 0;
}
