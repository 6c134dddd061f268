/* The first level of address translation: the guest's page tables (Sv39, Sv48, Sv57), and the slow
 * paths of fetch, load, store and atomics, which fill the TLB.
 * Rules: Volume II, chapter Supervisor-Level ISA, virtual address translation process. */
#include "engine/guest_access.h"
#include "engine/tlb.h"
#include "machine/board.h"

#define PTE_V    1u
#define PTE_R    2u
#define PTE_W    4u
#define PTE_X    8u
#define PTE_U    16u
#define PTE_G    32u
#define PTE_A    64u
#define PTE_D    128u
#define PTE_PPN  (((uint64_t)1 << 54) - ((uint64_t)1 << 10))
#define PTE_HIGH (~(((uint64_t)1 << 54) - 1)) /* reserved without Svnapot and Svpbmt */

/* In the order of PMP's bits, so that one is the other. */
enum access {
    ACCESS_LOAD = PMP_R,
    ACCESS_STORE = PMP_W,
    ACCESS_FETCH = PMP_X
};

static bool fail(struct hart *h, enum access access, uint64_t va, bool page_fault)
{
    uint64_t cause;
    if (access == ACCESS_FETCH)
        cause = page_fault ? CAUSE_FETCH_PAGE : CAUSE_FETCH_ACCESS;
    else if (access == ACCESS_LOAD)
        cause = page_fault ? CAUSE_LOAD_PAGE : CAUSE_LOAD_ACCESS;
    else
        cause = page_fault ? CAUSE_STORE_PAGE : CAUSE_STORE_ACCESS;
    h->cpu.trap = (struct trap){.cause = cause, .tval = va};
    return false;
}

/* Whether a leaf entry allows the access to this class. */
static bool leaf_allows(uint64_t pte, enum access access, unsigned class)
{
    if ((class & CLASS_PRIV) == PRIV_U) {
        if (!(pte & PTE_U))
            return false;
    } else if (pte & PTE_U && (access == ACCESS_FETCH || !(class & CLASS_SUM))) {
        return false;
    }
    switch (access) {
    case ACCESS_FETCH: return pte & PTE_X;
    case ACCESS_STORE: return pte & PTE_W;
    case ACCESS_LOAD: return pte & PTE_R || (class & CLASS_MXR && pte & PTE_X);
    }
    return false;
}

