/* Filling and flushing a software TLB: for the wall that owns the address translation. */
#ifndef WIRT_ENGINE_TLB_H
#define WIRT_ENGINE_TLB_H

#include <string.h>

#include "engine/cpu.h"

static inline unsigned tlb_index(uint64_t va)
{
    return (unsigned)(va >> 12) & ((1u << TLB_BITS) - 1);
}

/* host: the host address of the 4 KiB page that va is in. */
static inline void tlb_fill(struct tlb_entry *table, uint64_t va, void *host)
{
    uint64_t page = va & ~(uint64_t)0xfff;
    table[tlb_index(va)] =
        (struct tlb_entry){.tag = page, .addend = (uint64_t)(uintptr_t)host - page};
}

static inline void tlb_drop(struct tlb *t, uint64_t va)
{
    uint64_t page = va & ~(uint64_t)0xfff;
    if (t->load[tlb_index(va)].tag == page)
        t->load[tlb_index(va)].tag = TLB_INVALID;
    if (t->store[tlb_index(va)].tag == page)
        t->store[tlb_index(va)].tag = TLB_INVALID;
}

static inline void tlb_flush(struct tlb *t)
{
    memset(t, 0xff, sizeof *t);
}

#endif
