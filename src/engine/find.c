/* Finding the translation of what a cpu is at; making it when there is none. */
#include <assert.h>
#include <string.h>

#include "engine/internal.h"
#include "engine/reuse.h"

/* Memory for blocks' descriptions, of which real programs need 2 to 3 times as much as for code. */
#define TABLE_BYTES(cache_size) (4 * (cache_size) + ((size_t)4 << 20))
#define BLOCKS_LIMIT            4096 /* interpreter: blocks kept; each holds its whole IR */

/* false: the instruction cannot be fetched; cpu->trap is set. */
static bool locate(struct cpu *cpu, struct place *out)
{
    struct code_span span;
    uint64_t pc = cpu->pc;
    if (!cpu->ops->fetch(cpu, pc, &span))
        return false;
    *out = (struct place){.key = {pc, span.page, NO_PAGE, cpu->mode},
                          .host = span.bytes - (pc & 0xfff),
                          .len = span.len};
    if (!cpu->engine->config.paged || !lift_straddles(pc, &span))
        return true;
    if (!cpu->ops->fetch(cpu, pc + 2, &span))
        return false;
    out->key.page2 = span.page;
    out->host2 = span.bytes;
    return true;
}

static void trace_block(struct engine *e, const struct ir_block *ir, const struct block *b)
{
    FILE *f = e->config.trace;
    ir_print(f, ir);
    if (b->code) {
        fprintf(f, "  host code at 0x%zx:", (size_t)(b->code - e->cache.rx));
        for (uint32_t i = 0; i < b->code_len; i++)
            fprintf(f, "%s%02x", i % 32 ? " " : "\n   ", b->code[i]);
        fputc('\n', f);
    }
    fflush(f);
}

static struct found found_block(const struct block *b)
{
    return (struct found){.what = FOUND, .code = b->code, .ir = b->ir, .page = b->page};
}

/* Says to the wall that code on its pages is about to be translated: before its bytes are read, so
 * that no write in between goes unnoticed. */
static void announce(struct cpu *cpu, const struct place *at)
{
    if (!cpu->ops->code_page)
        return;
    cpu->ops->code_page(cpu, at->key.page);
    if (at->key.page2 != NO_PAGE)
        cpu->ops->code_page(cpu, at->key.page2);
}

/* Lifts the block at `at` into cpu->p.ir. AGAIN: its pages have become others meanwhile. */
static enum found_what lift(struct cpu *cpu, const struct place *at, unsigned insns)
{
    struct ir_block *ir = cpu->p.ir;
    bool paged = cpu->engine->config.paged;
    announce(cpu, at); /* each time: a write may have ended what the last one said */
    if (!lift_short_block(cpu, paged, insns, ir))
        return TRAPPED;
    return ir->page == at->key.page && ir->page2 == at->key.page2 ? FOUND : AGAIN;
}

static void count_block(struct engine *e, const struct ir_block *ir, const struct block *b)
{
    if (!ir) {
        e->stats.reused++;
        return;
    }
    e->stats.blocks++;
    e->stats.guest_insns += ir->n_guest;
    e->stats.guest_bytes += ir->n_bytes;
    e->stats.host_bytes += b->code_len;
    if (e->config.trace)
        trace_block(e, ir, b);
}

static bool table_is_full(const struct engine *e)
{
    return e->config.interpret
               ? e->blocks.n >= BLOCKS_LIMIT
               : e->blocks.n && blocks_bytes(&e->blocks) > TABLE_BYTES(e->cache.size);
}

/* Takes a block out of use that has just been added. */
static struct found give_up(struct engine *e, struct block *b)
{
    blocks_make_stale(&e->blocks, b);
    if (b->code)
        emit_redirect(e, b, NULL);
    return (struct found){.what = AGAIN};
}

/* Whoever drops translations, as for fence.i, finds those that are there: not one that was lifted
 * before and is added after it. That one is compared now, or, where its memory may have gone, is
 * void. The lock is held. */
static bool is_void(const struct engine *e, const struct block *b, const struct place *at)
{
    return at->drops.all != e->drops.all ||
           (at->drops.changed != e->drops.changed && !block_unchanged(b, e->config.ops->copy_code));
}

/* Whether there may be a block that was not when this one was looked for. The lock is held. */
static bool others_added(const struct engine *e, const struct place *at)
{
    return e->blocks.n != at->n_blocks || atomic_load(&e->generation) != at->generation;
}

