/* Running a program, by the reference or by an engine, and comparing what came of it. */
#include "hart.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#include "engine/ir.h"
#include "engine/store.h"
#include "isa/isa.h"

#define REFERENCE_INSNS 3000              /* more: the program is taken as one that does not end */
#define KEPT_BYTES      ((size_t)4 << 20) /* of translations: they fill up */
#define TICKS_LIMIT     20000 /* of one run: some 3000 instructions that take longer do not end */

static _Thread_local struct hart *running;

void hart_tick(struct hart *h)
{
    atomic_fetch_add(&h->ticks, 1);
    engine_request_exit(&h->cpu);
}

static void on_tick(int signo)
{
    if (running)
        hart_tick(running);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t cause = regs[REG_ERR] & 2 ? CAUSE_STORE_PAGE : CAUSE_LOAD_PAGE;
    if (!running || !running->flat || !engine_host_fault(&running->cpu, info, context, cause))
        signal(signo, SIG_DFL); /* it happens again */
}

void thread_faults(void)
{
    static _Thread_local uint8_t stack[1 << 16];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    if (sigaltstack(&ss, NULL) < 0) {
        perror("sigaltstack");
        exit(2);
    }
}

void start_faults(void)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    thread_faults();
    if (sigaction(SIGSEGV, &fault, NULL) < 0 || sigaction(SIGBUS, &fault, NULL) < 0) {
        perror("signals");
        exit(2);
    }
}

void start_clock(void)
{
    struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigfillset(&tick.sa_mask);
    struct itimerval every = {.it_interval.tv_usec = TICK_US, .it_value.tv_usec = TICK_US};
    if (sigaction(SIGALRM, &tick, NULL) < 0 || setitimer(ITIMER_REAL, &every, NULL) < 0) {
        perror("clock");
        exit(2);
    }
}

static struct hart *new_hart(struct world *w)
{
    struct hart *h = calloc(1, sizeof *h);
    if (!h)
        abort();
    h->w = w;
    h->cpu.ops = &paged_ops;
    h->cpu.tlb = &h->tlb; /* the reference only asks whether there is one */
    return h;
}

struct engine *tier_engine(const struct tier *t, size_t code_bytes)
{
    ERROR_CLEANUP err = NULL;
    struct engine_config config = {.ops = t->flat ? &flat_ops : &paged_ops,
                                   .paged = !t->flat,
                                   .interpret = t->interpret,
                                   .code_bytes = code_bytes,
                                   .store = t->kept ? store_new(KEPT_BYTES) : NULL};
    struct engine *e = engine_new(&config, &err);
    if (!e) {
        fprintf(stderr, "%s\n", error_text(err));
        exit(2);
    }
    e->host &= t->host;
    e->reread = t->kept;
    if (t->parallel)
        engine_set_parallel(e);
    return e;
}

