/* What the lifter and the optimizer make of typical code, and what the interpreter does where qemu
 * cannot be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/ir.h"

#define CODE_PC   UINT64_C(0x10000)
#define FAR_PAGE  UINT64_C(0x80000000) /* the page after the first lies elsewhere in memory */
#define PAGE_SIZE 4096

/* Two pages of guest code, at CODE_PC. */
static uint8_t code[2 * PAGE_SIZE];
static bool second_page_missing;

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    uint64_t at = pc - CODE_PC;
    if (at >= sizeof code || (second_page_missing && at >= PAGE_SIZE)) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    out->bytes = code + at;
    out->len = PAGE_SIZE - (uint32_t)(at % PAGE_SIZE);
    out->page = at < PAGE_SIZE ? CODE_PC : FAR_PAGE;
    return true;
}

static uint32_t system_seen;

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    system_seen = insn;
    cpu->pc += 4;
    return STEP_NEXT;
}

static void on_fs_dirty(struct cpu *cpu)
{
    cpu->mode &= ~(uint32_t)MODE_FS_CLEAN;
}

/* sscratch (0x140) is the plain one here. */
static int plain_csr(const struct cpu *cpu, unsigned csr, bool write)
{
    return csr == 0x140 ? (int)offsetof(struct cpu, p.spill) : -1;
}

static const struct engine_ops ops = {
    .fetch = fetch, .system = on_system, .fs_dirty = on_fs_dirty, .plain_csr = plain_csr};

static struct cpu cpu;
static struct ir_block block;

static int setup(void **state)
{
    memset(&cpu, 0, sizeof cpu);
    memset(code, 0, sizeof code);
    cpu.ops = &ops;
    cpu.pc = CODE_PC;
    cpu.res_addr = UINT64_MAX;
    second_page_missing = false;
    system_seen = 0;
    return 0;
}

static void put(uint64_t pc, uint32_t insn)
{
    memcpy(code + (pc - CODE_PC), &insn, (insn & 3) == 3 ? 4 : 2);
}

/* Lifts and optimizes what stands at cpu.pc. */
static void lift(bool paged)
{
    assert_true(lift_block(&cpu, paged, &block));
    ir_check(&block, false);
    ir_optimize(&block);
    ir_check(&block, true);
}

#define LIFT(...)                                                          \
    do {                                                                   \
        const uint32_t insns_[] = {__VA_ARGS__};                           \
        for (unsigned n_ = 0; n_ < sizeof insns_ / sizeof insns_[0]; n_++) \
            put(CODE_PC + 4 * n_, insns_[n_]);                             \
        lift(false);                                                       \
    } while (0)

static unsigned count(enum ir_op op)
{
    unsigned n = 0;
    for (uint32_t k = 0; k < block.n; k++)
        n += block.insn[k].op == op;
    return n;
}

static const struct ir_insn *find(enum ir_op op)
{
    for (uint32_t k = 0; k < block.n; k++)
        if (block.insn[k].op == op)
            return &block.insn[k];
    fail_msg("the block has no such operation: %d", op);
    return NULL;
}

static const struct ir_insn *last(void)
{
    return &block.insn[block.n - 1];
}

#define ECALL 0x00000073u
#define NOP   0x00000013u

static void constants_fold(void **state)
{
    LIFT(0x12345537 /* lui a0,0x12345 */, 0x67850513 /* addi a0,a0,1656 */,
         0x00051513 /* slli a0,a0,0 */, ECALL);
    assert_int_equal(count(IR_SETX), 1);
    assert_int_equal(find(IR_CONST)->imm, 0x12345678);
    assert_int_equal(count(IR_ADD), 0);
    assert_int_equal(block.n, 3); /* const, setx, system */
}

