/* Operands and encodings: registers that meet often, immediates where the edges are. */
#include "items.h"

bool is_reserved(const struct maker *m, unsigned x)
{
    return x == m->counter || x == m->pointer[0] || x == m->pointer[1];
}

/* A register to read. */
unsigned read_x(struct maker *m)
{
    unsigned n = below(&m->r, 10);
    return n < 6   ? m->pool[below(&m->r, POOL)]
           : n < 7 ? m->pointer[below(&m->r, 2)]
                   : below(&m->r, 32);
}

/* One to write. */
unsigned write_x(struct maker *m)
{
    for (;;) {
        unsigned x = chance(&m->r, 65) ? m->pool[below(&m->r, POOL)] : below(&m->r, 32);
        if (!is_reserved(m, x) || (x != m->counter && chance(&m->r, 3)))
            return x;
    }
}

unsigned pick_pointer(struct maker *m)
{
    return chance(&m->r, 94) ? m->pointer[below(&m->r, 2)] : read_x(m);
}

unsigned pick_f(struct maker *m)
{
    return chance(&m->r, 60) ? m->pool[below(&m->r, POOL)] : below(&m->r, 32);
}

uint32_t put_r(enum insn_id id, unsigned d, unsigned s1, unsigned s2)
{
    return insn_table[id].match | d << 7 | s1 << 15 | s2 << 20;
}

uint32_t put_imm(enum insn_id id, unsigned d, unsigned s1, int32_t imm)
{
    return insn_table[id].match | d << 7 | s1 << 15 | (uint32_t)imm << 20;
}

uint32_t put_store(enum insn_id id, unsigned s1, unsigned s2, int32_t imm)
{
    return insn_table[id].match | s1 << 15 | s2 << 20 | ((uint32_t)imm & 31) << 7 |
           ((uint32_t)imm >> 5 & 127) << 25;
}

int32_t imm12(struct random *r)
{
    static const int16_t special[] = {0, 1, -1, 8, 31, -32, 255, 2047, -2048};
    return chance(r, 50) ? special[below(r, 9)] : (int32_t)below(r, 4096) - 2048;
}

/* An offset from a pointer: aligned mostly, seldom far. */
int32_t random_offset(struct random *r)
{
    int32_t o = (int32_t)below(r, chance(r, 80) ? 256 : 4096);
    o = o < 2048 ? o - (chance(r, 50) ? 128 : 0) : o - 4096;
    return chance(r, 85) ? o & ~7 : o;
}

enum insn_id of_format(struct maker *m, enum insn_format format)
{
    for (;;) {
        unsigned id = 1 + below(&m->r, INSN_COUNT - 1);
        if (insn_table[id].format == format)
            return (enum insn_id)id;
    }
}

static uint32_t rounding(struct random *r)
{
    unsigned n = below(r, 20);
    return (n < 13 ? 7u : n < 19 ? below(r, 5) : below(r, 8)) << 12;
}

uint32_t random_insn(struct random *r)
{
    if (chance(r, 15)) { /* of 16 bits, mostly one that is there */
        for (unsigned tries = 0; tries < 8; tries++) {
            struct decoded d;
            uint32_t c = random32(r) & 0xffff;
            isa_decode(c, &d);
            if ((c & 3) != 3 && d.id != INSN_illegal)
                return c;
        }
    }
    const struct insn_info *i = &insn_table[1 + below(r, INSN_COUNT - 1)];
    return i->match | (random32(r) & ~i->mask);
}

/* An instruction of the table whose operands are chosen with care. */
uint32_t chosen_insn(struct maker *m, enum insn_id id)
{
    const struct insn_info *i = &insn_table[id];
    struct random *r = &m->r;
    uint32_t any = i->match | (random32(r) & ~i->mask);
    switch (i->format) {
    case FORMAT_U: return (any & ~0xf80u) | write_x(m) << 7;
    case FORMAT_J:
        return (any & ~0xf80u) | (chance(r, 40) ? 1 : chance(r, 70) ? 0 : write_x(m)) << 7;
    case FORMAT_JALR: return put_imm(id, chance(r, 60) ? 0 : write_x(m), read_x(m), imm12(r));
    case FORMAT_B: return (any & 0xfe007fff) | read_x(m) << 15 | read_x(m) << 20;
    case FORMAT_LOAD: return put_imm(id, write_x(m), pick_pointer(m), random_offset(r));
    case FORMAT_FLOAD: return put_imm(id, pick_f(m), pick_pointer(m), random_offset(r));
    case FORMAT_STORE: return put_store(id, pick_pointer(m), read_x(m), random_offset(r));
    case FORMAT_FSTORE: return put_store(id, pick_pointer(m), pick_f(m), random_offset(r));
    case FORMAT_I: return put_imm(id, write_x(m), read_x(m), imm12(r));
    case FORMAT_SHIFT:
    case FORMAT_R1: return (any & 0xfff0707f) | write_x(m) << 7 | read_x(m) << 15;
    case FORMAT_R: return put_r(id, write_x(m), read_x(m), read_x(m));
    case FORMAT_CSR:
    case FORMAT_CSRI: {
        static const uint16_t csrs[] = {1, 2, 3, 1, 2, 3, 0x140, 0x141, 0x142, 0x180, 0x300, 0xc00};
        return put_imm(id, write_x(m), chance(r, 40) ? 0 : read_x(m), csrs[below(r, 12)]);
    }
    case FORMAT_AMO:
    case FORMAT_LR:
        return (any & 0x06000000) | put_r(id, write_x(m), pick_pointer(m), 0) |
               (i->format == FORMAT_AMO ? read_x(m) << 20 : 0);
    case FORMAT_FR4:
        return put_r(id, pick_f(m), pick_f(m), pick_f(m)) | pick_f(m) << 27 | rounding(r);
    case FORMAT_FR_RM: return put_r(id, pick_f(m), pick_f(m), pick_f(m)) | rounding(r);
    case FORMAT_FR: return put_r(id, pick_f(m), pick_f(m), pick_f(m));
    case FORMAT_F1_RM: return put_r(id, pick_f(m), pick_f(m), 0) | rounding(r);
    case FORMAT_FCMP: return put_r(id, write_x(m), pick_f(m), pick_f(m));
    case FORMAT_F_TO_X: return put_r(id, write_x(m), pick_f(m), 0);
    case FORMAT_F_TO_X_RM: return put_r(id, write_x(m), pick_f(m), 0) | rounding(r);
    case FORMAT_X_TO_F: return put_r(id, pick_f(m), read_x(m), 0);
    case FORMAT_X_TO_F_RM: return put_r(id, pick_f(m), read_x(m), 0) | rounding(r);
    case FORMAT_HLV: return put_r(id, write_x(m), pick_pointer(m), 0);
    case FORMAT_HSV: return put_r(id, 0, pick_pointer(m), read_x(m));
    default: return any;
    }
}
