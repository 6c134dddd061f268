#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

uint32_t rig_code[RIG_CODE / 4];
uint64_t rig_data[RIG_PAGE / 8];
struct cpu rig_cpu;
static struct tlb tlb;
static struct jump_cache jumps;

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (pc - RIG_PC >= RIG_CODE) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    *out = (struct code_span){(const uint8_t *)rig_code + (pc - RIG_PC),
                              RIG_PAGE - (uint32_t)(pc % RIG_PAGE), pc & ~(uint64_t)(RIG_PAGE - 1)};
    return true;
}

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    *value = 0;
    memcpy(value, (const char *)rig_data + va % RIG_PAGE, size);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    memcpy((char *)rig_data + va % RIG_PAGE, &value, size);
    return true;
}

static void *atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    return (char *)rig_data + va % RIG_PAGE;
}

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    if (insn != RIG_ECALL) { /* rdcycle */
        cpu->x[insn >> 7 & 31] = 0;
        cpu->pc += 4;
        return STEP_NEXT;
    }
    cpu->trap = (struct trap){CAUSE_ECALL_U, 0};
    return STEP_TRAP;
}

static const struct engine_ops ops = {
    .fetch = fetch, .load = load, .store = store, .atomic = atomic, .system = on_system};

struct engine *rig_start(struct engine_config config)
{
    ERROR_CLEANUP err = NULL;
    config.ops = &ops;
    config.paged = true;
    memset(&rig_cpu, 0, sizeof rig_cpu);
    memset(rig_data, 0, sizeof rig_data);
    struct engine *e = engine_new(&config, &err);
    assert_non_null(e);
    assert_int_equal(engine_attach(e, &rig_cpu, &err), 0);
    tlb_flush(&tlb);
    jump_cache_flush(&jumps);
    engine_set_context(&rig_cpu, &tlb, &jumps);
    return e;
}

void rig_end(struct engine *e)
{
    engine_detach(&rig_cpu);
    jump_cache_free(&jumps);
    engine_free(e);
}

bool rig_run(void)
{
    rig_cpu.pc = RIG_PC;
    return engine_run(&rig_cpu) == EXIT_TRAP && rig_cpu.trap.cause == CAUSE_ECALL_U;
}