static void shift_pairs_extend(void **state)
{
    LIFT(0x02051793 /* slli a5,a0,32 */, 0x0207d793 /* srli a5,a5,32 */, ECALL);
    assert_int_equal(find(IR_ZEXT)->size, 4);
    assert_int_equal(count(IR_SHL) + count(IR_SHR), 0);
    LIFT(0x03051793 /* slli a5,a0,48 */, 0x4307d793 /* srai a5,a5,48 */, ECALL);
    assert_int_equal(find(IR_SEXT)->size, 2);
}

static void rotations_are_found(void **state)
{
    LIFT(0x0075171b /* slliw a4,a0,7 */, 0x0195579b /* srliw a5,a0,25 */,
         0x00f767b3 /* or a5,a4,a5 */, 0x00000713 /* li a4,0 */, ECALL);
    assert_int_equal(find(IR_ROL)->imm, 7);
    assert_int_equal(find(IR_ROL)->size, 4);
    assert_int_equal(count(IR_OR) + count(IR_SHL) + count(IR_SHR), 0);
    LIFT(0x0075171b, 0x0185579b /* srliw a5,a0,24: no rotation */, 0x00f767b3, ECALL);
    assert_int_equal(count(IR_ROL), 0);
}

static void unused_upper_halves_are_marked(void **state)
{
    /* the first sum only serves the second one, which a register keeps */
    LIFT(0x00b5053b /* addw a0,a0,a1 */, 0x00a5053b /* addw a0,a0,a0 */, ECALL);
    assert_int_equal(block.insn[2].op, IR_ADD);
    assert_int_equal(block.insn[2].flags, IR_LOW32);
    assert_int_equal(block.insn[3].op, IR_ADD);
    assert_int_equal(block.insn[3].flags, 0);
    /* a comparison sees all of it */
    LIFT(0x00b5053b, 0x00b52533 /* slt a0,a0,a1 */, ECALL);
    assert_int_equal(block.insn[2].flags, 0);
}

static void addresses_fold(void **state)
{
    /* a5 = a0 + 8, load 16(a5): the base is a0, which still is there */
    LIFT(0x00850793 /* addi a5,a0,8 */, 0x0107b583 /* ld a1,16(a5) */, ECALL);
    assert_int_equal(find(IR_LOAD)->imm, 24);
    assert_int_equal(block.insn[find(IR_LOAD)->a].op, IR_GETX);
    /* sp = sp - 16, store 8(sp): the old sp is gone, nothing to gain */
    LIFT(0xff010113 /* addi sp,sp,-16 */, 0x00113423 /* sd ra,8(sp) */, ECALL);
    assert_int_equal(find(IR_STORE)->imm, 8);
    assert_int_equal(block.insn[find(IR_STORE)->a].op, IR_ADD);
}

static void registers_are_forwarded(void **state)
{
    LIFT(0x00b50533 /* add a0,a0,a1 */, 0x00b50533, 0x00b50533, ECALL);
    assert_int_equal(count(IR_GETX), 2);
    assert_int_equal(count(IR_SETX), 1);
    assert_int_equal(count(IR_ADD), 3);
}

static void state_is_exact_before_loads(void **state)
{
    LIFT(0x00150513 /* addi a0,a0,1 */, 0x0005b583 /* ld a1,0(a1) */, 0x00150513 /* addi a0,a0,1 */,
         ECALL);
    assert_int_equal(count(IR_SETX), 3); /* a0 twice: the load may trap in between */
}

static void x0_is_never_written(void **state)
{
    LIFT(0x00b50033 /* add x0,a0,a1 */, 0x0005b003 /* ld x0,0(a1) */, ECALL);
    assert_int_equal(count(IR_SETX), 0);
    assert_int_equal(count(IR_ADD), 0);
    assert_int_equal(count(IR_LOAD), 1); /* it may trap */
}

