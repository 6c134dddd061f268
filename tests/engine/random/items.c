/* The kinds of items and how often each comes. */
#include "items.h"

#include <string.h>

#include "shared.h"

/* --- Items --- */

/* What may not be in programs that share their code and whose cpus keep no order. */
static bool shareable(uint32_t insn)
{
    struct decoded d;
    isa_decode(insn, &d);
    return d.id != INSN_fence_i;
}

struct item *new_item(struct maker *m)
{
    struct program *p = m->p;
    struct item *it = &p->items[p->n_items < MAX_ITEMS ? p->n_items++ : MAX_ITEMS - 1];
    *it = (struct item){.fix = -1};
    return it;
}

void add(struct item *it, uint32_t insn)
{
    it->insn[it->n++] = insn;
}

void one(struct maker *m, uint32_t insn)
{
    add(new_item(m), insn);
}

uint16_t some_target(struct maker *m, bool forward)
{
    uint32_t n = m->p->n_items;
    return (uint16_t)(forward || n < 2 ? n + below(&m->r, 8) : below(&m->r, n));
}

static void any_item(struct maker *m)
{
    enum insn_id id = (enum insn_id)(1 + below(&m->r, INSN_COUNT - 1));
    unsigned format = insn_table[id].format;
    uint32_t insn = chance(&m->r, 10) ? random_insn(&m->r) : chosen_insn(m, id);
    if (m->setting.common && !shareable(insn))
        return;
    struct item *it = new_item(m);
    add(it, insn);
    if (format == FORMAT_B || format == FORMAT_J) {
        it->fix = (insn & 0x7f) == (insn_table[id].match & 0x7f) ? 0 : -1;
        it->target = some_target(m, chance(&m->r, 95));
    }
}

static void alu_item(struct maker *m)
{
    static const uint8_t formats[] = {FORMAT_R, FORMAT_R,     FORMAT_R,  FORMAT_I,
                                      FORMAT_I, FORMAT_SHIFT, FORMAT_R1, FORMAT_U};
    one(m, chosen_insn(m, of_format(m, (enum insn_format)formats[below(&m->r, 8)])));
}

/* Operations that want certain host registers, with a move before: the destination's old value, or
 * an operand's, lives on in another register or in nothing but what follows. */
static void fixed_item(struct maker *m)
{
    enum insn_id id =
        ONE_OF(m, INSN_div, INSN_divu, INSN_rem, INSN_remu, INSN_divw, INSN_divuw, INSN_remw,
               INSN_remuw, INSN_mulh, INSN_mulhu, INSN_mulhsu, INSN_sll, INSN_srl, INSN_sra,
               INSN_sllw, INSN_srlw, INSN_sraw, INSN_rol, INSN_ror, INSN_rolw, INSN_rorw, INSN_bclr,
               INSN_bext, INSN_binv, INSN_bset, INSN_mul, INSN_clmul, INSN_xperm8);
    unsigned d = write_x(m), s1 = chance(&m->r, 25) ? d : read_x(m),
             s2 = chance(&m->r, 25) ? d : read_x(m);
    unsigned moves = below(&m->r, 4);
    for (unsigned k = 0; k < moves; k++) {
        static const uint8_t what[] = {0, 0, 1, 2, 3};
        unsigned of[] = {d, s1, s2, read_x(m)};
        unsigned from = of[what[below(&m->r, 5)]];
        if (chance(&m->r, 70))
            one(m, put_imm(INSN_addi, write_x(m), from, 0));
        else
            one(m,
                put_imm(INSN_addi, from == m->counter || is_reserved(m, from) ? write_x(m) : from,
                        read_x(m), 0));
    }
    one(m, put_r(id, d, s1, s2));
    if (chance(&m->r, 60))
        one(m, put_r(ONE_OF(m, INSN_and, INSN_add, INSN_xor), write_x(m), read_x(m), read_x(m)));
}

static void memory_item(struct maker *m)
{
    static const uint8_t formats[] = {FORMAT_LOAD,  FORMAT_LOAD,  FORMAT_STORE,
                                      FORMAT_STORE, FORMAT_FLOAD, FORMAT_FSTORE};
    one(m, chosen_insn(m, of_format(m, (enum insn_format)formats[below(&m->r, 6)])));
}

