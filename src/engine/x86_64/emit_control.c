/* Leaving a block: jumps, calls, returns, branches, traps; and the calls into C. */
#include "engine/x86_64/emit.h"

#include <stdlib.h>

#include "base/str.h"
#include "engine/jumps.h"

struct cold *add_cold(struct emit *m, int kind)
{
    if (m->n_cold == m->cap_cold) {
        m->cap_cold = m->cap_cold ? m->cap_cold * 2 : 64;
        m->cold = xrealloc(m->cold, m->cap_cold * sizeof *m->cold);
    }
    struct cold *c = &m->cold[m->n_cold++];
    *c = (struct cold){.dest = -1, .address = -1, .data = -1};
    c->kind = (unsigned)kind;
    c->gi = m->ir->insn[m->pc_index].gi;
    return c;
}

void add_point(struct emit *m, const uint8_t *at, unsigned gi)
{
    if (m->n_points == m->cap_points) {
        m->cap_points = m->cap_points ? m->cap_points * 2 : 64;
        m->points = xrealloc(m->points, m->cap_points * sizeof *m->points);
    }
    m->points[m->n_points++] = (struct fault_point){.offset = (uint32_t)(at - m->entry), .gi = gi};
}

void add_call_point(struct emit *m, unsigned gi)
{
    add_point(m, m->a.p - 1, gi);
}

enum cc cc_of(unsigned cond)
{
    static const unsigned char map[] = {
        [COND_EQ] = CC_E,  [COND_NE] = CC_NE, [COND_LT] = CC_L,
        [COND_GE] = CC_GE, [COND_LTU] = CC_B, [COND_GEU] = CC_AE,
    };
    return (enum cc)map[cond];
}

struct comparison read_comparison(struct emit *m, const struct ir_insn *i)
{
    struct comparison k = {.b = NO_REG, .mem.base = NO_REG};
    int64_t c = i->op == IR_BR ? 0 : i->imm;
    bool constant = i->b == IR_NONE;
    if (!constant && value_is_const(m, i->b, &c) && fits32(c) && m->v[i->b].reg < 0) {
        use_nothing(m, i->b);
        constant = true;
    }
    k.a = use_reg(m, i->a);
    if (constant && fits32(c)) {
        k.constant = (int32_t)c;
    } else if (constant) {
        k.b = scratch(m);
        mov_ri(&m->a, k.b, (uint64_t)c);
    } else if (!use_mem(m, i->b, &k.mem)) {
        k.b = use_reg(m, i->b);
    }
    return k;
}

void put_comparison(struct emit *m, const struct comparison *k)
{
    if (k->b != NO_REG)
        alu_rr(&m->a, true, ALU_CMP, k->a, k->b);
    else if (k->mem.base != NO_REG)
        alu_rm(&m->a, true, ALU_CMP, k->a, k->mem);
    else if (k->constant)
        alu_ri(&m->a, true, ALU_CMP, k->a, k->constant);
    else
        test_rr(&m->a, true, k->a, k->a);
}

void note_flags(struct emit *m, unsigned n)
{
    m->flags = (struct known_flags){.at = m->a.p,
                                    .value = (uint16_t)n,
                                    .nonzero = CC_NE,
                                    .sign = true,
                                    .a = IR_NONE,
                                    .b = IR_NONE};
}

/* Whether f has the flags of comparing i's first operand with 0; then *cc. */
static bool compared_with_zero(const struct known_flags *f, const struct ir_insn *i, enum cc *cc)
{
    if (i->a != f->value || i->b != IR_NONE || (i->op != IR_BR && i->imm != 0))
        return false;
    switch (i->cond) {
    case COND_EQ: *cc = (enum cc)(f->nonzero ^ 1); return true;
    case COND_NE: *cc = f->nonzero; return true;
    case COND_LT: *cc = CC_S; return f->sign;
    case COND_GE: *cc = CC_NS; return f->sign;
    default: return false;
    }
}

bool emit_compared(struct emit *m, unsigned n, enum cc *cc)
{
    const struct ir_insn *i = &m->ir->insn[n];
    const struct known_flags *f = &m->flags;
    if (f->at != m->a.p)
        return false;
    if (!compared_with_zero(f, i, cc)) {
        int64_t imm = i->op == IR_BR ? 0 : i->imm;
        if (i->a != f->a || i->b != f->b || (i->b == IR_NONE && imm != f->imm))
            return false;
        *cc = cc_of(i->cond);
    }
    use_nothing(m, i->a);
    if (i->b != IR_NONE)
        use_nothing(m, i->b);
    return true;
}

enum cc emit_compare(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    enum cc cc;
    if (emit_compared(m, n, &cc))
        return cc;
    struct comparison k = read_comparison(m, i);
    put_comparison(m, &k);
    return cc_of(i->cond);
}

static uint64_t guest_pc(const struct emit *m, unsigned i)
{
    return m->ir->guest_pc[m->ir->insn[i].gi];
}

/* Code may be reached by a patched jump only when the mapping that made the target's address mean
 * this page is the one that makes ours mean ours: always without paging, and on the same page. The
 * last two bytes of a page may be half an instruction, whose other half another mapping decides. */
