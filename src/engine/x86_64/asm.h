/* An assembler for the x86-64 instructions that the emitter uses. Encodings: Intel SDM, volume 2.
 */
#ifndef WIRT_ENGINE_X86_64_ASM_H
#define WIRT_ENGINE_X86_64_ASM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum reg {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    NO_REG
};

/* Condition codes as in jcc, setcc, cmovcc. */
enum cc {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G
};

/* The two-operand arithmetic group: opcode = op * 8 + form. */
enum alu {
    ALU_ADD,
    ALU_OR,
    ALU_ADC,
    ALU_SBB,
    ALU_AND,
    ALU_SUB,
    ALU_XOR,
    ALU_CMP
};

enum shift {
    SH_ROL,
    SH_ROR,
    SH_SHL = 4,
    SH_SHR,
    SH_SAR = 7
};

/* The group of one-operand instructions at opcode f7. */
enum unary {
    UN_NOT = 2,
    UN_NEG,
    UN_MUL,
    UN_IMUL,
    UN_DIV,
    UN_IDIV
};

/* A memory operand: [base + index * 2^scale + disp]. */
struct mem {
    enum reg base, index;
    int scale;
    int32_t disp;
    bool wide; /* disp takes four bytes whatever its value */
};

/* Writes from p to end and no further: what does not fit is left out, and said by `full`. Then
 * nothing of it may run. */
struct assembler {
    uint8_t *p; /* where the next byte goes */
    uint8_t *end;
    bool full;
};

static inline struct mem mem_at(enum reg base, int32_t disp)
{
    return (struct mem){base, NO_REG, 0, disp, false};
}

static inline struct mem mem_wide(enum reg base, int32_t disp)
{
    return (struct mem){base, NO_REG, 0, disp, true};
}

static inline struct mem mem_index(enum reg base, enum reg index, int scale, int32_t disp)
{
    return (struct mem){base, index, scale, disp, false};
}

/* Answers where the next n bytes go, and goes on behind them. When they do not fit, the last n that
 * do: so a displacement that is set later is in bounds whatever has become of it. */
static inline uint8_t *take(struct assembler *a, size_t n)
{
    if ((size_t)(a->end - a->p) < n) {
        a->full = true;
        a->p = a->end - n;
    }
    a->p += n;
    return a->p - n;
}

static inline void put8(struct assembler *a, unsigned v)
{
    *take(a, 1) = (uint8_t)v;
}

static inline void put32(struct assembler *a, uint32_t v)
{
    memcpy(take(a, 4), &v, 4);
}

static inline void put64(struct assembler *a, uint64_t v)
{
    memcpy(take(a, 8), &v, 8);
}

static inline bool fits8(int64_t v)
{
    return v == (int8_t)v;
}

static inline bool fits32(int64_t v)
{
    return v == (int32_t)v;
}

/* ModRM, SIB and displacement for a memory operand; reg: the other operand's number. */
static inline void put_mem(struct assembler *a, unsigned reg, struct mem m)
{
    unsigned r = (reg & 7) << 3, base = (unsigned)m.base & 7;
    bool sib = m.index != NO_REG || base == RSP;
    unsigned mod = m.wide ? 2 : m.disp == 0 && base != RBP ? 0 : fits8(m.disp) ? 1 : 2;
    put8(a, mod << 6 | r | (sib ? 4u : base));
    if (sib)
        put8(a,
             (unsigned)m.scale << 6 | (m.index == NO_REG ? 4u : (unsigned)m.index & 7) << 3 | base);
    if (mod == 1)
        put8(a, (uint8_t)m.disp);
    else if (mod == 2)
        put32(a, (uint32_t)m.disp);
}

/* REX prefix; force: needed even when empty (for spl, bpl, sil, dil). */
static inline void put_rex(struct assembler *a, bool w, unsigned reg, unsigned index, unsigned base,
                           bool force)
{
    unsigned rex = 0x40 | (w ? 8u : 0) | (reg & 8) >> 1 | (index & 8) >> 2 | (base & 8) >> 3;
    if (rex != 0x40 || force)
        put8(a, rex);
}

static inline unsigned index_bits(struct mem m)
{
    return m.index == NO_REG ? 0 : (unsigned)m.index;
}

/* Opcodes are numbers whose bytes stand in memory from the highest on: 0x0faf is 0f af. */
static inline void put_opcode(struct assembler *a, unsigned op)
{
    if (op > 0xffff)
        put8(a, op >> 16);
    if (op > 0xff)
        put8(a, op >> 8 & 0xff);
    put8(a, op & 0xff);
}

