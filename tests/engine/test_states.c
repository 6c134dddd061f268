/* Every operation of the IR in every state of the register allocator: results that take the place
 * of an operand, of a value that is still needed, of nothing; operands in the register that the
 * result goes to, in others, in memory, in a slot, constants, the same twice, needed afterwards or
 * not; all temporaries and many slots taken. Translated and interpreted, both must do the same; the
 * allocator's invariants (emit_check) are looked at after each instruction.
 *
 * usage: test_states [CASES-AN-OPERATION [FIRST-SEED]] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/fp.h"
#include "engine/internal.h"
#include "engine/ir.h"
#include "engine/jumps.h"
#include "engine/tlb.h"

#define PC    UINT64_C(0x1000)
#define WORDS 512u
#define PLAIN ((int64_t)(offsetof(struct cpu, p.spill) + 8 * 70)) /* a field for GETS and SETS */

/* --- The operations --- */

struct operation {
    uint8_t op, size, cond, reg, flags;
    const char *operands; /* x, f (raw), s (boxed single), h (boxed half), m (an address), i (the
                             second one may be an immediate), then + when it makes a value */
};

static struct operation operations[600];
static unsigned n_operations;

static void add(unsigned op, unsigned size, unsigned cond, unsigned reg, unsigned flags,
                const char *operands)
{
    operations[n_operations++] = (struct operation){(uint8_t)op,  (uint8_t)size,  (uint8_t)cond,
                                                    (uint8_t)reg, (uint8_t)flags, operands};
}

static void list_integer(void)
{
    for (unsigned op = IR_ADD; op <= IR_REMU; op++)
        for (unsigned size = 4; size <= 8; size += 4)
            add(op, size, 0, 0, 0, op <= IR_MUL ? "xi+" : "xx+");
    for (unsigned op = IR_AND; op <= IR_MAXU; op++)
        add(op, 8, 0, 0, 0, op <= IR_XOR ? "xi+" : "xx+");
    for (unsigned cond = 0; cond < 6; cond++) {
        add(IR_SETCOND, 8, cond, 0, 0, "xi+");
        add(IR_BR, 8, cond, 0, 0, "xx");
    }
    add(IR_SELECT, 8, 0, 0, 0, "xxx+");
    for (unsigned size = 1; size <= 4; size *= 2) {
        add(IR_SEXT, size, 0, 0, 0, "x+");
        add(IR_ZEXT, size, 0, 0, 0, "x+");
    }
    for (unsigned size = 4; size <= 8; size += 4)
        for (unsigned op = IR_CLZ; op <= IR_CPOP; op++)
            add(op, size, 0, 0, 0, "x+");
    add(IR_BSWAP, 8, 0, 0, 0, "x+");
    add(IR_ORCB, 8, 0, 0, 0, "x+");
    add(IR_PURE, 8, 0, 0, 0, "xx+");
    add(IR_GETS, 8, 0, 0, 0, "+");
    add(IR_SETS, 8, 0, 0, 0, "x");
    add(IR_GETFF, 8, 0, 0, 0, "+");
    add(IR_SETFF, 8, 0, 0, 0, "x");
    add(IR_FENCE, 8, 0, 0, 0, "");
    add(IR_SYSTEM, 8, 0, 0, 0, "");
    add(IR_POLL, 8, 0, 0, 0, "");
}

static void list_memory(void)
{
    for (unsigned size = 1; size <= 8; size *= 2) {
        add(IR_LOAD, size, 0, 0, 0, "m+");
        add(IR_LOAD, size, 0, 0, IR_SIGNED, "m+");
        add(IR_STORE, size, 0, 0, 0, "mx");
        for (unsigned kind = AMO_SWAP; kind <= AMO_MAXU; kind++)
            add(IR_AMO, size, 0, kind, 0, "mx+");
        add(IR_CAS, size, 0, 0, 0, "mxx+");
        if (size < 4)
            continue;
        add(IR_LOADF, size, 0, 0, 0, "m+");
        add(IR_STOREF, size, 0, 0, 0, "mf");
        add(IR_LR, size, 0, 0, 0, "m+");
        add(IR_SC, size, 0, 0, 0, "mx+");
    }
}

