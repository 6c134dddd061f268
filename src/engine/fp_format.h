/* Floating-point formats taken apart and put together, for fp*.c only. A format is named by its
 * size in bytes: 2, 4, 8 (IEEE 754 binary16, 32, 64). */
#ifndef WIRT_ENGINE_FP_FORMAT_H
#define WIRT_ENGINE_FP_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

enum fp_class {
    FP_CLASS_ZERO,
    FP_CLASS_FINITE,
    FP_CLASS_INF,
    FP_CLASS_QNAN,
    FP_CLASS_SNAN
};

/* A finite value is sig / 2^63 * 2^exp, the top bit of sig set. */
struct fp_number {
    enum fp_class class;
    bool sign, subnormal;
    int exp;
    uint64_t sig;
};

static inline unsigned fp_mantissa_bits(unsigned size)
{
    return size == 8 ? 52 : size == 4 ? 23 : 10;
}

static inline unsigned fp_exponent_max(unsigned size)
{
    return size == 8 ? 0x7ff : size == 4 ? 0xff : 0x1f;
}

static inline uint64_t fp_sign_bit(unsigned size)
{
    return UINT64_C(1) << (8 * size - 1);
}

static inline uint64_t fp_infinity(unsigned size)
{
    return (uint64_t)fp_exponent_max(size) << fp_mantissa_bits(size);
}

static inline uint64_t fp_canonical_nan(unsigned size)
{
    return fp_infinity(size) | UINT64_C(1) << (fp_mantissa_bits(size) - 1);
}

static inline uint64_t fp_low(uint64_t raw, unsigned size)
{
    return size == 8 ? raw : raw & ((UINT64_C(1) << 8 * size) - 1);
}

/* NaN-boxes a result. */
static inline uint64_t fp_box(uint64_t bits, unsigned size)
{
    return size == 8 ? bits : bits | UINT64_MAX << 8 * size;
}

static inline bool fp_is_nan(uint64_t raw, unsigned size)
{
    return (raw & (fp_sign_bit(size) - 1)) > fp_infinity(size);
}

static inline bool fp_is_signaling(uint64_t raw, unsigned size)
{
    return fp_is_nan(raw, size) && !(raw >> (fp_mantissa_bits(size) - 1) & 1);
}

struct fp_number fp_unpack(uint64_t raw, unsigned size);

/* sig / 2^127 * 2^exp, rounded to the format. The lowest bit of sig may stand for any nonzero rest
 * below it. Flags are or-ed into *flags. */
uint64_t fp_round_pack(unsigned size, unsigned rm, bool sign, int exp, unsigned __int128 sig,
                       uint8_t *flags);

/* sig / 2^63 * 2^exp as an integer rounded by rm: its magnitude, at most 2^65. */
unsigned __int128 fp_round_to_integer(const struct fp_number *n, unsigned rm, uint8_t *flags);

/* Arithmetic in integers, every rounding mode; no operand is a NaN and, where that would be
 * invalid or a division by zero, the caller has dealt with infinities and zeros. */
uint64_t fp_soft_mul_add(unsigned size, unsigned rm, struct fp_number a, struct fp_number b,
                         struct fp_number c, uint8_t *flags);
uint64_t fp_soft_mul(unsigned size, unsigned rm, struct fp_number a, struct fp_number b,
                     uint8_t *flags);
uint64_t fp_soft_div(unsigned size, unsigned rm, struct fp_number a, struct fp_number b,
                     uint8_t *flags);
uint64_t fp_soft_sqrt(unsigned size, unsigned rm, struct fp_number a, uint8_t *flags);

/* The same by the host's floating point: sizes 4 and 8, every rounding mode but RMM, any operands.
 * op is IR_FADD to IR_FMADD. */
uint64_t fp_host(unsigned op, unsigned size, unsigned rm, uint64_t a, uint64_t b, uint64_t c,
                 uint8_t *flags);

#endif
