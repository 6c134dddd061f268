#include "process/features.h"

#include <stddef.h>

#define LETTER(l) (1ull << ((l) - 'A'))

#define ISA "rv64imafdc_zicntr_zicond_zicsr_zifencei_zawrs_zba_zbb_zbc_zbkb_zbkx_zbs"

/* Bits of RISCV_HWPROBE_KEY_IMA_EXT_0: Documentation/arch/riscv/hwprobe.rst of the kernel. */
static const uint8_t hwprobe_bits[] = {
    0,  /* F and D */
    1,  /* C */
    3,  /* Zba */
    4,  /* Zbb */
    5,  /* Zbs */
    7,  /* Zbc */
    8,  /* Zbkb */
    10, /* Zbkx */
    35, /* Zicond */
    36, /* Zihintpause */
    48, /* Zawrs */
    50, /* Zicntr */
};

uint64_t features_hwcap(void)
{
    return LETTER('I') | LETTER('M') | LETTER('A') | LETTER('F') | LETTER('D') | LETTER('C');
}

uint64_t features_hwprobe(void)
{
    uint64_t v = 0;
    for (size_t i = 0; i < sizeof hwprobe_bits; i++)
        v |= 1ull << hwprobe_bits[i];
    return v;
}

const char *features_isa(void)
{
    return ISA;
}
