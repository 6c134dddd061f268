/* Physical memory protection. The grain is a page (G = 10), so one check holds for a whole page and
 * the TLB remembers it. Rules: Volume II, Machine-Level ISA, Physical Memory Protection. */
#include "machine/hart.h"

#define CFG_A    0x18
#define CFG_TOR  0x08
#define CFG_NA4  0x10
#define CFG_NAPO 0x18
#define CFG_L    0x80
#define CFG_RWX  7

#define GRAIN_BITS 10 /* of pmpaddr, which counts 4-byte units */
#define GRAIN_MASK (((uint64_t)1 << GRAIN_BITS) - 1)
#define ADDR_MASK  (((uint64_t)1 << 54) - 1)

/* Entry i's range in 4-byte units: [*start, *end). */
static bool entry_range(const struct hart *h, unsigned i, uint64_t *start, uint64_t *end)
{
    uint64_t addr = h->pmpaddr[i];
    switch (h->pmpcfg[i] & CFG_A) {
    case CFG_TOR:
        *start = i ? h->pmpaddr[i - 1] & ~GRAIN_MASK : 0;
        *end = addr & ~GRAIN_MASK;
        return *start < *end;
    case CFG_NAPO: {
        addr |= GRAIN_MASK >> 1;
        uint64_t mask = addr ^ (addr + 1);
        *start = addr & ~mask;
        *end = *start + mask + 1;
        return true;
    }
    default: return false;
    }
}

bool pmp_check(const struct hart *h, uint64_t pa, unsigned access, unsigned priv)
{
    if (!h->pmp_used)
        return true;
    for (unsigned i = 0; i < N_PMP; i++) {
        uint64_t start, end;
        if (!entry_range(h, i, &start, &end) || pa >> 2 < start || pa >> 2 >= end)
            continue;
        if (priv == PRIV_M && !(h->pmpcfg[i] & CFG_L))
            return true;
        return (h->pmpcfg[i] & access) == access;
    }
    return priv == PRIV_M;
}

static bool is_locked(const struct hart *h, unsigned i)
{
    return h->pmpcfg[i] & CFG_L;
}

void pmp_write_cfg(struct hart *h, unsigned reg, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned entry = reg * 4 + i; /* pmpcfg0 and pmpcfg2 */
        uint8_t cfg = (uint8_t)(value >> 8 * i) & (CFG_L | CFG_A | CFG_RWX);
        if (entry >= N_PMP || is_locked(h, entry))
            continue;
        if ((cfg & CFG_A) == CFG_NA4) /* finer than the grain: the region is a whole grain */
            cfg |= CFG_NAPO;
        if ((cfg & PMP_W) && !(cfg & PMP_R)) /* reserved */
            cfg &= (uint8_t) ~(PMP_W | PMP_R);
        h->pmpcfg[entry] = cfg;
    }
    h->pmp_used = true; /* from the first write on, S and U need an entry */
}

void pmp_write_addr(struct hart *h, unsigned i, uint64_t value)
{
    if (is_locked(h, i))
        return;
    if (i + 1 < N_PMP && is_locked(h, i + 1) && (h->pmpcfg[i + 1] & CFG_A) == CFG_TOR)
        return;
    h->pmpaddr[i] = value & ADDR_MASK;
    h->pmp_used = true;
}

uint64_t pmp_read_addr(const struct hart *h, unsigned i)
{
    if ((h->pmpcfg[i] & CFG_A) == CFG_NAPO)
        return h->pmpaddr[i] | GRAIN_MASK >> 1;
    return h->pmpaddr[i] & ~GRAIN_MASK;
}

void pmp_changed(struct hart *h)
{
    struct fence all = {.asid = NO_ASID};
    hart_sfence(h, &all);
}
