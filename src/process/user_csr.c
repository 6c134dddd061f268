#include "process/user_csr.h"

#include <time.h>
#include <x86intrin.h>

#include "process/features.h"

#define OPCODE_SYSTEM 0x73
#define CSR_CYCLE     0xc00
#define CSR_TIME      0xc01
#define CSR_INSTRET   0xc02
#define TICK_NS       (1000000000 / TIME_HZ)

/* Counting costs time in every block: it begins when the thread asks for the first time. */
static enum step count_instret(struct cpu *cpu)
{
    if (cpu->mode & MODE_COUNT)
        return STEP_NEXT;
    cpu->mode |= MODE_COUNT;
    cpu->instret = 1; /* the instruction that asks */
    return STEP_EXIT;
}

enum step user_csr(struct cpu *cpu, uint32_t insn)
{
    enum step how = STEP_NEXT;
    unsigned funct3 = insn >> 12 & 7, rd = insn >> 7 & 31, rs1 = insn >> 15 & 31;
    unsigned csr = insn >> 20;
    /* csrrs, csrrc and their immediate forms, with nothing to write: these registers are read-only
     */
    if ((insn & 0x7f) != OPCODE_SYSTEM || (funct3 & 3) < 2 || rs1)
        return STEP_TRAP;
    uint64_t value;
    struct timespec ts;
    switch (csr) {
    case CSR_TIME:
        clock_gettime(CLOCK_MONOTONIC, &ts);
        value = ((uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec) / TICK_NS;
        break;
    case CSR_CYCLE: value = __rdtsc(); break;
    case CSR_INSTRET:
        how = count_instret(cpu);
        value = cpu->instret - 1; /* itself has not retired yet */
        break;
    default: return STEP_TRAP;
    }
    if (rd)
        cpu->x[rd] = value;
    cpu->pc += 4;
    return how;
}
