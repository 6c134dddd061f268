/* Making a random program: registers, pages, events, and a weighted choice of items (items.c). */
#include <string.h>

#include "items.h"
#include "shared.h"

struct random random_from(uint64_t seed)
{
    return (struct random){seed * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x2545f4914f6cdd1d)};
}

uint32_t random32(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

uint32_t below(struct random *r, uint32_t n)
{
    return (uint32_t)((uint64_t)random32(r) * n >> 32);
}

bool chance(struct random *r, unsigned percent)
{
    return below(r, 100) < percent;
}

static uint64_t random64(struct random *r)
{
    return (uint64_t)random32(r) << 32 | random32(r);
}

uint64_t random_integer(struct random *r)
{
    static const uint64_t special[] = {0,
                                       1,
                                       2,
                                       31,
                                       63,
                                       64,
                                       0xff,
                                       0x7ff,
                                       0x800,
                                       INT32_MAX,
                                       UINT64_C(1) << 31,
                                       UINT32_MAX,
                                       UINT64_C(1) << 32,
                                       UINT64_C(1) << 33,
                                       (UINT64_C(1) << 47) - (UINT64_C(1) << 33),
                                       INT64_MAX,
                                       UINT64_C(1) << 63,
                                       UINT64_MAX,
                                       UINT64_MAX - 1,
                                       UINT64_C(0xffffffff80000000),
                                       UINT64_C(0x8080808080808080),
                                       UINT64_C(0x0102030405060708)};
    switch (below(r, 6)) {
    case 0:
    case 1: return special[below(r, sizeof special / sizeof special[0])];
    case 2: return random64(r) >> below(r, 64);
    case 3: return UINT64_MAX << below(r, 64);
    case 4: return below(r, 100);
    default: return random64(r);
    }
}

uint64_t random_float(struct random *r)
{
    static const uint64_t doubles[] = {0,
                                       1,
                                       UINT64_C(0x10000000000000),
                                       UINT64_C(0xfffffffffffff),
                                       UINT64_C(0x7fefffffffffffff),
                                       UINT64_C(0x7ff0000000000000),
                                       UINT64_C(0x7ff8000000000000),
                                       UINT64_C(0x7ff0000000000001),
                                       UINT64_C(0x7ffc123456789abc),
                                       UINT64_C(0x3ff0000000000000),
                                       UINT64_C(0x3fe0000000000000),
                                       UINT64_C(0x41dfffffffc00000),
                                       UINT64_C(0x43e0000000000000),
                                       UINT64_C(0x43f0000000000000),
                                       UINT64_C(0x47efffffe0000000)};
    static const uint32_t singles[] = {0,          1,          0x7fffff,   0x800000,   0x7f7fffff,
                                       0x7f800000, 0x7fc00000, 0x7f800001, 0x7fe12345, 0x3f800000,
                                       0x3f000000, 0x4effffff, 0x4f000000, 0x5f000000, 0x5f800000};
    uint64_t sign = random32(r) & 1;
    switch (below(r, 8)) {
    case 0:
    case 1: return sign << 63 | doubles[below(r, sizeof doubles / sizeof doubles[0])];
    case 2: return sign << 63 | (uint64_t)(1000 + below(r, 90)) << 52 | random64(r) >> 12;
    case 3: return random64(r);
    case 4:
    case 5:
        return UINT64_C(0xffffffff00000000) | sign << 31 |
               singles[below(r, sizeof singles / sizeof singles[0])];
    case 6:
        return UINT64_C(0xffffffff00000000) | sign << 31 | (100 + below(r, 60)) << 23 |
               random32(r) >> 9;
    default: return (uint64_t)random32(r) << 32 | singles[below(r, 15)]; /* not boxed, mostly */
    }
}

/* An address in the data pages; many near a page's end. */
static uint64_t random_pointer(struct random *r, uint64_t arena)
{
    static const uint16_t ends[] = {0, 8, 64, PAGE - 1, PAGE - 2, PAGE - 4, PAGE - 8, PAGE - 16};
    uint64_t page = arena + PAGE * (uint64_t)(DATA_FIRST + below(r, DATA_END - DATA_FIRST));
    if (chance(r, 40))
        return page + ends[below(r, sizeof ends / sizeof ends[0])];
    return page + (below(r, PAGE) & ~15u);
}

static uint64_t random_code_address(struct random *r, uint64_t arena)
{
    return arena + PAGE * CODE_FIRST + below(r, PAGE * (CODE_END - CODE_FIRST) / 2) * 2;
}

static uint8_t data_perm(struct random *r)
{
    unsigned n = below(r, 20);
    return n < 15 ? PERM_R | PERM_W : n < 17 ? PERM_R : n < 18 ? PERM_R | PERM_W | PERM_X : 0;
}

static uint8_t code_perm(struct random *r)
{
    unsigned n = below(r, 20);
    return n < 12 ? PERM_R | PERM_X : n < 16 ? PERM_R | PERM_W | PERM_X : n < 18 ? PERM_R : 0;
}

static struct event random_event(struct random *r, bool together)
{
    struct event e = {.kind = (uint8_t)below(r, EVENT_MODE + 1)};
    if (together && chance(r, 30))
        e.kind = EVENT_COPY;
    bool code = chance(r, 70);
    e.page = (uint8_t)(code ? CODE_FIRST + below(r, CODE_END - CODE_FIRST)
                            : DATA_FIRST + below(r, DATA_END - DATA_FIRST));
    e.frame = (uint8_t)(chance(r, 50) ? e.page : below(r, FRAMES));
    e.perm = code ? code_perm(r) : data_perm(r);
    e.offset = below(r, PAGE / 2) * 2;
    e.value = random_insn(r);
    if (e.kind == EVENT_FRM)
        e.value = chance(r, 60) ? below(r, 32) << 8 : below(r, 8) | below(r, 32) << 8;
    if (e.kind == EVENT_MODE)
        e.value = random_mode(r);
    return e;
}

uint32_t random_mode(struct random *r)
{
    unsigned n = below(r, 16);
    return n < 9    ? 0
           : n < 11 ? MODE_COUNT
           : n < 13 ? MODE_FS_CLEAN
           : n < 14 ? MODE_FS_OFF
                    : below(r, 4);
}

static void registers(struct program *p, struct maker *m)
{
    struct random *r = &m->r;
    for (unsigned i = 1; i < 32; i++) {
        p->x[i] = chance(r, 15) ? random_pointer(r, m->setting.arena) : random_integer(r);
        if (chance(r, 5))
            p->x_item[i] = (uint16_t)(1 + below(r, p->n_items));
    }
    for (unsigned k = 0; k < 2; k++) {
        p->x[m->pointer[k]] = random_pointer(r, m->setting.arena);
        p->x_item[m->pointer[k]] = 0;
    }
    p->x[0] = 0;
    for (unsigned i = 0; i < 32; i++)
        p->f[i] = random_float(r);
}

/* Where the program begins: so that a page's end is anywhere in it, at its end, or in the middle of
 * an instruction. */
static uint64_t choose_start(struct random *r, uint64_t arena, uint32_t size)
{
    uint64_t first = arena + PAGE * (uint64_t)(CODE_FIRST + below(r, 2));
    switch (below(r, 4)) {
    case 0: return first + (below(r, PAGE) & ~1u);
    case 1: return size < PAGE ? first + PAGE - size : first; /* ends where the page does */
    default: return first + PAGE - ((1 + below(r, size < PAGE ? size : PAGE)) & ~1u);
    }
}

void generate(struct program *p, uint64_t seed, struct setting setting)
{
    memset(p, 0, sizeof *p);
    p->seed = seed;
    p->setting = setting;
    struct maker m = {.r = random_from(seed), .p = p, .setting = setting};
    struct random *r = &m.r;
    bool common = setting.common;
    for (unsigned i = 0; i < PAGES; i++)
        p->pages[i].frame = (uint8_t)i;
    for (unsigned i = CODE_FIRST; i < CODE_END; i++)
        p->pages[i].perm = common ? PERM_R | PERM_X : code_perm(r);
    for (unsigned i = DATA_FIRST; i < DATA_END; i++)
        p->pages[i].perm = common ? PERM_R | PERM_W : data_perm(r);
    make_items(&m);
    registers(p, &m);
    p->mode = common ? 0 : random_mode(r);
    p->frm = chance(r, 80) ? 0 : (uint8_t)below(r, 8);
    if (!common)
        for (unsigned i = 0; i < MAX_EVENTS; i++)
            p->events[i] = random_event(r, setting.together);
    if (setting.together)
        p->copy = (uint8_t)below(r, 1u << SHARED_CODE_PAGES);
    p->start = setting.arena + PAGE * CODE_FIRST;
    layout(p);
    p->start = choose_start(r, setting.arena, p->size);
    layout(p);
    /* Where it starts it can run, mostly. */
    for (unsigned k = 0; k < 2 && chance(r, 95 - 30 * k); k++) {
        struct page *page = &p->pages[(p->start - setting.arena) / PAGE + k];
        page->perm |= PERM_R | PERM_X | (!common && chance(r, 30) ? PERM_W : 0);
    }
}

void other_values(struct program *p, uint64_t seed)
{
    struct random r = random_from(seed);
    for (unsigned i = 1; i < 32; i++) {
        uint64_t value = chance(&r, 50) ? random_integer(&r) : p->x[i];
        if (!p->x_item[i] && p->x[i] - p->setting.arena >= PAGES * PAGE)
            p->x[i] = value;
        p->f[i] = chance(&r, 50) ? random_float(&r) : p->f[i];
    }
    p->frm = chance(&r, 80) ? 0 : (uint8_t)below(&r, 8);
}

static uint32_t encode_b(uint32_t insn, int64_t d)
{
    uint32_t u = (uint32_t)d;
    return (insn & 0x01fff07f) | (u >> 12 & 1) << 31 | (u >> 5 & 63) << 25 | (u >> 1 & 15) << 8 |
           (u >> 11 & 1) << 7;
}

static uint32_t encode_j(uint32_t insn, int64_t d)
{
    uint32_t u = (uint32_t)d;
    return (insn & 0xfff) | (u >> 20 & 1) << 31 | (u >> 1 & 0x3ff) << 21 | (u >> 11 & 1) << 20 |
           (u >> 12 & 0xff) << 12;
}

static uint32_t length_of(uint32_t insn)
{
    return (insn & 3) == 3 ? 4 : 2;
}

/* insn with another immediate of 12 bits. */
static uint32_t with_low(uint32_t insn, uint32_t low)
{
    bool store = (insn & 0x7f) == 0x23 || (insn & 0x7f) == 0x27;
    return store ? (insn & 0x01fff07f) | (low >> 5 & 127) << 25 | (low & 31) << 7
                 : (insn & 0xfffff) | low << 20;
}

/* Makes insn[k] and the auipc that writes its base register lead to address `to`. */
static void fix_pair(uint32_t *insn, const uint64_t *pc, unsigned k, uint64_t to)
{
    uint32_t auipc = insn_table[INSN_auipc].match | (insn[k] >> 15 & 31) << 7;
    for (unsigned b = k; b-- > 0;) {
        if ((insn[b] & 0xfff) != auipc)
            continue;
        uint32_t by = (uint32_t)(to - pc[b]); /* all that there is is within reach */
        insn[b] = auipc | ((by + 0x800) & 0xfffff000);
        insn[k] = with_low(insn[k], by);
        return;
    }
}

/* Items are some KiB in all: a branch that does not reach its target is left as it was drawn. */
static void fix(const struct program *p, const struct item *it, uint32_t *insn, const uint64_t *pc)
{
    for (unsigned k = 0; k < it->n; k++) {
        if (it->low >> k & 1)
            fix_pair(insn, pc, k, it->to);
        if ((int)k != it->fix)
            continue;
        int64_t d = (int64_t)(p->at[it->target] - pc[k]);
        switch (insn[k] & 0x7f) {
        case 0x63: insn[k] = d >= -4096 && d < 4096 ? encode_b(insn[k], d) : insn[k]; break;
        case 0x6f: insn[k] = encode_j(insn[k], d); break;
        default: fix_pair(insn, pc, k, p->at[it->target]); break;
        }
    }
}

static void put_item(struct program *p, unsigned i)
{
    const struct item *it = &p->items[i];
    uint32_t insn[ITEM_INSNS];
    uint64_t pc[ITEM_INSNS], next = p->at[i];
    memcpy(insn, it->insn, sizeof insn);
    for (unsigned k = 0; k < it->n; k++) {
        pc[k] = next;
        next += length_of(insn[k]);
    }
    fix(p, it, insn, pc);
    for (unsigned k = 0; k < it->n; k++) {
        memcpy(p->code + p->size, &insn[k], length_of(insn[k]));
        p->size += length_of(insn[k]);
    }
}

void layout(struct program *p)
{
    uint64_t pc = p->start;
    for (unsigned i = 0; i < p->n_items; i++) {
        p->at[i] = pc;
        for (unsigned k = 0; k < p->items[i].n && !p->items[i].dropped; k++)
            pc += length_of(p->items[i].insn[k]);
    }
    p->at[p->n_items] = pc;
    p->size = 0;
    for (unsigned i = 0; i < p->n_items; i++)
        if (!p->items[i].dropped)
            put_item(p, i);
}

void fill_frames(uint8_t *frames, uint64_t arena)
{
    struct random r = random_from(0);
    for (unsigned at = 0; at < FRAMES * PAGE; at += 8) {
        uint64_t v = chance(&r, 20)   ? random_pointer(&r, arena)
                     : chance(&r, 60) ? random_integer(&r)
                                      : random_float(&r);
        if (at / PAGE < CODE_END || at / PAGE >= PAGES) /* what a program runs into */
            v = chance(&r, 5) ? 0x0000007300000073
                              : random_insn(&r) | (uint64_t)random_insn(&r) << 32;
        if (at / PAGE >= DATA_FIRST && at / PAGE < DATA_END && at % PAGE < 8 * POOL_WORDS)
            v = chance(&r, 70) ? random_pointer(&r, arena) : random_code_address(&r, arena);
        memcpy(frames + at, &v, 8);
    }
}
