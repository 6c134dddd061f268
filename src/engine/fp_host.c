/* Arithmetic by the host's floating point under the guest's rounding mode. */
#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "engine/fp.h"
#include "engine/fp_format.h"
#include "engine/internal.h"

/* volatile: the compiler must not move the operation across the changes of the environment. */
static double calculate(unsigned op, double a, double b, double c)
{
    volatile double x = a, y = b, z = c, out;
    switch (op) {
    case IR_FADD: out = x + y; break;
    case IR_FSUB: out = x - y; break;
    case IR_FMUL: out = x * y; break;
    case IR_FDIV: out = x / y; break;
    case IR_FSQRT: out = sqrt(x); break;
    default: out = fma(x, y, z); break;
    }
    return out;
}

static float calculatef(unsigned op, float a, float b, float c)
{
    volatile float x = a, y = b, z = c, out;
    switch (op) {
    case IR_FADD: out = x + y; break;
    case IR_FSUB: out = x - y; break;
    case IR_FMUL: out = x * y; break;
    case IR_FDIV: out = x / y; break;
    case IR_FSQRT: out = sqrtf(x); break;
    default: out = fmaf(x, y, z); break;
    }
    return out;
}

static uint64_t run(unsigned op, unsigned size, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t bits = 0;
    if (size == 8) {
        double x, y, z;
        memcpy(&x, &a, 8);
        memcpy(&y, &b, 8);
        memcpy(&z, &c, 8);
        x = calculate(op, x, y, z);
        memcpy(&bits, &x, 8);
    } else {
        float x, y, z;
        memcpy(&x, &a, 4);
        memcpy(&y, &b, 4);
        memcpy(&z, &c, 4);
        x = calculatef(op, x, y, z);
        memcpy(&bits, &x, 4);
    }
    return bits;
}

/* Where the host has no FMA, the C library's fma computes with the x87 as well, whose environment
 * is slow to change. */
static uint64_t by_fenv(unsigned op, unsigned size, unsigned rm, uint64_t a, uint64_t b, uint64_t c,
                        uint8_t *flags)
{
    static const int mode[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    fenv_t saved;
    feholdexcept(&saved);
    fesetround(mode[rm]);
    uint64_t out = run(op, size, a, b, c);
    int raised = fetestexcept(FE_ALL_EXCEPT);
    fesetenv(&saved);
    *flags |= (raised & FE_INEXACT ? FP_NX : 0) | (raised & FE_UNDERFLOW ? FP_UF : 0) |
              (raised & FE_OVERFLOW ? FP_OF : 0) | (raised & FE_DIVBYZERO ? FP_DZ : 0) |
              (raised & FE_INVALID ? FP_NV : 0);
    return out;
}

#define MXCSR_FLAGS 0x3fu
#define MXCSR_MASKS 0x1f80u /* no exception traps; rounds to nearest */

uint64_t fp_host(unsigned op, unsigned size, unsigned rm, uint64_t a, uint64_t b, uint64_t c,
                 uint8_t *flags)
{
    static const unsigned rounding[4] = {0 << 13, 3 << 13, 1 << 13, 2 << 13};
    if (op == IR_FMADD && !__builtin_cpu_supports("fma"))
        return by_fenv(op, size, rm, a, b, c, flags);
    unsigned saved = _mm_getcsr();
    _mm_setcsr(MXCSR_MASKS | rounding[rm]);
    uint64_t out = run(op, size, a, b, c);
    unsigned raised = _mm_getcsr() & MXCSR_FLAGS;
    _mm_setcsr(saved);
    *flags |= fflags_of_mxcsr(raised);
    return out;
}
