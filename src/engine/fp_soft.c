/* IEEE 754 arithmetic in integers: for the rounding mode that hosts have not (RMM), for half
 * precision, and for all conversions. */
#include "engine/fp.h"
#include "engine/fp_format.h"

typedef unsigned __int128 u128;

struct fp_number fp_unpack(uint64_t raw, unsigned size)
{
    unsigned bits = fp_mantissa_bits(size), max = fp_exponent_max(size);
    uint64_t mantissa = raw & ((UINT64_C(1) << bits) - 1);
    unsigned exponent = (unsigned)(raw >> bits) & max;
    struct fp_number n = {.sign = raw >> (8 * size - 1) & 1};
    int bias = (int)(max >> 1);
    if (exponent == max) {
        n.class = !mantissa                    ? FP_CLASS_INF
                  : mantissa >> (bits - 1) & 1 ? FP_CLASS_QNAN
                                               : FP_CLASS_SNAN;
    } else if (exponent) {
        n.class = FP_CLASS_FINITE;
        n.exp = (int)exponent - bias;
        n.sig = UINT64_C(1) << 63 | mantissa << (63 - bits);
    } else if (mantissa) {
        unsigned zeros = (unsigned)__builtin_clzll(mantissa);
        n.class = FP_CLASS_FINITE;
        n.subnormal = true;
        n.exp = 1 - bias - (int)(zeros - (63 - bits));
        n.sig = mantissa << zeros;
    } else {
        n.class = FP_CLASS_ZERO;
    }
    return n;
}

static unsigned leading_zeros(u128 v)
{
    uint64_t high = (uint64_t)(v >> 64);
    return high ? (unsigned)__builtin_clzll(high) : 64 + (unsigned)__builtin_clzll((uint64_t)v);
}

/* v >> n, any bit that is lost kept in the lowest one. */
static u128 shift_right_jam(u128 v, unsigned n)
{
    if (n == 0)
        return v;
    if (n > 127)
        return v != 0;
    return v >> n | ((v << (128 - n)) != 0);
}

/* Whether q, with rest/half/odd as what is below it, is to be incremented. */
static bool rounds_up(unsigned rm, bool sign, bool odd, u128 rest, u128 half)
{
    switch (rm) {
    case FP_RNE: return rest > half || (rest == half && odd);
    case FP_RTZ: return false;
    case FP_RDN: return sign && rest;
    case FP_RUP: return !sign && rest;
    default: return rest >= half;
    }
}

/* sig >> shift, rounded; shift 1 to 127. */
static u128 round_shift(u128 sig, unsigned shift, unsigned rm, bool sign, bool *inexact)
{
    u128 q = sig >> shift, rest = sig & (((u128)1 << shift) - 1);
    *inexact = rest != 0;
    return q + rounds_up(rm, sign, q & 1, rest, (u128)1 << (shift - 1));
}

static uint64_t overflow(unsigned size, unsigned rm, bool sign, uint8_t *flags)
{
    bool to_infinity = rm == FP_RNE || rm == FP_RMM || rm == (sign ? FP_RDN : FP_RUP);
    *flags |= FP_OF | FP_NX;
    return (sign ? fp_sign_bit(size) : 0) | (fp_infinity(size) - !to_infinity);
}

uint64_t fp_round_pack(unsigned size, unsigned rm, bool sign, int exp, u128 sig, uint8_t *flags)
{
    unsigned bits = fp_mantissa_bits(size), shift = 127 - bits;
    int bias = (int)(fp_exponent_max(size) >> 1), lowest = 1 - bias;
    uint64_t sign_bit = sign ? fp_sign_bit(size) : 0, out;
    bool inexact, tiny = false;
    if (!sig)
        return sign_bit;
    unsigned zeros = leading_zeros(sig);
    sig <<= zeros;
    exp -= (int)zeros;
    if (exp < lowest) {
        /* Tininess is detected after rounding, as if the exponent had no bound. */
        bool carry = round_shift(sig, shift, rm, sign, &inexact) >> (bits + 1);
        tiny = exp < lowest - 1 || !carry;
        sig = shift_right_jam(sig, (unsigned)(lowest - exp));
        out = (uint64_t)round_shift(sig, shift, rm, sign, &inexact);
    } else {
        /* The leading one adds 1 to the exponent field; so does a carry out of rounding. */
        out = (uint64_t)round_shift(sig, shift, rm, sign, &inexact);
        if (exp > bias)
            return overflow(size, rm, sign, flags);
        out += (uint64_t)(exp + bias - 1) << bits;
    }
    if (out >= fp_infinity(size))
        return overflow(size, rm, sign, flags);
    if (inexact)
        *flags |= FP_NX | (tiny ? FP_UF : 0);
    return sign_bit | out;
}

