/* Which translation is entered: the one of the bytes that are mapped now, by whichever way the
 * guest gets there; and none is made twice. Three frames of guest memory; the page at 0x11000 is
 * one or the other of the last two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/jumps.h"
#include "engine/tlb.h"

#define PAGE   4096u
#define FIRST  UINT64_C(0x10000)
#define SECOND (FIRST + PAGE)
#define PA     UINT64_C(0x80000000)

#define ECALL 0x00000073u
#define NOP   0x00000013u
#define RET   0x00008067u

static uint8_t memory[3][PAGE];
static unsigned second; /* the frame at SECOND; 3: the first; 0: nothing is mapped there */

/* Without paging: guest addresses are host addresses, from flat on; code is on its first two pages.
 */
static uint8_t flat[3][PAGE] __attribute__((aligned(PAGE)));
static bool is_flat;

static bool fetch_flat(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    uint64_t offset = pc - (uint64_t)(uintptr_t)flat;
    if (offset >= 2 * PAGE) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    uint32_t left = PAGE - (uint32_t)(pc % PAGE);
    *out = (struct code_span){(const uint8_t *)(uintptr_t)pc, left, pc & ~(uint64_t)(PAGE - 1)};
    return true;
}

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (is_flat)
        return fetch_flat(cpu, pc, out);
    uint64_t page = pc & ~(uint64_t)(PAGE - 1), offset = pc & (PAGE - 1);
    unsigned frame = page == FIRST ? 0 : second % 3;
    if (page != FIRST && (page != SECOND || !second)) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    *out = (struct code_span){memory[frame] + offset, PAGE - (uint32_t)offset, PA + frame * PAGE};
    return true;
}

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    cpu->trap = (struct trap){CAUSE_ECALL_U, 0};
    return STEP_TRAP;
}

static const struct engine_ops ops = {.fetch = fetch, .system = on_system};
static struct engine *engine;
static struct cpu cpu;
static struct tlb tlb;
static struct jump_cache jumps[2]; /* of two address spaces */

static void start(bool interpret)
{
    ERROR_CLEANUP err = NULL;
    struct engine_config config = {
        .ops = &ops, .paged = !is_flat, .interpret = interpret, .code_bytes = 1 << 20};
    memset(&cpu, 0, sizeof cpu);
    memset(memory, 0, sizeof memory);
    engine = engine_new(&config, &err);
    assert_non_null(engine);
    assert_int_equal(engine_attach(engine, &cpu, &err), 0);
    tlb_flush(&tlb);
    engine_set_context(&cpu, &tlb, &jumps[0]);
    second = 1;
}

static void stop(void)
{
    engine_detach(&cpu);
    jump_cache_free(&jumps[0]);
    jump_cache_free(&jumps[1]);
    engine_free(engine);
}

/* What sfence.vma of everything comes to. */
static void fence(void)
{
    jump_cache_flush(&jumps[0]);
    jump_cache_flush(&jumps[1]);
    tlb_flush(&tlb);
    engine_forget_returns(&cpu);
}

static void put(unsigned frame, unsigned offset, uint32_t insn, unsigned len)
{
    memcpy(memory[frame] + offset, &insn, len);
}

static uint32_t jal(unsigned rd, int32_t by)
{
    uint32_t o = (uint32_t)by;
    return 0x6f | rd << 7 | (o >> 12 & 0xff) << 12 | (o >> 11 & 1) << 20 | (o >> 1 & 0x3ff) << 21 |
           (o >> 20 & 1) << 31;
}

/* beq a1, a2 */
static uint32_t beq(int32_t by)
{
    uint32_t o = (uint32_t)by;
    return 0x63 | (o >> 11 & 1) << 7 | (o >> 1 & 15) << 8 | 11 << 15 | 12 << 20 |
           (o >> 5 & 63) << 25 | (o >> 12 & 1) << 31;
}

/* Runs from pc to the ecall or another trap; a0. */
static uint64_t run(uint64_t pc)
{
    cpu.pc = pc;
    cpu.mode = 0;
    cpu.x[10] = 0;
    cpu.x[11] = cpu.x[12] = 5;
    assert_int_equal(engine_run(&cpu), EXIT_TRAP);
    return cpu.x[10];
}

/* li a0, 1 whose other half is li a0, 2 in the other frame; then an ecall. */
static void put_straddler(void)
{
    put(0, PAGE - 2, 0x00100513, 2);
    put(1, 0, 0x00100513 >> 16, 2);
    put(2, 0, 0x00200513 >> 16, 2);
    put(1, 2, ECALL, 4);
    put(2, 2, ECALL, 4);
}

