/* The register convention of translated code.
 *
 *   rbp            struct cpu + 128, so that x[0..31] are within a signed byte
 *   rsp            top of the shadow return stack (shadow.c)
 *   pinned_x[g]    guest register g, everywhere in translated code; those without one live in
 * cpu->x rax rcx rdx rsi  temporaries within a block; so are xmm0..3 pinned_f[g]    guest f
 * register g (xmm number)
 *
 * Which are pinned: the registers that compiled riscv64 code names most often. */
#ifndef WIRT_ENGINE_X86_64_REGS_H
#define WIRT_ENGINE_X86_64_REGS_H

#include <stddef.h>

#include "engine/cpu.h"
#include "engine/x86_64/asm.h"

#define CPU_BIAS   128
#define CPU(field) mem_at(RBP, (int32_t)offsetof(struct cpu, field) - CPU_BIAS)
#define CPU_X(g)   mem_at(RBP, (int32_t)(offsetof(struct cpu, x) + 8 * (size_t)(g)) - CPU_BIAS)
#define CPU_F(g)   mem_at(RBP, (int32_t)(offsetof(struct cpu, f) + 8 * (size_t)(g)) - CPU_BIAS)

#define TEMP_MASK (1u << RAX | 1u << RCX | 1u << RDX | 1u << RSI)
#define TEMP_XMMS 4u

/* Host register of guest register g, or -1. */
static inline int pinned_x(unsigned g)
{
    static const signed char map[32] = {
        [0] = -1,  [1] = R15, [2] = R14,  [3] = -1,  [4] = -1,  [5] = -1,   [6] = -1,   [7] = -1,
        [8] = R13, [9] = R12, [10] = RDI, [11] = R8, [12] = R9, [13] = R10, [14] = R11, [15] = RBX,
        [16] = -1, [17] = -1, [18] = -1,  [19] = -1, [20] = -1, [21] = -1,  [22] = -1,  [23] = -1,
        [24] = -1, [25] = -1, [26] = -1,  [27] = -1, [28] = -1, [29] = -1,  [30] = -1,  [31] = -1,
    };
    return map[g];
}

/* The same for f registers: fa0..fa5, ft0..ft3, fs0, fs1. */
static inline int pinned_f(unsigned g)
{
    static const signed char map[32] = {
        [0] = 10,  [1] = 11,  [2] = 12,  [3] = 13,  [4] = -1,  [5] = -1,  [6] = -1,  [7] = -1,
        [8] = 14,  [9] = 15,  [10] = 4,  [11] = 5,  [12] = 6,  [13] = 7,  [14] = 8,  [15] = 9,
        [16] = -1, [17] = -1, [18] = -1, [19] = -1, [20] = -1, [21] = -1, [22] = -1, [23] = -1,
        [24] = -1, [25] = -1, [26] = -1, [27] = -1, [28] = -1, [29] = -1, [30] = -1, [31] = -1,
    };
    return map[g];
}

#endif