/* Sets A, and D for a store, unless the entry changed meanwhile (then the walk starts again). */
static bool update_leaf(struct hart *h, uint64_t *host, uint64_t gpa, uint64_t pte, uint64_t new)
{
    if (!__atomic_compare_exchange_n(host, &pte, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return false;
    slat_note_change(h->m->slat, gpa);
    return true;
}

/* What a translation came to. */
struct mapped {
    uint64_t pa;
    unsigned shift; /* log2 of the page's size */
    bool global;    /* the same in all address spaces */
};

static bool walk(struct hart *h, const struct context *c, uint64_t va, enum access access,
                 struct mapped *out)
{
    int levels = (int)SATP_MODE(c->satp) - 5; /* Sv39 is mode 8 */
    unsigned top = 12 + 9 * (unsigned)levels - 1;
    int64_t sign = (int64_t)va >> top;
    if (sign != 0 && sign != -1)
        return fail(h, access, va, true);
    hart_count(&h->stats.walks);
again:;
    uint64_t table = SATP_PPN(c->satp) << 12;
    bool global = false; /* an entry above makes all below it global */
    for (int level = levels - 1; level >= 0; level--) {
        unsigned at = 12 + 9 * (unsigned)level;
        uint64_t gpa = table + (va >> at & 511) * 8;
        uint8_t *page = slat_load_page(h->m->slat, gpa);
        if (!page || !pmp_check(h, gpa, PMP_R, PRIV_S))
            return fail(h, access, va, false);
        uint64_t *host = (uint64_t *)(void *)(page + (gpa & (PAGE_SIZE - 1)));
        uint64_t pte = __atomic_load_n(host, __ATOMIC_ACQUIRE);
        if (!(pte & PTE_V) || (!(pte & PTE_R) && pte & PTE_W) || pte & PTE_HIGH)
            return fail(h, access, va, true);
        uint64_t ppn = (pte & PTE_PPN) >> 10;
        global |= pte & PTE_G;
        if (!(pte & (PTE_R | PTE_X))) {
            if (pte & (PTE_A | PTE_D | PTE_U))
                return fail(h, access, va, true);
            table = ppn << 12;
            continue;
        }
        uint64_t low = ((uint64_t)1 << at) - 1;
        if (!leaf_allows(pte, access, c->class) || (ppn << 12 & low))
            return fail(h, access, va, true);
        uint64_t want = pte | PTE_A | (access == ACCESS_STORE ? PTE_D : 0);
        if (want != pte) {
            if (!pmp_check(h, gpa, PMP_W, PRIV_S))
                return fail(h, access, va, false);
            if (!update_leaf(h, host, gpa, pte, want))
                goto again;
        }
        *out = (struct mapped){.pa = (ppn << 12) | (va & low), .shift = at, .global = global};
        return true;
    }
    return fail(h, access, va, true);
}

static bool translate(struct hart *h, const struct context *c, uint64_t va, enum access access,
                      struct mapped *out)
{
    if (c->satp) {
        if (!walk(h, c, va, access, out))
            return false;
    } else {
        *out = (struct mapped){.pa = va, .shift = 12, .global = true};
    }
    if (!pmp_check(h, out->pa, access, c->class & CLASS_PRIV))
        return fail(h, access, va, false);
    return true;
}

/* Pages of which every store has to be seen. */
static bool is_watched(const struct machine *m, uint64_t pa)
{
    return m->tohost && (pa ^ m->tohost) < PAGE_SIZE && pa >> 12 == m->tohost >> 12;
}

/* The host address of va, when it is RAM: from the TLB, or translated and entered there. NULL with
 * *pa set: a device's address. NULL with *failed: cpu.trap is set. */
static uint8_t *host_address(struct hart *h, uint64_t va, enum access access, uint64_t *pa,
                             bool *failed)
{
    struct context *c = h->data;
    struct tlb_entry *table = access == ACCESS_STORE ? c->tlb.store : c->tlb.load;
    const struct tlb_entry *e = &table[tlb_index(va)];
    *failed = false;
    if (e->tag == (va & ~(uint64_t)(PAGE_SIZE - 1)))
        return (uint8_t *)(uintptr_t)(va + e->addend);
    struct mapped at;
    if (!translate(h, c, va, access, &at)) {
        *failed = true;
        return NULL;
    }
    *pa = at.pa;
    uint8_t *page = access == ACCESS_STORE ? slat_store_page(h->m->slat, *pa, h->id, va)
                                           : slat_load_page(h->m->slat, *pa);
    if (!page)
        return NULL;
    if (access != ACCESS_STORE || !is_watched(h->m, *pa)) {
        hart_count(&h->stats.tlb_fills);
        tlb_fill(table, va, page);
        context_note_fill(c, va, at.shift, at.global);
    }
    return page + (va & (PAGE_SIZE - 1));
}

static bool load_within(struct hart *h, uint64_t va, unsigned size, uint64_t *value)
{
    uint64_t pa;
    bool failed;
    const uint8_t *p = host_address(h, va, ACCESS_LOAD, &pa, &failed);
    if (failed)
        return false;
    if (p) {
        *value = guest_load(p, size);
        return true;
    }
    hart_count(&h->stats.mmio);
    return bus_read(h->m->bus, pa, size, value) || fail(h, ACCESS_LOAD, va, false);
}

bool mmu_load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    struct hart *h = hart_of(cpu);
    unsigned first = PAGE_SIZE - (unsigned)(va & (PAGE_SIZE - 1));
    if (size <= first)
        return load_within(h, va, size, value);
    uint64_t pa, low = 0, high = 0;
    bool failed;
    const uint8_t *p = host_address(h, va, ACCESS_LOAD, &pa, &failed);
    if (failed)
        return false;
    const uint8_t *q = host_address(h, va + first, ACCESS_LOAD, &pa, &failed);
    if (failed)
        return false;
    if (!p || !q)
        return fail(h, ACCESS_LOAD, va, false);
    for (unsigned i = 0; i < first; i++)
        low |= guest_load(p + i, 1) << 8 * i;
    for (unsigned i = 0; i < size - first; i++)
        high |= guest_load(q + i, 1) << 8 * i;
    *value = low | high << 8 * first;
    return true;
}

/* A tohost that tests end through: Berkeley's host-target interface. */
static void watched_store(struct machine *m, uint64_t pa)
{
    if (pa >> 3 != m->tohost >> 3)
        return;
    uint64_t value = 0;
    slat_read(m->slat, m->tohost, &value, sizeof value);
    if (value & 1)
        machine_request_end(m, MACHINE_POWEROFF, (int)(value >> 1 & 0x7f));
    else if (value >> 48 == 0x0101)
        machine_console_write(m, &(char){(char)value}, 1);
    uint64_t zero = 0;
    if (value && !(value & 1))
        slat_write(m->slat, m->tohost, &zero, sizeof zero);
}

static bool store_within(struct hart *h, uint64_t va, unsigned size, uint64_t value)
{
    uint64_t pa;
    bool failed;
    uint8_t *p = host_address(h, va, ACCESS_STORE, &pa, &failed);
    if (failed)
        return false;
    if (p) {
        guest_store(p, size, value);
        if (h->m->tohost) {
            uint64_t offset = (uint64_t)(p - (uint8_t *)slat_host(h->m->slat, RAM_BASE, 1, false));
            watched_store(h->m, RAM_BASE + offset);
        }
        return true;
    }
    hart_count(&h->stats.mmio);
    return bus_write(h->m->bus, pa, size, value) || fail(h, ACCESS_STORE, va, false);
}

bool mmu_store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    struct hart *h = hart_of(cpu);
    unsigned first = PAGE_SIZE - (unsigned)(va & (PAGE_SIZE - 1));
    if (size <= first)
        return store_within(h, va, size, value);
    uint64_t pa;
    bool failed;
    /* Both pages are checked before either is written. */
    uint8_t *p = host_address(h, va, ACCESS_STORE, &pa, &failed);
    if (failed)
        return false;
    uint8_t *q = host_address(h, va + first, ACCESS_STORE, &pa, &failed);
    if (failed)
        return false;
    if (!p || !q)
        return fail(h, ACCESS_STORE, va, false);
    for (unsigned i = 0; i < size; i++, value >>= 8)
        guest_store(i < first ? p + i : q + (i - first), 1, value & 0xff);
    return true;
}

