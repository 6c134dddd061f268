/* The jump cache: what it knows, translated code jumps to without leaving, whatever shares an entry
 * with it and in whatever mode; what is emptied is not found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "engine/internal.h"
#include "engine/jumps.h"

#define PAGE    4096u
#define SIZE    (1u << 20)
#define TARGETS 300

#define ECALL 0x00000073u
#define RET   0x00008067u

/* Without paging: guest addresses are host addresses. */
static uint8_t code[SIZE] __attribute__((aligned(PAGE)));
static uint64_t targets[TARGETS];

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (pc - (uint64_t)(uintptr_t)code >= SIZE) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    uint32_t left = PAGE - (uint32_t)(pc % PAGE);
    *out = (struct code_span){(const uint8_t *)(uintptr_t)pc, left, pc & ~(uint64_t)(PAGE - 1)};
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

static void start(void)
{
    ERROR_CLEANUP err = NULL;
    struct engine_config config = {.ops = &ops, .code_bytes = 1 << 20};
    memset(&cpu, 0, sizeof cpu);
    engine = engine_new(&config, &err);
    assert_non_null(engine);
    assert_int_equal(engine_attach(engine, &cpu, &err), 0);
}

static void stop(void)
{
    engine_detach(&cpu);
    engine_free(engine);
}

/* Runs from cpu.pc to the trap. Answers whether translated code was left before, for a jump. */
static bool run_left(void)
{
    struct found f = find_block(&cpu);
    assert_int_equal(f.what, FOUND);
    engine_rounding_changed(&cpu);
    shadow_arm(&cpu);
    enum leave (*go)(struct cpu *, const uint8_t *) =
        (enum leave(*)(struct cpu *, const uint8_t *))(uintptr_t)engine->stubs.enter;
    enum leave why = go(&cpu, f.code);
    if (why == LEAVE_TRAP)
        return false;
    assert_int_equal(why, LEAVE_JUMP);
    assert_int_equal(engine_run(&cpu), EXIT_TRAP);
    return true;
}

/* Calls, or jumps to and is returned from, each of the n targets. Answers whether translated code
 * was left for one; warm: the links are there. */
static bool visit(unsigned n, bool call, uint32_t mode, bool warm)
{
    const uint32_t by_call[] = {
        0x0005b603, /* ld a2, 0(a1) */
        0x000600e7, /* jalr ra, a2 */
        0x00858593, /* addi a1, a1, 8 */
        0xfee59ae3, /* bne a1, a4, -12 */
        ECALL,
    };
    const uint32_t by_jump[] = {
        0x0005b603, /* ld a2, 0(a1) */
        0x00858593, /* addi a1, a1, 8 */
        0x00b70463, /* beq a4, a1, 8 */
        0x00060067, /* jr a2 */
        ECALL,
    };
    memcpy(code, call ? by_call : by_jump, sizeof by_call);
    cpu.pc = (uint64_t)(uintptr_t)code;
    cpu.x[1] = cpu.pc; /* what a target returns to that is jumped to */
    cpu.x[11] = (uint64_t)(uintptr_t)targets;
    cpu.x[14] = (uint64_t)(uintptr_t)(targets + n);
    cpu.mode = mode;
    bool left = warm && run_left();
    if (!warm)
        assert_int_equal(engine_run(&cpu), EXIT_TRAP);
    assert_int_equal(cpu.trap.cause, CAUSE_ECALL_U);
    return left;
}

static void put_targets(unsigned n, uint32_t apart)
{
    uint32_t at = PAGE;
    for (unsigned i = 0; i < n; i++) {
        targets[i] = (uint64_t)(uintptr_t)code + at;
        memcpy(code + at, &(uint32_t){RET}, 4);
        at += apart ? apart : 4 + (i * 2654435761u >> 20 & 0xffe);
        assert_true(at < SIZE - 4);
    }
}

/* Visits them again and again; how many times translated code was left but for the first few. */
static unsigned leaves(unsigned n, bool call, unsigned modes)
{
    unsigned left = 0;
    for (unsigned k = 0; k < 50; k++) {
        uint32_t mode = k % modes ? MODE_FP_SLOW << (k % modes - 1) : 0;
        left += visit(n, call, mode, k >= 3 * modes);
    }
    return left;
}

static void jumps_to_what_shares_an_entry_stay_in_translated_code(void **state)
{
    for (unsigned apart = 2 << JUMP_BITS; apart <= 8 << JUMP_BITS; apart *= 2) {
        for (unsigned call = 0; call < 2; call++) {
            start();
            put_targets(6, apart);
            assert_int_equal(leaves(6, call, 1), 0);
            stop();
        }
    }
}

static void jumps_to_many_targets_stay_in_translated_code(void **state)
{
    for (unsigned call = 0; call < 2; call++) {
        start();
        put_targets(TARGETS, 0);
        assert_int_equal(leaves(TARGETS, call, 1), 0);
        stop();
    }
}

static void a_change_of_mode_empties_nothing(void **state)
{
    for (unsigned modes = 2; modes <= 3; modes++) {
        start();
        put_targets(20, 512);
        assert_int_equal(leaves(20, true, modes), 0);
        stop();
    }
}

static uint64_t random_pc(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 20) & ~(uint64_t)1;
}

static void check_emptied(unsigned n)
{
    struct jump_cache j = {.next_victim = 0};
    uint64_t seed = n;
    for (unsigned round = 0; round < 12; round++) {
        struct jump_table *t = jump_cache_table(&j, round % 6, 1 + round / 3);
        uint64_t first = seed;
        for (unsigned pass = 0; pass < 2; pass++) { /* the second: nothing is there */
            seed = first;
            for (unsigned i = 0; i < n; i++) {
                uint64_t pc = i == 0 ? 0 : random_pc(&seed);
                assert_null(jump_table_find(t, pc));
                if (pass)
                    continue;
                jump_table_enter(t, pc, code + i);
                jump_table_enter(t, pc, code + i + 1);
                assert_ptr_equal(jump_table_find(t, pc), code + i + 1);
            }
            if (round % 2)
                jump_cache_flush(&j);
            else
                t = jump_cache_table(&j, round % 6, 100 + round);
        }
    }
    jump_cache_free(&j);
}

static void what_is_emptied_is_not_found(void **state)
{
    check_emptied(1);
    check_emptied(50);
    check_emptied(JUMP_JOURNAL);
    check_emptied(JUMP_JOURNAL + 1);
    check_emptied(20000);
}

/* With more modes than tables, each is still its own. */
static void modes_are_kept_apart(void **state)
{
    struct jump_cache j = {.next_victim = 0};
    for (unsigned k = 0; k < 100; k++) {
        uint32_t mode = k * 7 % (N_JUMP_TABLES + 3);
        struct jump_table *t = jump_cache_table(&j, mode, 1);
        const void *there = jump_table_find(t, 64);
        assert_true(!there || there == code + mode);
        jump_table_enter(t, 64, code + mode);
        assert_ptr_equal(jump_cache_table(&j, mode, 1), t);
    }
    jump_cache_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_to_what_shares_an_entry_stay_in_translated_code),
        cmocka_unit_test(jumps_to_many_targets_stay_in_translated_code),
        cmocka_unit_test(a_change_of_mode_empties_nothing),
        cmocka_unit_test(what_is_emptied_is_not_found),
        cmocka_unit_test(modes_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