/* An index scaled, added to a pointer, and used. */
static void indexed_item(struct maker *m)
{
    unsigned t = write_x(m), i = write_x(m), b = pick_pointer(m);
    one(m, put_imm(INSN_andi, i, read_x(m), (int32_t)below(&m->r, 64)));
    if (chance(&m->r, 50)) {
        one(m, put_r(ONE_OF(m, INSN_sh1add, INSN_sh2add, INSN_sh3add, INSN_add_uw, INSN_sh2add_uw),
                     t, i, b));
    } else {
        one(m, put_imm(INSN_slli, t, i, (int32_t)below(&m->r, 4)));
        one(m, put_r(INSN_add, t, chance(&m->r, 50) ? t : b, chance(&m->r, 80) ? b : t));
    }
    if (chance(&m->r, 50))
        one(m,
            put_imm(INSN_addi, i, read_x(m), 0)); /* the index's register is something else now */
    enum insn_id id = of_format(m, chance(&m->r, 50) ? FORMAT_LOAD : FORMAT_STORE);
    int32_t o = random_offset(&m->r);
    one(m, insn_table[id].format == FORMAT_LOAD ? put_imm(id, write_x(m), t, o)
                                                : put_store(id, t, read_x(m), o));
}

static void atomic_item(struct maker *m)
{
    unsigned b = pick_pointer(m);
    if (chance(&m->r, 70)) { /* aligned */
        b = write_x(m);
        one(m, put_imm(INSN_andi, b, m->pointer[below(&m->r, 2)], -8));
    }
    bool word = chance(&m->r, 50);
    uint32_t order = random32(&m->r) & 0x06000000;
    if (chance(&m->r, 35)) {
        one(m, put_r(word ? INSN_lr_w : INSN_lr_d, write_x(m), b, 0) | order);
        for (unsigned k = below(&m->r, 3); k; k--)
            alu_item(m);
        if (chance(&m->r, 20))
            one(m, put_store(ONE_OF(m, INSN_sb, INSN_sw, INSN_sd), b, read_x(m), 0));
        bool same = chance(&m->r, 80) ? word : !word;
        one(m, put_r(same ? INSN_sc_w : INSN_sc_d, write_x(m), b, read_x(m)) | order);
        return;
    }
    enum insn_id id = of_format(m, FORMAT_AMO);
    unsigned d = write_x(m), s2 = read_x(m);
    if (chance(&m->r, 40))
        one(m, put_imm(INSN_addi, write_x(m), chance(&m->r, 50) ? d : s2, 0));
    if (insn_table[id].match >> 27 == 5 && chance(&m->r, 60)) /* a compare that holds */
        one(m, put_imm(ONE_OF(m, INSN_lb, INSN_lh, INSN_lw, INSN_ld), d, b, 0));
    one(m, put_r(id, chance(&m->r, 10) ? 0 : d, b, s2) | order);
}

static void float_item(struct maker *m)
{
    static const uint8_t formats[] = {
        FORMAT_FR4,  FORMAT_FR_RM,  FORMAT_FR_RM,     FORMAT_FR_RM,  FORMAT_FR,       FORMAT_F1_RM,
        FORMAT_FCMP, FORMAT_F_TO_X, FORMAT_F_TO_X_RM, FORMAT_X_TO_F, FORMAT_X_TO_F_RM};
    one(m, chosen_insn(m, of_format(m, (enum insn_format)formats[below(&m->r, 11)])));
}

static void branch_item(struct maker *m)
{
    uint16_t target = some_target(m, chance(&m->r, 97));
    if (chance(&m->r, 40)) { /* of a comparison */
        unsigned t = write_x(m);
        one(m, chosen_insn(m, ONE_OF(m, INSN_slt, INSN_sltu, INSN_slti, INSN_sltiu, INSN_and,
                                     INSN_andi, INSN_sub, INSN_bexti)));
        m->p->items[m->p->n_items - 1].insn[0] =
            (m->p->items[m->p->n_items - 1].insn[0] & ~0xf80u) | t << 7;
        if (chance(&m->r, 40)) /* whose operands are gone by then */
            alu_item(m);
        struct item *it = new_item(m);
        add(it, put_r(ONE_OF(m, INSN_bne, INSN_beq, INSN_bge), 0, t, 0));
        it->fix = 0;
        it->target = target;
        return;
    }
    struct item *it = new_item(m);
    add(it, chosen_insn(m, of_format(m, FORMAT_B)));
    it->fix = 0;
    it->target = target;
}

