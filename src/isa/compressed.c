/* The C extension: every 16-bit instruction expands to one of the table. Volume I, chapter C. */
#include "isa/decode.h"

static uint32_t bits(uint32_t insn, unsigned high, unsigned low)
{
    return insn >> low & ((1u << (high - low + 1)) - 1);
}

static int32_t sign_extend(uint32_t value, unsigned width)
{
    return (int32_t)(value << (32 - width)) >> (32 - width);
}

/* The 3-bit register fields name x8 to x15, f8 to f15. */
static uint8_t short_reg(uint16_t c, unsigned low)
{
    return (uint8_t)(8 + bits(c, low + 2, low));
}

static void set(struct decoded *d, enum insn_id id, unsigned rd, unsigned rs1, unsigned rs2,
                int32_t imm)
{
    d->id = (uint16_t)id;
    d->rd = (uint8_t)rd;
    d->rs1 = (uint8_t)rs1;
    d->rs2 = (uint8_t)rs2;
    d->imm = imm;
}

static int32_t imm6(uint16_t c)
{
    return sign_extend(bits(c, 12, 12) << 5 | bits(c, 6, 2), 6);
}

/* Offsets of word and doubleword accesses relative to a register. */
static int32_t offset_w(uint16_t c)
{
    return (int32_t)(bits(c, 5, 5) << 6 | bits(c, 12, 10) << 3 | bits(c, 6, 6) << 2);
}

static int32_t offset_d(uint16_t c)
{
    return (int32_t)(bits(c, 6, 5) << 6 | bits(c, 12, 10) << 3);
}

static void quadrant0(uint16_t c, struct decoded *d)
{
    uint8_t rd = short_reg(c, 2), rs1 = short_reg(c, 7);
    int32_t imm;
    switch (bits(c, 15, 13)) {
    case 0: /* c.addi4spn; imm 0 is reserved, and all zeros is the defined illegal instruction */
        imm = (int32_t)(bits(c, 10, 7) << 6 | bits(c, 12, 11) << 4 | bits(c, 5, 5) << 3 |
                        bits(c, 6, 6) << 2);
        if (imm)
            set(d, INSN_addi, rd, 2, 0, imm);
        break;
    case 1: set(d, INSN_fld, rd, rs1, 0, offset_d(c)); break;
    case 2: set(d, INSN_lw, rd, rs1, 0, offset_w(c)); break;
    case 3: set(d, INSN_ld, rd, rs1, 0, offset_d(c)); break;
    case 5: set(d, INSN_fsd, 0, rs1, rd, offset_d(c)); break;
    case 6: set(d, INSN_sw, 0, rs1, rd, offset_w(c)); break;
    case 7: set(d, INSN_sd, 0, rs1, rd, offset_d(c)); break;
    default: break;
    }
}

static void arithmetic(uint16_t c, struct decoded *d)
{
    static const uint16_t op[8] = {INSN_sub,  INSN_xor,  INSN_or,      INSN_and,
                                   INSN_subw, INSN_addw, INSN_illegal, INSN_illegal};
    uint8_t rd = short_reg(c, 7), rs2 = short_reg(c, 2);
    int32_t shift = (int32_t)(bits(c, 12, 12) << 5 | bits(c, 6, 2));
    switch (bits(c, 11, 10)) {
    case 0: set(d, INSN_srli, rd, rd, 0, shift); break;
    case 1: set(d, INSN_srai, rd, rd, 0, shift); break;
    case 2: set(d, INSN_andi, rd, rd, 0, imm6(c)); break;
    default: set(d, op[bits(c, 12, 12) << 2 | bits(c, 6, 5)], rd, rd, rs2, 0); break;
    }
}

static int32_t jump_offset(uint16_t c)
{
    return sign_extend(bits(c, 12, 12) << 11 | bits(c, 8, 8) << 10 | bits(c, 10, 9) << 8 |
                           bits(c, 6, 6) << 7 | bits(c, 7, 7) << 6 | bits(c, 2, 2) << 5 |
                           bits(c, 11, 11) << 4 | bits(c, 5, 3) << 1,
                       12);
}

