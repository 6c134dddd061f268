#include "jail/calls.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "jail/filter.h"

#define M (1u << JAIL_MACHINE)
#define H (1u << JAIL_HART)
#define D (1u << JAIL_DISK)
#define S (1u << JAIL_SHARE)
#define N (1u << JAIL_NETWORK)
#define L (1u << JAIL_LAUNCHER)
#define K (1u << JAIL_MACHINE_MONITOR)
#define G (1u << JAIL_MONITOR)
/* Those that run beside others, with a loop of their own or not; and monitors. */
#define WORK (M | H | D | S | N)
#define LOOP (M | D | S | N | KEEP)
#define KEEP (K | G)
#define ALL  (WORK | L | KEEP)

/* Of one argument's bits, what is allowed. */
#define ANY            0, 0, 0
#define BITS(a, m, v)  (a), (m), (v)
#define INT(a, v)      (a), UINT32_MAX, (uint32_t)(v)
#define NO_EXEC        BITS(2, PROT_EXEC, 0)
#define NEW_NAMESPACES 0x7e020080u /* all CLONE_NEW... */
#define A_THREAD                                                                     \
    BITS(0, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | NEW_NAMESPACES | CLONE_PTRACE, \
         CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)

const struct jail_call jail_calls[] = {
    /* Most frequent first: a call with an argument to look at is found by going through these. */
    {SYS_futex, ALL, ANY},
    {SYS_read, ALL, ANY},
    {SYS_write, ALL, ANY},
    {SYS_epoll_wait, LOOP, ANY},
    {SYS_epoll_pwait, LOOP, ANY},
    {SYS_epoll_ctl, LOOP, ANY},
    {SYS_clock_gettime, ALL, ANY},
    {SYS_timerfd_settime, M | H, ANY},
    {SYS_madvise, WORK | KEEP, ANY},
    {SYS_mmap, WORK | KEEP, NO_EXEC},
    {SYS_munmap, WORK | KEEP, ANY},
    {SYS_mremap, WORK | KEEP, ANY},
    {SYS_mprotect, WORK | KEEP, NO_EXEC},
    {SYS_brk, ALL, ANY},
    {SYS_close, ALL, ANY},
    {SYS_fstat, WORK | KEEP, ANY},
    {SYS_newfstatat, M | D | S | N | KEEP, ANY},
    {SYS_lseek, WORK | KEEP, ANY},
    {SYS_writev, ALL, ANY},
    {SYS_sysinfo, WORK | KEEP, ANY}, /* qsort(3) asks how much memory there is */
    {SYS_sched_yield, WORK, ANY},
    {SYS_nanosleep, WORK | KEEP, ANY},
    {SYS_clock_nanosleep, WORK | KEEP, ANY},
    {SYS_getrandom, WORK | KEEP, ANY},
    {SYS_restart_syscall, ALL, ANY},

    /* Ending, and starting threads. */
    {SYS_exit, ALL, ANY},
    {SYS_exit_group, ALL, ANY},
    {SYS_getpid, ALL, ANY},
    {SYS_gettid, ALL, ANY},
    {SYS_clone, M, A_THREAD},
    {SYS_set_robust_list, WORK, ANY},
    {SYS_rseq, WORK, ANY},
    {SYS_sched_getaffinity, WORK, ANY},
    {SYS_prctl, WORK, INT(0, PR_SET_NAME)},
    {SYS_prctl, M, INT(0, PR_SET_NO_NEW_PRIVS)},
    {SYS_seccomp, M, ANY}, /* a hart's own filter, on top of the one it was started with */
    {SYS_rt_sigaction, WORK | KEEP, ANY},
    {SYS_rt_sigprocmask, ALL, ANY},
    {SYS_rt_sigreturn, ALL, ANY},
    {SYS_sigaltstack, WORK, ANY},

    /* Disks and images. */
    {SYS_pread64, M | D | S | KEEP, ANY},
    {SYS_pwrite64, D | S, ANY},
    {SYS_preadv, D | S, ANY},
    {SYS_pwritev, D | S, ANY},
    {SYS_fallocate, D | S, ANY},
    {SYS_fdatasync, D | S, ANY},
    {SYS_fsync, D | S, ANY},

    /* The console, the control socket, the agent's port, the wire. */
    {SYS_sendto, M | N | KEEP, ANY},
    {SYS_recvfrom, M | N | KEEP, ANY},
    {SYS_sendmsg, M | N, ANY},
    {SYS_recvmsg, M | N, ANY},
    {SYS_readv, M | N, ANY},
    {SYS_poll, M | N | L | KEEP, ANY},
    {SYS_ppoll, M | N | L | KEEP, ANY},
    {SYS_fcntl, M | N | S | KEEP, INT(1, F_GETFL)},
    {SYS_fcntl, M | N | S | KEEP, INT(1, F_SETFL)},
    {SYS_fcntl, N | KEEP, INT(1, F_SETFD)}, /* also fdopendir(3) */
    {SYS_fcntl, N, INT(1, F_GETFD)},
    {SYS_fcntl, KEEP, INT(1, F_DUPFD_CLOEXEC)},
    {SYS_ioctl, M | KEEP, INT(1, TCGETS)},
    {SYS_ioctl, KEEP, INT(1, TIOCSWINSZ)},
    {SYS_ioctl, WORK, INT(1, FIONREAD)},

    /* Shared folders. */
    {SYS_openat, S, ANY},
    {SYS_statx, S, ANY},
    {SYS_fstatfs, S, ANY},
    {SYS_statfs, S, ANY},
    {SYS_getdents64, S | KEEP, ANY},
    {SYS_readlinkat, S | KEEP, ANY},
    {SYS_faccessat, S | KEEP, ANY},
    {SYS_faccessat2, S | KEEP, ANY},
    {SYS_mkdirat, S | G, ANY},
    /* No device, whatever the capabilities. */
    {SYS_mknodat, S, BITS(2, S_IFMT, S_IFREG)},
    {SYS_mknodat, S, BITS(2, S_IFMT, S_IFIFO)},
    {SYS_mknodat, S, BITS(2, S_IFMT, S_IFSOCK)},
    {SYS_symlinkat, S, ANY},
    {SYS_linkat, S, ANY},
    {SYS_unlinkat, S | KEEP, ANY},
    {SYS_renameat, S | KEEP, ANY},
    {SYS_renameat2, S | KEEP, ANY},
    {SYS_fchmodat, S, ANY},
    {SYS_fchmod, S, ANY},
    {SYS_fchownat, S, ANY},
    {SYS_fchown, S, ANY},
    {SYS_utimensat, S, ANY},
    {SYS_ftruncate, S, ANY},
    {SYS_copy_file_range, S, ANY},
    {SYS_setxattr, S, ANY},
    {SYS_getxattr, S, ANY},
    {SYS_listxattr, S, ANY},
    {SYS_removexattr, S, ANY},
    {SYS_flock, S | KEEP, ANY},
    {SYS_setfsuid, S, ANY},
    {SYS_setfsgid, S, ANY},
    {SYS_geteuid, S | KEEP, ANY},
    {SYS_getegid, S | KEEP, ANY},

    /* The network: internet sockets, and the host's name servers' names. */
    {SYS_socket, N, INT(0, AF_INET)},
    {SYS_socket, N, INT(0, AF_INET6)},
    {SYS_connect, N, ANY},
    {SYS_bind, N, ANY},
    {SYS_listen, N, ANY},
    {SYS_accept, N, ANY},
    {SYS_accept4, N, ANY},
    {SYS_shutdown, N, ANY},
    {SYS_getsockname, N, ANY},
    {SYS_getpeername, N, ANY},
    {SYS_getsockopt, N, ANY},
    {SYS_setsockopt, N, ANY},
    {SYS_ioctl, N, INT(1, FIONBIO)},
    {SYS_ioctl, N, INT(1, SIOCGIFINDEX)},
    {SYS_openat, N, ANY}, /* its root has /etc/resolv.conf and nothing else */

    /* The launcher, and monitors: their children. */
    {SYS_waitid, L | KEEP, ANY},
    {SYS_wait4, L | KEEP, ANY},
    {SYS_pidfd_send_signal, L | KEEP, ANY},

    /* Monitors: clients, the guest's folder, who they are. */
    {SYS_accept4, KEEP, ANY},
    {SYS_openat, KEEP, ANY},
    {SYS_access, KEEP, ANY},
    {SYS_getuid, KEEP, ANY},
    {SYS_getgid, KEEP, ANY},

    /* Not a machine's: processes of the guest by their numbers, control groups by their paths. */
    {SYS_kill, G, ANY},
    {SYS_pidfd_open, G, ANY},
    {SYS_mkdir, G, ANY},
    {SYS_rmdir, G, ANY},
    {SYS_unlink, G, ANY},
    {SYS_rename, G, ANY},
    {SYS_readlink, G, ANY},
    {SYS_stat, G, ANY},
    {SYS_statfs, G, ANY},
    {SYS_fstatfs, G, ANY},
    {SYS_statx, G, ANY},
};

const unsigned jail_n_calls = sizeof jail_calls / sizeof *jail_calls;
