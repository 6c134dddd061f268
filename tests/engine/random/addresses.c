/* Items that make addresses in the ways that code does, and compute with them. */
#include "items.h"
#include "shared.h"

/* --- Making one --- */

static bool fits32(uint64_t v)
{
    return v == (uint64_t)(int64_t)(int32_t)v;
}

static uint32_t put_u(enum insn_id id, unsigned d, uint32_t high)
{
    return insn_table[id].match | d << 7 | high;
}

/* d becomes v, as compilers make it where they know no pc: at most 8 instructions. */
static void add_constant(struct item *it, unsigned d, uint64_t v)
{
    int32_t low = (int32_t)((uint32_t)v << 20) >> 20;
    if (fits32(v)) {
        uint32_t high = ((uint32_t)v + 0x800) & ~0xfffu;
        if (high)
            add(it, put_u(INSN_lui, d, high));
        if (low || !high)
            add(it, put_imm(high ? INSN_addiw : INSN_addi, d, high ? d : 0, low));
        return;
    }
    v -= (uint64_t)(int64_t)low;
    int shift = __builtin_ctzll(v);
    add_constant(it, d, (uint64_t)((int64_t)v >> shift));
    add(it, put_imm(INSN_slli, d, d, shift));
    if (low)
        add(it, put_imm(INSN_addi, d, d, low));
}

/* Adds insn, which takes the low part of address `to` from the auipc of its item. */
static void add_low(struct item *it, uint32_t insn, uint64_t to)
{
    it->low |= (uint8_t)(1u << it->n);
    it->to = to;
    add(it, insn);
}

/* In a data page, or the one before or behind; aligned mostly. */
static uint64_t data_address(struct maker *m)
{
    uint64_t page = DATA_FIRST - 1 + below(&m->r, DATA_END - DATA_FIRST + 2);
    uint32_t offset = below(&m->r, 128) * 16;
    offset = chance(&m->r, 15) ? PAGE - 1 - below(&m->r, 16) : offset;
    return m->setting.arena + PAGE * page + offset;
}

static void data_by_pc(struct maker *m, unsigned d)
{
    struct item *it = new_item(m);
    add(it, put_u(INSN_auipc, d, 0));
    add_low(it, put_imm(INSN_addi, d, d, 0), data_address(m));
}

static void data_absolute(struct maker *m, unsigned d)
{
    add_constant(new_item(m), d, data_address(m));
}

/* What a page holds first are addresses. */
static void data_from_pool(struct maker *m, unsigned d)
{
    struct item *it = new_item(m);
    uint64_t page = DATA_FIRST + below(&m->r, DATA_END - DATA_FIRST);
    add(it, put_u(INSN_auipc, d, 0));
    add_low(it, put_imm(INSN_ld, d, d, 0),
            m->setting.arena + PAGE * page + 8 * (uint64_t)below(&m->r, POOL_WORDS));
}

static void code_by_pc(struct maker *m, unsigned d)
{
    struct item *it = new_item(m);
    add(it, put_u(INSN_auipc, d, 0));
    it->fix = 1;
    it->target = some_target(m, chance(&m->r, 90));
    add(it, put_imm(INSN_addi, d, d, 0));
}

/* The address of what follows, as a call gives it. */
static void return_address(struct maker *m, unsigned d)
{
    struct item *it = new_item(m);
    bool by_register = chance(&m->r, 30);
    if (by_register)
        add(it, put_u(INSN_auipc, d, 0));
    it->fix = (int8_t)it->n;
    add(it, by_register ? put_imm(INSN_jalr, d, d, 0) : put_r(INSN_jal, d, 0, 0));
    it->target = (uint16_t)m->p->n_items;
}

static void make_address(struct maker *m, unsigned d)
{
    switch (below(&m->r, 12)) {
    case 0:
    case 1:
    case 2: data_by_pc(m, d); break;
    case 3: data_absolute(m, d); break;
    case 4: data_from_pool(m, d); break;
    case 5:
    case 6: code_by_pc(m, d); break;
    case 7: return_address(m, d); break;
    case 8: one(m, put_u(INSN_auipc, d, random32(&m->r) & 0xfffff000)); break;
    case 9: one(m, put_u(INSN_auipc, d, 0)); break;
    case 10: one(m, put_imm(INSN_addi, d, m->pointer[below(&m->r, 2)], imm12(&m->r))); break;
    default: one(m, put_u(INSN_lui, d, random32(&m->r) & 0xfffff000)); break;
    }
}

/* --- Computing with them --- */