static void list_float(void)
{
    for (unsigned size = 4; size <= 8; size += 4) {
        const char *two = size == 4 ? "ss+" : "ff+", *one = size == 4 ? "s+" : "f+";
        for (unsigned op = IR_FADD; op <= IR_FDIV; op++)
            add(op, size, 7, 0, 0, two);
        add(IR_FADD, size, 2, 0, 0, two); /* rounded down, in C */
        add(IR_FSQRT, size, 7, 0, 0, one);
        for (unsigned flags = 0; flags < 4; flags++)
            add(IR_FMADD, size, 7, 0, flags * IR_NEG_PRODUCT, size == 4 ? "sss+" : "fff+");
        for (unsigned op = IR_FMIN; op <= IR_FMAX; op++)
            add(op, size, 0, 0, 0, two);
        for (unsigned kind = SGNJ; kind <= SGNJX; kind++)
            add(IR_FSGNJ, size, 0, kind, 0, two);
        for (unsigned op = IR_FEQ; op <= IR_FLE; op++)
            add(op, size, 0, 0, 0, two);
        add(IR_FCLASS, size, 0, 0, 0, one);
        for (unsigned kind = INT_W; kind <= INT_LU; kind++) {
            add(IR_FCVT_TO_INT, size, 1, kind, 0, one); /* truncates */
            add(IR_FCVT_TO_INT, size, 7, kind, 0, one);
            add(IR_FCVT_FROM_INT, size, 7, kind, 0, "x+");
        }
        add(IR_FMV_TO_INT, size, 0, 0, 0, "f+");
        add(IR_FMV_FROM_INT, size, 0, 0, 0, "x+");
    }
    add(IR_FCVT_FF, 8, 7, 4, 0, "s+");
    add(IR_FCVT_FF, 4, 7, 8, 0, "f+");
    add(IR_FCVT_FF, 2, 7, 4, 0, "s+");
    add(IR_FADD, 2, 7, 0, 0, "hh+");
    add(IR_UNBOX, 4, 0, 0, 0, "f+");
    add(IR_UNBOX, 2, 0, 0, 0, "f+");
}

/* --- A case --- */

static uint64_t state;

static uint32_t any(uint32_t n)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % n;
}

static uint64_t memory[WORDS] __attribute__((aligned(4096)));
static struct ir_block block;
static uint16_t in_x[32], in_f[32]; /* the value that each register holds, or IR_NONE */
static uint16_t first_read[4];      /* the values that address_regs had */
static uint16_t made_x[64], made_f[64];
static unsigned n_made_x, n_made_f;

static uint16_t put(struct ir_insn i)
{
    block.insn[block.n] = i;
    return (uint16_t)block.n++;
}

static struct ir_insn insn(unsigned op, unsigned size)
{
    return (struct ir_insn){
        .op = (uint8_t)op, .size = (uint8_t)size, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE};
}

/* Registers whose homes are pinned, and others; a1 and t3 hold addresses. */
static const uint8_t regs[] = {8, 9, 10, 12, 13, 15, 5, 6, 18, 19, 29, 30};
static const uint8_t address_regs[] = {11, 28, 14, 31};
static const uint8_t float_regs[] = {0, 1, 8, 10, 11, 15, 4, 5, 18, 28};

static uint16_t get_x(unsigned r)
{
    if (in_x[r] != IR_NONE)
        return in_x[r];
    struct ir_insn i = insn(IR_GETX, 8);
    i.reg = (uint8_t)r;
    return in_x[r] = put(i);
}

static uint16_t get_f(unsigned r)
{
    if (in_f[r] != IR_NONE)
        return in_f[r];
    struct ir_insn i = insn(IR_GETF, 8);
    i.reg = (uint8_t)r;
    return in_f[r] = put(i);
}

static void set(unsigned r, uint16_t v, bool is_float)
{
    struct ir_insn i = insn(is_float ? IR_SETF : IR_SETX, 8);
    i.reg = (uint8_t)r;
    i.a = v;
    put(i);
    (is_float ? in_f : in_x)[r] = v;
}

static uint16_t binary(unsigned op, uint16_t a, uint16_t b, int64_t imm)
{
    struct ir_insn i = insn(op, 8);
    i.a = a;
    i.b = b;
    i.imm = imm;
    return put(i);
}

static uint16_t constant(uint64_t v)
{
    struct ir_insn i = insn(IR_CONST, 8);
    i.imm = (int64_t)v;
    return put(i);
}

static void remember(uint16_t v, bool is_float)
{
    unsigned *n = is_float ? &n_made_f : &n_made_x;
    if (*n < 64)
        (is_float ? made_f : made_x)[(*n)++] = v;
}

static uint64_t number(void)
{
    static const uint64_t special[] = {0, 1, UINT64_MAX, 0x7fffffff, 0x80000000, INT64_MAX, 7};
    uint64_t bits = (uint64_t)any(UINT32_MAX) << 32 | any(UINT32_MAX);
    return any(2) ? special[any(7)] : any(2) ? bits : bits >> 45;
}