u128 fp_round_to_integer(const struct fp_number *n, unsigned rm, uint8_t *flags)
{
    bool inexact;
    if (n->exp > 64)
        return (u128)1 << 65;
    int shift = 126 - n->exp;
    u128 sig = (u128)n->sig << 63;
    if (shift > 127) {
        sig = shift_right_jam(sig, (unsigned)shift - 127);
        shift = 127;
    }
    sig = round_shift(sig, (unsigned)shift, rm, n->sign, &inexact);
    if (inexact)
        *flags |= FP_NX;
    return sig;
}

static uint64_t zero(unsigned size, bool sign)
{
    return sign ? fp_sign_bit(size) : 0;
}

static uint64_t infinity(unsigned size, bool sign)
{
    return zero(size, sign) | fp_infinity(size);
}

uint64_t fp_soft_mul(unsigned size, unsigned rm, struct fp_number a, struct fp_number b,
                     uint8_t *flags)
{
    bool sign = a.sign != b.sign;
    if (a.class == FP_CLASS_INF || b.class == FP_CLASS_INF)
        return infinity(size, sign);
    if (a.class == FP_CLASS_ZERO || b.class == FP_CLASS_ZERO)
        return zero(size, sign);
    return fp_round_pack(size, rm, sign, a.exp + b.exp + 1, (u128)a.sig * b.sig, flags);
}

/* The sum of two nonzero values whose significands have their top bits set. */
static uint64_t sum(unsigned size, unsigned rm, bool sign_a, int exp_a, u128 a, bool sign_b,
                    int exp_b, u128 b, uint8_t *flags)
{
    if (exp_a < exp_b || (exp_a == exp_b && a < b)) {
        bool sign = sign_a;
        int exp = exp_a;
        u128 v = a;
        sign_a = sign_b, exp_a = exp_b, a = b;
        sign_b = sign, exp_b = exp, b = v;
    }
    /* One bit of room above; what falls off below is far from where rounding happens. */
    a = shift_right_jam(a, 1);
    b = shift_right_jam(b, 1 + (unsigned)(exp_a - exp_b));
    a = sign_a == sign_b ? a + b : a - b;
    if (!a)
        return zero(size, rm == FP_RDN);
    return fp_round_pack(size, rm, sign_a, exp_a + 1, a, flags);
}

uint64_t fp_soft_mul_add(unsigned size, unsigned rm, struct fp_number a, struct fp_number b,
                         struct fp_number c, uint8_t *flags)
{
    bool sign = a.sign != b.sign;
    if (a.class == FP_CLASS_INF || b.class == FP_CLASS_INF)
        return infinity(size, sign);
    if (c.class == FP_CLASS_INF)
        return infinity(size, c.sign);
    bool zero_product = a.class == FP_CLASS_ZERO || b.class == FP_CLASS_ZERO;
    if (zero_product && c.class == FP_CLASS_ZERO)
        return zero(size, sign == c.sign ? sign : rm == FP_RDN);
    if (zero_product)
        return fp_round_pack(size, rm, c.sign, c.exp, (u128)c.sig << 64, flags);
    u128 product = (u128)a.sig * b.sig;
    int exp = a.exp + b.exp + 1;
    if (!(product >> 127)) {
        product <<= 1;
        exp--;
    }
    if (c.class == FP_CLASS_ZERO)
        return fp_round_pack(size, rm, sign, exp, product, flags);
    return sum(size, rm, sign, exp, product, c.sign, c.exp, (u128)c.sig << 64, flags);
}

uint64_t fp_soft_div(unsigned size, unsigned rm, struct fp_number a, struct fp_number b,
                     uint8_t *flags)
{
    bool sign = a.sign != b.sign;
    if (a.class == FP_CLASS_INF)
        return infinity(size, sign);
    if (a.class == FP_CLASS_ZERO || b.class == FP_CLASS_INF)
        return zero(size, sign);
    u128 dividend = (u128)a.sig << 63;
    u128 quotient = dividend / b.sig << 64 | (dividend % b.sig != 0);
    return fp_round_pack(size, rm, sign, a.exp - b.exp, quotient, flags);
}

uint64_t fp_soft_sqrt(unsigned size, unsigned rm, struct fp_number a, uint8_t *flags)
{
    if (a.class == FP_CLASS_ZERO)
        return zero(size, a.sign);
    if (a.class == FP_CLASS_INF)
        return infinity(size, false);
    bool odd = a.exp & 1;
    u128 radicand = (u128)a.sig << (odd ? 64 : 63);
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 63; bit; bit >>= 1)
        if ((u128)(root | bit) * (root | bit) <= radicand)
            root |= bit;
    u128 sig = (u128)root << 64 | ((u128)root * root != radicand);
    return fp_round_pack(size, rm, false, (a.exp - odd) / 2, sig, flags);
}