static bool may_link(const struct emit *m, uint64_t target)
{
    return !m->paged ||
           ((target & ~0xfffull) == (m->ir->pc & ~0xfffull) && (target & 0xfff) != 0xffe);
}

/* rax: guest pc. Leaves rdx at the jump cache's table, rcx at the pc's first entry there, and the
 * flags at equal when it is in it. */
void emit_jump_probe(struct assembler *a)
{
    _Static_assert(sizeof(struct jump_entry) == 16, "scaled by 8 from pc bits above bit 0");
    _Static_assert(offsetof(struct jump_table, first) == 0, "indexed from the table's start");
    load64(a, RDX, CPU(p.jump_table));
    mov_rr32(a, RCX, RAX);
    alu_ri(a, false, ALU_AND, RCX, ((1 << JUMP_BITS) - 1) << 1);
    lea(a, true, RCX, mem_index(RDX, RCX, 3, 0));
    alu_rm(a, true, ALU_CMP, RAX, mem_at(RCX, 0));
}

/* Where in the table at rcx the jump cache has target first: its pc, and its code. What depends on
 * the target is the displacement alone, of four bytes whatever its value: so the code is as long
 * for every target. */
static struct mem cached_pc(uint64_t target)
{
    return mem_wide(RCX, (int32_t)(jump_first(target) * sizeof(struct jump_entry)));
}

static struct mem cached_code(uint64_t target)
{
    struct mem at = cached_pc(target);
    at.disp += (int32_t)offsetof(struct jump_entry, code);
    return at;
}

/* A jump to a fixed pc that lies behind a page boundary: through its first entry of the jump cache.
 */
static void jump_by_cache(struct emit *m, uint64_t target, bool call)
{
    struct assembler *a = &m->a;
    mov_guest(m, RAX, target);
    load64(a, RCX, CPU(p.jump_table));
    alu_rm(a, true, ALU_CMP, RAX, cached_pc(target));
    uint8_t *miss = jcc_short(a, CC_NE);
    if (call) {
        call_mem(a, cached_code(target));
        uint8_t *done = jmp_short(a);
        set_short(a, miss);
        call_stub(m, m->e->stubs.jump_second);
        set_short(a, done);
    } else {
        jmp_mem(a, cached_code(target));
        set_short(a, miss);
        jmp_stub(m, m->e->stubs.jump_second);
    }
}

/* Keeps the displacement of a jump whose opcode has `opcode` bytes within one cache line, for
 * emit_patch_link. */
static void align_site(struct emit *m, unsigned opcode)
{
    unsigned first = ((uintptr_t)m->a.p + opcode) & 63;
    if (first > 60)
        for (unsigned k = first; k < 64; k++)
            put8(&m->a, 0x90);
}

/* Leaves for a fixed pc, unconditionally. */
static void jump_out(struct emit *m, uint64_t target)
{
    if (!may_link(m, target)) {
        jump_by_cache(m, target, false);
        return;
    }
    struct cold *c = add_cold(m, COLD_LINK);
    align_site(m, 1);
    c->site = jmp_rel(&m->a);
    c->target = target;
}

/* Where a loop closes, a request to leave is seen. */
static void check_request(struct emit *m, uint64_t target)
{
    alu_mi(&m->a, false, ALU_CMP, CPU(exit_request), 0);
    struct cold *c = add_cold(m, COLD_REQUEST);
    c->site = jcc_rel(&m->a, CC_NE);
    c->target = target;
}

static void branch_link(struct emit *m, enum cc cc, uint64_t target)
{
    struct cold *c = add_cold(m, COLD_LINK);
    align_site(m, 2); /* nops leave the flags alone */
    c->site = jcc_rel(&m->a, cc);
    c->target = target;
}

static void emit_branch(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    uint64_t target = (uint64_t)i->imm;
    bool backward = target <= guest_pc(m, n), counting = m->ir->mode & MODE_COUNT;
    enum cc cc;
    bool compared = emit_compared(m, n, &cc);
    /* In MODE_COUNT the branch has been counted: it may not be left undone. */
    if (may_link(m, target) && !(backward && (compared || counting))) {
        if (backward) /* with a request the branch is left undone */
            check_request(m, guest_pc(m, n));
        branch_link(m, compared ? cc : emit_compare(m, n), target);
        return;
    }
    if (!compared)
        cc = emit_compare(m, n);
    /* the temporaries are not needed on the way out, but are on the way on: jump_out uses rax, rcx
     */
    uint8_t *skip = jcc_rel(&m->a, (enum cc)(cc ^ 1));
    if (backward)
        check_request(m, target);
    jump_out(m, target);
    set_rel_here(&m->a, skip);
}

/* Where the callee's return arrives: behind the host call that went there. */
static void land(struct emit *m, uint64_t return_pc)
{
    lea(&m->a, true, RSP, mem_at(RSP, 8));
    jump_out(m, return_pc);
}

