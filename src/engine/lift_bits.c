/* Zba, Zbb, Zbc, Zbs, Zbkb, Zbkx, Zicond: what is more than one IR operation. Volume I, chapters B
 * and Zicond. */
#include "engine/ir_build.h"

static uint64_t clmul(uint64_t a, uint64_t b)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i++)
        if (b >> i & 1)
            out ^= a << i;
    return out;
}

static uint64_t clmulh(uint64_t a, uint64_t b)
{
    uint64_t out = 0;
    for (unsigned i = 1; i < 64; i++)
        if (b >> i & 1)
            out ^= a >> (64 - i);
    return out;
}

static uint64_t clmulr(uint64_t a, uint64_t b)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; i++)
        if (b >> i & 1)
            out ^= a >> (63 - i);
    return out;
}

/* Reverses the bits of each byte; b is not used. */
static uint64_t brev8(uint64_t a, uint64_t b)
{
    a = (a & 0x5555555555555555) << 1 | (a >> 1 & 0x5555555555555555);
    a = (a & 0x3333333333333333) << 2 | (a >> 2 & 0x3333333333333333);
    return (a & 0x0f0f0f0f0f0f0f0f) << 4 | (a >> 4 & 0x0f0f0f0f0f0f0f0f);
}

/* Each element of b picks an element of a; 0 when it is out of range. */
static uint64_t xperm(uint64_t a, uint64_t b, unsigned width)
{
    uint64_t mask = (UINT64_C(1) << width) - 1, out = 0;
    for (unsigned i = 0; i < 64; i += width) {
        uint64_t at = (b >> i & mask) * width;
        if (at < 64)
            out |= (a >> at & mask) << i;
    }
    return out;
}

static uint64_t xperm4(uint64_t a, uint64_t b)
{
    return xperm(a, b, 4);
}

static uint64_t xperm8(uint64_t a, uint64_t b)
{
    return xperm(a, b, 8);
}

/* (a << shift) + b, a zero-extended from 32 bits in the .uw forms. */
static uint16_t shift_add(struct builder *bd, const struct decoded *d, unsigned shift, bool word)
{
    uint16_t a = build_getx(bd, d->rs1);
    if (word)
        a = build_unary(bd, IR_ZEXT, 4, a);
    a = build_op_imm(bd, IR_SHL, 8, a, shift);
    return build_op(bd, IR_ADD, 8, a, build_getx(bd, d->rs2));
}

static uint16_t single_bit(struct builder *bd, const struct decoded *d)
{
    uint16_t a = build_getx(bd, d->rs1), bit;
    uint64_t imm = UINT64_C(1) << (d->imm & 63);
    switch (d->id) {
    case INSN_bclri: return build_op_imm(bd, IR_AND, 8, a, ~imm);
    case INSN_bseti: return build_op_imm(bd, IR_OR, 8, a, imm);
    case INSN_binvi: return build_op_imm(bd, IR_XOR, 8, a, imm);
    case INSN_bexti:
        return build_op_imm(bd, IR_AND, 8, build_op_imm(bd, IR_SHR, 8, a, (uint64_t)d->imm), 1);
    case INSN_bext:
        return build_op_imm(bd, IR_AND, 8, build_op(bd, IR_SHR, 8, a, build_getx(bd, d->rs2)), 1);
    default:
        bit = build_op(bd, IR_SHL, 8, build_const(bd, 1), build_getx(bd, d->rs2));
        return build_op(bd,
                        d->id == INSN_bclr   ? IR_ANDN
                        : d->id == INSN_bset ? IR_OR
                                             : IR_XOR,
                        8, a, bit);
    }
}

/* The low halves of rs1 and rs2 of `size` bytes, packed; packw sign-extends. */
static uint16_t pack(struct builder *bd, const struct decoded *d)
{
    unsigned half = d->id == INSN_pack ? 4 : d->id == INSN_packw ? 2 : 1;
    uint16_t low = build_unary(bd, IR_ZEXT, half, build_getx(bd, d->rs1));
    uint16_t high = build_getx(bd, d->rs2);
    if (d->id == INSN_packh)
        high = build_unary(bd, IR_ZEXT, 1, high);
    high = build_op_imm(bd, IR_SHL, d->id == INSN_packw ? 4 : 8, high, 8 * half);
    return build_op(bd, IR_OR, 8, low, high);
}

static uint16_t rare(struct builder *bd, const struct decoded *d,
                     uint64_t (*fn)(uint64_t, uint64_t))
{
    uint16_t a = build_getx(bd, d->rs1);
    return build_pure(bd, fn, a, fn == brev8 ? a : build_getx(bd, d->rs2));
}

static uint16_t conditional_zero(struct builder *bd, const struct decoded *d)
{
    uint16_t value = build_getx(bd, d->rs1), test = build_getx(bd, d->rs2);
    uint16_t zero = build_getx(bd, 0);
    return d->id == INSN_czero_eqz ? build_select(bd, test, value, zero)
                                   : build_select(bd, test, zero, value);
}

enum lifted lift_bits(struct builder *bd, const struct decoded *d)
{
    uint16_t out;
    switch (d->id) {
    case INSN_add_uw: out = shift_add(bd, d, 0, true); break;
    case INSN_sh1add:
    case INSN_sh2add:
    case INSN_sh3add: out = shift_add(bd, d, 1 + d->id - INSN_sh1add, false); break;
    case INSN_sh1add_uw:
    case INSN_sh2add_uw:
    case INSN_sh3add_uw: out = shift_add(bd, d, 1 + d->id - INSN_sh1add_uw, true); break;
    case INSN_slli_uw:
        out = build_unary(bd, IR_ZEXT, 4, build_getx(bd, d->rs1));
        out = build_op_imm(bd, IR_SHL, 8, out, (uint64_t)d->imm);
        break;
    case INSN_bclr:
    case INSN_bext:
    case INSN_binv:
    case INSN_bset:
    case INSN_bclri:
    case INSN_bexti:
    case INSN_binvi:
    case INSN_bseti: out = single_bit(bd, d); break;
    case INSN_pack:
    case INSN_packh:
    case INSN_packw: out = pack(bd, d); break;
    case INSN_clmul: out = rare(bd, d, clmul); break;
    case INSN_clmulh: out = rare(bd, d, clmulh); break;
    case INSN_clmulr: out = rare(bd, d, clmulr); break;
    case INSN_brev8: out = rare(bd, d, brev8); break;
    case INSN_xperm4: out = rare(bd, d, xperm4); break;
    case INSN_xperm8: out = rare(bd, d, xperm8); break;
    case INSN_czero_eqz:
    case INSN_czero_nez: out = conditional_zero(bd, d); break;
    default: return LIFT_NOT;
    }
    build_setx(bd, d->rd, out);
    return LIFT_NEXT;
}