static void any_simple(struct maker *m)
{
    static void (*const kinds[])(struct maker *) = {alu_item,     alu_item,   memory_item,
                                                    float_item,   fixed_item, branch_item,
                                                    indexed_item, atomic_item};
    kinds[below(&m->r, 8)](m);
}

static void loop_item(struct maker *m)
{
    one(m, put_imm(INSN_addi, m->counter, 0, 1 + (int32_t)below(&m->r, 6)));
    uint16_t top = (uint16_t)m->p->n_items;
    for (unsigned k = 1 + below(&m->r, 5); k; k--)
        any_simple(m);
    struct item *it = new_item(m);
    add(it, put_imm(INSN_addi, m->counter, m->counter, -1));
    if (chance(&m->r, 20))
        add(it, put_imm(INSN_addi, write_x(m), m->counter, 0));
    add(it, put_r(ONE_OF(m, INSN_bne, INSN_blt), 0, 0, m->counter));
    it->fix = (int8_t)(it->n - 1);
    it->target = top;
}

/* A function that is jumped over, and calls of it. */
static void call_item(struct maker *m)
{
    unsigned link = chance(&m->r, 85) ? 1 : chance(&m->r, 60) ? 5 : write_x(m);
    if (!m->call_at || chance(&m->r, 40)) {
        struct item *over = new_item(m);
        add(over, put_r(INSN_jal, 0, 0, 0));
        over->fix = 0;
        uint16_t body = (uint16_t)m->p->n_items;
        bool kept = chance(&m->r, 30); /* the return address, in memory */
        if (kept)
            one(m, put_store(INSN_sd, m->pointer[0], link, 24));
        for (unsigned k = 1 + below(&m->r, 3); k; k--)
            any_simple(m);
        if (chance(&m->r, 15))
            one(m, random_insn(&m->r));
        if (kept)
            one(m, put_imm(INSN_ld, link, m->pointer[0], 24));
        if (chance(&m->r, 12))
            change_upper_bits(m, link);
        one(m, put_imm(INSN_jalr, chance(&m->r, 95) ? 0 : write_x(m), link, 0));
        over->target = (uint16_t)m->p->n_items;
        m->call_at = body;
    }
    struct item *it = new_item(m);
    if (chance(&m->r, 60)) {
        add(it, put_r(INSN_jal, link, 0, 0));
        it->fix = 0;
    } else {
        unsigned t = chance(&m->r, 50) ? link : write_x(m);
        add(it, put_r(INSN_auipc, t, 0, 0));
        add(it, put_imm(INSN_jalr, link, t, 0));
        it->fix = 1;
    }
    it->target = m->call_at;
}

/* A jump through a register that the block does not know. */
static void indirect_item(struct maker *m)
{
    unsigned t = write_x(m);
    struct item *it = new_item(m);
    add(it, put_r(INSN_auipc, t, 0, 0));
    if (chance(&m->r, 50))
        add(it, put_store(INSN_sd, m->pointer[0], t, 8));
    it->fix = -1;
    struct item *jump = new_item(m);
    if (chance(&m->r, 50)) {
        add(jump, put_r(INSN_auipc, t, 0, 0));
        add(jump, put_imm(INSN_jalr, chance(&m->r, 70) ? 0 : write_x(m), t, 0));
        jump->fix = 1;
        jump->target = some_target(m, true);
    } else { /* to behind the jump: t is the address of the item before */
        add(jump, put_imm(INSN_ld, t, m->pointer[0], 8));
        add(jump, put_imm(INSN_jalr, chance(&m->r, 70) ? 0 : write_x(m), t, 12 + 4 * (it->n == 2)));
    }
}