static void calls_and_returns_are_marked(void **state)
{
    LIFT(0x008000ef /* jal ra,+8 */);
    assert_int_equal(last()->op, IR_JUMP);
    assert_int_equal(last()->flags, IR_CALL);
    assert_int_equal(last()->imm, CODE_PC + 8);
    assert_int_equal(last()->aux, CODE_PC + 4);
    LIFT(0x00008067 /* ret */);
    assert_int_equal(last()->op, IR_JUMPR);
    assert_int_equal(last()->flags, IR_RET);
    LIFT(0x000500e7 /* jalr ra,0(a0) */);
    assert_int_equal(last()->flags, IR_CALL);
    assert_int_equal(last()->aux, CODE_PC + 4);
    LIFT(0x00050067 /* jr a0 */);
    assert_int_equal(last()->flags, 0);
    /* auipc ra,0; jalr ra,16(ra): a direct call */
    LIFT(0x00000097, 0x010080e7);
    assert_int_equal(last()->op, IR_JUMP);
    assert_int_equal(last()->flags, IR_CALL);
    assert_int_equal(last()->imm, CODE_PC + 16);
}

static void jumps_are_followed(void **state)
{
    put(CODE_PC, 0x0100006f); /* j +16 */
    put(CODE_PC + 16, 0x00150513);
    put(CODE_PC + 20, ECALL);
    lift(false);
    assert_int_equal(block.n_guest, 3);
    assert_int_equal(block.guest_pc[1], CODE_PC + 16);
    assert_int_equal(count(IR_JUMP), 0);
}

static void a_block_does_not_run_in_circles(void **state)
{
    LIFT(0x0000006f /* j . */);
    assert_int_equal(block.n_guest, 1);
    assert_int_equal(last()->imm, CODE_PC);
    LIFT(NOP, 0xffdff06f /* j -4 */);
    assert_int_equal(block.n_guest, 2);
    assert_int_equal(last()->imm, CODE_PC);
}

static void branches_are_side_exits(void **state)
{
    LIFT(0x00b50463 /* beq a0,a1,+8 */, 0x00150513, ECALL);
    assert_int_equal(find(IR_BR)->cond, COND_EQ);
    assert_int_equal(find(IR_BR)->imm, CODE_PC + 8);
    assert_int_equal(block.n_guest, 3);
    /* slt a5,a0,a1; bnez a5: one comparison */
    LIFT(0x00b527b3, 0x00079463, ECALL);
    assert_int_equal(find(IR_BR)->cond, COND_LT);
    assert_int_equal(block.insn[find(IR_BR)->b].op, IR_GETX);
    /* the end of a loop ends the block */
    LIFT(0x00150513, 0xfe051ee3 /* bnez a0,-4 */, ECALL);
    assert_int_equal(last()->op, IR_JUMP);
    assert_int_equal(last()->imm, CODE_PC + 8);
}

static void blocks_have_a_limit(void **state)
{
    for (unsigned n = 0; n < 1000; n++)
        put(CODE_PC + 4 * n, 0x00b54533 /* xor a0,a0,a1 */);
    lift(false);
    assert_true(block.n_guest <= BLOCK_MAX_INSNS);
    assert_int_equal(last()->op, IR_JUMP);
    assert_int_equal(last()->imm, CODE_PC + 4 * block.n_guest);
}

static void pages_bound_blocks(void **state)
{
    uint64_t end = CODE_PC + PAGE_SIZE;
    put(end - 4, NOP);
    put(end, NOP);
    cpu.pc = end - 4;
    lift(true);
    assert_int_equal(block.n_guest, 1);
    assert_int_equal(block.page2, UINT64_MAX);
    assert_int_equal(last()->imm, end);
    /* an instruction across the boundary is a block of its own */
    put(end - 4, 0x0001); /* c.nop */
    put(end - 2, 0x00150513);
    lift(true);
    assert_int_equal(block.n_guest, 1);
    assert_int_equal(block.page2, UINT64_MAX);
    assert_int_equal(last()->imm, end - 2);
    cpu.pc = end - 2;
    lift(true);
    assert_int_equal(block.n_guest, 1);
    assert_int_equal(block.page, CODE_PC);
    assert_int_equal(block.page2, FAR_PAGE);
    assert_int_equal(last()->imm, end + 2);
    /* its second half cannot be fetched: the trap names the half */
    second_page_missing = true;
    assert_false(lift_block(&cpu, true, &block));
    assert_int_equal(cpu.trap.cause, CAUSE_FETCH_PAGE);
    assert_int_equal(cpu.trap.tval, end);
}

