/* Memory: see mmap.c for what may be touched. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "process/space.h"
#include "process/syscall.h"

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

long sys_brk(struct thread *t, const uint64_t a[6])
{
    return space_brk(t->process, a[0]);
}

long sys_mmap(struct thread *t, const uint64_t a[6])
{
    return space_mmap(t->process, a[0], a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
}

long sys_munmap(struct thread *t, const uint64_t a[6])
{
    return space_munmap(t->process, a[0], a[1]);
}

long sys_mprotect(struct thread *t, const uint64_t a[6])
{
    return space_mprotect(t->process, a[0], a[1], (int)a[2]);
}

long sys_pkey_mprotect(struct thread *t, const uint64_t a[6])
{
    if ((int)a[3] != -1) /* riscv64 has no protection keys */
        return -EINVAL;
    return space_mprotect(t->process, a[0], a[1], (int)a[2]);
}

long sys_mremap(struct thread *t, const uint64_t a[6])
{
    return space_mremap(t->process, a[0], a[1], a[2], (int)a[3], a[4]);
}

long sys_remap_file_pages(struct thread *t, const uint64_t a[6])
{
    return space_remap_pages(t->process, a[0], a[1], (int)a[2], a[3], (int)a[4]);
}

long sys_madvise(struct thread *t, const uint64_t a[6])
{
    return space_madvise(t->process, a[0], a[1], (int)a[2]);
}

long sys_mlockall(struct thread *t, const uint64_t a[6])
{
    /* Only what is touched: the emulator has large reservations that the guest does not know of. */
    return HOST_CALL(SYS_mlockall, a[0] | MCL_ONFAULT);
}

long sys_shmat(struct thread *t, const uint64_t a[6])
{
    return space_shmat(t->process, (int)a[0], a[1], (int)a[2]);
}

long sys_shmdt(struct thread *t, const uint64_t a[6])
{
    return space_shmdt(t->process, a[0]);
}

long sys_riscv_flush_icache(struct thread *t, const uint64_t a[6])
{
    if (a[2] & ~1ull) /* SYS_RISCV_FLUSH_ICACHE_LOCAL is the only flag */
        return -EINVAL;
    if (a[0] < a[1])
        engine_invalidate(t->process->engine, a[0], a[1] - a[0], true);
    else
        engine_invalidate(t->process->engine, 0, GUEST_ADDRESS_END, true);
    return 0;
}
