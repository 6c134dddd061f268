/* Any bytes as guest code, in any mode: what the lifter makes of them is well-formed, and a block
 * does the same to hart and memory before and after ir_optimize. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/ir.h"
#include "fuzz.h"

#define CODE_PC  UINT64_C(0x7ff0) /* so that code crosses a page soon */
#define MAX_CODE 512
#define BAD_PAGE 3 /* of eight: where memory accesses trap */

static uint8_t code[MAX_CODE];
static size_t code_len;

/* What a block did outside its hart, in order. */
static uint64_t seen;

static void note(uint64_t what)
{
    seen = (seen ^ what) * UINT64_C(0x100000001b3) + 1;
}

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    uint64_t at = pc - CODE_PC;
    if (at >= code_len || code_len - at < 4) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    uint64_t left = code_len - at, to_page_end = 4096 - (pc & 4095);
    out->bytes = code + at;
    out->len = (uint32_t)(left < to_page_end ? left : to_page_end);
    out->page = pc & ~UINT64_C(4095);
    return true;
}

static bool traps(struct cpu *cpu, uint64_t va, uint64_t cause)
{
    cpu->trap = (struct trap){cause, va};
    return (va >> 12 & 7) == BAD_PAGE;
}

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    if (traps(cpu, va, CAUSE_LOAD_PAGE))
        return false;
    note(va + size);
    *value = (va * UINT64_C(0x9e3779b97f4a7c15) ^ seen) >> (64 - 8 * size);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    if (traps(cpu, va, CAUSE_STORE_PAGE))
        return false;
    note(va);
    note(size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1));
    return true;
}

static void *atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    static uint64_t cell;
    if (traps(cpu, va, load_only ? CAUSE_LOAD_PAGE : CAUSE_STORE_PAGE))
        return NULL;
    note(va);
    cell = seen;
    return &cell;
}

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    for (unsigned r = 0; r < 32; r++)
        note(cpu->x[r]);
    note(insn);
    cpu->x[insn >> 7 & 31] = seen;
    cpu->x[0] = 0;
    cpu->pc += (insn & 3) == 3 ? 4 : 2;
    return seen % 8 ? STEP_NEXT : STEP_TRAP;
}

static void on_fs_dirty(struct cpu *cpu)
{
    note(cpu->pc);
}

static int plain_csr(const struct cpu *cpu, unsigned csr, bool write)
{
    return csr % 2 ? -1 : (int)offsetof(struct cpu, p.spill) + 8 * (int)(csr / 2 % 8);
}

static const struct engine_ops ops = {.fetch = fetch,
                                      .load = load,
                                      .store = store,
                                      .atomic = atomic,
                                      .system = on_system,
                                      .fs_dirty = on_fs_dirty,
                                      .plain_csr = plain_csr};

static void require(bool true_of_block, const char *what, const struct ir_block *b)
{
    if (true_of_block)
        return;
    fprintf(stderr, "not ok - lifting: %s\n", what);
    ir_print(stderr, b);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ir_block block;
    static struct cpu start, plain, optimized;
    static struct tlb tlb; /* not looked at; says that addresses are translated */
    struct input in = {data, size};
    bool paged = take(&in, 1) & 1;
    memset(&start, 0, sizeof start);
    start.ops = &ops;
    start.tlb = &tlb;
    start.pc = CODE_PC;
    start.res_addr = UINT64_MAX;
    start.mode = (uint32_t)take(&in, 1) & (MODE_PRIV | MODE_FS_OFF | MODE_FS_CLEAN);
    start.frm = take(&in, 1) & 7;
    start.mode |= start.frm ? MODE_FP_SLOW : 0;
    for (unsigned r = 1; r < 32; r++) {
        start.x[r] = take(&in, 2) * UINT64_C(0x0001000200030005);
        start.f[r] = start.x[r] ^ take(&in, 1) << 52;
    }
    code_len = in.left < MAX_CODE ? in.left : MAX_CODE;
    memcpy(code, in.data, code_len);
    if (code_len < 4 || !lift_block(&start, paged, &block))
        return 0;
    ir_check(&block, false);
    plain = optimized = start;
    seen = 0;
    int step = ir_interpret(&plain, &block);
    uint64_t effects = seen;
    ir_optimize(&block);
    ir_check(&block, true);
    seen = 0;
    require(ir_interpret(&optimized, &block) == step && seen == effects &&
                memcmp(&plain, &optimized, sizeof plain) == 0,
            "the optimizer changes nothing that can be seen", &block);
    return 0;
}
