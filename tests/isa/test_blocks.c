/* The fuzzer of lifting (tests/fuzz/fuzz_lift.c) on random but mostly valid code, the same each
 * time. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "isa/isa.h"

#define PROGRAMS 300000
#define HEADER   96 /* bytes of hart state in front of the code */

static uint64_t state = 1;

static uint32_t random32(void)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 32);
}

/* An instruction of the table with random operands; few registers, so that they meet. */
static uint32_t random_insn(void)
{
    const struct insn_info *i = &insn_table[1 + random32() % (INSN_COUNT - 1)];
    uint32_t operands = random32();
    if (operands & 1)
        operands &= ~0x00e39c00u; /* registers of two bits */
    return i->match | (operands & ~i->mask);
}

int main(void)
{
    uint8_t input[HEADER + 256];
    for (unsigned n = 0; n < PROGRAMS; n++) {
        size_t len = HEADER;
        for (size_t k = 0; k < HEADER; k++)
            input[k] = (uint8_t)random32();
        while (len + 4 <= sizeof input) {
            uint32_t insn = random_insn();
            size_t bytes = 4;
            if (random32() % 4 == 0) {
                insn = random32() & 0xffff;
                bytes = (insn & 3) == 3 ? 4 : 2;
            }
            memcpy(input + len, &insn, bytes);
            len += bytes;
        }
        LLVMFuzzerTestOneInput(input, len);
    }
    printf("ok - %d random blocks are well-formed, and optimizing changes nothing\n", PROGRAMS);
    return 0;
}