static void two_shifts(struct maker *m, unsigned d, unsigned s, int32_t n, bool left_first)
{
    one(m, put_imm(left_first ? INSN_slli : INSN_srli, d, s, n));
    one(m, put_imm(left_first ? INSN_srli : INSN_slli, d, d, n));
}

static void compute(struct maker *m, unsigned d, unsigned t, unsigned u)
{
    struct random *r = &m->r;
    uint32_t registers = d << 7 | t << 15;
    switch (below(r, 12)) {
    case 0:
    case 1: one(m, put_r(INSN_sub, d, t, u)); break;
    case 2:
        one(m, put_r(ONE_OF(m, INSN_add, INSN_xor, INSN_or, INSN_and, INSN_add_uw, INSN_sh1add,
                            INSN_sh3add, INSN_min, INSN_maxu, INSN_subw, INSN_addw),
                     d, t, u));
        break;
    case 3: one(m, put_r(of_format(m, FORMAT_R), d, t, u)); break;
    case 4: one(m, put_r(ONE_OF(m, INSN_sltu, INSN_slt), d, t, u)); break;
    case 5: one(m, put_imm(of_format(m, FORMAT_I), d, t, imm12(r))); break;
    case 6:
        one(m,
            (chosen_insn(m, of_format(m, chance(r, 60) ? FORMAT_SHIFT : FORMAT_R1)) & 0xfff0707f) |
                registers);
        break;
    case 7: two_shifts(m, d, t, chance(r, 70) ? 12 : (int32_t)below(r, 64), false); break;
    case 8: two_shifts(m, d, t, chance(r, 70) ? 32 : (int32_t)below(r, 64), true); break;
    case 9: /* the page that it is on */
        one(m, put_u(INSN_lui, d, 0xfffff000));
        one(m, put_r(INSN_and, d, d, t));
        break;
    case 10: one(m, put_imm(INSN_andi, d, t, chance(r, 50) ? -8 : imm12(r))); break;
    default: /* further than an auipc reaches */
        one(m, put_u(INSN_lui, d, random32(r) & 0xfffff000));
        one(m, put_r(ONE_OF(m, INSN_add, INSN_sub), d, t, d));
        break;
    }
}

static void by_memory(struct maker *m, unsigned d, unsigned s)
{
    unsigned pointer = m->pointer[below(&m->r, 2)];
    int32_t at = (int32_t)below(&m->r, 16) * 8;
    one(m, put_store(INSN_sd, pointer, s, at));
    one(m, put_imm(ONE_OF(m, INSN_ld, INSN_ld, INSN_ld, INSN_lw, INSN_lwu), d, pointer, at));
}

static void branch_on(struct maker *m, unsigned t, unsigned u)
{
    struct item *it = new_item(m);
    add(it, put_r(of_format(m, FORMAT_B), 0, t, u));
    it->fix = 0;
    it->target = some_target(m, chance(&m->r, 97));
}

static void use(struct maker *m, unsigned t, unsigned u)
{
    struct random *r = &m->r;
    switch (below(r, 10)) {
    case 0:
    case 1: branch_on(m, t, u); break;
    case 2: by_memory(m, u, t); break;
    case 3: one(m, put_imm(of_format(m, FORMAT_LOAD), write_x(m), t, random_offset(r))); break;
    case 4: one(m, put_imm(of_format(m, FORMAT_FLOAD), pick_f(m), t, random_offset(r))); break;
    case 5: one(m, put_store(of_format(m, FORMAT_STORE), t, u, random_offset(r))); break;
    case 6: { /* as an operand of an atomic, or its address */
        bool data = chance(r, 50);
        unsigned at = data ? m->pointer[below(r, 2)] : t;
        one(m, put_r(of_format(m, FORMAT_AMO), write_x(m), at, data ? t : u));
        break;
    }
    case 7: {
        unsigned f = pick_f(m);
        one(m, put_r(ONE_OF(m, INSN_fmv_d_x, INSN_fcvt_d_l, INSN_fcvt_s_lu), f, t, 0));
        one(m, put_r(INSN_fmv_x_d, u, f, 0));
        break;
    }
    case 8: /* to where it leads, or to a trap */
        one(m, put_imm(INSN_jalr, chance(r, 60) ? 0 : write_x(m), t, 0));
        break;
    default: break;
    }
}

void address_item(struct maker *m)
{
    unsigned t = write_x(m), u = write_x(m);
    make_address(m, t);
    if (chance(&m->r, 70))
        make_address(m, u);
    for (unsigned k = below(&m->r, 4); k; k--) {
        unsigned d = chance(&m->r, 40) ? t : chance(&m->r, 40) ? u : write_x(m);
        compute(m, d, chance(&m->r, 80) ? t : u, chance(&m->r, 80) ? u : read_x(m));
    }
    use(m, t, u);
}

