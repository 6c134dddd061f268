/* The shared functions: their code, their data, and what comes of all calls. */
#include "shared.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "items.h"
#include "shared_code.h"

/* The data, and how what two have done to it comes together. */
enum meaning {
    SUM_8,
    SUM_4,
    SUM_2,
    SUM_1,
    XOR_8,
    OR_8,
    AND_8,
    MAX_8,
    MIN_8,
    MAXU_8,
    MINU_8
};

static const struct field {
    const char *name;
    enum meaning meaning;
    uint16_t at, size;
} fields[] = {
    {"sum by amoadd.d", SUM_8, 0, 8},
    {"sum by lr.d, sc.d", SUM_8, 8, 8},
    {"sum by amocas.d", SUM_8, 16, 8},
    {"xor", XOR_8, 24, 8},
    {"or", OR_8, 32, 8},
    {"and", AND_8, 40, 8},
    {"maximum", MAX_8, 48, 8},
    {"minimum", MIN_8, 56, 8},
    {"unsigned maximum", MAXU_8, 64, 8},
    {"unsigned minimum", MINU_8, 72, 8},
    {"sums by amoadd.w", SUM_4, 80, 8},
    {"sums by amoadd.b", SUM_1, 88, 8},
    {"sums by amoadd.h", SUM_2, 96, 8},
    {"sum by lr.w, sc.w", SUM_4, 104, 8},
    {"sum under a lock", SUM_8, 136, 8},
    {"sum by amocas.w", SUM_4, 144, 4},
    {"what was exchanged", SUM_8, 112, 8},
    {"sum by plain stores", SUM_8, 184, 8},
    {"storm by amoadd.d", SUM_8, 192, 8},
    {"storm by amoadd.w", SUM_4, 200, 8},
    {"storm by lr.d, sc.d", SUM_8, 208, 8},
};
#define FIELDS (sizeof fields / sizeof fields[0])

uint64_t shared_entry(uint64_t at, unsigned function)
{
    const struct shared_code *c = shared_code();
    return at + c->base + c->entry[function];
}

bool shared_drifts(const struct shared *s, uint64_t pc)
{
    const struct shared_code *c = shared_code();
    return pc == s->at + c->base + c->drift;
}

bool is_shared(const struct shared *s, uint64_t va)
{
    return s && va - s->at < SHARED_SIZE;
}

bool is_shared_entry(const struct shared *s, uint64_t pc)
{
    for (unsigned k = 0; k < SHARED_FUNCTIONS; k++)
        if (pc == shared_entry(s->at, k))
            return true;
    return false;
}

static unsigned frame_of(unsigned copy, uint64_t offset)
{
    unsigned page = (unsigned)(offset / PAGE);
    return page < SHARED_CODE_PAGES ? (copy >> page & 1) * SHARED_CODE_PAGES + page
                                    : SHARED_FRAMES - 1;
}

/* Copies of a page are named so that translations of both are in one bucket of the engine's table
 * (block_hash): what they are told apart by is then the key alone. The upper half of what is hashed
 * is a page number and the pc's upper half; two values of it whose difference, times the low half
 * of the multiplier, is 1, differ nowhere else. */
uint64_t shared_name(const struct shared *s, unsigned frame)
{
    uint64_t upper = SHARED_NAME / PAGE + frame / SHARED_CODE_PAGES * UINT64_C(0x9937733d) +
                     frame % SHARED_CODE_PAGES;
    return (upper ^ s->at >> 32) * PAGE;
}

uint8_t *shared_at(const struct shared *s, unsigned copy, uint64_t va)
{
    return s->frames + frame_of(copy, va - s->at) * PAGE + va % PAGE;
}

/* --- The data --- */

static uint8_t *data_of(const struct shared *s)
{
    return s->frames + (SHARED_FRAMES - 1) * PAGE;
}

static void set64(const struct shared *s, unsigned at, uint64_t value)
{
    __atomic_store_n((uint64_t *)(void *)(data_of(s) + at), value, __ATOMIC_SEQ_CST);
}

static uint64_t get64(const struct shared *s, unsigned at)
{
    return __atomic_load_n((uint64_t *)(void *)(data_of(s) + at), __ATOMIC_SEQ_CST);
}

/* The instruction at `at`, of which only the upper 16 bits are other ones. */
static void write_insn(const struct shared *s, unsigned copy, unsigned at, uint32_t insn)
{
    void *high = s->frames + copy * SHARED_CODE_PAGES * PAGE + shared_code()->base + at + 2;
    __atomic_store_n((uint16_t *)high, (uint16_t)(insn >> 16), __ATOMIC_SEQ_CST);
}

