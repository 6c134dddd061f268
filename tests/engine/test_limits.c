/* What a guest can make the engine use is bounded: blocks that are too much for the code cache or
 * for the emitter's slots are cut, and a full cache is emptied; results are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "engine/internal.h"
#include "engine/tlb.h"

#define PC    UINT64_C(0x100000)
#define CODE  (1u << 16)
#define PAGE  4096u
#define ECALL 0x00000073u

static uint32_t code[CODE / 4];
static uint64_t data[PAGE / 8];

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (pc - PC >= CODE) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    *out = (struct code_span){(const uint8_t *)code + (pc - PC), PAGE - (uint32_t)(pc % PAGE),
                              pc & ~(uint64_t)(PAGE - 1)};
    return true;
}

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    *value = 0;
    memcpy(value, (const char *)data + va % PAGE, size);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    memcpy((char *)data + va % PAGE, &value, size);
    return true;
}

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    if (insn != ECALL) { /* rdcycle */
        cpu->x[insn >> 7 & 31] = 0;
        cpu->pc += 4;
        return STEP_NEXT;
    }
    cpu->trap = (struct trap){CAUSE_ECALL_U, 0};
    return STEP_TRAP;
}

static const struct engine_ops ops = {
    .fetch = fetch, .load = load, .store = store, .system = on_system};
static struct cpu cpu;
static struct tlb tlb;
static struct jump_cache jumps;

static struct engine *start(size_t code_bytes)
{
    ERROR_CLEANUP err = NULL;
    struct engine_config config = {.ops = &ops, .paged = true, .code_bytes = code_bytes};
    memset(&cpu, 0, sizeof cpu);
    memset(data, 0, sizeof data);
    struct engine *e = engine_new(&config, &err);
    assert_non_null(e);
    assert_int_equal(engine_attach(e, &cpu, &err), 0);
    tlb_flush(&tlb);
    jump_cache_flush(&jumps);
    engine_set_context(&cpu, &tlb, &jumps);
    return e;
}

/* Through all of `code`: a0 and data[0] count the additions. */
static void run_all(uint64_t additions)
{
    for (unsigned round = 1; round <= 3; round++) {
        cpu.pc = PC;
        assert_int_equal(engine_run(&cpu), EXIT_TRAP);
        assert_int_equal(cpu.trap.cause, CAUSE_ECALL_U);
        assert_int_equal(cpu.x[10], round * additions);
        assert_int_equal(data[0], round * additions);
    }
}

static unsigned fill(void)
{
    static const uint32_t add[] = {0x00150513 /* addi a0, a0, 1 */, 0x00a63023 /* sd a0, 0(a2) */};
    for (unsigned k = 0; k < CODE / 4 - 2; k++)
        code[k] = add[k % 2];
    code[CODE / 4 - 2] = ECALL;
    return CODE / 8 - 1;
}

static void a_full_cache_is_emptied(void **state)
{
    struct engine *e = start(1); /* the smallest there is */
    struct engine_stats stats;
    run_all(fill());
    engine_get_stats(e, &stats);
    assert_true(stats.flushes > 10);
    assert_true(stats.cache_used <= stats.cache_size);
    engine_detach(&cpu);
    engine_free(e);
}

static void a_block_that_does_not_fit_is_cut(void **state)
{
    static const size_t rooms[] = {400, 512, 901, 4000};
    for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        size_t room = rooms[i];
        struct engine *e = start(1);
        struct engine_stats stats;
        uint8_t *end = e->cache.rw + e->cache.kept + room;
        e->cache.size = e->cache.kept + room;
        memset(end, 0x5a, 64);
        fill();
        code[300] = ECALL;
        run_all(150);
        engine_get_stats(e, &stats);
        assert_true(stats.flushes > 10);
        for (unsigned k = 0; k < 64; k++)
            assert_int_equal(end[k], 0x5a);
        e->cache.size = 64 << 10; /* as it was mapped */
        engine_detach(&cpu);
        engine_free(e);
    }
}

/* Small blocks that are changed again and again: their descriptions outgrow their code. */
static void descriptions_are_bounded(void **state)
{
    struct engine *e = start(1);
    struct engine_stats stats;
    for (unsigned k = 0; k < 20000; k++) {
        code[0] = 0x00000513 | (k & 0x7ff) << 20; /* li a0, K */
        code[1] = ECALL;
        engine_invalidate(e, PC, 8, true);
        cpu.pc = PC;
        assert_int_equal(engine_run(&cpu), EXIT_TRAP);
        assert_int_equal(cpu.x[10], k & 0x7ff);
        assert_true(blocks_bytes(&e->blocks) < 8 << 20);
    }
    engine_get_stats(e, &stats);
    assert_true(stats.flushes > 0);
    engine_detach(&cpu);
    engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_cache_is_emptied),
        cmocka_unit_test(a_block_that_does_not_fit_is_cut),
        cmocka_unit_test(descriptions_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
