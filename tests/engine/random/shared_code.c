/* The code of the shared functions. */
#include "shared_code.h"

#include <stdlib.h>

#include "items.h"

enum {
    RA = 1,
    A0 = 10,
    T0 = 5,
    T1 = 6,
    T2 = 7,
    T3 = 28,
    T4 = 29
};

#define ORDER_AQ (1u << 26)
#define ORDER_RL (1u << 25)

static struct shared_code made;

static unsigned here(void)
{
    return made.size * 4u;
}

static void put(uint32_t insn)
{
    if (made.size == sizeof made.code / sizeof made.code[0])
        abort();
    made.code[made.size++] = insn;
}

static void begin(void)
{
    made.entry[made.n++] = (uint16_t)here();
}

/* t2: an address in the data, relative to the pc. It is filled in when all is laid out. */
static void address(unsigned at)
{
    put(insn_table[INSN_auipc].match | T2 << 7);
    put(put_imm(INSN_addi, T2, T2, (int32_t)at));
}

static void fill_in_addresses(void)
{
    for (unsigned k = 0; k < made.size; k++) {
        if ((made.code[k] & 0x7f) != insn_table[INSN_auipc].match)
            continue;
        uint32_t *low = &made.code[k + 1];
        uint32_t by = SHARED_DATA + (*low >> 20) - (made.base + 4 * k);
        made.code[k] |= (by + 0x800) & 0xfffff000;
        *low = (*low & 0xfffff) | by << 20;
    }
}

static void end(void)
{
    static const uint8_t used[] = {T0, T1, T2, T3, T4};
    for (unsigned k = 0; k < sizeof used; k++)
        put(put_imm(INSN_addi, used[k], 0, 0));
    put(put_imm(INSN_jalr, 0, 1, 0));
}

static uint32_t branch_by(enum insn_id id, unsigned s1, unsigned s2, uint32_t by)
{
    return put_r(id, 0, s1, s2) | (by >> 12 & 1) << 31 | (by >> 5 & 63) << 25 |
           (by >> 1 & 15) << 8 | (by >> 11 & 1) << 7;
}

static void branch(enum insn_id id, unsigned s1, unsigned s2, unsigned to)
{
    put(branch_by(id, s1, s2, to - here()));
}

/* d: `number` in the second copy of the page that this is on, 0 in the first. */
static void name(unsigned d, int32_t number)
{
    unsigned k = 0;
    while (made.names[k].at)
        k++;
    made.names[k] = (struct name){(uint16_t)here(),
                                  {put_imm(INSN_addi, d, 0, 0), put_imm(INSN_addi, d, 0, number)}};
    put(made.names[k].as[0]);
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

/* a0: 1 when the number in the code is older than what was published before it was looked at; and
 * its highest bit, which shared_write_number names the copy by, times two. */
static void newest(enum publish how)
{
    begin();
    address(AT_PUBLISH + 8u * how);
    put(put_imm(INSN_ld, T0, T2, 0));
    put(insn_table[INSN_fence].match | 0x02300000); /* r, rw */
    if (how == BY_FENCE_I) {
        put(insn_table[INSN_fence_i].match);
        branch(INSN_bne, T2, 0,
               here() + 8); /* always; a link to the page's end would lead astray */
        put(put_imm(INSN_addi, T1, 0, 0));
    } else { /* what is looked up now, and not what was when the block began */
        put(put_imm(INSN_ld, T3, T2, AT_NEXT - AT_PUBLISH - 8 * (int)how));
        put(put_imm(INSN_jalr, 0, T3, 0));
        made.next = (uint16_t)here();
    }
    made.number[how] = (uint16_t)here();
    put(put_imm(INSN_addi, T1, 0, 0));
    put(put_imm(INSN_andi, T4, T1, -2048));
    put(put_r(INSN_sub, T1, T1, T0));
    put(put_imm(INSN_slli, T1, T1, 64 - 11));
    put(put_imm(INSN_slti, A0, T1, 0));
    put(put_imm(INSN_ld, T3, T2, 0)); /* who was away for long cannot tell */
    put(put_r(INSN_sub, T3, T3, T0));
    put(put_imm(INSN_sltiu, T3, T3, 1000));
    put(put_r(INSN_and, A0, A0, T3));
    put(put_r(INSN_sltu, T4, 0, T4));
    put(put_r(INSN_sh1add, A0, T4, A0));
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
    name(A0, 1);
    end();
}

/* Two blocks of one page tied by a link: a0 is 0 unless they are of different copies. When it is
 * odd, the mapping may change between them (shared_drifts): nobody looks then, and a fence ends it.
 */
static void drift(void)
{
    begin();
    address(AT_NEXT);
    name(T0, 1);
    put(put_imm(INSN_andi, T1, A0, 1));
    put(put_imm(INSN_ld, T3, T2, 0));
    branch(INSN_bne, T3, 0, here() + 8); /* always */
    put(put_imm(INSN_addi, T0, 0, 0));
    made.drift = (uint16_t)here();
    name(T3, 1);
    put(put_r(INSN_sub, T0, T0, T3));
    put(put_imm(INSN_addi, T1, T1, -1));
    branch(INSN_bne, T1, 0, here() + 8);
    put(insn_table[INSN_sfence_vma].match);
    put(put_r(INSN_and, A0, T0, T1));
    end();
}

/* A branch, and a call, from one page to the other: a0 tells the copies of both. The instruction is
 * where it must be filled in. */
static unsigned branch_across(void)
{
    begin();
    address(AT_NEXT);
    put(put_imm(INSN_ld, T3, T2, 0));
    name(T0, 1);
    put(0);
    return here() - 4;
}

static void arrive_by_branch(unsigned from)
{
    made.code[from / 4] = branch_by(INSN_bne, T3, 0, here() - from);
    name(T1, 2);
    put(put_r(INSN_add, A0, T0, T1));
    end();
}

static unsigned call_across(void)
{
    begin();
    put(put_imm(INSN_addi, T4, RA, 0));
    name(T0, 1);
    put(0);
    put(put_imm(INSN_addi, RA, T4, 0));
    put(put_r(INSN_add, A0, A0, T0));
    end();
    return 4u * (made.size - 9u);
}

static void arrive_by_call(unsigned from)
{
    made.code[from / 4] = jump(here() - from) | RA << 7;
    name(A0, 2);
    put(put_imm(INSN_jalr, 0, RA, 0));
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
const struct shared_code *shared_code(void)
{
    if (made.n)
        return &made;
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
    drift();
    unsigned by_branch = branch_across(), by_call = call_across();
    newest(BY_FENCE_I);
    arrive_by_branch(by_branch);
    arrive_by_call(by_call);
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
    if (made.n != SHARED_FUNCTIONS)
        abort();
    made.base = (uint16_t)(PAGE - 2 - made.number[BY_FENCE_I]);
    fill_in_addresses();
    return &made;
}