void shared_init(struct shared *s, uint64_t at, bool named)
{
    size_t size = SHARED_FRAMES * PAGE;
    const struct shared_code *c = shared_code();
    *s = (struct shared){
        .at = at, .fd = memfd_create("shared", MFD_CLOEXEC), .named = named, .frames = MAP_FAILED};
    if (s->fd >= 0 && ftruncate(s->fd, (off_t)size) == 0)
        s->frames = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->frames == MAP_FAILED) {
        perror("frames that are shared");
        exit(2);
    }
    for (unsigned copy = 0; copy < SHARED_COPIES; copy++) {
        memcpy(s->frames + copy * SHARED_CODE_PAGES * PAGE + c->base, c->code, c->size * 4u);
        for (unsigned k = 0; k < NAMES && named; k++)
            write_insn(s, copy, c->names[k].at, c->names[k].as[copy]);
        for (unsigned how = BY_FENCE_I; how <= BY_WALL; how++)
            shared_write_number(s, copy, how);
    }
    set64(s, AT_NEXT, at + c->base + c->next);
    set64(s, 40, UINT64_MAX);
    set64(s, 48, (uint64_t)INT64_MIN);
    set64(s, 56, INT64_MAX);
    set64(s, 72, UINT64_MAX);
}

void shared_free(struct shared *s)
{
    munmap(s->frames, SHARED_FRAMES * PAGE);
    close(s->fd);
}

void shared_rewrite(const struct shared *s, struct random *r)
{
    const struct site *site = &shared_code()->sites[below(r, SITES)];
    write_insn(s, below(r, SHARED_COPIES), site->at, site->as[below(r, 2)]);
}

void shared_write_number(const struct shared *s, unsigned copy, enum publish how)
{
    const struct shared_code *c = shared_code();
    uint16_t at = c->number[how];
    uint32_t number = (s->published[how] + 1) & 0x7ff;
    if (s->named && copy && how == BY_FENCE_I) /* it is half on the other page */
        number |= 0x800;
    write_insn(s, copy, at, (c->code[at / 4] & 0xfffff) | number << 20);
}

void shared_publish(struct shared *s, enum publish how)
{
    set64(s, AT_PUBLISH + 8u * how, ++s->published[how]);
}

static uint64_t sum_of_parts(uint64_t a, uint64_t b, unsigned bits)
{
    uint64_t sum = 0, mask = (UINT64_C(1) << bits) - 1;
    for (unsigned at = 0; at < 64; at += bits)
        sum |= (((a >> at) + (b >> at)) & mask) << at;
    return sum;
}

static uint64_t come_together(enum meaning m, uint64_t a, uint64_t b)
{
    switch (m) {
    case SUM_8: return a + b;
    case SUM_4: return sum_of_parts(a, b, 32);
    case SUM_2: return sum_of_parts(a, b, 16);
    case SUM_1: return sum_of_parts(a, b, 8);
    case XOR_8: return a ^ b;
    case OR_8: return a | b;
    case AND_8: return a & b;
    case MAX_8: return (int64_t)a > (int64_t)b ? a : b;
    case MIN_8: return (int64_t)a < (int64_t)b ? a : b;
    case MAXU_8: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

/* The value of a field; of what was exchanged, all that ever was there. */
static uint64_t value_of(const struct shared *s, const struct field *f)
{
    uint64_t v = get64(s, f->at);
    if (f->at == AT_SWAP)
        v += get64(s, AT_SWAP + 8);
    return f->size == 4 ? (uint32_t)v : v;
}

void shared_add(struct shared *to, const struct shared *from)
{
    for (unsigned k = 0; k < FIELDS; k++) {
        const struct field *f = &fields[k];
        uint64_t v = come_together(f->meaning, value_of(to, f), value_of(from, f));
        if (f->at == AT_SWAP)
            v -= get64(to, AT_SWAP + 8);
        if (f->size == 8)
            set64(to, f->at, v);
        else
            memcpy(data_of(to) + f->at, &v, f->size);
    }
}

void shared_save(const struct shared *s, uint8_t *data)
{
    memcpy(data, data_of(s), PAGE);
}

void shared_restore(const struct shared *s, const uint8_t *data)
{
    memcpy(data_of(s), data, PAGE);
}

bool shared_differs(const struct shared *expected, const struct shared *got, char *why, size_t size)
{
    for (unsigned k = 0; k < FIELDS; k++) {
        uint64_t e = value_of(expected, &fields[k]), g = value_of(got, &fields[k]);
        if (e != g)
            return snprintf(why, size, "%s: 0x%llx, not 0x%llx", fields[k].name,
                            (unsigned long long)g, (unsigned long long)e);
    }
    return false;
}