/* What compilers write and the lifter folds. */
static void idiom_item(struct maker *m)
{
    struct random *r = &m->r;
    unsigned t = write_x(m), s = read_x(m), d = write_x(m);
    int32_t n = (int32_t)(chance(r, 40) ? 32u : 1 + below(r, 63));
    switch (below(r, 7)) {
    case 0:
        one(m, put_imm(INSN_slli, t, s, n));
        one(m, put_imm(chance(r, 50) ? INSN_srli : INSN_srai, d, t,
                       chance(r, 60) ? n : (int32_t)below(r, 64)));
        break;
    case 1:
        one(m, put_r(INSN_lui, t, 0, 0) | (random32(r) & 0xfffff000));
        one(m, put_imm(chance(r, 50) ? INSN_addiw : INSN_addi, d, t, imm12(r)));
        break;
    case 2:
        one(m, put_r(INSN_sltu, t, 0, s));
        one(m, put_r(INSN_sub, d, 0, t));
        break;
    case 3: {
        unsigned u = write_x(m);
        one(m, put_imm(INSN_slli, u, s, n));
        one(m, put_imm(INSN_srli, t, s, (64 - n) & 63));
        one(m, put_r(INSN_or, d, chance(r, 50) ? u : t, chance(r, 50) ? t : u));
        break;
    }
    case 4:
        one(m, put_imm(INSN_xori, t, s, -1));
        one(m, put_r(INSN_and, d, t, read_x(m)));
        break;
    case 5:
        one(m, put_r(INSN_czero_eqz, t, s, d));
        one(m, put_r(INSN_czero_nez, d, read_x(m), d));
        one(m, put_r(INSN_or, d, d, t));
        break;
    default: one(m, put_r(INSN_addw, t, s, read_x(m))); one(m, put_imm(INSN_srli, d, t, n));
    }
}

/* Many values at once that no guest register holds any more: each is the operand of something that
 * is folded into a later instruction, and its register is overwritten in between. */
static void pressure_item(struct maker *m)
{
    struct random *r = &m->r;
    uint8_t t[28], n = 0;
    for (unsigned x = 1; x < 32 && n < 28; x++)
        if (!is_reserved(m, x) && chance(r, 90))
            t[n++] = (uint8_t)x;
    unsigned pairs = n / 2 ? 1 + below(r, n / 2) : 0, style = below(r, 6);
    for (unsigned k = 0; k < pairs; k++) { /* t[k] from t[pairs + k], which is read late */
        unsigned d = t[k], s = t[pairs + k];
        switch (style) {
        case 0: one(m, put_imm(INSN_addi, d, s, imm12(r))); break;
        case 1: one(m, put_r(INSN_sltu, d, s, t[below(r, n)])); break;
        case 2: one(m, put_imm(INSN_slli, d, s, 1 + (int32_t)below(r, 40))); break;
        case 3: one(m, put_imm(INSN_addi, d, s, 0)); break;
        case 4: one(m, chosen_insn(m, INSN_ld)); break;
        default: one(m, put_imm(INSN_xori, d, s, -1));
        }
    }
    for (unsigned k = 0; k < 32 && chance(r, 95);
         k++) /* and f registers, which other code may read */
        if (style & 1)
            one(m,
                put_r(ONE_OF(m, INSN_fadd_d, INSN_fmul_s, INSN_fsgnj_s), pick_f(m), k, pick_f(m)) |
                    0x7000);
    for (unsigned k = 0; k < pairs; k++)
        one(m, chance(r, 30) ? put_imm(INSN_addi, t[pairs + k], 0, imm12(r))
                             : put_imm(INSN_ld, t[pairs + k], m->pointer[k & 1], (int32_t)(8 * k)));
    for (unsigned k = 0; k < pairs; k++) {
        unsigned d = t[k];
        switch (chance(r, 80) ? style : below(r, 6)) {
        case 0: one(m, put_r(INSN_add, d, d, t[below(r, n)])); break;
        case 1: {
            struct item *it = new_item(m);
            add(it, put_r(INSN_beq, 0, d, 0));
            it->fix = 0;
            it->target = (uint16_t)(m->p->n_items + below(r, 3));
            break;
        }
        case 2: one(m, put_imm(INSN_srli, t[pairs + k], d, 1 + (int32_t)below(r, 40))); break;
        case 3: one(m, put_r(ONE_OF(m, INSN_div, INSN_mulhu, INSN_sll), d, d, t[pairs + k])); break;
        case 4: one(m, put_store(INSN_sd, m->pointer[k & 1], d, (int32_t)(8 * k))); break;
        default: one(m, put_r(INSN_and, d, d, t[below(r, n)]));
        }
    }
}