void *mmu_atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    struct hart *h = hart_of(cpu);
    uint64_t pa;
    bool failed;
    enum access access = load_only ? ACCESS_LOAD : ACCESS_STORE;
    if (va & (size - 1)) {
        h->cpu.trap = (struct trap){
            .cause = load_only ? CAUSE_LOAD_MISALIGNED : CAUSE_STORE_MISALIGNED, .tval = va};
        return NULL;
    }
    void *p = host_address(h, va, access, &pa, &failed);
    /* Devices take no atomics. */
    if (!p && !failed)
        fail(h, access, va, false);
    return p;
}

bool mmu_fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    struct hart *h = hart_of(cpu);
    struct context *c = h->code;
    uint64_t tag = pc & ~(uint64_t)(PAGE_SIZE - 1);
    struct fetch_entry *e = &c->fetch[pc >> 12 & ((1 << FETCH_BITS) - 1)];
    if (e->tag != tag) {
        struct mapped at;
        if (!translate(h, c, pc, ACCESS_FETCH, &at))
            return false;
        const uint8_t *page = slat_load_page(h->m->slat, at.pa);
        if (!page)
            return fail(h, ACCESS_FETCH, pc, false);
        *e = (struct fetch_entry){
            .tag = tag, .page = at.pa & ~(uint64_t)(PAGE_SIZE - 1), .host = page};
        context_note_fill(c, pc, at.shift, at.global);
        context_mark_code(c, pc, at.shift, at.global);
    }
    uint64_t offset = pc & (PAGE_SIZE - 1);
    *out = (struct code_span){
        .bytes = e->host + offset, .len = (uint32_t)(PAGE_SIZE - offset), .page = e->page};
    return true;
}
