/* Loads, stores, atomics. Without paging a guest address is a host address, and a fault is found by
 * its host pc (fault.c). With paging, an inline probe of the TLB; what misses goes through C. */
#include <stdlib.h>

#include "engine/x86_64/emit.h"

/* What the memory helpers are told: the IR instruction, less its operands. */
uint64_t describe(const struct ir_insn *i)
{
    return i->op | (uint64_t)i->size << 8 | (uint64_t)i->cond << 16 | (uint64_t)i->reg << 24 |
           (uint64_t)i->flags << 32;
}

/* The operand of a store or atomic: a register, or -1 and a constant. */
static int data_operand(struct emit *m, unsigned v, int64_t *constant)
{
    if (m->v[v].reg < 0 && value_is_const(m, v, constant) && fits32(*constant)) {
        use_nothing(m, v);
        return -1;
    }
    *constant = 0;
    return (int)use_reg(m, v);
}

/* A memory operand for address x + imm; an offset that does not fit is added first. */
static struct mem flat_address(struct emit *m, const struct ir_insn *i)
{
    enum reg x = use_reg(m, i->a);
    if (fits32(i->imm))
        return mem_at(x, (int32_t)i->imm);
    enum reg t = scratch(m);
    mov_ri(&m->a, t, (uint64_t)i->imm);
    return mem_index(x, t, 0, 0);
}

/* The slow path of the access whose hot code is about to be emitted. dest is made already; so
 * nothing of the register allocation happens between the probe and the access. */
static struct cold *slow_path(struct emit *m, const struct ir_insn *i, enum reg address, int dest,
                              bool dest_float)
{
    struct cold *c = add_cold(m, COLD_MEMORY);
    c->live = live_temps(m);
    c->dest = (int8_t)dest;
    c->dest_float = dest_float;
    if (dest >= 0)
        c->live &= ~(1u << (dest_float ? dest + 16 : dest));
    c->address = (int8_t)address;
    c->offset = (int32_t)i->imm;
    c->what = describe(i);
    return c;
}

/* Probes a table for an access of i at base + imm: leaves in t the host address less (base + imm)'s
 * guest address, to be used as [base + t + imm]. Misses go to c. With aligned, misaligned accesses
 * miss too. */
static void probe(struct emit *m, const struct ir_insn *i, enum reg base, enum reg t, enum reg t2,
                  bool store, bool aligned, struct cold *c)
{
    struct assembler *a = &m->a;
    int32_t imm = (int32_t)i->imm;
    int32_t table = (int32_t)(store ? offsetof(struct tlb, store) : offsetof(struct tlb, load));
    _Static_assert(sizeof(struct tlb_entry) == 16, "the index is scaled by shifting 8, not 12");
    if (imm)
        lea(a, true, t, mem_at(base, imm));
    else
        mov_rr(a, t, base);
    shift_ri(a, true, SH_SHR, t, 8);
    alu_ri(a, false, ALU_AND, t, ((1 << TLB_BITS) - 1) << 4);
    alu_rm(a, true, ALU_ADD, t, CPU(tlb));
    int32_t last = aligned ? 0 : i->size - 1;
    if (imm + last)
        lea(a, true, t2, mem_at(base, imm + last));
    else
        mov_rr(a, t2, base);
    alu_ri(a, true, ALU_AND, t2, -4096 | (aligned ? i->size - 1 : 0));
    alu_rm(a, true, ALU_CMP, t2, mem_at(t, table + (int32_t)offsetof(struct tlb_entry, tag)));
    c->site = jcc_rel(a, CC_NE);
    load64(a, t, mem_at(t, table + (int32_t)offsetof(struct tlb_entry, addend)));
}

static void load_op(struct emit *m, const struct ir_insn *i, enum reg d, struct mem from)
{
    struct assembler *a = &m->a;
    bool sext = i->flags & IR_SIGNED;
    switch (i->size) {
    case 1: op_rm(a, sext, sext ? 0x0fbe : 0x0fb6, d, from); break;
    case 2: op_rm(a, sext, sext ? 0x0fbf : 0x0fb7, d, from); break;
    case 4: op_rm(a, sext, sext ? 0x63 : 0x8b, d, from); break;
    default: load64(a, d, from);
    }
}

