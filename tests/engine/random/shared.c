/* The shared functions: their code, their data, and what comes of all calls. */
#include "shared.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "items.h"

enum {
    A0 = 10,
    T0 = 5,
    T1 = 6,
    T2 = 7,
    T3 = 28,
    T4 = 29
};

#define ORDER_AQ (1u << 26)
#define ORDER_RL (1u << 25)

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

#define AT_SWAP    112 /* the last one; then the sum of those before */
#define AT_LOCK    128
#define AT_PUBLISH 152 /* two numbers of 8 bytes */
#define AT_NEXT    168 /* where a function goes on */
#define AT_PLAIN   176 /* a lock, and a sum */
#define AT_STORM   192

#define SITES 3u

/* What was found when the code was laid out: the same for all. */
static struct {
    uint16_t entry[SHARED_FUNCTIONS], n, size;
    uint16_t base;      /* of the code in its pages */
    uint16_t number[2]; /* instructions that enum publish's numbers are in */
    uint16_t which;     /* the one that tells the copy */
    uint16_t next;
    struct site {
        uint16_t at;
        uint32_t as[2];
    } sites[SITES];
    uint32_t code[512];
} made;

/* --- The code --- */

static unsigned here(void)
{
    return made.size * 4u;
}

static void put(uint32_t insn)
{
    made.code[made.size++] = insn;
}

static void begin(void)
{
    made.entry[made.n++] = (uint16_t)here();
}

static void address(unsigned at)
{
    put(put_r(INSN_lui, T2, 0, 0) | (uint32_t)SHARED_DATA);
    put(put_imm(INSN_addi, T2, T2, (int32_t)at));
}

static void end(void)
{
    static const uint8_t used[] = {T0, T1, T2, T3, T4};
    for (unsigned k = 0; k < sizeof used; k++)
        put(put_imm(INSN_addi, used[k], 0, 0));
    put(put_imm(INSN_jalr, 0, 1, 0));
}

static void branch(enum insn_id id, unsigned s1, unsigned s2, unsigned to)
{
    uint32_t u = to - here();
    put(put_r(id, 0, s1, s2) | (u >> 12 & 1) << 31 | (u >> 5 & 63) << 25 | (u >> 1 & 15) << 8 |
        (u >> 11 & 1) << 7);
}

static void amo(enum insn_id id, unsigned at, uint32_t order)
{
    begin();
    address(at);
    put(put_r(id, T0, T2, A0) | order);
    end();
}

static void reserve_and_add(enum insn_id lr, enum insn_id sc, unsigned at)
{
    begin();
    address(at);
    unsigned again = here();
    put(put_r(lr, T0, T2, 0) | ORDER_AQ);
    put(put_r(INSN_add, T1, T0, A0));
    put(put_r(sc, T3, T2, T1) | ORDER_RL);
    branch(INSN_bne, T3, 0, again);
    end();
}

static void compare_and_add(enum insn_id load, enum insn_id cas, unsigned at)
{
    begin();
    address(at);
    put(put_imm(load, T0, T2, 0));
    unsigned again = here();
    put(put_imm(INSN_addi, T1, T0, 0));
    put(put_r(INSN_add, T3, T0, A0));
    put(put_r(cas, T0, T2, T3) | ORDER_AQ | ORDER_RL);
    branch(INSN_bne, T0, T1, again);
    end();
}

static void exchange(void)
{
    begin();
    address(AT_SWAP);
    put(put_r(INSN_amoswap_d, T0, T2, A0));
    put(put_imm(INSN_addi, T2, T2, 8));
    put(put_r(INSN_amoadd_d, 0, T2, T0));
    end();
}

