/* Fixed pieces of host code: into translated code, out of it, and from it into C. */
#include <assert.h>

#include "engine/jumps.h"
#include "engine/x86_64/emit.h"

enum {
    FROM_CPU,
    TO_CPU
};

/* Moves all pinned registers between the host and *cpu. */
static void move_pinned(struct assembler *a, int direction)
{
    for (unsigned g = 1; g < 32; g++) {
        if (pinned_x(g) < 0)
            continue;
        if (direction == FROM_CPU)
            load64(a, (enum reg)pinned_x(g), CPU_X(g));
        else
            store64(a, CPU_X(g), (enum reg)pinned_x(g));
    }
    for (unsigned g = 0; g < 32; g++)
        if (pinned_f(g) >= 0)
            op_rm_full(a, 0xf2, false, direction == FROM_CPU ? 0x0f10 : 0x0f11,
                       (unsigned)pinned_f(g), CPU_F(g), false);
}

static void ldmxcsr(struct assembler *a, struct mem m)
{
    op_rm(a, false, 0x0fae, 2, m);
}

static void stmxcsr(struct assembler *a, struct mem m)
{
    op_rm(a, false, 0x0fae, 3, m);
}

static const enum reg callee_saved[] = {RBX, RBP, R12, R13, R14, R15};
#define N_CALLEE_SAVED (sizeof callee_saved / sizeof callee_saved[0])

/* enum leave enter(struct cpu *rdi, const uint8_t *rsi) */
static void emit_enter(struct assembler *a)
{
    for (unsigned i = 0; i < N_CALLEE_SAVED; i++)
        push_r(a, callee_saved[i]);
    alu_ri(a, true, ALU_SUB, RSP, 8); /* calls from here on are aligned */
    lea(a, true, RBP, mem_at(RDI, CPU_BIAS));
    mov_rr(a, RAX, RSI);
    stmxcsr(a, CPU(p.host_mxcsr));
    store64(a, CPU(p.host_rsp), RSP);
    move_pinned(a, FROM_CPU);
    ldmxcsr(a, CPU(p.guest_mxcsr));
    load64(a, RSP, CPU(p.shadow_rsp));
    op_rr(a, false, 0xff, 4, RAX); /* jmp rax */
}

/* eax: enum leave */
static void emit_leave(struct assembler *a)
{
    move_pinned(a, TO_CPU);
    store64(a, CPU(p.shadow_rsp), RSP);
    load64(a, RSP, CPU(p.host_rsp));
    stmxcsr(a, CPU(p.guest_mxcsr));
    ldmxcsr(a, CPU(p.host_mxcsr));
    alu_ri(a, true, ALU_ADD, RSP, 8);
    for (unsigned i = N_CALLEE_SAVED; i--;)
        pop_r(a, callee_saved[i]);
    ret(a);
}

static void leave_because(struct assembler *a, enum leave why, const uint8_t *leave)
{
    mov_ri_full(a, RAX, why, false);
    jmp_to(a, leave);
}

/* Called; the link's number follows the call. */
static void emit_leave_link(struct assembler *a, enum leave why, const uint8_t *leave)
{
    pop_r(a, RAX);
    load32(a, RAX, mem_at(RAX, 0));
    store64(a, CPU(p.exit_arg), RAX);
    leave_because(a, why, leave);
}

/* rax: guest pc */
static void emit_leave_to(struct assembler *a, enum leave why, const uint8_t *leave)
{
    store64(a, CPU(pc), RAX);
    leave_because(a, why, leave);
}

/* rax: guest pc, jumped to or called, which is not in the jump cache's first entry: by one of its
 * second two, which becomes the first. */
static void emit_jump_second(struct assembler *a, const uint8_t *leave_jump)
{
    const int32_t code = offsetof(struct jump_entry, code);
    const int32_t second = offsetof(struct jump_table, second), way = sizeof(struct jump_entry);
    load64(a, RDX, CPU(p.jump_table));
    mov_rr(a, RCX, RAX); /* jump_second() */
    shift_ri(a, true, SH_SHR, RCX, JUMP_BITS);
    alu_rr(a, false, ALU_XOR, RCX, RAX);
    alu_ri(a, false, ALU_AND, RCX, ((1 << JUMP_SET_BITS) - 1) << 1);
    alu_rr(a, false, ALU_ADD, RCX, RCX);
    lea(a, true, RCX, mem_index(RDX, RCX, 3, second));
    load64(a, RSI, mem_at(RCX, code));
    alu_rm(a, true, ALU_CMP, RAX, mem_at(RCX, 0));
    uint8_t *found = jcc_short(a, CC_E);
    alu_rm(a, true, ALU_CMP, RAX, mem_at(RCX, way));
    jcc_to(a, CC_NE, leave_jump);
    load64(a, RSI, mem_at(RCX, way + code));
    set_short(a, found);
    mov_rr32(a, RCX, RAX);
    alu_ri(a, false, ALU_AND, RCX, ((1 << JUMP_BITS) - 1) << 1);
    store64(a, mem_index(RDX, RCX, 3, 0), RAX);
    store64(a, mem_index(RDX, RCX, 3, code), RSI);
    op_rr(a, false, 0xff, 4, RSI); /* jmp rsi */
}

/* rax: guest pc: to its code if the jump cache knows it. */
static void emit_jump(struct assembler *a, const uint8_t *jump_second)
{
    emit_jump_probe(a);
    jcc_to(a, CC_NE, jump_second);
    jmp_mem(a, mem_at(RCX, offsetof(struct jump_entry, code)));
}

