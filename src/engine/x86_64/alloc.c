/* Where values are: local register allocation, forward through the block.
 *
 * A value made by GET is just its guest register's home until it is used. A value that is SET right
 * after it is made is computed straight into the pinned register. When a home is overwritten,
 * values still needed move elsewhere first. */
#include <assert.h>

#include "engine/x86_64/emit.h"

static struct mem slot_mem(int slot)
{
    return mem_at(RBP, (int32_t)(offsetof(struct cpu, p.spill) + 8 * (size_t)slot) - CPU_BIAS);
}

static bool is_float(const struct emit *m, unsigned v)
{
    return ir_is_float(&m->ir->insn[v]);
}

static void movsd_load(struct emit *m, unsigned x, struct mem from)
{
    op_rm_full(&m->a, 0xf2, false, 0x0f10, x, from, false);
}

static void movsd_store(struct emit *m, struct mem to, unsigned x)
{
    op_rm_full(&m->a, 0xf2, false, 0x0f11, x, to, false);
}

static void movaps(struct emit *m, unsigned d, unsigned s)
{
    if (d != s)
        op_rr(&m->a, false, 0x0f28, d, s);
}

bool value_is_const(const struct emit *m, unsigned v, int64_t *out)
{
    if (m->ir->insn[v].op != IR_CONST)
        return false;
    *out = m->ir->insn[v].imm;
    return true;
}

static int take_slot(struct emit *m)
{
    for (int s = 0; s < VALUE_SLOTS; s++) {
        if (!(m->slots >> s & 1)) {
            m->slots |= 1ull << s;
            return s;
        }
    }
    m->cut = true; /* the block is lifted again, shorter */
    return 0;
}

static void release(struct emit *m, unsigned v)
{
    struct value *p = &m->v[v];
    /* The slot is free from the next instruction on: this one may read it as an operand after it
     * has spilled another value. */
    if (p->slot >= 0)
        m->dying_slots |= 1ull << p->slot;
    p->slot = -1;
    if (p->reg >= 0) {
        int16_t *owner = is_float(m, v) ? m->owner_f : m->owner;
        if (owner[p->reg] == (int16_t)v)
            owner[p->reg] = -1;
        p->reg = -1;
    }
}

/* Writes the value of a temporary to a slot, unless it is somewhere else as well. */
static void spill(struct emit *m, unsigned v)
{
    struct value *p = &m->v[v];
    bool fp = is_float(m, v);
    if (p->home < 0 && p->slot < 0 && m->ir->insn[v].op != IR_CONST) {
        p->slot = (int8_t)take_slot(m);
        if (fp)
            movsd_store(m, slot_mem(p->slot), (unsigned)p->reg);
        else
            store64(&m->a, slot_mem(p->slot), (enum reg)p->reg);
    }
    (fp ? m->owner_f : m->owner)[p->reg] = -1;
    p->reg = -1;
}

/* A free register of mask; else one whose value costs least to lose; -1: all are locked. */
static int pick_any(struct emit *m, uint32_t mask, uint32_t locked, int16_t *owner)
{
    int victim = -1;
    for (int r = 0; r < 16; r++) {
        if (!(mask >> r & 1) || (locked >> r & 1))
            continue;
        if (owner[r] < 0)
            return r;
        const struct value *p = &m->v[owner[r]];
        bool cheap = p->home >= 0 || p->slot >= 0;
        if (victim < 0 || cheap)
            victim = r;
    }
    if (victim >= 0)
        spill(m, (unsigned)owner[victim]);
    return victim;
}

/* The same for what an instruction itself needs. No emitter function locks more registers than
 * there are, whatever its operands. */
static int pick(struct emit *m, uint32_t mask, uint32_t locked, int16_t *owner)
{
    int r = pick_any(m, mask, locked, owner);
    assert(r >= 0);
    return r;
}

enum reg scratch(struct emit *m)
{
    int r = pick(m, TEMP_MASK, m->locked, m->owner);
    m->locked |= 1u << r;
    return (enum reg)r;
}

unsigned scratch_xmm(struct emit *m)
{
    int r = pick(m, (1u << TEMP_XMMS) - 1, m->locked_f, m->owner_f);
    m->locked_f |= 1u << r;
    return (unsigned)r;
}