static int32_t branch_offset(uint16_t c)
{
    return sign_extend(bits(c, 12, 12) << 8 | bits(c, 6, 5) << 6 | bits(c, 2, 2) << 5 |
                           bits(c, 11, 10) << 3 | bits(c, 4, 3) << 1,
                       9);
}

static void lui_or_addi16sp(uint16_t c, struct decoded *d)
{
    unsigned rd = bits(c, 11, 7);
    int32_t imm = imm6(c);
    if (rd == 2) {
        imm = sign_extend(bits(c, 12, 12) << 9 | bits(c, 4, 3) << 7 | bits(c, 5, 5) << 6 |
                              bits(c, 2, 2) << 5 | bits(c, 6, 6) << 4,
                          10);
        if (imm)
            set(d, INSN_addi, 2, 2, 0, imm);
    } else if (imm) {
        set(d, INSN_lui, rd, 0, 0, imm * 4096);
    }
}

static void quadrant1(uint16_t c, struct decoded *d)
{
    unsigned rd = bits(c, 11, 7);
    switch (bits(c, 15, 13)) {
    case 0: set(d, INSN_addi, rd, rd, 0, imm6(c)); break;
    case 1:
        if (rd)
            set(d, INSN_addiw, rd, rd, 0, imm6(c));
        break;
    case 2: set(d, INSN_addi, rd, 0, 0, imm6(c)); break;
    case 3: lui_or_addi16sp(c, d); break;
    case 4: arithmetic(c, d); break;
    case 5: set(d, INSN_jal, 0, 0, 0, jump_offset(c)); break;
    case 6: set(d, INSN_beq, 0, short_reg(c, 7), 0, branch_offset(c)); break;
    default: set(d, INSN_bne, 0, short_reg(c, 7), 0, branch_offset(c)); break;
    }
}

static void jump_move_add(uint16_t c, struct decoded *d)
{
    unsigned rd = bits(c, 11, 7), rs2 = bits(c, 6, 2);
    if (bits(c, 12, 12) == 0) {
        if (rs2)
            set(d, INSN_add, rd, 0, rs2, 0);
        else if (rd)
            set(d, INSN_jalr, 0, rd, 0, 0);
    } else if (rs2) {
        set(d, INSN_add, rd, rd, rs2, 0);
    } else if (rd) {
        set(d, INSN_jalr, 1, rd, 0, 0);
    } else {
        set(d, INSN_ebreak, 0, 0, 0, 0);
    }
}

static void quadrant2(uint16_t c, struct decoded *d)
{
    unsigned rd = bits(c, 11, 7), rs2 = bits(c, 6, 2);
    int32_t load_w = (int32_t)(bits(c, 3, 2) << 6 | bits(c, 12, 12) << 5 | bits(c, 6, 4) << 2);
    int32_t load_d = (int32_t)(bits(c, 4, 2) << 6 | bits(c, 12, 12) << 5 | bits(c, 6, 5) << 3);
    int32_t store_w = (int32_t)(bits(c, 8, 7) << 6 | bits(c, 12, 9) << 2);
    int32_t store_d = (int32_t)(bits(c, 9, 7) << 6 | bits(c, 12, 10) << 3);
    switch (bits(c, 15, 13)) {
    case 0: set(d, INSN_slli, rd, rd, 0, (int32_t)(bits(c, 12, 12) << 5 | bits(c, 6, 2))); break;
    case 1: set(d, INSN_fld, rd, 2, 0, load_d); break;
    case 2:
        if (rd)
            set(d, INSN_lw, rd, 2, 0, load_w);
        break;
    case 3:
        if (rd)
            set(d, INSN_ld, rd, 2, 0, load_d);
        break;
    case 4: jump_move_add(c, d); break;
    case 5: set(d, INSN_fsd, 0, 2, rs2, store_d); break;
    case 6: set(d, INSN_sw, 0, 2, rs2, store_w); break;
    default: set(d, INSN_sd, 0, 2, rs2, store_d); break;
    }
}

void decode_compressed(uint16_t c, struct decoded *out)
{
    *out = (struct decoded){.id = INSN_illegal, .len = 2};
    switch (c & 3) {
    case 0: quadrant0(c, out); break;
    case 1: quadrant1(c, out); break;
    default: quadrant2(c, out); break;
    }
}
