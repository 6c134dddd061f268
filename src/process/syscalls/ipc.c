/* System V semaphores: semid_ds is laid out otherwise on x86-64. The other two kinds are alike. */
#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "process/syscall.h"

/* struct semid64_ds of asm-generic/sembuf.h. */
struct guest_semid {
    struct ipc_perm perm;
    int64_t otime, ctime;
    uint64_t nsems, unused[2];
};

struct host_semid {
    struct ipc_perm perm;
    int64_t otime;
    uint64_t unused1;
    int64_t ctime;
    uint64_t unused2;
    uint64_t nsems, unused[2];
};

_Static_assert(sizeof(struct host_semid) == sizeof(struct semid_ds), "as in asm/sembuf.h");

long sys_semctl(struct thread *t, const uint64_t a[6])
{
    struct host_semid h = {0};
    struct guest_semid g = {0};
    long r;
    switch ((int)a[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        r = HOST_CALL(SYS_semctl, a[0], a[1], a[2], &h);
        if (r < 0)
            return r;
        g.perm = h.perm;
        g.otime = h.otime;
        g.ctime = h.ctime;
        g.nsems = h.nsems;
        return guest_write(a[3], &g, sizeof g) ? -EFAULT : r;
    case IPC_SET:
        if (guest_read(&g, a[3], sizeof g))
            return -EFAULT;
        h.perm = g.perm;
        return HOST_CALL(SYS_semctl, a[0], a[1], a[2], &h);
    default: return HOST_CALL(SYS_semctl, a[0], a[1], a[2], a[3]);
    }
}
