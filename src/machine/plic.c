#include "machine/plic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "machine/hart.h"

/* Memory map of the specification. */
#define PENDING        0x1000u
#define ENABLE         0x2000u
#define ENABLE_STRIDE  0x80u
#define CONTEXT        0x200000u
#define CONTEXT_STRIDE 0x1000u
#define MAX_PRIORITY   7u
#define WORDS          (PLIC_SOURCES / 32)

struct context_regs {
    uint32_t enable[WORDS];
    uint32_t threshold;
    uint32_t claimed[WORDS]; /* by this context, not completed */
};

struct plic {
    pthread_mutex_t lock;
    struct hart *harts;
    unsigned n_contexts;
    uint32_t priority[PLIC_SOURCES];
    uint32_t level[WORDS];   /* the devices' lines */
    uint32_t pending[WORDS]; /* what the gateways let through */
    uint32_t claimed[WORDS]; /* by any context: the gateway is shut */
    struct context_regs *contexts;
};

static bool bit(const uint32_t *words, unsigned i)
{
    return words[i / 32] >> (i % 32) & 1;
}

static void set_bit(uint32_t *words, unsigned i, bool on)
{
    if (on)
        words[i / 32] |= 1u << (i % 32);
    else
        words[i / 32] &= ~(1u << (i % 32));
}

/* The source of highest priority above the threshold, lowest number first; 0: none. */
static unsigned best(const struct plic *p, const struct context_regs *c)
{
    unsigned source = 0;
    uint32_t priority = c->threshold;
    for (unsigned w = 0; w < WORDS; w++) {
        uint32_t ready = p->pending[w] & c->enable[w];
        while (ready) {
            unsigned i = w * 32 + (unsigned)__builtin_ctz(ready);
            ready &= ready - 1;
            if (p->priority[i] > priority) {
                priority = p->priority[i];
                source = i;
            }
        }
    }
    return source;
}

/* Drives the harts' lines. Lock held. */
static void update(struct plic *p)
{
    for (unsigned i = 0; i < p->n_contexts; i++)
        hart_set_line(&p->harts[i / 2], i & 1 ? IRQ_SEI : IRQ_MEI, best(p, &p->contexts[i]));
}

static void set_line(void *opaque, unsigned line, bool level)
{
    struct plic *p = opaque;
    if (!line || line >= PLIC_SOURCES)
        return;
    pthread_mutex_lock(&p->lock);
    if (bit(p->level, line) != level) {
        set_bit(p->level, line, level);
        if (level && !bit(p->claimed, line))
            set_bit(p->pending, line, true);
        else if (!level)
            set_bit(p->pending, line, false);
        update(p);
    }
    pthread_mutex_unlock(&p->lock);
}

static uint32_t claim(struct plic *p, struct context_regs *c)
{
    unsigned source = best(p, c);
    if (source) {
        set_bit(p->pending, source, false);
        set_bit(p->claimed, source, true);
        set_bit(c->claimed, source, true);
        update(p);
    }
    return source;
}

static void complete(struct plic *p, struct context_regs *c, uint32_t source)
{
    /* Completions of what this context has not claimed are ignored. */
    if (!source || source >= PLIC_SOURCES || !bit(c->claimed, source))
        return;
    set_bit(c->claimed, source, false);
    set_bit(p->claimed, source, false);
    set_bit(p->pending, source, bit(p->level, source));
    update(p);
}

static uint32_t read_locked(struct plic *p, uint64_t offset)
{
    if (offset < PENDING)
        return offset / 4 < PLIC_SOURCES ? p->priority[offset / 4] : 0;
    if (offset < ENABLE)
        return (offset - PENDING) / 4 < WORDS ? p->pending[(offset - PENDING) / 4] : 0;
    if (offset < CONTEXT) {
        uint64_t i = (offset - ENABLE) / ENABLE_STRIDE, w = (offset - ENABLE) % ENABLE_STRIDE / 4;
        return i < p->n_contexts && w < WORDS ? p->contexts[i].enable[w] : 0;
    }
    uint64_t i = (offset - CONTEXT) / CONTEXT_STRIDE;
    if (i >= p->n_contexts)
        return 0;
    switch (offset % CONTEXT_STRIDE) {
    case 0: return p->contexts[i].threshold;
    case 4: return claim(p, &p->contexts[i]);
    default: return 0;
    }
}

static void write_locked(struct plic *p, uint64_t offset, uint32_t value)
{
    if (offset < PENDING) {
        if (offset && offset / 4 < PLIC_SOURCES)
            p->priority[offset / 4] = value & MAX_PRIORITY;
    } else if (offset < ENABLE) {
        return; /* pending bits are read-only */
    } else if (offset < CONTEXT) {
        uint64_t i = (offset - ENABLE) / ENABLE_STRIDE, w = (offset - ENABLE) % ENABLE_STRIDE / 4;
        if (i < p->n_contexts && w < WORDS)
            p->contexts[i].enable[w] = w ? value : value & ~1u;
    } else {
        uint64_t i = (offset - CONTEXT) / CONTEXT_STRIDE;
        if (i >= p->n_contexts)
            return;
        if (offset % CONTEXT_STRIDE == 0)
            p->contexts[i].threshold = value & MAX_PRIORITY;
        else if (offset % CONTEXT_STRIDE == 4)
            complete(p, &p->contexts[i], value);
    }
    update(p);
}

static bool plic_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct plic *p = opaque;
    pthread_mutex_lock(&p->lock);
    *value = read_locked(p, offset);
    pthread_mutex_unlock(&p->lock);
    return true;
}

static bool plic_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct plic *p = opaque;
    pthread_mutex_lock(&p->lock);
    write_locked(p, offset, (uint32_t)value);
    pthread_mutex_unlock(&p->lock);
    return true;
}

static void plic_reset(void *opaque)
{
    struct plic *p = opaque;
    pthread_mutex_lock(&p->lock);
    memset(p->priority, 0, sizeof p->priority);
    memset(p->level, 0, sizeof p->level);
    memset(p->pending, 0, sizeof p->pending);
    memset(p->claimed, 0, sizeof p->claimed);
    memset(p->contexts, 0, p->n_contexts * sizeof *p->contexts);
    update(p);
    pthread_mutex_unlock(&p->lock);
}

static void plic_free(void *opaque)
{
    struct plic *p = opaque;
    pthread_mutex_destroy(&p->lock);
    free(p->contexts);
    free(p);
}

struct plic *plic_new(struct bus *bus, uint64_t base, struct hart *harts, unsigned n_harts,
                      struct error **err)
{
    struct plic *p = xcalloc(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    p->harts = harts;
    p->n_contexts = 2 * n_harts;
    p->contexts = xcalloc(p->n_contexts, sizeof *p->contexts);
    struct bus_region r = {.name = "plic",
                           .base = base,
                           .size = PLIC_SIZE,
                           .sizes = 4,
                           .opaque = p,
                           .read = plic_read,
                           .write = plic_write};
    if (bus_add_region(bus, &r, err) < 0) {
        plic_free(p);
        return NULL;
    }
    bus_add_device(bus, p, plic_reset, plic_free);
    return p;
}

struct irq_line plic_line(struct plic *p, unsigned line)
{
    return (struct irq_line){.fn = set_line, .opaque = p, .line = line};
}