static void push_guest(struct emit *m, uint64_t pc)
{
    if (fits32((int64_t)pc)) {
        put8(&m->a, 0x68);
        put32(&m->a, (uint32_t)pc);
    } else {
        mov_guest(m, RCX, pc);
        push_r(&m->a, RCX);
    }
}

/* Leaves when a request is pending, makes room when the shadow stack is full; then pushes the
 * guest's return address (set in ra by now). */
static void begin_call(struct emit *m, uint64_t target, uint64_t return_pc)
{
    alu_rm(&m->a, true, ALU_CMP, RSP, CPU(p.shadow_limit));
    struct cold *c = add_cold(m, COLD_CALL_END);
    c->site = jcc_rel(&m->a, CC_B);
    c->back = m->a.p;
    c->target = target;
    push_guest(m, return_pc);
}

static void emit_jump_insn(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    uint64_t target = (uint64_t)i->imm;
    if (!(i->flags & IR_CALL)) {
        if (target <= guest_pc(m, n))
            check_request(m, target);
        jump_out(m, target);
        return;
    }
    begin_call(m, target, i->aux);
    if (may_link(m, target)) {
        struct cold *c = add_cold(m, COLD_LINK);
        align_site(m, 1);
        c->site = call_rel(&m->a);
        c->target = target;
    } else {
        jump_by_cache(m, target, true);
    }
    land(m, i->aux);
}

/* The request check of an indirect jump: its target is in rax. */
static void check_request_rax(struct emit *m)
{
    alu_mi(&m->a, false, ALU_CMP, CPU(exit_request), 0);
    jcc_stub(m, CC_NE, m->e->stubs.leave_request);
}

static void emit_jump_register(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    enum reg target = use_reg(m, i->a);
    if (i->flags & IR_RET) {
        /* the top of the shadow stack: host address, guest address */
        alu_rm(a, true, ALU_CMP, target, mem_at(RSP, 8));
        uint8_t *miss = jcc_short(a, CC_NE);
        ret(a);
        set_short(a, miss);
        mov_rr(a, RAX, target);
        jmp_stub(m, m->e->stubs.return_miss);
        return;
    }
    mov_rr(a, RAX, target);
    check_request_rax(m);
    if (!(i->flags & IR_CALL)) {
        emit_jump_probe(a);
        jcc_stub(m, CC_NE, m->e->stubs.jump_second);
        jmp_mem(a, mem_at(RCX, 8));
        return;
    }
    /* A full stack is emptied; a request was looked for above, and one that comes later is seen at
     * the next check. */
    alu_rm(a, true, ALU_CMP, RSP, CPU(p.shadow_limit));
    struct cold *c = add_cold(m, COLD_CALL_FULL);
    c->site = jcc_rel(a, CC_B);
    c->back = a->p;
    push_guest(m, i->aux);
    emit_jump_probe(a);
    uint8_t *miss = jcc_short(a, CC_NE);
    call_mem(a, mem_at(RCX, 8));
    uint8_t *done = jmp_short(a);
    set_short(a, miss);
    call_stub(m, m->e->stubs.jump_second);
    set_short(a, done);
    land(m, i->aux);
}

void call_helper(struct emit *m, const void *fn)
{
    mov_host(m, RAX, fn);
    call_stub(m, m->e->stubs.call);
}

/* Calls a handler of the wall or the engine that answers enum step in eax, and does what it says.
 */
static void emit_handler(struct emit *m, unsigned n, const void *fn)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    save_all(m);
    if (i->op == IR_FENCE_I || i->op == IR_FS_DIRTY)
        mov_guest(m, RSI, (uint64_t)i->imm);
    else
        mov_ri(a, RSI, (uint64_t)i->imm);
    mov_guest(m, RDX, guest_pc(m, n));
    call_helper(m, fn);
    if (i->op == IR_FCSR) { /* the next instruction is in a block of the mode that is now */
        mov_guest(m, RAX, guest_pc(m, n) + m->ir->guest_len[i->gi]);
        jmp_stub(m, m->e->stubs.jump);
        return;
    }
    if (i->op == IR_FRM_CHECK || (i->op == IR_SYSTEM && !(i->flags & IR_LAST))) {
        test_rr(a, false, RAX, RAX);
        jcc_stub(m, CC_NE, m->e->stubs.leave);
        return;
    }
    jmp_stub(m, m->e->stubs.leave);
}

void emit_control(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    switch (i->op) {
    case IR_BR: emit_branch(m, n); break;
    case IR_POLL: check_request(m, (uint64_t)i->imm); break;
    case IR_JUMP: emit_jump_insn(m, n); break;
    case IR_JUMPR: emit_jump_register(m, n); break;
    case IR_SYSTEM:
        emit_handler(m, n, i->flags & IR_LAST ? (void *)helper_system_last : (void *)helper_system);
        break;
    case IR_FCSR: emit_handler(m, n, (void *)helper_fcsr); break;
    case IR_FENCE_I: emit_handler(m, n, (void *)helper_fence_i); break;
    case IR_FRM_CHECK: emit_handler(m, n, (void *)helper_frm_check); break;
    case IR_FS_DIRTY: emit_handler(m, n, (void *)helper_fs_dirty); break;
    default: abort();
    }
}
