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

/* The kernel makes all code visible, whatever the range. What is not named and has changed can only
 * have been written through another mapping of the same file or memory (a W^X JIT), or, by a
 * program that means to, elsewhere in pages that are writable and executable at once: the former is
 * looked for where the range has no code itself, the latter has to be named. */
long sys_riscv_flush_icache(struct thread *t, const uint64_t a[6])
{
    struct process *p = t->process;
    struct mapping m;
    if (a[2] & ~1ull) /* SYS_RISCV_FLUSH_ICACHE_LOCAL is the only flag */
        return -EINVAL;
    if (a[0] >= a[1]) {
        engine_invalidate(p->engine, 0, GUEST_ADDRESS_END, true);
        return 0;
    }
    engine_invalidate(p->engine, a[0], a[1] - a[0], true);
    if (!atomic_load(&p->space.shared) || (space_find(&p->space, a[0], &m) && (m.prot & PROT_EXEC)))
        return 0;
    for (uint64_t from = 0; space_next_shared_code(&p->space, from, &m); from = m.end)
        engine_invalidate(p->engine, m.start, m.end - m.start, true);
    return 0;
}