static void store_op(struct emit *m, unsigned size, struct mem to, int data, int64_t constant)
{
    struct assembler *a = &m->a;
    unsigned prefix = size == 2 ? 0x66 : 0;
    if (data >= 0) {
        op_rm_full(a, prefix, size == 8, size == 1 ? 0x88 : 0x89, (unsigned)data, to, size == 1);
        return;
    }
    op_rm_full(a, prefix, size == 8, size == 1 ? 0xc6 : 0xc7, 0, to, false);
    if (size == 1)
        put8(a, (uint8_t)constant);
    else if (size == 2) {
        put8(a, (uint8_t)constant);
        put8(a, (uint8_t)(constant >> 8));
    } else
        put32(a, (uint32_t)constant);
}

/* Paged accesses keep their offset in the address operand; a wild one goes to a register first. */
static bool paged_offset_fits(const struct ir_insn *i)
{
    return fits32(i->imm) && fits32(i->imm + 8);
}

/* The address operand of a paged access, as a register; adds an offset that is too large (and then
 * c's is 0). */
static enum reg paged_base(struct emit *m, struct ir_insn *i)
{
    enum reg x = use_reg(m, i->a);
    if (paged_offset_fits(i))
        return x;
    enum reg t = scratch(m);
    mov_ri(&m->a, t, (uint64_t)i->imm);
    alu_rr(&m->a, true, ALU_ADD, t, x);
    i->imm = 0;
    unlock(m, x);
    return t;
}

static void emit_load(struct emit *m, unsigned n)
{
    struct ir_insn i = m->ir->insn[n];
    if (!m->paged) {
        struct mem from = flat_address(m, &i);
        enum reg d = def_reg(m, n);
        add_point(m, m->a.p, i.gi);
        load_op(m, &i, d, from);
        return;
    }
    enum reg x = paged_base(m, &i), t = scratch(m), t2 = scratch(m), d = def_reg(m, n);
    struct cold *c = slow_path(m, &i, x, d, false);
    probe(m, &i, x, t, t2, false, false, c);
    load_op(m, &i, d, mem_index(x, t, 0, (int32_t)i.imm));
    c->back = m->a.p;
    c->fn = (const void *)helper_load;
}

static void emit_store(struct emit *m, unsigned n)
{
    struct ir_insn i = m->ir->insn[n];
    int64_t constant;
    if (!m->paged) {
        struct mem to = flat_address(m, &i);
        int data = data_operand(m, i.b, &constant);
        add_point(m, m->a.p, i.gi);
        store_op(m, i.size, to, data, constant);
        return;
    }
    enum reg x = paged_base(m, &i);
    int data = data_operand(m, i.b, &constant);
    enum reg t = scratch(m), t2 = scratch(m);
    struct cold *c = slow_path(m, &i, x, -1, false);
    c->data = (int8_t)data;
    c->constant = (uint64_t)constant;
    probe(m, &i, x, t, t2, true, false, c);
    store_op(m, i.size, mem_index(x, t, 0, (int32_t)i.imm), data, constant);
    c->back = m->a.p;
    c->fn = (const void *)helper_store;
}

static void load_float_op(struct emit *m, const struct ir_insn *i, unsigned d, struct mem from)
{
    if (i->size == 8) {
        op_rm_full(&m->a, 0xf2, false, 0x0f10, d, from, false);
        return;
    }
    op_rm_full(&m->a, 0xf3, false, 0x0f10, d, from, false);
    op_const(m, 0, 0x0f56, d, CONST_BOX); /* orps: NaN-boxed */
}

static void emit_load_float(struct emit *m, unsigned n)
{
    struct ir_insn i = m->ir->insn[n];
    if (!m->paged) {
        struct mem from = flat_address(m, &i);
        unsigned d = def_xmm(m, n, 0);
        add_point(m, m->a.p, i.gi);
        load_float_op(m, &i, d, from);
        return;
    }
    enum reg x = paged_base(m, &i), t = scratch(m), t2 = scratch(m);
    unsigned d = def_xmm(m, n, 0);
    struct cold *c = slow_path(m, &i, x, (int)d, true);
    probe(m, &i, x, t, t2, false, false, c);
    load_float_op(m, &i, d, mem_index(x, t, 0, (int32_t)i.imm));
    c->back = m->a.p;
    c->fn = (const void *)helper_load;
}