/* rax(rdi = cpu, rsi, rdx, rcx), called with the caller's address on the shadow stack. With
 * floating-point state handed over, or, for memory helpers, left as it is: they do no arithmetic.
 */
static void emit_call(struct assembler *a, bool memory, const uint8_t *leave)
{
    move_pinned(a, TO_CPU);
    /* not left on the shadow stack, which what is called may empty or exchange */
    pop_r(a, RDI);
    store64(a, CPU(p.call_return), RDI);
    store64(a, CPU(p.shadow_rsp), RSP);
    load64(a, RSP, CPU(p.host_rsp));
    if (!memory) {
        stmxcsr(a, CPU(p.guest_mxcsr));
        ldmxcsr(a, CPU(p.host_mxcsr));
    }
    lea(a, true, RDI, mem_at(RBP, -CPU_BIAS));
    op_rr(a, false, 0xff, 2, RAX); /* call rax */
    load64(a, RSP, CPU(p.shadow_rsp));
    if (!memory)
        ldmxcsr(a, CPU(p.guest_mxcsr));
    uint8_t *failed = NULL;
    if (memory) {
        alu_mi(a, false, ALU_CMP, CPU(p.failed), 0);
        failed = jcc_rel(a, CC_NE);
    }
    move_pinned(a, FROM_CPU);
    op_rm(a, false, 0xff, 6, CPU(p.call_return)); /* push: the caller's call is paired with a ret */
    ret(a);
    if (!memory)
        return;
    set_rel_here(a, failed);
    store64_imm(a, CPU(p.failed), 0);
    move_pinned(a, FROM_CPU);
    leave_because(a, LEAVE_TRAP, leave);
}

/* A guest call that found p.shadow_limit above rsp; the link's number follows the call to here.
 * Without a request, the stack is full, and emptied: its entries are only hints. */
static void emit_call_end(struct assembler *a, const uint8_t *leave_request_link)
{
    alu_mi(a, false, ALU_CMP, CPU(exit_request), 0);
    jcc_to(a, CC_NE, leave_request_link);
    pop_r(a, RAX);
    load64(a, RSP, CPU(p.shadow_base));
    alu_ri(a, true, ALU_ADD, RAX, 4);
    op_rr(a, false, 0xff, 4, RAX); /* jmp rax: behind the number */
}

/* rax: guest pc, which the top of the shadow stack did not expect: what lies there is of no use. */
static void emit_return_miss(struct assembler *a, const uint8_t *leave_request, const uint8_t *jump)
{
    load64(a, RSP, CPU(p.shadow_base));
    alu_mi(a, false, ALU_CMP, CPU(exit_request), 0);
    jcc_to(a, CC_NE, leave_request);
    jmp_to(a, jump);
}

/* 16-byte vectors that floating-point code uses; then a table from MXCSR's flags to fflags. */
static void put_constants(struct assembler *a)
{
    static const uint64_t constants[N_CONSTANTS][2] = {
        [CONST_BOX] = {0xffffffff00000000u, 0},    [CONST_NAN_D] = {0x7ff8000000000000u, 0},
        [CONST_NAN_S] = {0xffffffff7fc00000u, 0},  [CONST_SIGN_D] = {0x8000000000000000u, 0},
        [CONST_SIGN_S] = {0x0000000080000000u, 0}, [CONST_REST_D] = {0x7fffffffffffffffu, 0},
        [CONST_REST_S] = {0xffffffff7fffffffu, 0},
    };
    memcpy(take(a, sizeof constants), constants, sizeof constants);
    for (unsigned flags = 0; flags < 64; flags++)
        put8(a, fflags_of_mxcsr(flags));
}

void emit_stubs(struct engine *e)
{
    struct code_cache *c = &e->cache;
    struct assembler as = {.p = c->rw, .end = c->rw + c->size}, *a = &as;
#define STUB(name, emitter)                     \
    do {                                        \
        while ((uintptr_t)a->p & 15)            \
            put8(a, 0xcc);                      \
        e->stubs.name = code_cache_rx(c, a->p); \
        emitter;                                \
    } while (0)
#define RW(name) code_cache_rw(c, (uint8_t *)(uintptr_t)e->stubs.name)
    STUB(enter, emit_enter(a));
    STUB(leave, emit_leave(a));
    STUB(leave_link, emit_leave_link(a, LEAVE_LINK, RW(leave)));
    STUB(leave_request_link, emit_leave_link(a, LEAVE_REQUEST_LINK, RW(leave)));
    STUB(leave_jump, emit_leave_to(a, LEAVE_JUMP, RW(leave)));
    STUB(leave_again, emit_leave_to(a, LEAVE_AGAIN, RW(leave)));
    STUB(leave_request, emit_leave_to(a, LEAVE_REQUEST, RW(leave)));
    STUB(leave_trap, leave_because(a, LEAVE_TRAP, RW(leave)));
    STUB(jump_second, emit_jump_second(a, RW(leave_jump)));
    STUB(jump, emit_jump(a, RW(jump_second)));
    STUB(call, emit_call(a, false, RW(leave)));
    STUB(call_memory, emit_call(a, true, RW(leave)));
    STUB(return_miss, emit_return_miss(a, RW(leave_request), RW(jump)));
    STUB(call_end, emit_call_end(a, RW(leave_request_link)));
    STUB(constants, put_constants(a));
#undef STUB
#undef RW
    while ((uintptr_t)a->p & 63)
        put8(a, 0xcc);
    assert(!a->full); /* CACHE_BYTES_MIN */
    c->used = c->kept = (size_t)(a->p - c->rw);
}