static void system_instructions(void **state)
{
    LIFT(0xc0102573 /* rdtime a0 */, ECALL);
    assert_int_equal(count(IR_SYSTEM), 2); /* reading a CSR does not end the block */
    assert_int_equal(last()->flags, IR_LAST);
    LIFT(0x10051073 /* csrw sstatus,a0 */, NOP);
    assert_int_equal(block.n_guest, 1);
    assert_int_equal(last()->flags, IR_LAST);
    LIFT(0x14051573 /* csrrw a0,sscratch,a0 */, ECALL);
    assert_int_equal(find(IR_GETS)->imm, offsetof(struct cpu, p.spill));
    assert_int_equal(find(IR_SETS)->imm, offsetof(struct cpu, p.spill));
    LIFT(0xffffffff /* no instruction */);
    assert_int_equal(last()->op, IR_SYSTEM);
    assert_int_equal((uint32_t)last()->imm, 0xffffffff);
    LIFT(0x0000 /* the defined illegal one */);
    assert_int_equal(last()->op, IR_SYSTEM);
    assert_int_equal(block.n_bytes, 2);
}

static void floating_point_state(void **state)
{
    const uint32_t fadd = 0x02b57553 /* fadd.d fa0,fa0,fa1 */;
    cpu.mode = MODE_FS_OFF;
    LIFT(fadd, ECALL);
    assert_int_equal(block.n_guest, 1);
    assert_int_equal(last()->op, IR_SYSTEM);
    cpu.mode = MODE_FS_CLEAN;
    LIFT(fadd, ECALL);
    assert_int_equal(last()->op, IR_FS_DIRTY);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_NEXT);
    assert_int_equal(cpu.pc, CODE_PC);
    assert_int_equal(cpu.mode, 0);
    cpu.mode = MODE_FP_SLOW;
    cpu.frm = 5; /* reserved: an operation with dynamic rounding is illegal */
    LIFT(fadd, ECALL);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_TRAP);
    assert_int_equal(cpu.trap.cause, CAUSE_ILLEGAL);
    assert_int_equal(cpu.trap.tval, fadd);
    assert_int_equal(cpu.pc, CODE_PC);
    LIFT(0x02b50553 /* the same, rne */, ECALL);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_NEXT);
    cpu.mode = 0;
    cpu.pc = CODE_PC;
    LIFT(0x02b55553 /* rounding mode 5 in the instruction */);
    assert_int_equal(last()->op, IR_SYSTEM);
}

static void writing_frm_changes_the_mode(void **state)
{
    LIFT(0x00225073 /* fsrmi 4 */);
    assert_int_equal(last()->op, IR_FCSR);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_NEXT);
    assert_int_equal(cpu.frm, 4);
    assert_int_equal(cpu.mode, MODE_FP_SLOW);
    assert_int_equal(cpu.pc, CODE_PC + 4);
    cpu.pc = CODE_PC;
    LIFT(0x00205073 /* fsrmi 0 */);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_NEXT);
    assert_int_equal(cpu.mode, 0);
}

static void boxed_singles_are_not_checked_twice(void **state)
{
    LIFT(0x00b57553 /* fadd.s fa0,fa0,fa1 */, 0x00b57553, 0x00b57553, ECALL);
    assert_int_equal(count(IR_UNBOX), 2);
}

static void misaligned_atomics_trap(void **state)
{
    cpu.x[11] = 0x1002;
    LIFT(0x1005a52f /* lr.w a0,(a1) */, ECALL);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_TRAP);
    assert_int_equal(cpu.trap.cause, CAUSE_LOAD_MISALIGNED);
    cpu.pc = CODE_PC;
    LIFT(0x00c5a52f /* amoadd.w a0,a2,(a1) */, ECALL);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_TRAP);
    assert_int_equal(cpu.trap.cause, CAUSE_STORE_MISALIGNED);
    assert_int_equal(cpu.trap.tval, 0x1002);
}

