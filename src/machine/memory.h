/* Guest physical memory, as devices see it.
 *
 * Every access names a guest physical address that the guest chose: all of it is checked here, and
 * what is not RAM is refused. Pages are populated on first touch. Any thread. */
#ifndef WIRT_MACHINE_MEMORY_H
#define WIRT_MACHINE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct slat;

/* The host address of [gpa, gpa + len) when all of it is RAM, else NULL; contiguous, valid until
 * the machine ends. len 0 asks for len 1. With write, translated code on these pages is noted as
 * changed. Whoever writes through the pointer later than at once (a disk read that completes, say)
 * calls slat_wrote afterwards. */
void *slat_host(struct slat *s, uint64_t gpa, uint64_t len, bool write);
void slat_wrote(struct slat *s, uint64_t gpa, uint64_t len);

/* Copies out of and into RAM; false, and nothing copied, when any of it is not RAM. */
bool slat_read(struct slat *s, uint64_t gpa, void *to, uint64_t len);
bool slat_write(struct slat *s, uint64_t gpa, const void *from, uint64_t len);

/* Gives the whole pages inside [gpa, gpa + len) back to the host; the next touch finds zeros.
 * ballooned: they count as the balloon's until slat_deflate or a touch. false: not RAM, or the host
 * refused. */
bool slat_discard(struct slat *s, uint64_t gpa, uint64_t len, bool ballooned);
void slat_deflate(struct slat *s, uint64_t gpa, uint64_t len);

struct slat_stats {
    uint64_t ram_bytes;
    uint64_t faults;         /* first touches: second-level faults */
    uint64_t resident_pages; /* populated and not given back */
    uint64_t ballooned_pages;
    uint64_t discarded_pages; /* given back so far, counted each time */
    uint64_t code_writes;     /* first writes to pages with translated code */
};

void slat_get_stats(struct slat *s, struct slat_stats *out);

#endif
