/* What a guest can make the engine use is bounded: blocks that are too much for the code cache or
 * for the emitter's slots are cut, and a full cache is emptied; results are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

static struct engine *start(void)
{
    return rig_start((struct engine_config){.code_bytes = 1}); /* the smallest there is */
}

/* Through all of rig_code: a0 and rig_data[0] count the additions. */
static void run_all(uint64_t additions)
{
    for (unsigned round = 1; round <= 3; round++) {
        assert_true(rig_run());
        assert_int_equal(rig_cpu.x[10], round * additions);
        assert_int_equal(rig_data[0], round * additions);
    }
}

static unsigned fill(void)
{
    static const uint32_t add[] = {0x00150513 /* addi a0, a0, 1 */, 0x00a63023 /* sd a0, 0(a2) */};
    for (unsigned k = 0; k < RIG_CODE / 4 - 2; k++)
        rig_code[k] = add[k % 2];
    rig_code[RIG_CODE / 4 - 2] = RIG_ECALL;
    return RIG_CODE / 8 - 1;
}

static void a_full_cache_is_emptied(void **state)
{
    struct engine *e = start();
    struct engine_stats stats;
    run_all(fill());
    engine_get_stats(e, &stats);
    assert_true(stats.flushes > 10);
    assert_true(stats.cache_used <= stats.cache_size);
    rig_end(e);
}

static void a_block_that_does_not_fit_is_cut(void **state)
{
    static const size_t rooms[] = {400, 512, 901, 4000};
    for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        size_t room = rooms[i];
        struct engine *e = start();
        struct engine_stats stats;
        uint8_t *end = e->cache.rw + e->cache.kept + room;
        e->cache.size = e->cache.kept + room;
        memset(end, 0x5a, 64);
        fill();
        rig_code[300] = RIG_ECALL;
        run_all(150);
        engine_get_stats(e, &stats);
        assert_true(stats.flushes > 10);
        for (unsigned k = 0; k < 64; k++)
            assert_int_equal(end[k], 0x5a);
        e->cache.size = 64 << 10; /* as it was mapped */
        rig_end(e);
    }
}

/* Small blocks that are changed again and again: their descriptions outgrow their code. */
static void descriptions_are_bounded(void **state)
{
    struct engine *e = start();
    struct engine_stats stats;
    for (unsigned k = 0; k < 20000; k++) {
        rig_code[0] = 0x00000513 | (k & 0x7ff) << 20; /* li a0, K */
        rig_code[1] = RIG_ECALL;
        engine_invalidate(e, RIG_PC, 8, true);
        assert_true(rig_run());
        assert_int_equal(rig_cpu.x[10], k & 0x7ff);
        assert_true(blocks_bytes(&e->blocks) < 8 << 20);
    }
    engine_get_stats(e, &stats);
    assert_true(stats.flushes > 0);
    rig_end(e);
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
