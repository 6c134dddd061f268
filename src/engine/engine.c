/* Attaching cpus, and the loop that finds, makes and enters translated blocks. */
#include "engine/engine.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/jumps.h"
#include "engine/record.h"
#include "engine/store.h"

#define MXCSR_DEFAULT   0x1f80 /* all exceptions masked, round to nearest */
#define CACHE_BYTES     ((size_t)64 << 20)
#define CACHE_BYTES_MIN ((size_t)64 << 10) /* the stubs, and a block of one instruction */

struct engine *engine_new(const struct engine_config *config, struct error **err)
{
    struct engine *e = xcalloc(1, sizeof *e);
    e->config = *config;
    atomic_init(&e->generation, 1);
    pthread_mutex_init(&e->lock, NULL);
    if (!config->interpret) {
        size_t size = config->code_bytes ? config->code_bytes : CACHE_BYTES;
        if (size < CACHE_BYTES_MIN)
            size = CACHE_BYTES_MIN;
        if (code_cache_init(&e->cache, size, err) < 0) {
            engine_free(e);
            return NULL;
        }
        e->host = emit_host_features();
        emit_stubs(e);
    }
    return e;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    blocks_clear(&e->blocks);
    emit_free(e);
    code_cache_free(&e->cache);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

int engine_attach(struct engine *e, struct cpu *cpu, struct error **err)
{
    cpu->engine = e;
    cpu->ops = e->config.ops;
    cpu->res_addr = UINT64_MAX;
    cpu->p.ir = xcalloc(1, sizeof(struct ir_block));
    if (e->config.store && !e->config.interpret && !e->config.trace)
        cpu->p.record = xcalloc(1, RECORD_MAX);
    if (!cpu->jumps)
        cpu->jumps = &cpu->p.own_jumps;
    if (shadow_init(cpu, err) < 0) {
        free(cpu->p.ir);
        free(cpu->p.record);
        return -1;
    }
    cpu->p.guest_mxcsr = MXCSR_DEFAULT;
    pthread_mutex_lock(&e->lock);
    bool others = e->cpus;
    pthread_mutex_unlock(&e->lock);
    if (others)
        engine_set_parallel(e);
    pthread_mutex_lock(&e->lock);
    cpu->p.next = e->cpus;
    e->cpus = cpu;
    pthread_mutex_unlock(&e->lock);
    return 0;
}

void engine_detach(struct cpu *cpu)
{
    struct engine *e = cpu->engine;
    pthread_mutex_lock(&e->lock);
    for (struct cpu **p = &e->cpus; *p; p = &(*p)->p.next) {
        if (*p == cpu) {
            *p = cpu->p.next;
            break;
        }
    }
    pthread_mutex_unlock(&e->lock);
    shadow_free(cpu);
    free(cpu->p.ir);
    free(cpu->p.record);
    jump_cache_free(&cpu->p.own_jumps);
}

void engine_request_exit(struct cpu *cpu)
{
    atomic_store(&cpu->exit_request, 1);
    __atomic_store_n(&cpu->p.shadow_limit, UINT64_MAX, __ATOMIC_SEQ_CST);
}

/* In translated code, or on the way there, the generation stays what it is. */
static void select_jumps(struct cpu *cpu)
{
    uint64_t generation = atomic_load(&cpu->engine->generation);
    cpu->p.jump_table = jump_cache_table(cpu->jumps, cpu->mode, generation);
}

void engine_set_context(struct cpu *cpu, struct tlb *tlb, struct jump_cache *jumps)
{
    cpu->tlb = tlb;
    cpu->jumps = jumps;
    select_jumps(cpu);
    shadow_switch(cpu);
}

void engine_rounding_changed(struct cpu *cpu)
{
    select_jumps(cpu);
    shadow_check_mode(cpu);
}

void engine_forget_returns(struct cpu *cpu)
{
    shadow_reset_all(cpu);
}

void engine_flush_locked(struct engine *e, struct cpu *self)
{
    uint64_t generation = atomic_load(&e->generation);
    while (e->flushing) {
        pthread_mutex_unlock(&e->lock);
        sched_yield();
        pthread_mutex_lock(&e->lock);
    }
    if (atomic_load(&e->generation) != generation)
        return; /* somebody else has just done it */
    e->flushing = true;
    for (;;) {
        bool busy = false;
        for (struct cpu *c = e->cpus; c; c = c->p.next) {
            if (c == self)
                continue;
            atomic_store(&c->p.stop, 1);
            if (atomic_load(&c->p.in_code)) {
                engine_request_exit(c);
                busy = true;
            }
        }
        if (!busy)
            break;
        pthread_mutex_unlock(&e->lock);
        sched_yield();
        pthread_mutex_lock(&e->lock);
    }
    blocks_clear(&e->blocks);
    code_cache_reset(&e->cache);
    atomic_fetch_add(&e->generation, 1);
    e->stats.flushes++;
    for (struct cpu *c = e->cpus; c; c = c->p.next)
        atomic_store(&c->p.stop, 0);
    e->flushing = false;
}

void engine_flush(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    engine_flush_locked(e, NULL);
    pthread_mutex_unlock(&e->lock);
}

void engine_set_parallel(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    if (!e->parallel) {
        e->parallel = true;
        if (e->blocks.n)
            engine_flush_locked(e, NULL);
    }
    pthread_mutex_unlock(&e->lock);
}

struct invalidate {
    struct engine *e;
    bool changed_only;
};

static void invalidate_block(void *arg, struct block *b)
{
    struct invalidate *inv = arg;
    if (inv->changed_only && block_unchanged(b, inv->e->config.ops->copy_code))
        return;
    blocks_make_stale(&inv->e->blocks, b);
    inv->e->stats.invalidated++;
    if (b->code)
        emit_redirect(inv->e, b, NULL);
}

void engine_invalidate(struct engine *e, uint64_t start, uint64_t len, bool changed_only)
{
    struct invalidate inv = {e, changed_only};
    pthread_mutex_lock(&e->lock);
    if (changed_only)
        e->drops.changed++;
    else
        e->drops.all++;
    blocks_in_range(&e->blocks, start, len, invalidate_block, &inv);
    pthread_mutex_unlock(&e->lock);
}

void engine_keep(struct engine *e, struct store *s)
{
    e->config.store = s;
}

bool engine_has_new(struct engine *e)
{
    if (!e->config.store)
        return false;
    pthread_mutex_lock(&e->lock);
    bool dirty = store_is_dirty(e->config.store);
    pthread_mutex_unlock(&e->lock);
    return dirty;
}

void engine_save(struct engine *e, int fd)
{
    pthread_mutex_lock(&e->lock);
    store_save(e->config.store, fd);
    pthread_mutex_unlock(&e->lock);
}

uint64_t engine_build(const struct engine *e)
{
    return record_build(e->host | (e->config.paged ? UINT64_C(1) << 32 : 0));
}

void engine_get_stats(struct engine *e, struct engine_stats *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->stats;
    out->cache_used = e->cache.used;
    out->cache_size = e->cache.size;
    pthread_mutex_unlock(&e->lock);
}

int engine_fork_prepare(struct engine *e, bool shared_files, struct error **err)
{
    pthread_mutex_lock(&e->lock);
    e->fork_copy = (struct code_copy){.fd = -1};
    if (e->config.interpret || code_cache_copy(&e->cache, !shared_files, &e->fork_copy, err) == 0)
        return 0;
    pthread_mutex_unlock(&e->lock);
    return -1;
}

void engine_fork_parent(struct engine *e)
{
    code_copy_free(&e->fork_copy, e->cache.size);
    pthread_mutex_unlock(&e->lock);
}

int engine_fork_child(struct engine *e, struct cpu *self, struct error **err)
{
    pthread_mutex_init(&e->lock, NULL);
    self->p.next = NULL;
    e->cpus = self;
    if (e->config.interpret)
        return 0;
    if (e->config.store)
        store_forget(e->config.store);
    int r = code_cache_move(&e->cache, &e->fork_copy, err);
    code_copy_free(&e->fork_copy, e->cache.size);
    return r;
}

/* Before code is entered: drops what an older generation or another mode left behind. */
static void check_caches(struct cpu *cpu, uint64_t generation)
{
    if (cpu->p.generation != generation) {
        shadow_reset_all(cpu);
        cpu->p.generation = generation;
    }
    engine_rounding_changed(cpu);
}

/* Makes link `number` lead to what was found at its target. When paged the link's own page must be
 * the target's, as may_link of the emitter promises, by the mapping of now too: the guest may have
 * changed it since the link was entered. */
static void patch_link(struct engine *e, uint64_t number, uint64_t generation,
                       const struct found *to)
{
    pthread_mutex_lock(&e->lock);
    /* a flush in between has made the number mean something else, or nothing */
    if (atomic_load(&e->generation) == generation && number < e->blocks.n_links) {
        const struct link *l = blocks_link(&e->blocks, (uint32_t)number);
        if (!e->config.paged || (*blocks_nth(&e->blocks, l->block))->page == to->page) {
            emit_patch_link(e, l, to->code);
            e->stats.links++;
        }
    }
    pthread_mutex_unlock(&e->lock);
}

/* Says that cpu is about to use what it found at generation. false: that is void. A flush waits for
 * in_code, or it has set stop or moved the generation before we look. */
static bool begin_code(struct cpu *cpu, uint64_t generation)
{
    atomic_store(&cpu->p.in_code, 1);
    if (!atomic_load(&cpu->p.stop) && atomic_load(&cpu->engine->generation) == generation)
        return true;
    atomic_store(&cpu->p.in_code, 0);
    return false;
}

static void end_code(struct cpu *cpu)
{
    atomic_store(&cpu->p.in_code, 0);
}

static enum leave enter(struct cpu *cpu, const uint8_t *code, uint64_t generation)
{
    struct engine *e = cpu->engine;
    if (!begin_code(cpu, generation))
        return LEAVE_AGAIN;
    enum leave (*go)(struct cpu *, const uint8_t *) =
        (enum leave(*)(struct cpu *, const uint8_t *))(uintptr_t)e->stubs.enter;
    enum leave why = go(cpu, code);
    if (why == LEAVE_LINK || why == LEAVE_REQUEST_LINK) {
        pthread_mutex_lock(&e->lock); /* the list grows */
        cpu->pc = blocks_link(&e->blocks, (uint32_t)cpu->p.exit_arg)->target;
        pthread_mutex_unlock(&e->lock);
    }
    end_code(cpu);
    return why;
}

static enum engine_exit run_translated(struct cpu *cpu)
{
    struct engine *e = cpu->engine;
    bool from_link = false, search = false;
    uint64_t link_generation = 0;
    for (;;) {
        shadow_arm(cpu);
        if (atomic_load(&cpu->exit_request))
            return EXIT_REQUEST;
        uint64_t generation = atomic_load(&e->generation);
        check_caches(cpu, generation);
        const uint8_t *code = search ? NULL : jump_table_find(cpu->p.jump_table, cpu->pc);
        if (!code) {
            struct found f = find_block(cpu);
            if (f.what == TRAPPED)
                return EXIT_TRAP;
            if (f.what == AGAIN)
                continue;
            code = f.code;
            if (!from_link) /* the next time, a link is no jump */
                jump_table_enter(cpu->p.jump_table, cpu->pc, code);
            if (from_link && link_generation == generation)
                patch_link(e, cpu->p.exit_arg, generation, &f);
        }
        enum leave why = enter(cpu, code, generation);
        from_link = why == LEAVE_LINK;
        link_generation = generation;
        search = from_link || why == LEAVE_AGAIN;
        if (why == LEAVE_REQUEST || why == LEAVE_REQUEST_LINK)
            return EXIT_REQUEST;
        if (why == LEAVE_TRAP)
            return EXIT_TRAP;
    }
}

static enum engine_exit run_interpreted(struct cpu *cpu)
{
    for (;;) {
        if (atomic_load(&cpu->exit_request))
            return EXIT_REQUEST;
        uint64_t generation = atomic_load(&cpu->engine->generation);
        struct found f = find_block(cpu);
        if (f.what == TRAPPED)
            return EXIT_TRAP;
        if (f.what == AGAIN || !begin_code(cpu, generation))
            continue;
        int step = ir_interpret(cpu, f.ir);
        end_code(cpu);
        if (step == STEP_FENCE_I)
            engine_fence_i(cpu);
        if (step == STEP_EXIT)
            return EXIT_REQUEST;
        if (step == STEP_TRAP)
            return EXIT_TRAP;
    }
}

/* An instruction that traps does not retire (Volume II, Machine Instruction-Retired counter). One
 * that could not be fetched has not been counted. */
static void uncount_trapped(struct cpu *cpu)
{
    uint64_t cause = cpu->trap.cause;
    bool fetched = cause != CAUSE_FETCH_ACCESS && cause != CAUSE_FETCH_PAGE;
    if (cpu->mode & MODE_COUNT && fetched)
        cpu->instret--;
}

static enum engine_exit run(struct cpu *cpu)
{
    if (!cpu->engine->config.interpret) {
        enum engine_exit exit = run_translated(cpu);
        fp_fold_flags(cpu);
        return exit;
    }
    jmp_buf fault;
    cpu->p.fault_jmp = &fault;
    enum engine_exit why = EXIT_TRAP;
    if (setjmp(fault))
        end_code(cpu); /* engine_host_fault has set cpu->trap */
    else
        why = run_interpreted(cpu);
    cpu->p.fault_jmp = NULL;
    return why;
}

enum engine_exit engine_run(struct cpu *cpu)
{
    enum engine_exit why = run(cpu);
    if (why == EXIT_TRAP)
        uncount_trapped(cpu);
    return why;
}