/* op reg, rm. prefix: 0, 0x66, 0xf2 or 0xf3; byte: an operand is an 8-bit register. */
static inline void op_rr_full(struct assembler *a, unsigned prefix, bool w, unsigned op,
                              unsigned reg, unsigned rm, bool byte)
{
    if (prefix)
        put8(a, prefix);
    put_rex(a, w, reg, 0, rm, byte && (reg >= 4 || rm >= 4));
    put_opcode(a, op);
    put8(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void op_rm_full(struct assembler *a, unsigned prefix, bool w, unsigned op,
                              unsigned reg, struct mem m, bool byte)
{
    if (prefix)
        put8(a, prefix);
    put_rex(a, w, reg, index_bits(m), m.base, byte && reg >= 4);
    put_opcode(a, op);
    put_mem(a, reg, m);
}

static inline void op_rr(struct assembler *a, bool w, unsigned op, unsigned reg, unsigned rm)
{
    op_rr_full(a, 0, w, op, reg, rm, false);
}

static inline void op_rm(struct assembler *a, bool w, unsigned op, unsigned reg, struct mem m)
{
    op_rm_full(a, 0, w, op, reg, m, false);
}

static inline void mov_rr(struct assembler *a, enum reg d, enum reg s)
{
    if (d != s)
        op_rr(a, true, 0x8b, d, s);
}

/* Zero-extends the low half. */
static inline void mov_rr32(struct assembler *a, enum reg d, enum reg s)
{
    op_rr(a, false, 0x8b, d, s);
}

/* Leaves the flags alone, unless v is 0 and zero_idiom allows xor. */
static inline void mov_ri_full(struct assembler *a, enum reg d, uint64_t v, bool zero_idiom)
{
    if (v == 0 && zero_idiom) {
        op_rr(a, false, 0x33, d, d);
    } else if (v <= UINT32_MAX) {
        put_rex(a, false, 0, 0, d, false);
        put8(a, 0xb8 + (d & 7));
        put32(a, (uint32_t)v);
    } else if (fits32((int64_t)v)) {
        put_rex(a, true, 0, 0, d, false);
        put8(a, 0xc7);
        put8(a, 0xc0 | (d & 7));
        put32(a, (uint32_t)v);
    } else {
        put_rex(a, true, 0, 0, d, false);
        put8(a, 0xb8 + (d & 7));
        put64(a, v);
    }
}

static inline void mov_ri(struct assembler *a, enum reg d, uint64_t v)
{
    mov_ri_full(a, d, v, true);
}

/* In the longest encoding; answers where the 8 bytes of v are. */
static inline uint8_t *mov_ri64(struct assembler *a, enum reg d, uint64_t v)
{
    put_rex(a, true, 0, 0, d, false);
    put8(a, 0xb8 + (d & 7));
    put64(a, v);
    return a->p - 8;
}

static inline void load64(struct assembler *a, enum reg d, struct mem m)
{
    op_rm(a, true, 0x8b, d, m);
}

static inline void load32(struct assembler *a, enum reg d, struct mem m)
{
    op_rm(a, false, 0x8b, d, m);
}

static inline void store64(struct assembler *a, struct mem m, enum reg s)
{
    op_rm(a, true, 0x89, s, m);
}

static inline void store32(struct assembler *a, struct mem m, enum reg s)
{
    op_rm(a, false, 0x89, s, m);
}

/* Stores a sign-extended 32-bit immediate as 8 bytes. */
static inline void store64_imm(struct assembler *a, struct mem m, int32_t v)
{
    op_rm(a, true, 0xc7, 0, m);
    put32(a, (uint32_t)v);
}

static inline void lea(struct assembler *a, bool w, enum reg d, struct mem m)
{
    op_rm(a, w, 0x8d, d, m);
}

static inline void alu_rr(struct assembler *a, bool w, enum alu op, enum reg d, enum reg s)
{
    op_rr(a, w, (unsigned)op * 8 + 3, d, s);
}

static inline void alu_rm(struct assembler *a, bool w, enum alu op, enum reg d, struct mem m)
{
    op_rm(a, w, (unsigned)op * 8 + 3, d, m);
}

static inline void alu_ri(struct assembler *a, bool w, enum alu op, enum reg d, int32_t v)
{
    put_rex(a, w, 0, 0, d, false);
    put8(a, fits8(v) ? 0x83 : 0x81);
    put8(a, 0xc0 | (unsigned)op << 3 | (d & 7));
    if (fits8(v))
        put8(a, (uint8_t)v);
    else
        put32(a, (uint32_t)v);
}

static inline void alu_mi(struct assembler *a, bool w, enum alu op, struct mem m, int32_t v)
{
    op_rm(a, w, fits8(v) ? 0x83 : 0x81, op, m);
    if (fits8(v))
        put8(a, (uint8_t)v);
    else
        put32(a, (uint32_t)v);
}

static inline void test_rr(struct assembler *a, bool w, enum reg x, enum reg y)
{
    op_rr(a, w, 0x85, x, y);
}

static inline void test_ri(struct assembler *a, enum reg r, int32_t v)
{
    put_rex(a, false, 0, 0, r, false);
    put8(a, 0xf7);
    put8(a, 0xc0 | (r & 7));
    put32(a, (uint32_t)v);
}

static inline void shift_ri(struct assembler *a, bool w, enum shift op, enum reg d, unsigned n)
{
    put_rex(a, w, 0, 0, d, false);
    put8(a, 0xc1);
    put8(a, 0xc0 | (unsigned)op << 3 | (d & 7));
    put8(a, n);
}

/* by cl */
static inline void shift_cl(struct assembler *a, bool w, enum shift op, enum reg d)
{
    put_rex(a, w, 0, 0, d, false);
    put8(a, 0xd3);
    put8(a, 0xc0 | (unsigned)op << 3 | (d & 7));
}

static inline void unary(struct assembler *a, bool w, enum unary op, enum reg r)
{
    put_rex(a, w, 0, 0, r, false);
    put8(a, 0xf7);
    put8(a, 0xc0 | (unsigned)op << 3 | (r & 7));
}

static inline void setcc(struct assembler *a, enum cc cc, enum reg d)
{
    op_rr_full(a, 0, false, 0x0f90 + (unsigned)cc, 0, d, true);
}

static inline void cmov(struct assembler *a, enum cc cc, enum reg d, enum reg s)
{
    op_rr(a, true, 0x0f40 + (unsigned)cc, d, s);
}

static inline void movsxd(struct assembler *a, enum reg d, enum reg s)
{
    op_rr(a, true, 0x63, d, s);
}

static inline void movzx8(struct assembler *a, enum reg d, enum reg s)
{
    op_rr_full(a, 0, false, 0x0fb6, d, s, true);
}

/* A VEX-encoded instruction with three register operands. map 1: 0f, 2: 0f38, 3: 0f3a; pp 0: none,
 * 1: 66, 2: f3, 3: f2. */
static inline void vex_rrr(struct assembler *a, unsigned map, unsigned pp, bool w, unsigned op,
                           unsigned reg, unsigned vvvv, unsigned rm)
{
    put8(a, 0xc4);
    put8(a, (~reg & 8) << 4 | 0x40 | (~rm & 8) << 2 | map);
    put8(a, (w ? 0x80u : 0) | (~vvvv & 15) << 3 | pp);
    put8(a, op);
    put8(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* Three-operand SSE arithmetic, map 0f: d = x op y. */
static inline void avx_rrr(struct assembler *a, unsigned prefix, unsigned op, unsigned d,
                           unsigned x, unsigned y)
{
    unsigned pp = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
    if (y & 8) {
        vex_rrr(a, 1, pp, false, op & 0xff, d, x, y);
        return;
    }
    put8(a, 0xc5);
    put8(a, (~d & 8) << 4 | (~x & 15) << 3 | pp);
    put8(a, op & 0xff);
    put8(a, 0xc0 | (d & 7) << 3 | (y & 7));
}

/* Jumps: answer where the 4-byte displacement is, for set_rel. */
static inline uint8_t *jmp_rel(struct assembler *a)
{
    put8(a, 0xe9);
    return take(a, 4);
}

static inline uint8_t *call_rel(struct assembler *a)
{
    put8(a, 0xe8);
    return take(a, 4);
}

static inline uint8_t *jcc_rel(struct assembler *a, enum cc cc)
{
    put8(a, 0x0f);
    put8(a, 0x80 + (unsigned)cc);
    return take(a, 4);
}

static inline void set_rel(uint8_t *site, const uint8_t *target)
{
    int32_t d = (int32_t)(target - (site + 4));
    memcpy(site, &d, 4);
}

static inline void set_rel_here(const struct assembler *a, uint8_t *site)
{
    set_rel(site, a->p);
}

static inline uint8_t *jcc_short(struct assembler *a, enum cc cc)
{
    put8(a, 0x70 + (unsigned)cc);
    return take(a, 1);
}

static inline uint8_t *jmp_short(struct assembler *a)
{
    put8(a, 0xeb);
    return take(a, 1);
}

static inline void set_short(const struct assembler *a, uint8_t *site)
{
    *site = (uint8_t)(a->p - (site + 1));
}

static inline void jmp_to(struct assembler *a, const uint8_t *target)
{
    set_rel(jmp_rel(a), target);
}

static inline void call_to(struct assembler *a, const uint8_t *target)
{
    set_rel(call_rel(a), target);
}

static inline void jcc_to(struct assembler *a, enum cc cc, const uint8_t *target)
{
    set_rel(jcc_rel(a, cc), target);
}

static inline void jmp_mem(struct assembler *a, struct mem m)
{
    op_rm(a, false, 0xff, 4, m);
}

static inline void call_mem(struct assembler *a, struct mem m)
{
    op_rm(a, false, 0xff, 2, m);
}

static inline void push_r(struct assembler *a, enum reg r)
{
    put_rex(a, false, 0, 0, r, false);
    put8(a, 0x50 + (r & 7));
}

static inline void pop_r(struct assembler *a, enum reg r)
{
    put_rex(a, false, 0, 0, r, false);
    put8(a, 0x58 + (r & 7));
}

static inline void ret(struct assembler *a)
{
    put8(a, 0xc3);
}

#endif