/* What compilers make of a global variable: an auipc, and the offset in the access itself. */
void global_item(struct maker *m)
{
    struct random *r = &m->r;
    unsigned b = write_x(m), d = chance(r, 50) ? b : write_x(m);
    bool is_float = chance(r, 25);
    uint32_t load = is_float ? put_imm(of_format(m, FORMAT_FLOAD), pick_f(m), b, 0)
                             : put_imm(of_format(m, FORMAT_LOAD), d, b, 0);
    uint32_t store = is_float ? put_store(of_format(m, FORMAT_FSTORE), b, pick_f(m), 0)
                              : put_store(of_format(m, FORMAT_STORE), b, read_x(m), 0);
    uint64_t to = data_address(m);
    unsigned which = below(r, 4);
    struct item *it = new_item(m);
    if (chance(r, 75)) {
        add(it, put_u(INSN_auipc, b, 0));
        if (which != 0)
            add_low(it, load, to);
        if (which == 1)
            add(it, put_imm(INSN_addi, d, d, imm12(r)));
        if (which < 2)
            add_low(it, store, to);
        return;
    }
    uint64_t low = (to & 0xfff) ^ 0x800;
    add_constant(it, b, to - (low - 0x800));
    one(m, which ? load | (uint32_t)(to & 0xfff) << 20
                 : store | (uint32_t)(to & 31) << 7 | (uint32_t)(to >> 5 & 127) << 25);
}

/* A pointer gets an address to point at; sometimes another register does. */
void refresh_item(struct maker *m)
{
    unsigned to = chance(&m->r, 60) ? m->pointer[below(&m->r, 2)] : write_x(m);
    switch (below(&m->r, 5)) {
    case 0:
    case 1: data_absolute(m, to); break;
    case 2:
    case 3: data_by_pc(m, to); break;
    default: data_from_pool(m, to); break;
    }
}

/* d becomes an address that only its upper bits tell from what it was: what is remembered of one
 * may not be taken for the other's. */
void change_upper_bits(struct maker *m, unsigned d)
{
    struct random *r = &m->r;
    switch (below(r, 4)) {
    case 0: one(m, put_imm(INSN_addiw, d, d, 0)); break;
    case 1: one(m, put_r(INSN_add_uw, d, d, 0)); break;
    case 2: one(m, put_imm(INSN_binvi, d, d, 32 + (int32_t)below(r, 32))); break;
    default: two_shifts(m, d, d, 1 + (int32_t)below(r, 40), true); break;
    }
}

/* Through a pointer to code, that may have been kept in memory. */
void pointer_call_item(struct maker *m)
{
    unsigned t = write_x(m);
    code_by_pc(m, t);
    if (chance(&m->r, 50))
        by_memory(m, t, t);
    else if (chance(&m->r, 40))
        one(m, put_imm(INSN_addi, t, t, 0));
    if (chance(&m->r, 15))
        change_upper_bits(m, t);
    unsigned link = chance(&m->r, 60) ? 0 : chance(&m->r, 60) ? 1 : write_x(m);
    one(m, put_imm(INSN_jalr, link, t, 0));
}

/* --- Of what several harts share --- */

static void call_shared(struct maker *m, unsigned function)
{
    uint64_t to = shared_entry(m->setting.shared, function);
    int32_t low = (int32_t)((uint32_t)to << 20) >> 20;
    bool by_pc = chance(&m->r, 50);
    struct item *it = new_item(m);
    if (by_pc) {
        add(it, put_u(INSN_auipc, 6, 0));
        add_low(it, put_imm(INSN_jalr, 1, 6, 0), to);
    } else {
        add_constant(it, 6, to - (uint64_t)(int64_t)low);
        add(it, put_imm(INSN_jalr, 1, 6, low));
    }
}

/* Of whatever is in a register. */
void shared_item(struct maker *m, unsigned function)
{
    if (chance(&m->r, 70))
        one(m, put_imm(INSN_addi, 10, read_x(m), 0));
    call_shared(m, function);
}

/* Calls of what depends on the pages that are mapped. */
void mapped_item(struct maker *m)
{
    if (chance(&m->r, 50)) {
        shared_item(m, SHARED_MAPPED + below(&m->r, SHARED_MAPPED_END - SHARED_MAPPED));
        return;
    }
    for (int32_t odd = 1; odd >= 0; odd--) { /* the mapping changes; then somebody looks */
        one(m, put_imm(INSN_addi, 10, 0, odd));
        call_shared(m, SHARED_MAPPED);
    }
}