/* The ways to the instruction over the page's end, at FIRST + 0xffe. */
static void check_ways(bool interpret)
{
    for (unsigned way = 0; way < 4; way++) {
        start(interpret);
        put_straddler();
        switch (way) {
        case 0: /* a branch to a block that falls into it */
            put(0, 0, beq(0x80), 4);
            put(0, 0x80, jal(0, PAGE - 6 - 0x80), 4);
            put(0, PAGE - 6, NOP, 4);
            break;
        case 1: /* a jump, from a block that a branch is linked to */
            put(0, 0, beq(0x80), 4);
            put(0, 0x80, jal(0, PAGE - 2 - 0x80), 4);
            break;
        case 2: /* a branch to the instruction itself */
            put(0, 0, beq(0x800), 4);
            put(0, 0x800, NOP, 4);
            put(0, 0x804, beq(PAGE - 2 - 0x804), 4);
            break;
        case 3: /* a return to it, from a call right before */
            put(0, 0, beq(0x80), 4);
            put(0, 0x80, jal(0, PAGE - 6 - 0x80), 4);
            put(0, PAGE - 6, jal(1, -(int32_t)(PAGE - 6 - 0x100)), 4);
            put(0, 0x100, RET, 4);
            break;
        }
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(run(FIRST), 1);
        second = 2;
        fence();
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(run(FIRST), 2);
        second = 0;
        fence();
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(run(FIRST), 0);
            assert_int_equal(cpu.trap.cause, CAUSE_FETCH_PAGE);
            assert_int_equal(cpu.trap.tval, SECOND);
            assert_int_equal(cpu.pc, SECOND - 2);
        }
        stop();
    }
}

static void an_instruction_over_a_pages_end_is_that_of_the_pages_mapped_now(void **state)
{
    check_ways(true);
    check_ways(false);
}

/* Two address spaces that share the first page and not the second. */
static void each_pair_of_pages_keeps_its_translation(void **state)
{
    start(false);
    put_straddler();
    put(0, 0, beq(0x80), 4);
    put(0, 0x80, jal(0, PAGE - 6 - 0x80), 4);
    put(0, PAGE - 6, NOP, 4);
    struct engine_stats before, after;
    for (unsigned k = 0; k < 20; k++) {
        second = 1 + k % 2;
        engine_set_context(&cpu, &tlb, &jumps[k % 2]);
        assert_int_equal(run(FIRST), second);
        if (k == 1)
            engine_get_stats(engine, &before);
    }
    engine_get_stats(engine, &after);
    assert_int_equal(before.blocks, after.blocks);
    assert_int_equal(after.invalidated, 0);
    stop();
}

/* An instruction that reaches into a page that is its own once more. */
static void both_halves_may_be_on_one_page(void **state)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        start(interpret);
        second = 3;
        put(0, PAGE - 2, 0x00100513, 2);
        put(0, 0, 0x00100513 >> 16, 2);
        put(0, 2, ECALL, 4);
        assert_int_equal(run(SECOND - 2), 1);
        engine_invalidate(engine, PA, PAGE, true);
        assert_int_equal(run(SECOND - 2), 1);
        put(0, 0, 0x00300513 >> 16, 2);
        engine_invalidate(engine, PA, PAGE, true);
        assert_int_equal(run(SECOND - 2), 3);
        stop();
    }
}

/* A link may only be patched to code on the page that its own block is on. Here the mapping has
 * changed between the block's translation and the look-up of the branch's target. */
static void a_link_stays_on_its_page(void **state)
{
    start(false);
    for (unsigned frame = 1; frame < 3; frame++) {
        put(frame, 0, beq(0x80), 4);
        put(frame, 0x80, 0x00000513 | frame << 20, 4); /* li a0, FRAME */
        put(frame, 0x84, ECALL, 4);
    }
    put(0, 0, jal(0, PAGE), 4);
    cpu.x[11] = 1; /* not taken: translated, but not linked */
    cpu.x[12] = 2;
    cpu.pc = SECOND;
    put(1, 4, ECALL, 4);
    assert_int_equal(engine_run(&cpu), EXIT_TRAP);
    second = 2; /* no fence: the jump cache still leads to the first frame's block */
    assert_int_equal(run(SECOND), 2);
    second = 1;
    fence();
    assert_int_equal(run(SECOND), 1);
    stop();
}

/* A block that goes on, by a jump, on the page before its own, which is the last one with code: to
 * look it up again asks for no other page, and translates nothing. */
static void the_last_page_is_looked_up_like_others(void **state)
{
    is_flat = true;
    for (int interpret = 0; interpret < 2; interpret++) {
        start(interpret);
        uint32_t first[] = {0x00150513 /* addi a0, a0, 1 */, ECALL},
                 last[] = {NOP, jal(0, -4 - 4096)};
        memcpy(flat[0], first, sizeof first);
        memcpy(flat[1], last, sizeof last);
        struct engine_stats before, after;
        for (unsigned k = 0; k < 10; k++) {
            fence(); /* jumps are looked up again */
            assert_int_equal(run((uint64_t)(uintptr_t)flat[1]), 1);
            if (k == 0)
                engine_get_stats(engine, &before);
        }
        engine_get_stats(engine, &after);
        assert_int_equal(before.blocks, after.blocks);
        stop();
    }
    is_flat = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instruction_over_a_pages_end_is_that_of_the_pages_mapped_now),
        cmocka_unit_test(each_pair_of_pages_keeps_its_translation),
        cmocka_unit_test(the_last_page_is_looked_up_like_others),
        cmocka_unit_test(both_halves_may_be_on_one_page),
        cmocka_unit_test(a_link_stays_on_its_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
