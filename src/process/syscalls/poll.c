/* Waiting for descriptors: epoll's structure is packed on x86-64, and masks that count only while
 * the call waits. */
#include <errno.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "process/syscall.h"

#define MAX_EVENTS (INT32_MAX / sizeof(struct guest_event))

struct guest_event {
    uint32_t events, pad;
    uint64_t data;
};

struct host_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

long sys_epoll_ctl(struct thread *t, const uint64_t a[6])
{
    struct guest_event g = {0};
    if (a[3] && guest_read(&g, a[3], sizeof g))
        return -EFAULT;
    struct host_event h = {g.events, g.data};
    return HOST_CALL(SYS_epoll_ctl, a[0], a[1], a[2], a[3] ? &h : NULL);
}

/* A call whose mask argument counts while it waits: which one is it, for the handler that runs. */
static long note_mask(struct thread *t, uint64_t mask, uint64_t size, long r)
{
    if (r == -EINTR && mask && size == sizeof t->suspend_mask && t->sig_pending)
        t->suspended = !guest_read(&t->suspend_mask, mask, sizeof t->suspend_mask);
    return r;
}

static long wait_events(struct thread *t, long nr, const uint64_t a[6])
{
    int max = (int)a[2];
    if (max <= 0 || (size_t)max > MAX_EVENTS)
        return -EINVAL;
    if (max > 4096)
        max = 4096; /* fewer than asked for is always right */
    struct host_event few[64];
    AUTO_FREE struct host_event *many = NULL;
    struct host_event *h = few;
    if (max > 64)
        h = many = xcalloc((size_t)max, sizeof *many);
    long n = host_wait(t, nr, a[0], (uint64_t)h, (uint64_t)max, a[3], a[4], a[5]);
    note_mask(t, a[4], a[5], n);
    for (long i = 0; i < n; i++) {
        struct guest_event g = {.events = h[i].events, .data = h[i].data};
        if (guest_write(a[1] + (uint64_t)i * sizeof g, &g, sizeof g))
            return -EFAULT;
    }
    return n;
}

long sys_epoll_pwait(struct thread *t, const uint64_t a[6])
{
    return wait_events(t, SYS_epoll_pwait, a);
}

long sys_epoll_pwait2(struct thread *t, const uint64_t a[6])
{
    return wait_events(t, SYS_epoll_pwait2, a);
}

long sys_ppoll(struct thread *t, const uint64_t a[6])
{
    long r = host_wait(t, SYS_ppoll, a[0], a[1], a[2], a[3], a[4], 0);
    return note_mask(t, a[3], a[4], r);
}

long sys_pselect6(struct thread *t, const uint64_t a[6])
{
    uint64_t mask[2] = {0}; /* address and size */
    if (a[5] && guest_read(mask, a[5], sizeof mask))
        return -EFAULT;
    long r = host_wait(t, SYS_pselect6, a[0], a[1], a[2], a[3], a[4], a[5]);
    return note_mask(t, mask[0], mask[1], r);
}
