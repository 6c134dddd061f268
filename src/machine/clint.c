#include "machine/clint.h"

#include "machine/board.h"

/* SiFive FU540 manual, CLINT memory map; RISC-V ACLINT specification. */
#define MSIP     0x0u
#define MTIMECMP 0x4000u
#define MTIME    0xbff8u
#define SIZE     0x10000u

/* Registers are 4 or 8 bytes wide and may be accessed in 4-byte halves. */
static uint64_t part(uint64_t reg, uint64_t offset, unsigned size)
{
    return size == 8 ? reg : (uint32_t)(reg >> 8 * (offset & 4));
}

static uint64_t merge(uint64_t reg, uint64_t offset, unsigned size, uint64_t value)
{
    if (size == 8)
        return value;
    unsigned shift = 8 * (offset & 4);
    return (reg & ~((uint64_t)0xffffffff << shift)) | (uint64_t)(uint32_t)value << shift;
}

static bool clint_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct machine *m = opaque;
    uint64_t i;
    *value = 0;
    if (offset >= MTIME) {
        *value = part(machine_time(m), offset, size);
        return true;
    }
    if (offset >= MTIMECMP) {
        i = (offset - MTIMECMP) / 8;
        if (i < m->n_harts) {
            pthread_mutex_lock(&m->harts[i].timer_lock);
            *value = part(m->harts[i].mtimecmp, offset, size);
            pthread_mutex_unlock(&m->harts[i].timer_lock);
        }
        return true;
    }
    i = offset / 4;
    if (i < m->n_harts)
        *value = hart_pending(&m->harts[i]) >> IRQ_MSI & 1;
    return true;
}

static bool clint_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct machine *m = opaque;
    uint64_t i;
    if (offset >= MTIME)
        return true; /* time is the host's */
    if (offset >= MTIMECMP) {
        i = (offset - MTIMECMP) / 8;
        if (i < m->n_harts) {
            struct hart *h = &m->harts[i];
            hart_set_timer(h, &h->mtimecmp, merge(h->mtimecmp, offset, size, value));
        }
        return true;
    }
    i = offset / 4;
    if (i < m->n_harts)
        hart_set_ip(&m->harts[i], IP(IRQ_MSI), value & 1);
    return true;
}

int clint_add(struct machine *m, struct error **err)
{
    struct bus_region r = {.name = "clint",
                           .base = CLINT_BASE,
                           .size = SIZE,
                           .sizes = 4 | 8,
                           .opaque = m,
                           .read = clint_read,
                           .write = clint_write};
    return bus_add_region(m->bus, &r, err);
}