static void csr_item(struct maker *m)
{
    one(m, chosen_insn(m, of_format(m, chance(&m->r, 50) ? FORMAT_CSR : FORMAT_CSRI)));
}

static void system_item(struct maker *m)
{
    struct random *r = &m->r;
    if (m->setting.common)
        return;
    if (chance(r, 50)) {
        one(m, insn_table[chance(r, 70) ? INSN_ecall : INSN_fence_i].match);
        return;
    }
    /* An instruction is written over an item, and the order is kept, mostly. */
    unsigned v = write_x(m), t = write_x(m);
    struct item *it = new_item(m);
    uint32_t insn = chance(r, 70) ? chosen_insn(m, of_format(m, FORMAT_R)) : random_insn(r);
    uint32_t high = insn + 0x800;
    add(it, put_r(INSN_lui, v, 0, 0) | (high & 0xfffff000));
    add(it, put_imm(INSN_addiw, v, v, (int32_t)(insn << 20) >> 20));
    add(it, put_r(INSN_auipc, t, 0, 0));
    add(it, put_store(chance(r, 80) ? INSN_sw : INSN_sh, t, v, 0));
    it->fix = 3;
    it->target = some_target(m, chance(r, 60));
    if (chance(r, 95))
        add(it, insn_table[INSN_fence_i].match);
}

static const struct {
    void (*make)(struct maker *m);
    uint8_t weight;
} kinds[] = {
    {any_item, 22},     {alu_item, 12},   {fixed_item, 14},       {memory_item, 12},
    {indexed_item, 3},  {atomic_item, 4}, {float_item, 9},        {branch_item, 7},
    {loop_item, 3},     {call_item, 4},   {indirect_item, 2},     {idiom_item, 7},
    {pressure_item, 1}, {csr_item, 2},    {refresh_item, 3},      {system_item, 3},
    {address_item, 9},  {global_item, 4}, {pointer_call_item, 1},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* Whether the shared functions change a register that the program counts on. */
static bool shared_change(const struct maker *m)
{
    for (unsigned x = 1; x < 32; x++)
        if (SHARED_CHANGES >> x & 1 && is_reserved(m, x))
            return true;
    return false;
}

void make_items(struct maker *m)
{
    struct random *r = &m->r;
    do {
        for (unsigned k = 0; k < POOL; k++)
            m->pool[k] = (uint8_t)below(r, chance(r, 50) ? 16 : 32);
        m->pointer[0] = (uint8_t)(1 + below(r, 31));
        m->pointer[1] = (uint8_t)(1 + below(r, 31));
        m->counter = (uint8_t)(1 + below(r, 31));
    } while (m->pointer[0] == m->pointer[1] || is_reserved(m, 0) || m->counter == m->pointer[0] ||
             m->counter == m->pointer[1] || (m->setting.together && shared_change(m)));
    unsigned weight[KINDS], all = 0;
    for (unsigned k = 0; k < KINDS; k++) { /* a program has leanings */
        static const uint8_t times[] = {0, 1, 1, 2, 6};
        all += weight[k] = kinds[k].weight * times[below(r, 5)];
    }
    if (!all)
        all = weight[0] = 1;
    uint32_t size = 4 + below(r, chance(r, 70) ? 40 : 160);
    if (m->setting.storm) {
        for (unsigned k = 0; k < 2; k++)
            shared_item(m, SHARED_STORM);
        size = 0;
    }
    while (m->p->n_items < size) {
        if (m->setting.together && chance(r, 15)) {
            if (chance(r, 30))
                mapped_item(m);
            else
                shared_item(m, below(r, SHARED_STORM));
            continue;
        }
        unsigned k = 0, n = below(r, all);
        while (n >= weight[k])
            n -= weight[k++];
        if (!weight[k] || (m->setting.common && kinds[k].make == system_item))
            k = 1;
        kinds[k].make(m);
    }
    *new_item(m) = (struct item){.insn = {insn_table[INSN_ebreak].match}, .n = 1, .fix = -1};
    for (unsigned i = 0; i < m->p->n_items; i++)
        if (m->p->items[i].target >= m->p->n_items)
            m->p->items[i].target = (uint16_t)(m->p->n_items - 1);
}
