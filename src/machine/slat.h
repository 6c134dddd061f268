/* Second-level address translation: guest physical pages to host pages, with a state for each page.
 *
 * RAM is one host mapping, so a translation is an addition; what the second level holds is each
 * page's state. A page's first touch, by a hart, a page table walk or a device, is a second-level
 * fault: it is counted and the page becomes present. Only present pages enter a TLB.
 *
 * Translated code. A page that code was translated from is PAGE_CODE: no store TLB holds it. The
 * first store makes it PAGE_CODE_CHANGED and lets store TLBs hold it; each such fill is noted in
 * the list of changes, so that fence.i finds the entries again without searching. fence.i takes the
 * list, makes the pages PAGE_CODE again, drops the noted entries, and compares the translated
 * bytes. PAGE_STORE says that a store TLB may hold the page without a note, which makes the first
 * translation from it search the TLBs. */
#ifndef WIRT_MACHINE_SLAT_H
#define WIRT_MACHINE_SLAT_H

#include <stdatomic.h>

#include "machine/memory.h"

#define PAGE_SIZE 4096u

enum page_state {
    PAGE_PRESENT = 1,
    PAGE_CODE = 2,
    PAGE_CODE_CHANGED = 4,
    PAGE_STORE = 8,
    PAGE_BALLOONED = 16,
};

#define NO_VA          UINT64_MAX /* anywhere; no virtual page */
#define CHANGE_NO_HART UINT32_MAX /* a device's write: no TLB entry belongs to it */

/* A store to a page with translated code, or a store TLB entry filled for such a page. */
struct code_change {
    uint64_t page; /* guest physical address */
    uint64_t va;   /* the entry's virtual page; NO_VA: any */
    uint32_t hart; /* whose TLB, or CHANGE_NO_HART */
};

/* Sorts by page and leaves out doubles; when that is not half of the list, the virtual pages too.
 * So no list grows beyond a few entries for each page of RAM and hart, whatever a guest does
 * between two fence.i. Answers how many are left. */
unsigned code_changes_merge(struct code_change *list, unsigned n);

struct slat;

/* RAM of size bytes (whole pages) at guest physical address base, all pages absent. */
struct slat *slat_new(uint64_t base, uint64_t size, struct error **err);
void slat_free(struct slat *s);

/* All pages absent and zero again. No hart may run, and all TLBs are to be flushed. */
int slat_reset(struct slat *s, struct error **err);

uint64_t slat_base(const struct slat *s);
uint64_t slat_size(const struct slat *s);

/* The host page of the guest physical page that gpa is in, made present; NULL when gpa is not
 * RAM. */
void *slat_load_page(struct slat *s, uint64_t gpa);

/* The same for a store TLB entry that hart `hart` is about to fill for va. */
void *slat_store_page(struct slat *s, uint64_t gpa, uint32_t hart, uint64_t va);

/* Code is about to be translated from the page. *search: store TLBs may hold it and have to be
 * searched. Answers whether the page was not PAGE_CODE before. */
bool slat_mark_code(struct slat *s, uint64_t page, bool *search);

/* Notes that a page with translated code was, or may have been, written. */
void slat_note_change(struct slat *s, uint64_t page);

/* Takes the list of changes: the caller frees it. The pages are PAGE_CODE again. */
struct code_change *slat_take_changes(struct slat *s, unsigned *n);

/* Called (any thread, no lock held) after pages were discarded: TLBs have to lose them. */
void slat_on_discard(struct slat *s, void (*fn)(void *opaque), void *opaque);

#endif
