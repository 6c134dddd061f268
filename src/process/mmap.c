#include "process/space.h"

#include <errno.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "base/str.h"

#ifndef PROT_GROWSDOWN
#define PROT_GROWSDOWN 0x01000000
#endif
#define GUEST_MAP_32BIT 0x40 /* a flag on x86 only */

static uint64_t page_up(uint64_t v)
{
    return (v + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static bool range_ok(uint64_t addr, uint64_t len)
{
    return len && addr < GUEST_ADDRESS_END && len <= GUEST_ADDRESS_END - addr;
}

void space_init(struct space *s)
{
    pthread_mutex_init(&s->lock, NULL);
}

int space_host_prot(int guest_prot)
{
    int prot = guest_prot & (PROT_READ | PROT_WRITE);
    if (guest_prot & (PROT_EXEC | PROT_WRITE)) /* riscv has no write-only pages either */
        prot |= PROT_READ;
    return prot;
}

/* --- The table. All with the lock held. --- */

/* Index of the first mapping that ends above addr. */
static size_t first_above(const struct space *s, uint64_t addr)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->maps[mid].end <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Makes room for `insert` new entries instead of the `remove` ones at index i. */
static void table_splice(struct space *s, size_t i, size_t remove, const struct mapping *insert,
                         size_t n_insert)
{
    size_t n = s->n - remove + n_insert;
    for (size_t k = 0; k < remove; k++)
        s->bytes -= s->maps[i + k].end - s->maps[i + k].start;
    for (size_t k = 0; k < n_insert; k++)
        s->bytes += insert[k].end - insert[k].start;
    if (n > s->cap) {
        s->cap = n * 2 + 64;
        s->maps = xrealloc(s->maps, s->cap * sizeof *s->maps);
    }
    memmove(s->maps + i + n_insert, s->maps + i + remove, (s->n - i - remove) * sizeof *s->maps);
    if (n_insert)
        memcpy(s->maps + i, insert, n_insert * sizeof *insert);
    s->n = n;
}

/* Replaces what is in [start, end) by one mapping, or by nothing (with prot -1). */
static void table_set(struct space *s, uint64_t start, uint64_t end, int prot)
{
    struct mapping new[3];
    size_t n = 0;
    size_t i = first_above(s, start), j = i;
    while (j < s->n && s->maps[j].start < end)
        j++;
    if (i < j && s->maps[i].start < start)
        new[n++] = (struct mapping){s->maps[i].start, start, s->maps[i].prot};
    if (prot >= 0)
        new[n++] = (struct mapping){start, end, prot};
    if (i < j && s->maps[j - 1].end > end)
        new[n++] = (struct mapping){end, s->maps[j - 1].end, s->maps[j - 1].prot};
    /* Neighbours of the same kind become one, so that a heap grown in steps stays one entry. */
    if (n && i > 0 && s->maps[i - 1].end == new[0].start && s->maps[i - 1].prot == new[0].prot) {
        new[0].start = s->maps[--i].start;
    }
    if (n && j < s->n && s->maps[j].start == new[n - 1].end && s->maps[j].prot == new[n - 1].prot) {
        new[n - 1].end = s->maps[j++].end;
    }
    size_t m = 0;
    for (size_t k = 0; k < n; k++) {
        if (m && new[m - 1].end == new[k].start &&new[m - 1].prot == new[k].prot)
            new[m - 1].end = new[k].end;
        else
            new[m++] = new[k];
    }
    table_splice(s, i, j - i, new, m);
    atomic_fetch_add(&s->version, 1);
}

/* Changes the protection in [start, end), which the table covers. */
static void table_protect(struct space *s, uint64_t start, uint64_t end, int prot)
{
    while (start < end) {
        const struct mapping m = s->maps[first_above(s, start)];
        uint64_t to = m.end < end ? m.end : end;
        table_set(s, start, to, prot | (m.prot & MAPPING_SHARED));
        start = to;
    }
}

static bool table_covers(const struct space *s, uint64_t start, uint64_t end)
{
    for (size_t i = first_above(s, start); i < s->n && s->maps[i].start <= start; i++) {
        start = s->maps[i].end;
        if (start >= end)
            return true;
    }
    return false;
}

/* Bytes of [start, end) that are the guest's. */
static uint64_t table_bytes(const struct space *s, uint64_t start, uint64_t end)
{
    uint64_t bytes = 0;
    for (size_t i = first_above(s, start); i < s->n && s->maps[i].start < end; i++) {
        uint64_t from = s->maps[i].start > start ? s->maps[i].start : start;
        uint64_t to = s->maps[i].end < end ? s->maps[i].end : end;
        bytes += to - from;
    }
    return bytes;
}

/* Whether RLIMIT_AS lets the guest have `more` bytes in place of `less`. The emulator's own memory
 * is not counted. */
static bool may_grow(const struct process *p, uint64_t more, uint64_t less)
{
    if (!p->limit_as.set || more <= less)
        return true;
    uint64_t stack = p->stack_hi - p->stack_lo; /* all of it is mapped, most is never used */
    uint64_t now = p->space.bytes > stack ? p->space.bytes - stack : 0;
    return now + (more - less) <= p->limit_as.soft;
}

static bool table_any_exec(const struct space *s, uint64_t start, uint64_t end)
{
    for (size_t i = first_above(s, start); i < s->n && s->maps[i].start < end; i++)
        if (s->maps[i].prot & PROT_EXEC)
            return true;
    return false;
}

bool space_find(struct space *s, uint64_t addr, struct mapping *out)
{
    pthread_mutex_lock(&s->lock);
    size_t i = first_above(s, addr);
    bool found = i < s->n && s->maps[i].start <= addr;
    if (found)
        *out = s->maps[i];
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool space_next_shared_code(struct space *s, uint64_t from, struct mapping *out)
{
    const int both = MAPPING_SHARED | PROT_EXEC;
    pthread_mutex_lock(&s->lock);
    size_t i = first_above(s, from);
    while (i < s->n && (s->maps[i].prot & both) != both)
        i++;
    bool found = i < s->n;
    if (found)
        *out = s->maps[i];
    pthread_mutex_unlock(&s->lock);
    return found;
}

void space_each(struct space *s, void (*fn)(const struct mapping *m, void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++)
        fn(&s->maps[i], arg);
    pthread_mutex_unlock(&s->lock);
}

/* --- Fixed addresses --- */

/* Calls fn for each part of [start, end) that is not the guest's; stops when it answers nonzero. */
static long each_gap(const struct space *s, uint64_t start, uint64_t end,
                     long (*fn)(uint64_t start, uint64_t end))
{
    size_t i = first_above(s, start);
    while (start < end) {
        uint64_t gap_end = i < s->n && s->maps[i].start < end ? s->maps[i].start : end;
        if (gap_end > start) {
            long r = fn(start, gap_end);
            if (r)
                return r;
        }
        if (i >= s->n || s->maps[i].start >= end)
            break;
        start = s->maps[i++].end;
    }
    return 0;
}

static long reserve(uint64_t start, uint64_t end)
{
    long r = HOST_CALL(SYS_mmap, start, end - start, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (r == (long)start)
        return 0;
    if (r >= 0) { /* a kernel that does not know the flag put it elsewhere */
        HOST_CALL(SYS_munmap, r, end - start);
        return -EEXIST;
    }
    return r;
}

/* A gap that claim() has filled, to be given back when a later one cannot be had. */
struct reserved {
    uint64_t start, end;
};

/* Before the host may replace [start, end): makes sure that all of it is the guest's or was free.
 * 0, or -ENOMEM when the emulator itself lives there. */
static long claim(struct space *s, uint64_t start, uint64_t end)
{
    struct reserved *got = NULL;
    size_t n = 0;
    uint64_t at = start;
    size_t i = first_above(s, start);
    long r = 0;
    while (at < end) {
        uint64_t gap_end = i < s->n && s->maps[i].start < end ? s->maps[i].start : end;
        if (gap_end > at) {
            r = reserve(at, gap_end);
            if (r)
                break;
            got = xrealloc(got, (n + 1) * sizeof *got);
            got[n++] = (struct reserved){at, gap_end};
        }
        if (i >= s->n || s->maps[i].start >= end)
            break;
        at = s->maps[i++].end;
    }
    if (r)
        for (size_t k = 0; k < n; k++)
            HOST_CALL(SYS_munmap, got[k].start, got[k].end - got[k].start);
    free(got);
    return r == -EEXIST ? -ENOMEM : r;
}

static long release(uint64_t start, uint64_t end)
{
    HOST_CALL(SYS_munmap, start, end - start);
    return 0;
}

/* --- The guest's calls --- */

static void code_changed(struct process *p, bool had_exec, uint64_t start, uint64_t len)
{
    if (had_exec)
        engine_invalidate(p->engine, start, len, false);
}

/* Memory that is shared with other processes came into being with access prot. Read-only, it only
 * matters if that changes. */
static void note_shared(struct process *p, int prot)
{
    atomic_store(&p->space.shared, true);
    if (prot & PROT_WRITE)
        engine_set_parallel(p->engine);
}

long space_mmap(struct process *p, uint64_t addr, uint64_t len, int prot, int flags, int fd,
                uint64_t offset)
{
    struct space *s = &p->space;
    uint64_t size = page_up(len);
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    bool had_exec = false;
    if (!len) /* an error, but which? */
        return HOST_CALL(SYS_mmap, 0, 0, prot, flags & ~MAP_FIXED, fd, offset);
    if (size < len || size > GUEST_ADDRESS_END)
        return -ENOMEM;
    flags &= ~GUEST_MAP_32BIT;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
        prot &= PROT_READ | PROT_WRITE | PROT_EXEC; /* the kernel ignores unknown bits here */
    if (fixed && (addr & (PAGE_SIZE - 1)))
        return -EINVAL;
    if (fixed && !range_ok(addr, size))
        return -ENOMEM;

    pthread_mutex_lock(&s->lock);
    bool replace = (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
    if (!may_grow(p, size, replace ? table_bytes(s, addr, addr + size) : 0)) {
        pthread_mutex_unlock(&s->lock);
        return -ENOMEM;
    }
    if (replace) {
        long r = claim(s, addr, addr + size);
        if (r) {
            pthread_mutex_unlock(&s->lock);
            return r;
        }
        had_exec = table_any_exec(s, addr, addr + size);
    }
    long r = HOST_CALL(SYS_mmap, addr, len, space_host_prot(prot), flags, fd, offset);
    if (r >= 0)
        table_set(s, (uint64_t)r, (uint64_t)r + size,
                  (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) |
                      ((flags & MAP_TYPE) == MAP_PRIVATE ? 0 : MAPPING_SHARED));
    else if (replace) /* what was claimed and was not the guest's before goes back */
        each_gap(s, addr, addr + size, release);
    pthread_mutex_unlock(&s->lock);
    if (r >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE)
        note_shared(p, prot);
    code_changed(p, had_exec, addr, size);
    return r;
}

long space_munmap(struct process *p, uint64_t addr, uint64_t len)
{
    struct space *s = &p->space;
    if ((addr & (PAGE_SIZE - 1)) || !len || len > GUEST_ADDRESS_END ||
        !range_ok(addr, page_up(len)))
        return -EINVAL;
    uint64_t end = addr + page_up(len);
    pthread_mutex_lock(&s->lock);
    bool had_exec = table_any_exec(s, addr, end);
    long r = 0;
    for (size_t i = first_above(s, addr); i < s->n && s->maps[i].start < end && !r; i++) {
        uint64_t from = s->maps[i].start > addr ? s->maps[i].start : addr;
        uint64_t to = s->maps[i].end < end ? s->maps[i].end : end;
        r = HOST_CALL(SYS_munmap, from, to - from);
    }
    if (!r)
        table_set(s, addr, end, -1);
    pthread_mutex_unlock(&s->lock);
    code_changed(p, had_exec, addr, end - addr);
    return r;
}

long space_mprotect(struct process *p, uint64_t addr, uint64_t len, int prot)
{
    struct space *s = &p->space;
    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    if (!len)
        return 0;
    if (len > GUEST_ADDRESS_END || !range_ok(addr, page_up(len)))
        return -ENOMEM;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL;
    if ((prot & PROT_WRITE) && atomic_load(&s->shared))
        engine_set_parallel(p->engine);
    uint64_t end = addr + page_up(len);
    pthread_mutex_lock(&s->lock);
    if ((prot & PROT_GROWSDOWN) && addr >= p->stack_lo && addr < p->stack_hi)
        addr = p->stack_lo; /* the guest's stack is one mapping here, grown from the start */
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    long r = -ENOMEM;
    bool had_exec = false;
    if (table_covers(s, addr, end)) {
        had_exec = !(prot & PROT_EXEC) && table_any_exec(s, addr, end);
        r = HOST_CALL(SYS_mprotect, addr, end - addr, space_host_prot(prot));
        if (!r)
            table_protect(s, addr, end, prot);
    }
    pthread_mutex_unlock(&s->lock);
    code_changed(p, had_exec, addr, end - addr);
    return r;
}

long space_mremap(struct process *p, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags,
                  uint64_t new_addr)
{
    struct space *s = &p->space;
    if ((addr & (PAGE_SIZE - 1)) || !new_len ||
        (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)))
        return -EINVAL;
    if (old_len > GUEST_ADDRESS_END || new_len > GUEST_ADDRESS_END)
        return -ENOMEM;
    old_len = page_up(old_len);
    new_len = page_up(new_len);
    if (!range_ok(addr, old_len ? old_len : PAGE_SIZE))
        return -EFAULT;
    bool fixed = flags & MREMAP_FIXED;
    if (fixed &&
        ((new_addr & (PAGE_SIZE - 1)) || !range_ok(new_addr, new_len) || !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;

    pthread_mutex_lock(&s->lock);
    long r = -EFAULT;
    bool had_exec = false, new_exec = false;
    struct mapping from = {0};
    if (table_covers(s, addr, addr + (old_len ? old_len : PAGE_SIZE))) {
        from = s->maps[first_above(s, addr)];
        uint64_t gone = fixed ? table_bytes(s, new_addr, new_addr + new_len) : 0;
        gone += flags & MREMAP_DONTUNMAP ? 0 : old_len;
        r = !may_grow(p, new_len, gone) ? -ENOMEM
            : fixed                     ? claim(s, new_addr, new_addr + new_len)
                                        : 0;
    }
    if (!r) {
        had_exec = table_any_exec(s, addr, addr + old_len);
        new_exec = fixed && table_any_exec(s, new_addr, new_addr + new_len);
        r = HOST_CALL(SYS_mremap, addr, old_len, new_len, flags, new_addr);
        if (r >= 0) {
            if (!(flags & MREMAP_DONTUNMAP))
                table_set(s, addr, addr + old_len, -1);
            table_set(s, (uint64_t)r, (uint64_t)r + new_len, from.prot);
        } else if (fixed) {
            each_gap(s, new_addr, new_addr + new_len, release);
        }
    }
    pthread_mutex_unlock(&s->lock);
    code_changed(p, had_exec, addr, old_len);
    code_changed(p, new_exec, new_addr, new_len);
    return r;
}

long space_remap_pages(struct process *p, uint64_t addr, uint64_t len, int prot, uint64_t page,
                       int flags)
{
    struct space *s = &p->space;
    addr &= ~(PAGE_SIZE - 1); /* as the kernel does */
    len &= ~(PAGE_SIZE - 1);
    if (!range_ok(addr, len))
        return -EINVAL;
    pthread_mutex_lock(&s->lock);
    bool exec = table_any_exec(s, addr, addr + len);
    long r = -EINVAL;
    if (table_covers(s, addr, addr + len))
        r = HOST_CALL(SYS_remap_file_pages, addr, len, prot, page, flags);
    pthread_mutex_unlock(&s->lock);
    code_changed(p, exec, addr, len);
    return r;
}

long space_madvise(struct process *p, uint64_t addr, uint64_t len, int advice)
{
    struct space *s = &p->space;
    if ((addr & (PAGE_SIZE - 1)) || len > GUEST_ADDRESS_END)
        return -EINVAL;
    if (!len)
        return 0;
    uint64_t end = addr + page_up(len);
    if (!range_ok(addr, end - addr))
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    bool whole = table_covers(s, addr, end), exec = table_any_exec(s, addr, end);
    long r = 0;
    for (size_t i = first_above(s, addr); i < s->n && s->maps[i].start < end && !r; i++) {
        uint64_t from = s->maps[i].start > addr ? s->maps[i].start : addr;
        uint64_t to = s->maps[i].end < end ? s->maps[i].end : end;
        r = HOST_CALL(SYS_madvise, from, to - from, advice);
    }
    pthread_mutex_unlock(&s->lock);
    if (exec && (advice == MADV_DONTNEED || advice == MADV_REMOVE))
        engine_invalidate(p->engine, addr, end - addr, true);
    return r ? r : whole ? 0 : -ENOMEM;
}

long space_brk(struct process *p, uint64_t brk)
{
    struct space *s = &p->space;
    pthread_mutex_lock(&s->lock);
    if (brk >= s->brk_start && brk < GUEST_ADDRESS_END) {
        uint64_t end = page_up(brk);
        if (end > s->brk_mapped) {
            uint64_t size = end - s->brk_mapped;
            long r = -ENOMEM;
            bool data = !p->limit_data.set || brk - s->brk_start <= p->limit_data.soft;
            if (data && may_grow(p, size, 0))
                r = HOST_CALL(SYS_mmap, s->brk_mapped, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            if (r == (long)s->brk_mapped) {
                table_set(s, s->brk_mapped, end, PROT_READ | PROT_WRITE);
                s->brk_mapped = end;
                s->brk = brk;
            } else if (r >= 0) {
                HOST_CALL(SYS_munmap, r, size);
            }
        } else {
            if (end < s->brk_mapped && !HOST_CALL(SYS_munmap, end, s->brk_mapped - end)) {
                table_set(s, end, s->brk_mapped, -1);
                s->brk_mapped = end;
            }
            s->brk = brk;
        }
    }
    long r = (long)s->brk;
    pthread_mutex_unlock(&s->lock);
    return r;
}

long space_shmat(struct process *p, int id, uint64_t addr, int flags)
{
    struct space *s = &p->space;
    struct shmid_ds ds;
    long r = HOST_CALL(SYS_shmctl, id, IPC_STAT, &ds);
    if (r < 0 && r != -EACCES)
        return r;
    if (r < 0) /* may be attached, not looked at */
        return r;
    uint64_t size = page_up(ds.shm_segsz);
    bool had_exec = false;
    if (addr & (PAGE_SIZE - 1)) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        addr &= ~(PAGE_SIZE - 1); /* SHMLBA is a page on both */
    }
    if (addr && !range_ok(addr, size))
        return -EINVAL;
    pthread_mutex_lock(&s->lock);
    bool replace = addr && (flags & SHM_REMAP);
    r = may_grow(p, size, replace ? table_bytes(s, addr, addr + size) : 0) ? 0 : -ENOMEM;
    if (!r && replace) {
        r = claim(s, addr, addr + size);
        had_exec = table_any_exec(s, addr, addr + size);
    }
    if (!r) {
        r = HOST_CALL(SYS_shmat, id, addr, flags & ~SHM_EXEC);
        if (r >= 0)
            table_set(s, (uint64_t)r, (uint64_t)r + size,
                      MAPPING_SHARED | PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) |
                          (flags & SHM_EXEC ? PROT_EXEC : 0));
        else if (replace)
            each_gap(s, addr, addr + size, release);
    }
    pthread_mutex_unlock(&s->lock);
    if (r >= 0)
        note_shared(p, flags & SHM_RDONLY ? PROT_READ : PROT_WRITE);
    code_changed(p, had_exec, addr, size);
    return r;
}

/* Whether the host still has something mapped at addr. */
static bool host_mapped(uint64_t addr)
{
    unsigned char vec;
    return HOST_CALL(SYS_mincore, addr, PAGE_SIZE, &vec) != -ENOMEM;
}

long space_shmdt(struct process *p, uint64_t addr)
{
    struct space *s = &p->space;
    pthread_mutex_lock(&s->lock);
    long r = -EINVAL;
    uint64_t end = addr;
    if (table_covers(s, addr, addr + PAGE_SIZE)) {
        r = HOST_CALL(SYS_shmdt, addr);
        /* The call does not say how long the segment was: what is gone now belonged to it. */
        while (!r && table_covers(s, end, end + PAGE_SIZE) && !host_mapped(end))
            end += PAGE_SIZE;
        if (end > addr)
            table_set(s, addr, end, -1);
    }
    pthread_mutex_unlock(&s->lock);
    if (end > addr)
        engine_invalidate(p->engine, addr, end - addr, false);
    return r;
}