enum reg scratch_this(struct emit *m, enum reg r)
{
    assert(!(m->locked >> r & 1)); /* an operand there was read too early */
    if (m->owner[r] >= 0) {
        unsigned v = (unsigned)m->owner[r];
        struct value *p = &m->v[v];
        uint32_t free = TEMP_MASK & ~m->locked & ~(1u << r);
        int to = -1;
        for (int i = 0; i < 16; i++)
            if ((free >> i & 1) && m->owner[i] < 0)
                to = i;
        if (to >= 0 && p->home < 0 && p->slot < 0) {
            mov_rr(&m->a, (enum reg)to, r);
            m->owner[to] = (int16_t)v;
            m->owner[r] = -1;
            p->reg = (int8_t)to;
        } else {
            spill(m, v);
        }
    }
    m->locked |= 1u << r;
    return r;
}

void unlock(struct emit *m, enum reg r)
{
    m->locked &= ~(1u << r);
    m->dying &= ~(1u << r);
}

static void count_use(struct emit *m, unsigned v)
{
    if (--m->v[v].uses)
        return;
    struct value *p = &m->v[v];
    if (p->reg >= 0 && !is_float(m, v) && (TEMP_MASK >> p->reg & 1)) {
        m->dying |= 1u << p->reg;
        m->locked |= 1u << p->reg;
    } else if (p->reg >= 0 && is_float(m, v) && p->reg < (int)TEMP_XMMS) {
        m->dying_f |= 1u << p->reg;
        m->locked_f |= 1u << p->reg;
    }
    release(m, v);
}

void use_nothing(struct emit *m, unsigned v)
{
    count_use(m, v);
}

enum reg use_reg(struct emit *m, unsigned v)
{
    struct value *p = &m->v[v];
    int64_t c;
    int r = p->reg;
    if (r < 0 && p->home >= 0 && pinned_x((unsigned)p->home) >= 0)
        r = pinned_x((unsigned)p->home);
    if (r < 0) {
        r = (int)scratch(m);
        if (value_is_const(m, v, &c))
            mov_value(m, (enum reg)r, v);
        else if (p->home >= 0)
            load64(&m->a, (enum reg)r, CPU_X(p->home));
        else
            load64(&m->a, (enum reg)r, slot_mem(p->slot));
        p->reg = (int8_t)r;
        m->owner[r] = (int16_t)v;
    }
    m->locked |= 1u << r;
    count_use(m, v);
    return (enum reg)r;
}

unsigned use_xmm(struct emit *m, unsigned v)
{
    struct value *p = &m->v[v];
    int r = p->reg;
    if (r < 0 && p->home >= 0 && pinned_f((unsigned)p->home) >= 0)
        r = pinned_f((unsigned)p->home);
    if (r < 0) {
        r = (int)scratch_xmm(m);
        movsd_load(m, (unsigned)r, p->home >= 0 ? CPU_F(p->home) : slot_mem(p->slot));
        p->reg = (int8_t)r;
        m->owner_f[r] = (int16_t)v;
    }
    m->locked_f |= 1u << r;
    count_use(m, v);
    return (unsigned)r;
}

bool use_mem(struct emit *m, unsigned v, struct mem *out)
{
    const struct value *p = &m->v[v];
    if (p->reg >= 0 || m->ir->insn[v].op == IR_CONST || p->uses > 1)
        return false;
    if (p->home >= 0 && pinned_x((unsigned)p->home) >= 0)
        return false;
    *out = p->home >= 0 ? CPU_X(p->home) : slot_mem(p->slot);
    count_use(m, v);
    return true;
}

/* Another guest register that holds v, or -1. */
static int other_home(const struct emit *m, unsigned v, unsigned g)
{
    const uint16_t *cur = is_float(m, v) ? m->cur_f : m->cur_x;
    for (unsigned i = 0; i < 32; i++)
        if (i != g && cur[i] == v)
            return (int)i;
    return -1;
}

/* The value of a home that is about to be overwritten goes to a temporary, or, when the current
 * instruction has locked all of them, to a slot. */
static void move_out(struct emit *m, unsigned g, unsigned v)
{
    struct value *p = &m->v[v];
    int from = pinned_x(g), r = pick_any(m, TEMP_MASK, m->locked, m->owner);
    if (r >= 0) {
        m->locked |= 1u << r;
        if (from >= 0)
            mov_rr(&m->a, (enum reg)r, (enum reg)from);
        else
            load64(&m->a, (enum reg)r, CPU_X(g));
        p->reg = (int8_t)r;
        m->owner[r] = (int16_t)v;
        return;
    }
    assert(from >= 0); /* those without a pinned register are left by get_home and set_home only */
    p->slot = (int8_t)take_slot(m);
    store64(&m->a, slot_mem(p->slot), (enum reg)from);
}