/* What a block is made of: ir, or a record of the same that was kept. */
struct making {
    const struct ir_block *ir;
    const struct record *record;
    const struct record_parts *parts;
    const struct block_source *source;
};

/* Makes a block. The lock is held. */
static struct found add_block(struct cpu *cpu, const struct making *from, const struct place *at)
{
    struct engine *e = cpu->engine;
    struct block *b = others_added(e, at) ? blocks_find(&e->blocks, &at->key, false) : NULL;
    if (b)
        return found_block(b); /* another hart was faster */
    if (from->record && at->parallel != e->parallel)
        return (struct found){.what = AGAIN};
    enum emitted emitted = e->config.interpret ? EMIT_DONE
                           : from->ir          ? emit_block(e, from->ir)
                                      : emit_record(e, from->record, from->parts, at->key.pc);
    bool empty = e->cache.used == e->cache.kept;
    if (emitted == EMIT_CUT || (emitted == EMIT_FULL && empty))
        return (struct found){.what = TOO_LONG};
    if (emitted == EMIT_FULL || table_is_full(e)) {
        engine_flush_locked(e, cpu);
        return (struct found){.what = AGAIN};
    }
    struct block *old = blocks_find(&e->blocks, &at->key, true);
    bool again = false;
    b = blocks_add(&e->blocks, &at->key, from->source);
    if (e->config.interpret) {
        b->ir = blocks_alloc(&e->blocks, sizeof *b->ir);
        memcpy(b->ir, from->ir, sizeof *b->ir);
    } else {
        emit_place(e, b);
        again = from->ir && at->parallel == e->parallel && reuse_keep(cpu, at, b, from->ir);
        if (old)
            emit_redirect(e, old, b->code);
    }
    if (old)
        blocks_forget(&e->blocks, old);
    count_block(e, from->ir, b);
    return again || is_void(e, b, at) ? give_up(e, b) : found_block(b);
}

static struct found add_locked(struct cpu *cpu, const struct making *from, const struct place *at)
{
    struct engine *e = cpu->engine;
    pthread_mutex_lock(&e->lock);
    struct found f = add_block(cpu, from, at);
    pthread_mutex_unlock(&e->lock);
    return f;
}

static struct found translate(struct cpu *cpu, const struct place *at)
{
    struct engine *e = cpu->engine;
    struct ir_block *ir = cpu->p.ir;
    struct found f = {.what = TOO_LONG};
    struct block_source source;
    for (unsigned insns = LIFT_MAX_INSNS; f.what == TOO_LONG; insns = ir->n_guest / 2) {
        f.what = lift(cpu, at, insns);
        if (f.what != FOUND)
            return f;
        if (e->checked)
            ir_check(ir, false);
        ir_optimize(ir);
        if (e->checked)
            ir_check(ir, true);
        blocks_source(ir, e->config.paged, at->host, at->host2, &source);
        f = add_locked(cpu, &(struct making){.ir = ir, .source = &source}, at);
        assert(f.what != TOO_LONG || ir->n_guest > 1);
    }
    return f;
}

/* A block from what is kept, else from the guest's code. */
static struct found make_block(struct cpu *cpu, struct place *at)
{
    struct block_source source;
    struct record_parts parts;
    if (cpu->p.record)
        announce(cpu, at);
    if (cpu->p.record && reuse_find(cpu, at, &source, &parts)) {
        struct found f = add_locked(
            cpu, &(struct making){.record = cpu->p.record, .parts = &parts, .source = &source}, at);
        if (f.what != TOO_LONG)
            return f;
    }
    return translate(cpu, at);
}

struct found find_block(struct cpu *cpu)
{
    struct engine *e = cpu->engine;
    struct place at;
    if (!locate(cpu, &at))
        return (struct found){.what = TRAPPED};
    struct found f = {.what = AGAIN};
    pthread_mutex_lock(&e->lock);
    e->stats.lookups++;
    at.drops = e->drops;
    at.n_blocks = e->blocks.n;
    at.parallel = e->parallel;
    at.generation = atomic_load(&e->generation);
    struct block *b = blocks_find(&e->blocks, &at.key, false);
    if (b) {
        e->stats.lookup_hits++;
        f = found_block(b);
    }
    pthread_mutex_unlock(&e->lock);
    return f.what == FOUND ? f : make_block(cpu, &at);
}
