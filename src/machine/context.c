/* Translation contexts: what a hart has cached of each address space, by privilege class.
 *
 * U mode's contexts belong to a value of satp (mode, ASID and root) and to a class of access
 * rights, so neither a trap to the kernel nor a switch between processes wipes anything. S mode has
 * one context a class for all address spaces: a kernel is mapped by global entries, and what was
 * filled from others is dropped when satp changes. So a new process does not start with an empty
 * TLB for its kernel. */
#include <string.h>

#include "engine/jumps.h"
#include "engine/tlb.h"
#include "machine/board.h"

static unsigned region_bit(uint64_t number)
{
    return (unsigned)((number * 0x9e3779b97f4a7c15u) >> 54) % REGION_BITS;
}

static bool region_test(const uint64_t *set, uint64_t number)
{
    unsigned bit = region_bit(number);
    return set[bit / 64] >> (bit % 64) & 1;
}

static void region_add(uint64_t *set, uint64_t number)
{
    unsigned bit = region_bit(number);
    set[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/* Answers whether there was any. */
static bool flush_code(struct context *c)
{
    if (!c->any_code)
        return false;
    jump_cache_flush(&c->jumps);
    memset(c->fetch, 0xff, sizeof c->fetch);
    memset(c->code, 0, sizeof c->code);
    memset(c->mega_code, 0, sizeof c->mega_code);
    c->any_code = c->local_code = false;
    return true;
}

bool context_flush(struct context *c)
{
    if (c->n_fills > JOURNAL_SIZE) {
        tlb_flush(&c->tlb);
    } else {
        for (unsigned i = 0; i < c->n_fills; i++) {
            c->tlb.load[c->journal[i]].tag = TLB_INVALID;
            c->tlb.store[c->journal[i]].tag = TLB_INVALID;
        }
    }
    c->n_fills = c->n_local = 0;
    memset(c->mega, 0, sizeof c->mega);
    memset(c->giga, 0, sizeof c->giga);
    return flush_code(c);
}

static bool is_shared(unsigned class)
{
    return (class & CLASS_PRIV) == PRIV_S;
}

/* Drops what was not filled from global entries. Answers whether code was among it. */
static bool drop_local(struct context *c)
{
    if (c->n_local > JOURNAL_SIZE)
        return context_flush(c);
    for (unsigned i = 0; i < c->n_local; i++) {
        c->tlb.load[c->local[i]].tag = TLB_INVALID;
        c->tlb.store[c->local[i]].tag = TLB_INVALID;
    }
    c->n_local = 0;
    return c->local_code && flush_code(c);
}

static void enter_space(struct context *c, uint64_t satp)
{
    if (SATP_MODE(c->satp) != SATP_MODE(satp))
        context_flush(c);
    else
        drop_local(c);
    c->satp = satp;
}

void context_note_fill(struct context *c, uint64_t va, unsigned page_shift, bool global)
{
    if (is_shared(c->class) && !global) {
        if (c->n_local < JOURNAL_SIZE)
            c->local[c->n_local] = (uint16_t)tlb_index(va);
        if (c->n_local <= JOURNAL_SIZE)
            c->n_local++;
    }
    if (c->n_fills < JOURNAL_SIZE)
        c->journal[c->n_fills] = (uint16_t)tlb_index(va);
    if (c->n_fills <= JOURNAL_SIZE)
        c->n_fills++;
    if (page_shift > 12)
        region_add(c->mega, va >> 21);
    if (page_shift > 21)
        region_add(c->giga, va >> 30);
}

static struct context *find(struct hart *h, uint64_t satp, unsigned class)
{
    struct context *oldest = NULL;
    for (unsigned i = 0; i < N_CONTEXTS; i++) {
        struct context *c = &h->contexts[i];
        if (c->used && c->class == class && !satp == !c->satp &&
            (c->satp == satp || is_shared(class))) {
            if (c->satp != satp)
                enter_space(c, satp);
            return c;
        }
        bool in_use = c == h->code || c == h->data;
        if (!in_use && (!oldest || !c->used || (oldest->used && c->last_used < oldest->last_used)))
            oldest = c;
    }
    for (unsigned i = 0; i < N_CLASSES; i++)
        if (h->current[i] == oldest)
            h->current[i] = NULL;
    if (oldest->used) {
        context_flush(oldest);
    } else {
        tlb_flush(&oldest->tlb);
        oldest->any_code = true;
        flush_code(oldest);
    }
    oldest->used = true;
    oldest->satp = satp;
    oldest->class = class;
    return oldest;
}

static struct context *lookup(struct hart *h, unsigned class)
{
    if ((class & CLASS_PRIV) != PRIV_S)
        class &= ~(unsigned)CLASS_SUM;
    struct context *c = h->current[class];
    if (!c) {
        uint64_t satp = (class & CLASS_PRIV) == PRIV_M || !SATP_MODE(h->satp) ? 0 : h->satp;
        c = find(h, satp, class);
        h->current[class] = c;
    }
    c->last_used = ++h->use_clock;
    return c;
}

void context_select(struct hart *h)
{
    unsigned class = hart_priv(h);
    if (h->mstatus & MSTATUS_SUM)
        class |= CLASS_SUM;
    if (h->mstatus & MSTATUS_MXR)
        class |= CLASS_MXR;
    h->code = h->data = lookup(h, class);
    if (hart_priv(h) == PRIV_M && (h->mstatus & MSTATUS_MPRV))
        h->data = lookup(h, (class & ~(unsigned)CLASS_PRIV) | (h->mstatus >> 11 & 3));
    if (h->cpu.tlb != &h->data->tlb || h->cpu.jumps != &h->code->jumps)
        engine_set_context(&h->cpu, &h->data->tlb, &h->code->jumps);
}

/* Drops what the context has of the 4 KiB page at va, and of the larger page it was cut from.
 * Answers whether code was among it. */
static bool drop_page(struct context *c, uint64_t va)
{
    if (region_test(c->giga, va >> 30))
        return context_flush(c);
    if (region_test(c->mega, va >> 21)) {
        uint64_t start = va & ~(((uint64_t)1 << 21) - 1);
        for (uint64_t page = start; page < start + (1 << 21); page += PAGE_SIZE)
            tlb_drop(&c->tlb, page);
        return c->any_code && region_test(c->mega_code, va >> 21) && flush_code(c);
    }
    tlb_drop(&c->tlb, va);
    return c->any_code && region_test(c->code, va >> 12) && flush_code(c);
}

static bool drop_range(struct context *c, uint64_t start, uint64_t len)
{
    uint64_t first = start >> 12, last = (start + len - 1) >> 12;
    if (last < first || last - first >= 256)
        return context_flush(c);
    bool code = false;
    for (uint64_t page = first; page <= last; page++)
        code |= drop_page(c, page << 12);
    return code;
}

/* Drops the store entry at va, if it leads to the host page. */
static bool drop_store_at(struct context *c, uint64_t va, uint64_t host)
{
    struct tlb_entry *e = &c->tlb.store[tlb_index(va)];
    if (e->tag == TLB_INVALID || e->tag + e->addend != host)
        return false;
    e->tag = TLB_INVALID;
    return true;
}

static bool drop_store(struct context *c, uint64_t va, uint64_t host)
{
    if (va != NO_VA)
        return drop_store_at(c, va, host);
    bool found = false;
    unsigned n = c->n_fills > JOURNAL_SIZE ? 1u << TLB_BITS : c->n_fills;
    for (unsigned i = 0; i < n; i++) {
        uint64_t index = c->n_fills > JOURNAL_SIZE ? i : c->journal[i];
        found |= drop_store_at(c, index << 12, host);
    }
    return found;
}

bool context_drop_store(struct hart *h, uint64_t page, uint64_t va)
{
    uint64_t host = (uint64_t)(uintptr_t)slat_load_page(h->m->slat, page);
    bool found = false;
    for (unsigned i = 0; i < N_CONTEXTS; i++)
        if (h->contexts[i].used)
            found |= drop_store(&h->contexts[i], va, host);
    return found;
}

bool context_fence(struct hart *h, const struct fence *f)
{
    bool code = false;
    for (unsigned i = 0; i < N_CONTEXTS; i++) {
        struct context *c = &h->contexts[i];
        if (!c->used)
            continue;
        if (f->asid != NO_ASID && c->satp && SATP_ASID(c->satp) != f->asid)
            continue;
        if (f->asid != NO_ASID && c->satp && is_shared(c->class))
            code |= drop_local(c); /* a fence for one ASID leaves global entries alone */
        else
            code |= f->len ? drop_range(c, f->start, f->len) : context_flush(c);
    }
    return code;
}

void context_mark_code(struct context *c, uint64_t va, unsigned page_shift, bool global)
{
    if (page_shift == 12)
        region_add(c->code, va >> 12);
    else
        region_add(c->mega_code, va >> 21);
    c->any_code = true;
    c->local_code |= !global;
}
