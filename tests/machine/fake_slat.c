#include "fake_slat.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct slat *fake_slat_new(uint64_t base, uint64_t size)
{
    struct slat *s = xcalloc(1, sizeof *s);
    *s = (struct slat){.base = base, .size = size, .ram = xcalloc(1, size)};
    return s;
}

void fake_slat_free(struct slat *s)
{
    free(s->ram);
    free(s);
}

void *slat_host(struct slat *s, uint64_t gpa, uint64_t len, bool write)
{
    if (!len)
        len = 1;
    if (gpa < s->base || gpa - s->base >= s->size || len > s->size - (gpa - s->base))
        return NULL;
    return s->ram + (gpa - s->base);
}

void slat_wrote(struct slat *s, uint64_t gpa, uint64_t len)
{
    s->wrote += len;
}

bool slat_discard(struct slat *s, uint64_t gpa, uint64_t len, bool ballooned)
{
    uint8_t *p = slat_host(s, gpa, len, true);
    if (!p)
        return false;
    memset(p, 0, len);
    s->discards++;
    *(ballooned ? &s->ballooned : &s->discarded) += len;
    return true;
}

void slat_deflate(struct slat *s, uint64_t gpa, uint64_t len)
{
    if (slat_host(s, gpa, len, false))
        s->deflated += len;
}