static void store_float_op(struct emit *m, const struct ir_insn *i, unsigned s, struct mem to)
{
    op_rm_full(&m->a, i->size == 8 ? 0xf2 : 0xf3, false, 0x0f11, s, to, false);
}

static void emit_store_float(struct emit *m, unsigned n)
{
    struct ir_insn i = m->ir->insn[n];
    if (!m->paged) {
        struct mem to = flat_address(m, &i);
        unsigned s = use_xmm(m, i.b);
        add_point(m, m->a.p, i.gi);
        store_float_op(m, &i, s, to);
        return;
    }
    enum reg x = paged_base(m, &i);
    unsigned s = use_xmm(m, i.b);
    enum reg t = scratch(m), t2 = scratch(m);
    struct cold *c = slow_path(m, &i, x, -1, false);
    c->data = (int8_t)s;
    c->data_float = true;
    probe(m, &i, x, t, t2, true, false, c);
    store_float_op(m, &i, s, mem_index(x, t, 0, (int32_t)i.imm));
    c->back = m->a.p;
    c->fn = (const void *)helper_store;
}

/* In C, wherever it is: what is too rare or too long to be done in line. */
static void atomic_in_c(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    struct assembler *a = &m->a;
    save_all(m);
    if (i->c != IR_NONE) {
        load_argument(m, RAX, i->c);
        store64(a, CPU(p.spill[SPILL_THIRD]), RAX);
    }
    if (i->b != IR_NONE)
        load_argument(m, RDX, i->b);
    load_argument(m, RSI, i->a);
    mov_ri(a, RCX, describe(i));
    mov_host(m, RAX, (const void *)helper_atomic);
    call_stub(m, m->e->stubs.call_memory);
    add_call_point(m, i->gi);
    mov_rr(a, def_reg(m, n), RAX);
}

/* The host address of the aligned word at x goes to t, or the slow path is taken. */
static void locate_atomic(struct emit *m, const struct ir_insn *i, enum reg x, enum reg t,
                          enum reg t2, struct cold *c)
{
    struct assembler *a = &m->a;
    if (m->paged) {
        probe(m, i, x, t, t2, i->op != IR_LR, true, c);
        alu_rr(a, true, ALU_ADD, t, x);
    } else {
        test_ri(a, x, i->size - 1);
        c->site = jcc_rel(a, CC_NE);
        mov_rr(a, t, x);
    }
}

/* Makes the next instruction atomic, when anybody else could see it halfway. */
static void lock(struct emit *m)
{
    if (m->e->parallel)
        put8(&m->a, 0xf0);
}

/* amoadd and amoswap are instructions of the host; so are and, or, xor when nobody wants the old
 * value. */
static void emit_amo(struct emit *m, unsigned n)
{
    static const signed char in_place[] = {
        [AMO_XOR] = ALU_XOR, [AMO_AND] = ALU_AND, [AMO_OR] = ALU_OR};
    struct ir_insn i = m->ir->insn[n];
    struct assembler *a = &m->a;
    bool unused = !m->ir->uses[n];
    bool exchange = i.reg == AMO_ADD || i.reg == AMO_SWAP;
    bool plain = unused && (i.reg == AMO_XOR || i.reg == AMO_AND || i.reg == AMO_OR);
    if (i.size < 4 || !(exchange || plain)) {
        atomic_in_c(m, n);
        return;
    }
    enum reg x = use_reg(m, i.a), y = use_reg(m, i.b), t = scratch(m), t2 = scratch(m);
    /* The old value comes in t2 first: a trap must find a pinned register as it was. */
    int d = unused ? -1 : (int)def_reg_from(m, n, t2);
    struct cold *c = slow_path(m, &i, x, d, false);
    c->data = (int8_t)y;
    locate_atomic(m, &i, x, t, t2, c);
    bool w = i.size == 8;
    add_point(m, a->p, i.gi);
    if (plain) {
        lock(m);
        op_rm(a, w, (unsigned)in_place[i.reg] * 8 + 1, y, mem_at(t, 0));
    } else {
        mov_rr(a, t2, y);
        add_point(m, a->p, i.gi);
        if (i.reg == AMO_ADD) {
            lock(m);
            op_rm(a, w, 0x0fc1, t2, mem_at(t, 0)); /* xadd */
        } else if (m->e->parallel) {
            op_rm(a, w, 0x87, t2, mem_at(t, 0)); /* xchg, which locks by itself */
        } else {
            op_rm(a, w, 0x8b, t2, mem_at(t, 0));
            add_point(m, a->p, i.gi); /* memory that may be read but not written */
            op_rm(a, w, 0x89, y, mem_at(t, 0));
        }
        if (d >= 0 && w)
            mov_rr(a, (enum reg)d, t2);
        else if (d >= 0)
            movsxd(a, (enum reg)d, t2);
    }
    c->back = a->p;
    c->fn = (const void *)helper_atomic;
}