/* One instruction on a0 = a, a1 = b, a2 = rest; the result in a0. */
static uint64_t run(uint32_t insn, uint64_t a, uint64_t b)
{
    cpu.pc = CODE_PC;
    cpu.x[10] = a;
    cpu.x[11] = b;
    LIFT(insn, ECALL);
    assert_int_equal(ir_interpret(&cpu, &block), STEP_NEXT);
    assert_int_equal(system_seen, ECALL);
    return cpu.x[10];
}

static void what_qemu_7_2_has_not(void **state)
{
    assert_int_equal(run(0x6015151b /* ctzw a0,a0 */, 0xffffffff00000000, 0), 32);
    assert_int_equal(run(0x6015151b, 0x0000000100000010, 0), 4);
    assert_int_equal(run(0x0eb55533 /* czero.eqz a0,a0,a1 */, 7, 0), 0);
    assert_int_equal(run(0x0eb55533, 7, 2), 7);
    assert_int_equal(run(0x0eb57533 /* czero.nez a0,a0,a1 */, 7, 0), 7);
    assert_int_equal(run(0x0eb57533, 7, 2), 0);
    assert_int_equal(run(0x08b54533 /* pack */, 0x1111111122222222, 0x3333333344444444),
                     0x4444444422222222);
    assert_int_equal(run(0x08b57533 /* packh */, 0x1234, 0xabcd), 0xcd34);
    assert_int_equal(run(0x08b5453b /* packw */, 0x1234, 0xabcd), 0xffffffffabcd1234);
    assert_int_equal(run(0x68755513 /* brev8 */, 0x0180f00fff000001, 0), 0x80010ff0ff000080);
    assert_int_equal(run(0x28b52533 /* xperm4 */, 0x76543210fedcba98, 0x0123456789abcdef),
                     0x89abcdef01234567);
    assert_int_equal(run(0x28b54533 /* xperm8 */, 0x8877665544332211, 0x07ff000102030405),
                     0x8800112233445566);
}

static void compare_and_swap(void **state)
{
    static uint64_t cell;
    cell = 0xffffffff80000001;
    cpu.x[12] = 5;
    /* amocas.w a0,a2,(a1) */
    assert_int_equal(run(0x28c5a52f, 0x80000001, (uintptr_t)&cell), 0xffffffff80000001);
    assert_int_equal(cell, 0xffffffff00000005);
    assert_int_equal(run(0x28c5a52f, 0x80000001, (uintptr_t)&cell), 5);
    assert_int_equal(cell, 0xffffffff00000005);
    /* amoadd.b a0,a2,(a1): bytes wrap alone */
    cell = 0x11ff;
    assert_int_equal(run(0x00c5852f, 0, (uintptr_t)&cell), UINT64_MAX);
    assert_int_equal(cell, 0x1104);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(constants_fold),
        TEST(shift_pairs_extend),
        TEST(rotations_are_found),
        TEST(unused_upper_halves_are_marked),
        TEST(addresses_fold),
        TEST(registers_are_forwarded),
        TEST(state_is_exact_before_loads),
        TEST(x0_is_never_written),
        TEST(calls_and_returns_are_marked),
        TEST(jumps_are_followed),
        TEST(a_block_does_not_run_in_circles),
        TEST(branches_are_side_exits),
        TEST(blocks_have_a_limit),
        TEST(pages_bound_blocks),
        TEST(system_instructions),
        TEST(floating_point_state),
        TEST(writing_frm_changes_the_mode),
        TEST(boxed_singles_are_not_checked_twice),
        TEST(misaligned_atomics_trap),
        TEST(what_qemu_7_2_has_not),
        TEST(compare_and_swap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
