#include "process/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "process/seccomp.h"

/* Calls that the host's headers may be too old for: from 424 on the numbers are the same on all
 * architectures. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake    454
#define SYS_futex_wait    455
#define SYS_futex_requeue 456
#endif
#ifndef SYS_statmount
#define SYS_statmount         457
#define SYS_listmount         458
#define SYS_lsm_get_self_attr 459
#define SYS_lsm_set_self_attr 460
#define SYS_lsm_list_modules  461
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat    463
#define SYS_removexattrat 466
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#ifndef SYS_file_getattr
#define SYS_file_getattr 468
#define SYS_file_setattr 469
#endif

/* The host's number of each call that is handed on. */
enum {
#define PASS(nr, name, args) HOST_##name = SYS_##name,
#define WAIT(nr, name, args) PASS(nr, name, args)
#define CALL(nr, name, args)
#define NONE(nr, name, args)
#include "process/table.def"
#undef PASS
#undef WAIT
#undef CALL
#undef NONE
};

const struct syscall syscall_table[N_SYSCALLS] = {
#define PASS(nr, name, args) [nr] = {#name, args, NULL, HOST_##name, false},
#define WAIT(nr, name, args) [nr] = {#name, args, NULL, HOST_##name, true},
#define CALL(nr, name, args) [nr] = {#name, args, sys_##name, -1, true},
#define NONE(nr, name, args) [nr] = {#name, args, NULL, -1, false},
#include "process/table.def"
#undef PASS
#undef WAIT
#undef CALL
#undef NONE
};

static long make_call(struct thread *t, uint64_t nr, const uint64_t a[6])
{
    if (nr >= N_SYSCALLS || !syscall_table[nr].name)
        return -ENOSYS;
    const struct syscall *s = &syscall_table[nr];
    if (s->fn)
        return s->fn(t, a);
    if (s->host < 0)
        return -ENOSYS;
    long r = safe_syscall(&t->sig_pending, s->host, a);
    return r == -ERESTARTSYS && !s->waits ? -ERESTARTNOINTR : r;
}

void syscall_dispatch(struct thread *t)
{
    uint64_t a[6];
    memcpy(a, &t->cpu.x[10], sizeof a);
    uint64_t nr = t->cpu.x[17];
    bool trace = t->process->config.strace;
    /* These do not come back, or come back as another program or with other registers. */
    bool early = trace && (nr == 93 || nr == 94 || nr == 139 || nr == 221 || nr == 281);
    if (early)
        strace_call(t, nr, a, NULL);
    long r = 0;
    if ((!t->strict && !atomic_load_explicit(&t->filters, memory_order_acquire)) ||
        seccomp_allows(t, nr, a, &r))
        r = make_call(t, nr, a);
    if (trace && !early && r != -ERESTARTNOINTR && r != -ESTATE_SET)
        strace_call(t, nr, a, &r);
    if (r == -ESTATE_SET || r == -ERESTARTNOINTR)
        return;
    if (r == -ERESTARTSYS) {
        t->restart = true;
        return;
    }
    t->cpu.x[10] = (uint64_t)r;
    t->cpu.pc += 4;
}