static void move_out_float(struct emit *m, unsigned g, unsigned v)
{
    struct value *p = &m->v[v];
    int from = pinned_f(g), r = pick_any(m, (1u << TEMP_XMMS) - 1, m->locked_f, m->owner_f);
    if (r >= 0) {
        m->locked_f |= 1u << r;
        if (from >= 0)
            movaps(m, (unsigned)r, (unsigned)from);
        else
            movsd_load(m, (unsigned)r, CPU_F(g));
        p->reg = (int8_t)r;
        m->owner_f[r] = (int16_t)v;
        return;
    }
    assert(from >= 0);
    p->slot = (int8_t)take_slot(m);
    movsd_store(m, slot_mem(p->slot), (unsigned)from);
}

/* Guest register g is about to be overwritten: a value that lives only there moves. */
static void leave_home(struct emit *m, unsigned g, bool fp)
{
    uint16_t v = fp ? m->cur_f[g] : m->cur_x[g];
    if (v == IR_NONE)
        return;
    (fp ? m->cur_f : m->cur_x)[g] = IR_NONE;
    struct value *p = &m->v[v];
    if (p->home != (int)g)
        return;
    p->home = (int8_t)other_home(m, v, g);
    if (p->home >= 0 || !p->uses || p->reg >= 0 || p->slot >= 0 || m->ir->insn[v].op == IR_CONST)
        return;
    if (fp)
        move_out_float(m, g, v);
    else
        move_out(m, g, v);
}

/* The pinned register that value i is SET to next, unless it is one of `avoid`; -1: none. */
static int take_hint(struct emit *m, unsigned i, uint32_t avoid)
{
    struct value *p = &m->v[i];
    int r = p->hint < 0 ? -1 : pinned_x((unsigned)p->hint);
    if (r < 0 || (avoid >> r & 1))
        return -1;
    leave_home(m, (unsigned)p->hint, false);
    p->reg = (int8_t)r;
    return r;
}

enum reg def_reg_not(struct emit *m, unsigned i, uint32_t avoid)
{
    int r = take_hint(m, i, avoid);
    if (r >= 0)
        return (enum reg)r;
    uint32_t reuse = m->dying & ~avoid;
    for (r = 0; r < 16; r++)
        if ((reuse >> r & 1) && m->owner[r] < 0)
            break;
    if (r == 16)
        r = pick(m, TEMP_MASK, m->locked | avoid, m->owner);
    m->locked |= 1u << r;
    m->v[i].reg = (int8_t)r;
    m->owner[r] = (int16_t)i;
    return (enum reg)r;
}

enum reg def_reg_from(struct emit *m, unsigned i, enum reg from)
{
    assert((m->locked >> from & 1) && m->owner[from] < 0);
    int r = take_hint(m, i, 0);
    if (r >= 0)
        return (enum reg)r;
    m->v[i].reg = (int8_t)from;
    m->owner[from] = (int16_t)i;
    return from;
}

enum reg def_reg(struct emit *m, unsigned i)
{
    return def_reg_not(m, i, 0);
}

unsigned def_xmm(struct emit *m, unsigned i, uint32_t avoid)
{
    struct value *p = &m->v[i];
    if (p->hint >= 0 && pinned_f((unsigned)p->hint) >= 0) {
        unsigned r = (unsigned)pinned_f((unsigned)p->hint);
        if (!(avoid >> r & 1)) {
            leave_home(m, (unsigned)p->hint, true);
            p->reg = (int8_t)r;
            return r;
        }
    }
    uint32_t reuse = m->dying_f & ~avoid;
    for (int r = 0; r < (int)TEMP_XMMS; r++) {
        if ((reuse >> r & 1) && m->owner_f[r] < 0) {
            p->reg = (int8_t)r;
            m->owner_f[r] = (int16_t)i;
            return (unsigned)r;
        }
    }
    int r = pick(m, (1u << TEMP_XMMS) - 1, m->locked_f | avoid, m->owner_f);
    m->locked_f |= 1u << r;
    p->reg = (int8_t)r;
    m->owner_f[r] = (int16_t)i;
    return (unsigned)r;
}

void end_insn(struct emit *m)
{
    /* a value that nothing uses, such as the old value of an amo */
    struct value *p = &m->v[m->pc_index];
    if (ir_has_value(&m->ir->insn[m->pc_index]) && !p->uses)
        release(m, m->pc_index);
    m->locked = m->locked_f = 0;
    m->dying = m->dying_f = 0;
    m->slots &= ~m->dying_slots;
    m->dying_slots = 0;
}