void hart_attach(struct hart *h, struct engine *e)
{
    ERROR_CLEANUP err = NULL;
    memset(&h->cpu.p, 0, sizeof h->cpu.p);
    h->cpu.jumps = NULL;
    if (engine_attach(e, &h->cpu, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        exit(2);
    }
}

void hart_detach(struct hart *h)
{
    engine_detach(&h->cpu);
    jump_cache_free(&h->jumps);
}

struct hart *hart_beside(struct world *w, const struct tier *t, struct engine *e)
{
    struct hart *h = new_hart(w);
    h->flat = t->flat;
    hart_attach(h, e);
    tlb_flush(&h->tlb);
    return h;
}

struct hart *hart_new(struct world *w, const struct tier *t)
{
    if (t)
        return hart_beside(w, t, tier_engine(t, 1 << 20));
    struct hart *h = new_hart(w);
    h->reference = true;
    return h;
}

void hart_free(struct hart *h)
{
    struct engine *e = h->cpu.engine;
    if (e) {
        hart_detach(h);
        if (!e->cpus) {
            struct store *s = e->config.store;
            engine_free(e);
            store_free(s);
        }
    }
    free(h);
}

bool note(struct hart *h, bool is_trap, uint64_t insn)
{
    const struct cpu *cpu = &h->cpu;
    struct record *r = &h->records[h->n_records++];
    memset(r, 0, sizeof *r);
    r->pc = cpu->pc;
    r->cause = is_trap ? cpu->trap.cause : insn;
    r->tval = is_trap ? cpu->trap.tval : 0;
    memcpy(r->x, cpu->x, sizeof r->x);
    memcpy(r->f, cpu->f, sizeof r->f);
    memcpy(r->csr, h->csr, sizeof r->csr);
    r->instret = h->shared ? 0 : cpu->instret; /* who waits for others counts more */
    r->mode = cpu->mode;
    r->frm = cpu->frm;
    r->fflags = cpu->fflags;
    r->is_trap = is_trap;
    bool access = is_trap && (r->cause == CAUSE_LOAD_PAGE || r->cause == CAUSE_STORE_PAGE);
    int64_t top = (int64_t)r->tval >> 47;
    if (access && top != 0 && top != -1) { /* for which a host fault knows neither */
        r->cause = CAUSE_LOAD_PAGE;
        r->tval = 0;
    }
    h->over |= h->n_records == MAX_RECORDS;
    return !h->over;
}

/* One instruction at a time, lifted anew each time and not optimized: what nothing can be cached or
 * carried over in. */
static enum engine_exit run_reference(struct hart *h)
{
    static _Thread_local struct ir_block block;
    bool inside = is_shared(h->shared, h->cpu.pc);
    unsigned most = REFERENCE_INSNS * (h->p->setting.storm ? 20 : 1);
    for (unsigned n = 0; n < most; n++) {
        bool was_inside = inside;
        inside = is_shared(h->shared, h->cpu.pc);
        if (inside && !was_inside && !is_shared_entry(h->shared, h->cpu.pc))
            h->racy = true; /* what its middle comes to is not for one hart to say */
        if (!lift_block(&h->cpu, true, &block))
            return EXIT_TRAP;
        ir_check(&block, false);
        if (h->racy)
            return EXIT_REQUEST;
        int step = ir_interpret(&h->cpu, &block);
        if (step == STEP_TRAP)
            return EXIT_TRAP;
        if (step == STEP_FENCE_I)
            compare_code(h);
        if (step == STEP_EXIT)
            return EXIT_REQUEST;
    }
    h->stuck = true;
    return EXIT_REQUEST;
}

/* Behind the instruction that trapped; or, where it cannot be read, to an item. */
static void resume(struct hart *h)
{
    struct cpu *cpu = &h->cpu;
    struct code_span span;
    struct trap kept = cpu->trap;
    unsigned n = h->n_records * 5 % h->p->n_items;
    if (!cpu->ops->fetch(cpu, cpu->pc, &span))
        cpu->pc = h->p->at[n];
    else if ((span.bytes[0] & 3) != 3)
        cpu->pc += 2;
    else
        cpu->pc = cpu->ops->fetch(cpu, cpu->pc + 2, &span) ? cpu->pc + 4 : h->p->at[n];
    cpu->trap = kept;
}

static void begin(struct hart *h, const struct program *p)
{
    struct cpu *cpu = &h->cpu;
    h->p = p;
    h->over = h->racy = h->stuck = false;
    h->events = h->n_records = 0;
    h->copy = p->copy;
    memset(h->csr, 0, sizeof h->csr);
    memcpy(cpu->x, p->x, sizeof cpu->x);
    memcpy(cpu->f, p->f, sizeof cpu->f);
    for (unsigned i = 0; i < 32; i++)
        if (p->x_item[i])
            cpu->x[i] = p->at[p->x_item[i] - 1];
    cpu->pc = p->start;
    cpu->mode = p->mode;
    cpu->frm = p->frm;
    cpu->fflags = 0;
    cpu->res_addr = UINT64_MAX;
    cpu->res_value = 0;
    cpu->instret = 0;
    cpu->trap = (struct trap){0, 0};
    engine_fp_changed(cpu);
    begin_world(h, p);
    atomic_store(&cpu->exit_request, 0);
}

/* As engine_run: what trapped has not retired; what could not be fetched was not counted. */
static enum engine_exit run_and_count(struct hart *h)
{
    enum engine_exit why = run_reference(h);
    uint64_t cause = h->cpu.trap.cause;
    if (why == EXIT_TRAP && h->cpu.mode & MODE_COUNT && cause != CAUSE_FETCH_PAGE)
        h->cpu.instret--;
    return why;
}

void hart_run(struct hart *h, const struct program *p)
{
    struct cpu *cpu = &h->cpu;
    begin(h, p);
    atomic_store(&h->ticks, 0);
    running = h->reference ? NULL : h;
    while (!h->over && !h->racy && !h->stuck) {
        atomic_store(&cpu->exit_request, 0);
        if ((h->reference ? run_and_count(h) : engine_run(cpu)) == EXIT_REQUEST) {
            h->stuck |= atomic_load(&h->ticks) > TICKS_LIMIT;
            continue;
        }
        note(h, true, 0);
        bool end = cpu->trap.cause == CAUSE_BREAKPOINT && cpu->pc == p->at[p->n_items - 1];
        h->over |= end;
        if (cpu->trap.cause == CAUSE_ECALL_U && !h->over)
            happen(h, &p->events[h->events++ % MAX_EVENTS]);
        resume(h);
    }
    running = NULL;
    memcpy(h->end, h->w->frames, sizeof h->end);
}

/* --- Comparing --- */

static bool record_differs(const struct record *e, const struct record *g, bool flat, char *why,
                           size_t size)
{
    uint64_t cause = g->cause;
    if (flat && e->is_trap && (cause == CAUSE_LOAD_PAGE || cause == CAUSE_STORE_PAGE) &&
        (e->cause == CAUSE_LOAD_PAGE || e->cause == CAUSE_STORE_PAGE))
        cause = e->cause; /* an atomic's own read may be the first to fault */
#define CHECK(what, expected, got, ...)                                              \
    if ((expected) != (got)) {                                                       \
        snprintf(why, size, what " is 0x%llx, not 0x%llx, at 0x%llx", ##__VA_ARGS__, \
                 (unsigned long long)(got), (unsigned long long)(expected),          \
                 (unsigned long long)e->pc);                                         \
        return true;                                                                 \
    }
    CHECK("pc", e->pc, g->pc)
    CHECK("whether it is a trap", e->is_trap, g->is_trap)
    CHECK("cause", e->cause, cause)
    CHECK("tval", e->tval, g->tval)
    for (unsigned i = 0; i < 32; i++)
        CHECK("x%u", e->x[i], g->x[i], i)
    for (unsigned i = 0; i < 32; i++)
        CHECK("f%u", e->f[i], g->f[i], i)
    for (unsigned i = 0; i < 4; i++)
        CHECK("csr %u", e->csr[i], g->csr[i], i)
    CHECK("instret", e->instret, g->instret)
    CHECK("fflags", e->fflags, g->fflags)
    CHECK("frm", e->frm, g->frm)
    CHECK("mode", e->mode, g->mode)
#undef CHECK
    return false;
}

bool differs(const struct hart *expected, const struct hart *got, char *why, size_t size)
{
    for (unsigned n = 0; n < expected->n_records && n < got->n_records; n++)
        if (record_differs(&expected->records[n], &got->records[n], got->flat, why, size))
            return true;
    if (got->stuck)
        return snprintf(why, size, "it does not end");
    if (expected->n_records != got->n_records)
        return snprintf(why, size, "%u records, not %u", got->n_records, expected->n_records);
    if (memcmp(expected->end, got->end, sizeof got->end) == 0)
        return false;
    unsigned at = 0;
    while (expected->end[at] == got->end[at])
        at++;
    return snprintf(why, size, "byte 0x%x of frame %u is 0x%x, not 0x%x", at % PAGE, at / PAGE,
                    got->end[at], expected->end[at]);
}