/* A value in a temporary, or by pressure in a slot. */
static void make(bool is_float)
{
    uint16_t v;
    if (is_float) {
        struct ir_insn i = insn(IR_FSGNJ, 8);
        i.reg = SGNJX;
        i.a = get_f(float_regs[any(sizeof float_regs)]);
        i.b = get_f(float_regs[any(sizeof float_regs)]);
        v = put(i);
    } else {
        v = binary(any(2) ? IR_ADD : IR_XOR, get_x(regs[any(sizeof regs)]), IR_NONE,
                   (int64_t)any(1000) - 500);
    }
    remember(v, is_float);
}

/* 16-byte aligned, so that atomics do not trap; within `memory` whatever is added. */
static uint16_t operand_address(void)
{
    unsigned k = any(sizeof address_regs), r = address_regs[k], how = any(4);
    if (first_read[k] == IR_NONE && in_x[r] == IR_NONE)
        first_read[k] = get_x(r);
    uint16_t base = first_read[k]; /* the address, whatever the register holds by now */
    if (how == 1 || base == IR_NONE)
        return constant((uint64_t)(uintptr_t)memory + 16 * any(32));
    return how ? base : binary(IR_ADD, base, IR_NONE, 16 * any(8));
}

static uint16_t read_dest(unsigned dest)
{
    bool unread = in_x[dest] == IR_NONE;
    uint16_t v = get_x(dest);
    for (unsigned k = 0; k < sizeof address_regs; k++)
        if (unread && address_regs[k] == dest)
            first_read[k] = v;
    return v;
}

static uint16_t operand_x(unsigned dest)
{
    switch (any(6)) {
    case 0: return read_dest(dest);
    case 1: return get_x(regs[any(sizeof regs)]);
    case 2: return constant(number());
    case 3: return operand_address();
    default: return n_made_x ? made_x[any(n_made_x)] : get_x(regs[any(sizeof regs)]);
    }
}

static uint16_t operand_f(unsigned dest, unsigned size)
{
    uint16_t v = any(4) == 0               ? get_f(dest)
                 : any(2) && n_made_f != 0 ? made_f[any(n_made_f)]
                                           : get_f(float_regs[any(sizeof float_regs)]);
    if (size == 8)
        return v;
    struct ir_insn i = insn(IR_UNBOX, size);
    i.a = v;
    return put(i);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    return (a ^ b << 7) * 3 + (b >> 60);
}

static void test_operation(const struct operation *o)
{
    struct ir_insn i = insn(o->op, o->size);
    uint16_t *to[] = {&i.a, &i.b, &i.c};
    unsigned n = 0;
    unsigned dest = any(3) ? regs[any(sizeof regs)] : address_regs[any(sizeof address_regs)];
    unsigned dest_f = float_regs[any(sizeof float_regs)];
    const char *k = o->operands;
    i.cond = o->cond;
    i.reg = o->reg;
    i.flags = o->flags;
    for (; *k && *k != '+'; k++, n++) {
        bool again = n && k[-1] == *k && any(5) == 0;
        if (again)
            *to[n] = *to[n - 1];
        else if (*k == 'm')
            *to[n] = operand_address();
        else if (*k == 'i' && any(3) == 0)
            i.imm = (int32_t)number();
        else if (*k == 'x' || *k == 'i')
            *to[n] = operand_x(dest);
        else
            *to[n] = operand_f(dest_f, *k == 's' ? 4 : *k == 'h' ? 2 : 8);
    }
    switch (o->op) {
    case IR_LOAD:
    case IR_STORE:
    case IR_LOADF:
    case IR_STOREF: i.imm = any(4) ? any(64) : 0; break;
    case IR_PURE: i.imm = (int64_t)(uintptr_t)mix; break;
    case IR_GETS:
    case IR_SETS: i.imm = PLAIN; break;
    case IR_BR: i.imm = any(2) ? 0x1800 : 0x5000; break;
    case IR_POLL: i.imm = 0x1800; break;
    case IR_FENCE: i.imm = 0xff; break;
    case IR_SYSTEM: i.imm = 0xc0002573; break;
    default: break;
    }
    uint16_t v = put(i);
    if (*k != '+')
        return;
    bool is_float = ir_is_float(&i);
    if (any(8)) {
        for (unsigned gap = any(3) ? 0 : any(7); gap > 0; gap--)
            make(any(3) == 0);
        set(is_float ? dest_f : dest, v, is_float);
    }
    if (any(3) == 0)
        remember(v, is_float);
}