void get_home(struct emit *m, unsigned g, unsigned v, bool fp)
{
    uint16_t *cur = fp ? m->cur_f : m->cur_x;
    leave_home(m, g, fp);
    cur[g] = (uint16_t)v;
    m->v[v].home = (int8_t)g;
}

static void store_const(struct emit *m, unsigned g, unsigned v, int64_t c)
{
    if (pinned_x(g) >= 0) {
        mov_value(m, (enum reg)pinned_x(g), v);
    } else if (fits32(c)) {
        store64_imm(&m->a, CPU_X(g), (int32_t)c);
    } else {
        enum reg r = scratch(m);
        mov_value(m, r, v);
        store64(&m->a, CPU_X(g), r);
    }
}

void set_home(struct emit *m, unsigned g, unsigned v, bool fp)
{
    struct value *p = &m->v[v];
    int pinned = fp ? pinned_f(g) : pinned_x(g);
    int64_t c;
    uint16_t *cur = fp ? m->cur_f : m->cur_x;
    if (p->reg >= 0 && p->reg == pinned) { /* made right there */
        p->reg = -1;
        cur[g] = (uint16_t)v;
        p->home = (int8_t)g;
        count_use(m, v);
        return;
    }
    if (cur[g] == v && p->home == (int)g) {
        count_use(m, v);
        return;
    }
    if (!fp && p->reg < 0 && value_is_const(m, v, &c)) {
        leave_home(m, g, false);
        store_const(m, g, v, c);
        count_use(m, v);
        return;
    }
    if (fp) {
        unsigned r = use_xmm(m, v);
        leave_home(m, g, true);
        if (pinned >= 0)
            movaps(m, (unsigned)pinned, r);
        else
            movsd_store(m, CPU_F(g), r);
    } else {
        enum reg r = use_reg(m, v);
        leave_home(m, g, false);
        if (pinned >= 0)
            mov_rr(&m->a, (enum reg)pinned, r);
        else
            store64(&m->a, CPU_X(g), r);
    }
    cur[g] = (uint16_t)v;
    if (p->home < 0) {
        p->home = (int8_t)g;
        /* a pinned home serves as well as the temporary, which is free then */
        if (pinned >= 0 && p->reg >= 0)
            release(m, v);
    }
}

static void save(struct emit *m, unsigned v)
{
    struct value *p = &m->v[v];
    bool fp = is_float(m, v);
    if (p->slot < 0 && m->ir->insn[v].op != IR_CONST) {
        p->slot = (int8_t)take_slot(m);
        int r = p->reg >= 0 ? p->reg
                : fp        ? pinned_f((unsigned)p->home)
                            : pinned_x((unsigned)p->home);
        if (r >= 0 && fp) {
            movsd_store(m, slot_mem(p->slot), (unsigned)r);
        } else if (r >= 0) {
            store64(&m->a, slot_mem(p->slot), (enum reg)r);
        } else {
            enum reg t = scratch(m);
            load64(&m->a, t, fp ? CPU_F(p->home) : CPU_X(p->home));
            store64(&m->a, slot_mem(p->slot), t);
            m->locked &= ~(1u << t);
        }
    }
    if (p->reg >= 0)
        (fp ? m->owner_f : m->owner)[p->reg] = -1;
    p->home = p->reg = -1;
}

void save_all(struct emit *m)
{
    for (unsigned v = 0; v < m->pc_index; v++) {
        const struct value *p = &m->v[v];
        if (ir_has_value(&m->ir->insn[v]) && p->uses && (p->reg >= 0 || p->home >= 0))
            save(m, v);
    }
    for (unsigned g = 0; g < 32; g++)
        m->cur_x[g] = m->cur_f[g] = IR_NONE;
}

uint32_t live_temps(const struct emit *m)
{
    uint32_t mask = 0;
    for (int r = 0; r < 16; r++)
        if ((TEMP_MASK >> r & 1) && m->owner[r] >= 0)
            mask |= 1u << r;
    for (int r = 0; r < (int)TEMP_XMMS; r++)
        if (m->owner_f[r] >= 0)
            mask |= 1u << (16 + r);
    return mask;
}

void load_argument(struct emit *m, enum reg r, unsigned v)
{
    int64_t c;
    if (value_is_const(m, v, &c))
        mov_value(m, r, v);
    else
        load64(&m->a, r, slot_mem(m->v[v].slot));
    count_use(m, v);
}