/* A lock, as compilers and kernels make it: a plain sum is right only when it holds. */
static void locked(bool by_reservation, unsigned at)
{
    begin();
    address(at);
    unsigned again = here();
    if (by_reservation) {
        put(put_r(INSN_lr_w, T0, T2, 0) | ORDER_AQ);
        branch(INSN_bne, T0, 0, again);
        put(put_imm(INSN_addi, T1, 0, 1));
        put(put_r(INSN_sc_w, T0, T2, T1));
    } else {
        put(put_imm(INSN_addi, T1, 0, 1));
        put(put_r(INSN_amoswap_w, T0, T2, T1) | ORDER_AQ);
    }
    branch(INSN_bne, T0, 0, again);
    put(put_imm(INSN_ld, T0, T2, 8));
    put(put_r(INSN_add, T0, T0, A0));
    put(put_store(INSN_sd, T2, T0, 8));
    if (by_reservation) {
        put(put_r(INSN_amoswap_w, 0, T2, 0) | ORDER_RL);
    } else {
        put(insn_table[INSN_fence].match | 0x03100000); /* rw, w */
        put(put_store(INSN_sw, T2, 0, 0));
    }
    end();
}

/* a0: 1 when the number in the code is older than what was published before it was looked at. */
static void newest(enum publish how)
{
    begin();
    address(AT_PUBLISH + 8u * how);
    put(put_imm(INSN_ld, T0, T2, 0));
    put(insn_table[INSN_fence].match | 0x02300000); /* r, rw */
    if (how == BY_FENCE_I) {
        put(insn_table[INSN_fence_i].match);
    } else { /* what is looked up now, and not what was when the block began */
        put(put_imm(INSN_ld, T3, T2, AT_NEXT - AT_PUBLISH - 8 * (int)how));
        put(put_imm(INSN_jalr, 0, T3, 0));
        made.next = (uint16_t)here();
    }
    made.number[how] = (uint16_t)here();
    put(put_imm(INSN_addi, T1, 0, 0));
    put(put_r(INSN_sub, T1, T1, T0));
    put(put_imm(INSN_slli, T1, T1, 64 - 11));
    put(put_imm(INSN_slti, A0, T1, 0));
    put(put_imm(INSN_ld, T3, T2, 0)); /* who was away for long cannot tell */
    put(put_r(INSN_sub, T3, T3, T0));
    put(put_imm(INSN_sltiu, T3, T3, 1000));
    put(put_r(INSN_and, A0, A0, T3));
    end();
}

static uint32_t jump(uint32_t by)
{
    return insn_table[INSN_jal].match | (by >> 1 & 0x3ff) << 21;
}

/* A choice between two instructions whose upper 16 bits alone differ: each is there whole, always.
 */
static void site(uint32_t one, uint32_t other)
{
    unsigned k = 0;
    while (made.sites[k].at)
        k++;
    made.sites[k] = (struct site){(uint16_t)here(), {one, other}};
    put(one);
}

static void rewritten(void)
{
    begin();
    put(put_imm(INSN_addi, T1, A0, 5));
    site(put_r(INSN_add, T3, A0, T1), put_r(INSN_add, T3, T1, A0));
    site(put_r(INSN_add, T3, T3, 0), put_r(INSN_sub, T3, T3, 0));
    site(jump(4), jump(16));
    put(put_imm(INSN_slli, T3, T3, 3));
    put(put_imm(INSN_addi, T3, T3, 1));
    put(jump(20));
    put(put_r(INSN_add, T3, T3, T3));
    put(put_r(INSN_add, T3, T3, T3));
    put(put_r(INSN_add, T3, T3, T3));
    put(put_imm(INSN_addi, T3, T3, 1));
    put(put_imm(INSN_addi, A0, T3, 0));
    end();
}

static void which_copy(void)
{
    begin();
    made.which = (uint16_t)here();
    put(put_imm(INSN_addi, A0, 0, 0));
    end();
}

/* Atomics of many kinds one after the other, so that harts that begin together meet at each. */
static void storm(void)
{
    begin();
    put(put_imm(INSN_addi, T4, 0, 1500));
    address(AT_STORM);
    unsigned top = here();
    put(put_r(INSN_amoadd_d, T0, T2, A0));
    put(put_imm(INSN_addi, T2, T2, 8));
    put(put_r(INSN_amoadd_w, 0, T2, A0) | ORDER_AQ);
    put(put_imm(INSN_addi, T2, T2, 8));
    unsigned again = here();
    put(put_r(INSN_lr_d, T0, T2, 0));
    put(put_r(INSN_add, T1, T0, A0));
    put(put_r(INSN_sc_d, T3, T2, T1));
    branch(INSN_bne, T3, 0, again);
    put(put_imm(INSN_addi, T2, T2, -16));
    put(put_imm(INSN_addi, T4, T4, -1));
    branch(INSN_bne, T4, 0, top);
    end();
}