static void build(const struct operation *o)
{
    block = (struct ir_block){.pc = PC, .page = PC, .page2 = UINT64_MAX, .n_guest = 1};
    block.guest_pc[0] = PC;
    block.guest_len[0] = 4;
    memset(in_x, 0xff, sizeof in_x);
    memset(in_f, 0xff, sizeof in_f);
    memset(first_read, 0xff, sizeof first_read);
    n_made_x = n_made_f = 0;
    unsigned pressure = any(8) ? any(8) : any(45);
    for (unsigned k = 0; k < pressure; k++)
        make(any(4) == 0);
    if (any(4) == 0)
        test_operation(&operations[any(n_operations)]);
    test_operation(o);
    if (any(3) == 0)
        test_operation(&operations[any(n_operations)]);
    uint16_t sum = get_x(regs[0]);
    for (unsigned k = 0; k < n_made_x; k++)
        if (any(4))
            sum = binary(IR_XOR, sum, made_x[k], 0);
    set(regs[any(sizeof regs)], sum, false);
    for (unsigned k = 0; k < n_made_f && k < sizeof float_regs; k++)
        set(float_regs[k], made_f[n_made_f - 1 - k], true);
    struct ir_insn jump = insn(IR_JUMP, 8);
    jump.imm = 0x1400;
    put(jump);
    ir_check(&block, false);
    ir_optimize(&block);
    ir_check(&block, true);
}

/* --- Running it --- */

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    *value = 0;
    memcpy(value, (const void *)(uintptr_t)va, size);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    memcpy((void *)(uintptr_t)va, &value, size);
    return true;
}

static void *atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    return (void *)(uintptr_t)va;
}

static enum step on_system(struct cpu *cpu, uint32_t insn_bits)
{
    return STEP_NEXT;
}

static const struct engine_ops ops = {
    .load = load, .store = store, .atomic = atomic, .system = on_system};
static struct tlb tlb;
static struct jump_cache jumps;

static struct setting {
    const char *name;
    bool paged, parallel;
    unsigned host;
    struct engine *e;
    struct cpu cpu;
} settings[] = {{.name = "flat", .host = HOST_ALL},
                {.name = "paged", .paged = true, .host = HOST_ALL},
                {.name = "first x86-64", .host = 0},
                {.name = "first x86-64, paged", .paged = true, .host = 0},
                {.name = "parallel", .parallel = true, .host = HOST_ALL}};
#define SETTINGS (sizeof settings / sizeof *settings)

static void start(void)
{
    ERROR_CLEANUP err = NULL;
    for (unsigned k = 0; k < SETTINGS; k++) {
        struct setting *s = &settings[k];
        struct engine_config config = {.ops = &ops, .paged = s->paged, .code_bytes = 1 << 20};
        s->e = engine_new(&config, &err);
        if (!s->e || engine_attach(s->e, &s->cpu, &err) < 0) {
            printf("not ok - states: %s\n", error_text(err));
            exit(1);
        }
        s->e->host &= s->host;
        s->e->checked = true;
        if (s->parallel)
            engine_set_parallel(s->e);
    }
    tlb_flush(&tlb);
    jump_cache_flush(&jumps);
}

struct outcome {
    uint64_t x[32], f[32], pc, plain, res_addr, res_value, memory[WORDS];
    unsigned fflags;
};

static void take(struct cpu *cpu, struct outcome *out)
{
    fp_fold_flags(cpu);
    memcpy(out->x, cpu->x, sizeof out->x);
    memcpy(out->f, cpu->f, sizeof out->f);
    memcpy(out->memory, memory, sizeof memory);
    memcpy(&out->plain, (char *)cpu + PLAIN, 8);
    out->pc = cpu->pc;
    out->res_addr = cpu->res_addr;
    out->res_value = out->res_addr == UINT64_MAX ? 0 : cpu->res_value;
    out->fflags = cpu->fflags;
}

static void give(struct cpu *cpu, const struct outcome *in)
{
    memcpy(cpu->x, in->x, sizeof in->x);
    memcpy(cpu->f, in->f, sizeof in->f);
    memcpy(memory, in->memory, sizeof memory);
    memcpy((char *)cpu + PLAIN, &in->plain, 8);
    cpu->pc = PC;
    cpu->res_addr = in->res_addr;
    cpu->res_value = in->res_value;
    cpu->fflags = (uint8_t)in->fflags;
    cpu->frm = 0;
    cpu->mode = 0;
    engine_fp_changed(cpu);
}

