#include "process/robust.h"

#include <sys/syscall.h>

#define LIST_LIMIT 2048 /* the kernel's own bound on a list that may be a circle */

struct list_head {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};

/* The lock at address, if t holds it, passes to whoever waits. Lowest bit of an entry: a
 * priority-inheriting lock, whose owner the kernel knows by itself. */
static void release_lock(const struct thread *t, uint64_t address, bool pi)
{
    uint32_t value;
    if ((address & 3) || guest_read(&value, address, sizeof value))
        return;
    while ((value & FUTEX_TID_MASK) == (uint32_t)t->tid) {
        int done =
            guest_cas32((uint32_t *)address, &value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
        if (done < 0)
            return;
        if (done) {
            if (!pi && (value & FUTEX_WAITERS))
                HOST_CALL(SYS_futex, address, FUTEX_WAKE, 1);
            return;
        }
    }
}

void robust_list_release(struct thread *t)
{
    uint64_t head_address = 0, length = 0;
    struct list_head head;
    if (HOST_CALL(SYS_get_robust_list, 0, &head_address, &length) || !head_address)
        return;
    HOST_CALL(SYS_set_robust_list, 0, sizeof head);
    if (guest_read(&head, head_address, sizeof head))
        return;
    uint64_t pending = head.pending & ~1ull;
    uint64_t entry = head.next;
    for (int i = 0; i < LIST_LIMIT && (entry & ~1ull) != head_address; i++) {
        uint64_t next;
        int failed = guest_read(&next, entry & ~1ull, sizeof next);
        if ((entry & ~1ull) != pending)
            release_lock(t, (entry & ~1ull) + (uint64_t)head.futex_offset, entry & 1);
        if (failed)
            break;
        entry = next;
    }
    if (pending)
        release_lock(t, pending + (uint64_t)head.futex_offset, head.pending & 1);
}