/* The page's end is within the instruction that a number is in. */
static void make(void)
{
    if (made.n)
        return;
    amo(INSN_amoadd_d, 0, 0);
    amo(INSN_amoxor_d, 24, ORDER_AQ);
    amo(INSN_amoor_d, 32, ORDER_RL);
    amo(INSN_amoand_d, 40, 0);
    amo(INSN_amomax_d, 48, 0);
    amo(INSN_amomin_d, 56, ORDER_AQ | ORDER_RL);
    amo(INSN_amomaxu_d, 64, 0);
    amo(INSN_amominu_d, 72, 0);
    amo(INSN_amoadd_w, 80, 0);
    amo(INSN_amoadd_w, 84, ORDER_AQ);
    amo(INSN_amoadd_b, 91, 0);
    amo(INSN_amoadd_h, 98, 0);
    newest(BY_FENCE_I);
    reserve_and_add(INSN_lr_d, INSN_sc_d, 8);
    reserve_and_add(INSN_lr_w, INSN_sc_w, 104);
    compare_and_add(INSN_ld, INSN_amocas_d, 16);
    compare_and_add(INSN_lw, INSN_amocas_w, 144);
    exchange();
    locked(true, AT_LOCK);
    locked(false, AT_PLAIN);
    newest(BY_WALL);
    rewritten();
    which_copy();
    storm();
    made.base = (uint16_t)(PAGE - 2 - made.number[BY_FENCE_I]);
}

uint64_t shared_entry(unsigned function)
{
    make();
    return SHARED + made.base + made.entry[function];
}

bool is_shared(uint64_t va)
{
    return va >= SHARED && va < SHARED_END;
}

bool is_shared_entry(uint64_t pc)
{
    for (unsigned k = 0; k < SHARED_FUNCTIONS; k++)
        if (pc == shared_entry(k))
            return true;
    return false;
}

unsigned shared_frame(unsigned copy, uint64_t va)
{
    unsigned page = (unsigned)((va - SHARED) / PAGE);
    return page < SHARED_CODE_PAGES ? copy * SHARED_CODE_PAGES + page : SHARED_FRAMES - 1;
}

uint8_t *shared_at(const struct shared *s, unsigned copy, uint64_t va)
{
    return s->frames + shared_frame(copy, va) * PAGE + va % PAGE;
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
    void *high = shared_at(s, copy, SHARED + made.base + at + 2);
    __atomic_store_n((uint16_t *)high, (uint16_t)(insn >> 16), __ATOMIC_SEQ_CST);
}

void shared_init(struct shared *s, bool named)
{
    size_t size = SHARED_FRAMES * PAGE;
    make();
    if (made.n != SHARED_FUNCTIONS)
        abort();
    *s = (struct shared){.fd = memfd_create("shared", MFD_CLOEXEC), .frames = MAP_FAILED};
    if (s->fd >= 0 && ftruncate(s->fd, (off_t)size) == 0)
        s->frames = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->frames == MAP_FAILED) {
        perror("frames that are shared");
        exit(2);
    }
    for (unsigned copy = 0; copy < SHARED_COPIES; copy++) {
        memcpy(s->frames + copy * SHARED_CODE_PAGES * PAGE + made.base, made.code, made.size * 4u);
        if (named)
            write_insn(s, copy, made.which, put_imm(INSN_addi, A0, 0, (int32_t)copy));
    }
    set64(s, AT_NEXT, SHARED + made.base + made.next);
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
    const struct site *site = &made.sites[below(r, SITES)];
    write_insn(s, below(r, SHARED_COPIES), site->at, site->as[below(r, 2)]);
}

void shared_write_number(const struct shared *s, unsigned copy, enum publish how)
{
    uint32_t number = (s->published[how] + 1) & 0x7ff;
    write_insn(s, copy, made.number[how], put_imm(INSN_addi, T1, 0, (int32_t)number));
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