static void initial(struct outcome *in)
{
    memset(in, 0, sizeof *in);
    for (unsigned k = 1; k < 32; k++)
        in->x[k] = number();
    for (unsigned k = 0; k < sizeof address_regs; k++)
        in->x[address_regs[k]] = (uint64_t)(uintptr_t)memory + 1024 + 16 * any(32);
    for (unsigned k = 0; k < 32; k++) {
        float single = (float)(int32_t)any(UINT32_MAX) / 1024;
        double wide = (double)(int64_t)number() / 3;
        uint32_t bits;
        memcpy(&bits, &single, 4);
        memcpy(&in->f[k], &wide, 8);
        if (any(2))
            in->f[k] = 0xffffffff00000000 | (any(4) ? bits : any(2) ? 0x7f800001 : 0x7fc00000);
        else if (any(4) == 0)
            in->f[k] = any(2) ? UINT64_C(0x7ff0000000000001) : number();
    }
    for (unsigned k = 0; k < WORDS; k++)
        in->memory[k] = number();
    in->plain = number();
    in->res_addr = any(2) ? UINT64_MAX : in->x[address_regs[any(sizeof address_regs)]];
    if (in->res_addr != UINT64_MAX && any(4))
        in->res_value = in->memory[(in->res_addr - (uint64_t)(uintptr_t)memory) / 8];
}

/* false: the block is too much for the emitter, which is no fault. */
static bool translated(struct setting *s, const struct outcome *in, struct outcome *out)
{
    struct engine *e = s->e;
    struct cpu *cpu = &s->cpu;
    struct block b = {0};
    e->cache.used = e->cache.kept;
    if (emit_block(e, &block) != EMIT_DONE)
        return false;
    emit_place(e, &b);
    tlb_flush(&tlb);
    if (any(2)) {
        tlb_fill(tlb.load, (uint64_t)(uintptr_t)memory, memory);
        tlb_fill(tlb.store, (uint64_t)(uintptr_t)memory, memory);
    }
    engine_set_context(cpu, s->paged ? &tlb : NULL, &jumps);
    give(cpu, in);
    shadow_arm(cpu);
    enum leave (*go)(struct cpu *, const uint8_t *) =
        (enum leave(*)(struct cpu *, const uint8_t *))(uintptr_t)e->stubs.enter;
    if (go(cpu, b.code) == LEAVE_LINK)
        cpu->pc = blocks_link(&e->blocks, (uint32_t)cpu->p.exit_arg)->target;
    take(cpu, out);
    e->blocks.n_links = 0;
    return true;
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void show(const struct setting *s, uint64_t seed, const struct outcome *a,
                 const struct outcome *b)
{
    printf("# seed %" PRIu64 ", %s, translated/interpreted:", seed, s->name);
    for (unsigned r = 0; r < 32; r++) {
        if (a->x[r] != b->x[r])
            printf(" x%u %" PRIx64 "/%" PRIx64, r, a->x[r], b->x[r]);
        if (a->f[r] != b->f[r])
            printf(" f%u %" PRIx64 "/%" PRIx64, r, a->f[r], b->f[r]);
    }
    printf(" pc %" PRIx64 "/%" PRIx64 " fflags %x/%x reservation %" PRIx64 "/%" PRIx64 "%s\n",
           a->pc, b->pc, a->fflags, b->fflags, a->res_addr, b->res_addr,
           memcmp(a->memory, b->memory, sizeof memory) ? " memory" : "");
    ir_print(stdout, &block);
}

int main(int argc, char **argv)
{
    static struct outcome in, got, want;
    unsigned cases = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 500;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, ran = 0, differ = 0;
    list_integer();
    list_memory();
    list_float();
    start();
    for (unsigned o = 0; o < n_operations; o++) {
        for (uint64_t seed = first; seed < first + cases; seed++) {
            state = seed * 1000 + o;
            build(&operations[o]);
            initial(&in);
            struct setting *s = &settings[seed % SETTINGS];
            if (!translated(s, &in, &got))
                continue;
            ran++;
            give(&s->cpu, &in);
            ir_interpret(&s->cpu, &block);
            take(&s->cpu, &want);
            if (!same(&got, &want) && differ++ < 3)
                show(s, seed, &got, &want);
        }
    }
    for (unsigned k = 0; k < SETTINGS; k++) {
        engine_detach(&settings[k].cpu);
        engine_free(settings[k].e);
    }
    printf("%s - %u operations in %" PRIu64 " states of the allocator%s\n",
           differ || ran < n_operations ? "not ok" : "ok", n_operations, ran,
           differ ? ": some differ" : "");
    return differ || ran < n_operations;
}
