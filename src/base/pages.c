#include "base/pages.h"

#include <sys/mman.h>

#include "base/str.h"

#define PAGE      ((size_t)4096)
#define SLACK     (2 * PAGE) /* what comes next may be as long */
#define AHEAD_MIN ((size_t)64 << 10)
#define AHEAD_MAX ((size_t)512 << 10)

void *pages_alloc(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        out_of_memory();
    return p;
}

void pages_ahead(void *base, size_t size, size_t used, size_t *ready, int advice)
{
    if (used + SLACK < *ready || *ready >= size)
        return;
    size_t start = used & ~(PAGE - 1), ahead = (used / 8) & ~(PAGE - 1);
    if (start < *ready)
        start = *ready;
    ahead = ahead < AHEAD_MIN ? AHEAD_MIN : ahead > AHEAD_MAX ? AHEAD_MAX : ahead;
    size_t end = size - start < ahead ? size : start + ahead;
    /* Where it fails (Linux before 5.14, no memory), pages come as they are touched. */
    if (madvise((uint8_t *)base + start, end - start, advice) < 0)
        end = size;
    *ready = end;
}
