/* A block that is not bound to its pc has the same record wherever it is made: whatever its code
 * is, and whatever the addresses are that it makes. Random code, with much that has to do with
 * addresses, is translated at several pcs, and the records are compared byte by byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"
#include "engine/record.h"
#include "engine/tlb.h"
#include "isa/isa.h"

#define MAX_CODE 40u /* instructions */
#define BASES    4u
#define HOME     UINT64_C(0x1fff) /* what pcs have in common: see record_home */

static uint32_t code[MAX_CODE + 1];
static uint32_t n_code;
static uint64_t base; /* the pc of code[0] */
static uint64_t state;

static uint32_t random32(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)((uint64_t)random32() * n >> 32);
}

/* Few of them, so that what one instruction makes is what another uses; ra and t0, which link. */
static uint32_t random_register(void)
{
    static const uint8_t some[] = {1, 5, 6, 8, 10, 11, 12, 28};
    return below(20) ? some[below(sizeof some)] : below(32);
}

/* One that makes addresses, or goes by them. */
static uint32_t address_insn(void)
{
    uint32_t rd = random_register() << 7, rs1 = random_register() << 15;
    uint32_t rs2 = random_register() << 20, imm = random32() << 20;
    switch (below(12)) {
    case 0:
    case 1:
    case 2: return 0x17 | rd | (below(2) ? random32() & 0xfffff000 : below(16) << 12); /* auipc */
    case 3: return 0x37 | rd | (random32() & 0xfffff000);                              /* lui */
    case 4:
    case 5: return 0x13 | rd | rs1 | imm;                        /* addi */
    case 6: return 0x33 | rd | rs1 | rs2;                        /* add */
    case 7: return 0x40000033 | rd | rs1 | rs2;                  /* sub */
    case 8: return 0x3003 | rd | rs1 | imm;                      /* ld */
    case 9: return 0x3023 | rs1 | rs2 | (random32() & 0xf80);    /* sd */
    case 10: return 0x63 | rs1 | rs2 | below(2) << 12 | 16 << 7; /* beq, bne forward by 16 */
    default:
        return below(3) ? 0x67 | rd | rs1 | imm               /* jalr */
                        : 0x6f | rd | (random32() & 0xff000); /* jal */
    }
}

/* Any instruction of the table, on the same registers. */
static uint32_t any_insn(void)
{
    for (;;) {
        const struct insn_info *d = &insn_table[1 + below(INSN_COUNT - 1)];
        uint32_t fields = random32() & ~(UINT32_C(0x1f) << 7 | UINT32_C(0x1f) << 15);
        fields |= random_register() << 7 | random_register() << 15;
        if ((d->match & 3) == 3)
            return (fields & ~d->mask) | d->match;
    }
}

static void make_code(void)
{
    n_code = 1 + below(MAX_CODE);
    for (uint32_t n = 0; n < n_code; n++)
        code[n] = below(3) ? address_insn() : any_insn();
    code[n_code] = 0x73; /* ecall */
}

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (pc - base >= 4 * (n_code + 1)) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    uint32_t len = 4 * (n_code + 1) - (uint32_t)(pc - base), page = 0x1000 - (uint32_t)(pc & 0xfff);
    *out = (struct code_span){(const uint8_t *)code + (pc - base), len < page ? len : page,
                              pc & ~UINT64_C(0xfff)};
    return true;
}

/* The record of the code at `at`; false: there is none. */
static bool record_at(struct cpu *cpu, uint64_t at, struct record *out)
{
    struct engine *e = cpu->engine;
    struct ir_block *ir = cpu->p.ir;
    struct block_source source;
    base = cpu->pc = at;
    if (!lift_block(cpu, e->config.paged, ir)) {
        puts("not ok - blocks move: nothing was lifted");
        exit(1);
    }
    ir_check(ir, false);
    ir_optimize(ir);
    ir_check(ir, true);
    if (e->blocks.n >= 1000)
        engine_flush(e);
    e->cache.used = e->cache.kept; /* at the same place each time */
    enum emitted emitted = emit_block(e, ir);
    if (emitted != EMIT_DONE)
        return false;
    blocks_source(ir, e->config.paged, (const uint8_t *)code - (at & 0xfff), (const uint8_t *)code,
                  &source);
    struct block *b =
        blocks_add(&e->blocks, &(struct block_key){ir->pc, ir->page, ir->page2, ir->mode}, &source);
    emit_place(e, b);
    return record_make(e, b, ir, 0, out);
}

static uint64_t random_base(uint64_t offset)
{
    for (;;) {
        uint64_t b = ((uint64_t)random32() << 32 | random32()) >> (17 + below(14));
        b = (b & ~HOME) | offset;
        if (ir_moves(b))
            return b;
    }
}

static void show(struct cpu *cpu, uint64_t seed)
{
    printf("# seed %llu\n", (unsigned long long)seed);
    ir_print(stdout, cpu->p.ir);
}

int main(int argc, char **argv)
{
    static const uint32_t modes[] = {0, MODE_COUNT, MODE_FP_SLOW, 1, 3, MODE_FS_OFF, MODE_FS_CLEAN};
    static const struct engine_ops ops = {.fetch = fetch};
    static struct cpu cpus[2];
    static struct tlb tlb;
    static struct jump_cache jumps;
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000, kept = 0;
    struct record *first = malloc(RECORD_MAX), *other = malloc(RECORD_MAX);
    struct error *err = NULL;
    for (int paged = 0; paged < 2; paged++) {
        struct engine *e = engine_new(
            &(struct engine_config){.ops = &ops, .paged = paged, .code_bytes = 1 << 20}, &err);
        if (!e || engine_attach(e, &cpus[paged], &err) < 0)
            return 1;
        if (paged)
            engine_set_context(&cpus[paged], &tlb, &jumps);
    }
    for (uint64_t seed = 1; seed <= count; seed++) {
        struct cpu *cpu = &cpus[seed & 1];
        state = seed << 20;
        make_code();
        cpu->mode = modes[below(sizeof modes / sizeof modes[0])];
        uint64_t offset = below(3) ? below(0x1000) * 2 : 0x1000 - 2 * (1 + below(60));
        bool keeps = record_at(cpu, random_base(offset), first);
        kept += keeps;
        for (uint32_t n = 1; n < BASES; n++) {
            bool again = record_at(cpu, random_base(offset), other);
            if (again != keeps ||
                (keeps && (first->size != other->size || memcmp(first, other, first->size) != 0))) {
                show(cpu, seed);
                printf("not ok - blocks move: the block is another one at another pc\n");
                return 1;
            }
        }
    }
    if (kept < count / 2) {
        printf("not ok - blocks move: %llu of %llu only\n", (unsigned long long)kept,
               (unsigned long long)count);
        return 1;
    }
    printf("ok - blocks move: %llu of %llu, each at %u pcs\n", (unsigned long long)kept,
           (unsigned long long)count, BASES);
    for (int paged = 0; paged < 2; paged++) {
        struct engine *e = cpus[paged].engine;
        engine_detach(&cpus[paged]);
        engine_free(e);
    }
    free(first);
    free(other);
    return 0;
}