/* The reservation is the address and the value seen there: sc stores if the value is still the
 * same, as every emulator on hosts without load-reserved does (a value that changed and changed
 * back goes unnoticed). */
static void emit_lr(struct emit *m, unsigned n)
{
    struct ir_insn i = m->ir->insn[n];
    struct assembler *a = &m->a;
    i.flags |= IR_SIGNED;
    enum reg x = use_reg(m, i.a), t = scratch(m), t2 = scratch(m), d = def_reg_not(m, n, 1u << x);
    struct cold *c = slow_path(m, &i, x, d, false);
    locate_atomic(m, &i, x, t, t2, c);
    add_point(m, a->p, i.gi);
    load_op(m, &i, d, mem_at(t, 0));
    store64(a, CPU(res_addr), x);
    store64(a, CPU(res_value), d);
    c->back = a->p;
    c->fn = (const void *)helper_atomic;
}

static void emit_sc(struct emit *m, unsigned n)
{
    struct ir_insn i = m->ir->insn[n];
    struct assembler *a = &m->a;
    scratch_this(m, RAX);
    enum reg x = use_reg(m, i.a), y = use_reg(m, i.b), t = scratch(m);
    enum reg d = def_reg_from(m, n, t); /* the address is not needed any more by then */
    struct cold *c = slow_path(m, &i, x, d, false);
    c->data = (int8_t)y;
    locate_atomic(m, &i, x, t, RAX, c);
    load64(a, RAX, CPU(res_value));
    alu_rm(a, true, ALU_CMP, x, CPU(res_addr));
    store64_imm(a, CPU(res_addr), -1); /* given up even when the access faults */
    uint8_t *fail = jcc_short(a, CC_NE);
    add_point(m, a->p, i.gi);
    lock(m);
    op_rm(a, i.size == 8, 0x0fb1, y, mem_at(t, 0)); /* cmpxchg */
    set_short(a, fail);
    setcc(a, CC_NE, d);
    movzx8(a, d, d);
    c->back = a->p;
    c->fn = (const void *)helper_atomic;
}

void emit_memory(struct emit *m, unsigned n)
{
    const struct ir_insn *i = &m->ir->insn[n];
    switch (i->op) {
    case IR_LOAD: emit_load(m, n); break;
    case IR_STORE: emit_store(m, n); break;
    case IR_LOADF: emit_load_float(m, n); break;
    case IR_STOREF: emit_store_float(m, n); break;
    case IR_LR: emit_lr(m, n); break;
    case IR_SC: emit_sc(m, n); break;
    case IR_AMO: emit_amo(m, n); break;
    case IR_CAS: atomic_in_c(m, n); break;
    case IR_FENCE:
        /* Only store-then-load order is not the host's own (TSO): Volume I, appendix on memory
         * models. A process that nobody shares memory with sees its own order always; a hart's
         * devices have threads of their own. */
        if ((i->imm >> 4 & 1) && (i->imm & 2) && (m->e->parallel || m->paged)) {
            put8(&m->a, 0xf0); /* lock or dword [rsp - 8], 0: cheaper than mfence */
            alu_mi(&m->a, false, ALU_OR, mem_at(RSP, -8), 0);
        }
        break;
    default: abort();
    }
}
