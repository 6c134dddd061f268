/* Memory, mappings and the wall's part of a hart. */
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/guest_access.h"
#include "hart.h"
#include "isa/isa.h"

static bool trap(struct cpu *cpu, uint64_t cause, uint64_t va)
{
    cpu->trap = (struct trap){cause, va};
    return false;
}

static uint8_t *byte_at(const struct hart *h, uint64_t va, unsigned perm)
{
    const struct world *w = h->w;
    uint64_t page = (va - w->arena) / PAGE;
    if (is_shared(h->shared, va)) {
        unsigned has = va - h->shared->at < SHARED_DATA ? PERM_R | PERM_X : PERM_R | PERM_W;
        return (perm & ~has) ? NULL : shared_at(h->shared, h->copy, va);
    }
    if (page >= PAGES || (w->pages[page].perm & perm) != perm)
        return NULL;
    unsigned frame = w->pages[page].frame;
    if (frame >= FRAMES) /* which no program may write to */
        return (uint8_t *)(uintptr_t)w->common + (frame - FRAMES) * PAGE + va % PAGE;
    return w->frames + frame * PAGE + va % PAGE;
}

/* Whether a frame is one of the world's own. */
static bool is_own(const struct world *w, const uint8_t *at)
{
    return at >= w->frames && at < w->frames + FRAMES * PAGE;
}

static uint64_t name_of(const struct hart *h, uint64_t va, const uint8_t *at)
{
    const struct world *w = h->w;
    if (is_own(w, at))
        return w->name + (uint64_t)(at - w->frames) / PAGE * PAGE;
    if (is_shared(h->shared, va))
        return shared_name(h->shared, (unsigned)(at - h->shared->frames) / PAGE);
    return COMMON_NAME + (uint64_t)(at - w->common) / PAGE * PAGE;
}

void world_init(struct world *w, uint64_t arena, uint64_t name)
{
    size_t size = FRAMES * PAGE;
    uint8_t *fresh = malloc(size);
    memset(w, 0, sizeof *w);
    w->arena = arena;
    w->name = name;
    w->fd = memfd_create("frames", MFD_CLOEXEC);
    w->dirty = calloc(1, size);
    w->frames = MAP_FAILED;
    if (w->fd >= 0 && ftruncate(w->fd, (off_t)size) == 0)
        w->frames = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    if (w->frames == MAP_FAILED || !fresh || !w->dirty) {
        perror("frames of a world");
        exit(2);
    }
    fill_frames(fresh, arena);
    w->fresh = fresh;
}

void world_reserve(struct world *w)
{
    void *at = (void *)(uintptr_t)w->arena;
    if (mmap(at, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0) != at) {
        fprintf(stderr, "pages at %p: %s\n", at, strerror(errno));
        exit(2);
    }
    w->reserved = true;
}

void world_free(struct world *w)
{
    if (w->reserved)
        munmap((void *)(uintptr_t)w->arena, PAGES * PAGE);
    munmap(w->frames, FRAMES * PAGE);
    close(w->fd);
    free(w->dirty);
    free((void *)(uintptr_t)w->fresh);
}

/* Host pages, which harts without a TLB see. */
static void map_host(struct world *w, unsigned n)
{
    struct page p = w->pages[n];
    if (memcmp(&w->mapped[n], &p, sizeof p) == 0)
        return;
    w->mapped[n] = p;
    void *at = (void *)(uintptr_t)(w->arena + n * PAGE);
    int prot = (p.perm & PERM_R ? PROT_READ : 0) | (p.perm & PERM_W ? PROT_WRITE : 0);
    if (mmap(at, PAGE, prot, MAP_SHARED | MAP_FIXED, w->fd, (off_t)p.frame * PAGE) != at) {
        perror("map a page");
        exit(2);
    }
}

/* --- The engine's questions --- */

/* The reference is given one instruction at a time. */
static bool in_this_insn(const struct hart *h, uint64_t pc)
{
    const uint8_t *first = byte_at(h, h->cpu.pc, PERM_X);
    return pc == h->cpu.pc || (pc == h->cpu.pc + 2 && first && (*first & 3) == 3);
}

/* Who asks for code may be held up: all is flushed, and others go on. */
static void hold_up(struct hart *h)
{
    if (!h->flush_every || ++h->fetches % h->flush_every)
        return;
    struct engine *e = h->cpu.engine;
    engine_flush(e);
    bool until_known =
        h->fetches / h->flush_every % 2; /* the number of a link that it may come by */
    for (unsigned n = 0; until_known && n < 10; n++) {
        pthread_mutex_lock(&e->lock);
        until_known = e->blocks.n_links <= h->cpu.p.exit_arg;
        pthread_mutex_unlock(&e->lock);
        usleep(TICK_US / 20);
    }
}

static const uint8_t *code_at(struct hart *h, uint64_t pc)
{
    bool may_drift = !h->reference && !h->flat && h->shared && shared_drifts(h->shared, pc);
    if (!may_drift || !(h->cpu.x[10] & 1) || ++h->misses % 4 == 0)
        return byte_at(h, pc, PERM_X);
    return shared_at(h->shared, h->copy ^ 3, pc);
}

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    struct hart *h = hart_of(cpu);
    struct world *w = h->w;
    hold_up(h);
    const uint8_t *at = code_at(h, pc);
    if (!at || (h->reference && !in_this_insn(h, pc)))
        return trap(cpu, CAUSE_FETCH_PAGE, pc);
    *out = (struct code_span){at, PAGE - (uint32_t)(pc % PAGE), pc & ~UINT64_C(0xfff)};
    if (h->reference) {
        out->len = 2;
        if (is_own(w, at))
            h->racy |= w->dirty[at - w->frames] || w->dirty[at - w->frames + 1];
    } else if (h->flat) {
        out->bytes = (const uint8_t *)(uintptr_t)pc;
    } else {
        out->page = name_of(h, pc, at);
    }
    return true;
}

/* What can be fetched is there: pages that are taken away lose their translations first. */
static bool copy_code(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    return true;
}

/* Three misses of four are remembered; at times all is forgotten. */
static void remember(struct hart *h, struct tlb_entry *table, uint64_t va, const uint8_t *at)
{
    if (h->reference)
        return;
    h->misses++;
    if (h->misses % 64 == 0)
        tlb_flush(&h->tlb);
    if (h->misses % 4)
        tlb_fill(table, va, (void *)(uintptr_t)(at - va % PAGE));
}

/* Whether what is at va is for one hart alone to say: nobody but the functions looks at what is
 * shared, which changes, and nobody at the memory of other worlds. */
static bool is_foreign(const struct hart *h, uint64_t va)
{
    const struct world *w = h->w;
    if (is_shared(h->shared, va))
        return !is_shared(h->shared, h->cpu.pc);
    return va - w->others < w->others_size && va - w->arena >= PAGES * PAGE;
}

/* Where size bytes at va are, that may lie on two pages; false: a trap of the first that is
 * missing. */
static bool locate(struct hart *h, uint64_t va, unsigned size, unsigned perm, uint8_t *bytes[8])
{
    if (h->reference && (is_foreign(h, va) || is_foreign(h, va + size - 1)))
        h->racy = true;
    for (unsigned n = 0; n < size; n++)
        if (!(bytes[n] = byte_at(h, va + n, perm)))
            return trap(&h->cpu, perm & PERM_W ? CAUSE_STORE_PAGE : CAUSE_LOAD_PAGE, va + n);
    return true;
}

static void note_write(struct hart *h, const uint8_t *at)
{
    struct world *w = h->w;
    if (!is_own(w, at))
        return;
    size_t offset = (size_t)(at - w->frames);
    w->written[offset / PAGE] = true;
    w->dirty[offset] = 1;
}

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    struct hart *h = hart_of(cpu);
    uint8_t *bytes[8];
    if (!locate(h, va, size, PERM_R, bytes))
        return false;
    *value = 0;
    if (is_shared(h->shared, va))
        *value = guest_load(bytes[0], size);
    else
        for (unsigned n = 0; n < size; n++)
            *value |= (uint64_t)*bytes[n] << 8 * n;
    remember(h, h->tlb.load, va, bytes[0]);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    struct hart *h = hart_of(cpu);
    uint8_t *bytes[8];
    if (!locate(h, va, size, PERM_W, bytes))
        return false;
    bool whole = is_shared(h->shared, va);
    if (whole)
        guest_store(bytes[0], size, value);
    for (unsigned n = 0; n < size && !whole; n++) {
        *bytes[n] = (uint8_t)(value >> 8 * n);
        note_write(h, bytes[n]);
    }
    remember(h, h->tlb.store, va, bytes[0]);
    return true;
}

static void *atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    struct hart *h = hart_of(cpu);
    if (va & (size - 1)) {
        trap(cpu, load_only ? CAUSE_LOAD_MISALIGNED : CAUSE_STORE_MISALIGNED, va);
        return NULL;
    }
    uint8_t *bytes[8];
    if (!locate(h, va, size, load_only ? PERM_R : PERM_R | PERM_W, bytes))
        return NULL;
    for (unsigned n = 0; n < size && !load_only; n++)
        note_write(h, bytes[n]);
    remember(h, load_only ? h->tlb.load : h->tlb.store, va, bytes[0]);
    return bytes[0];
}

/* Stores to a page that is translated from take the slow path, once between two fence.i. */
static void forget_stores(struct hart *h)
{
    memset(h->tlb.store, 0xff, sizeof h->tlb.store);
}

static void code_page(struct cpu *cpu, uint64_t page)
{
    struct hart *h = hart_of(cpu);
    if (page - h->w->name >= FRAMES * PAGE)
        return; /* no hart writes to it */
    bool *mark = &h->w->is_code[(page - h->w->name) / PAGE];
    if (!*mark)
        forget_stores(h);
    *mark = true;
}

void drop_shared(struct engine *e, const struct shared *s, bool flat, bool changed_only)
{
    if (flat)
        engine_invalidate(e, s->at, SHARED_CODE_PAGES * PAGE, changed_only);
    for (unsigned n = 0; n < SHARED_COPIES * SHARED_CODE_PAGES && !flat; n++)
        engine_invalidate(e, shared_name(s, n), PAGE, changed_only);
}

static void fence_i(struct cpu *cpu)
{
    struct hart *h = hart_of(cpu);
    for (unsigned n = 0; n < FRAMES; n++)
        if (h->w->is_code[n] && h->w->written[n])
            engine_invalidate(cpu->engine, h->w->name + n * PAGE, PAGE, true);
    if (h->shared) /* it may have been written by who is no hart */
        drop_shared(cpu->engine, h->shared, false, true);
    memset(h->w->written, 0, sizeof h->w->written);
    forget_stores(h);
}

static void fs_dirty(struct cpu *cpu)
{
    cpu->mode &= ~(uint32_t)MODE_FS_CLEAN;
}

static int plain_csr(const struct cpu *cpu, unsigned csr, bool write)
{
    if (csr < 0x140 || csr > 0x142 || (write && csr == 0x142))
        return -1;
    return (int)(offsetof(struct hart, csr) + 8 * (size_t)(csr - 0x140));
}

static void context_changed(struct hart *h)
{
    if (h->reference)
        return;
    tlb_flush(&h->tlb);
    jump_cache_flush(&h->jumps);
    engine_set_context(&h->cpu, h->flat ? NULL : &h->tlb, &h->jumps);
    engine_forget_returns(&h->cpu);
}

/* What a system instruction does depends on nothing but the program. */
static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    struct hart *h = hart_of(cpu);
    struct decoded d;
    isa_decode(insn, &d);
    if (d.id == INSN_sfence_vma && is_shared(h->shared, cpu->pc)) {
        context_changed(h);
        cpu->pc += d.len;
        return h->reference ? STEP_NEXT : STEP_EXIT;
    }
    if (d.id == INSN_ecall || d.id == INSN_ebreak) {
        cpu->trap = (struct trap){d.id == INSN_ecall ? CAUSE_ECALL_U : CAUSE_BREAKPOINT, 0};
        return STEP_TRAP;
    }
    uint32_t n = (insn ^ h->n_records * 77u) * 2654435761u;
    if (d.id == INSN_illegal || n >> 28 < 2 || !note(h, false, insn)) {
        cpu->trap = (struct trap){CAUSE_ILLEGAL, insn};
        return STEP_TRAP;
    }
    unsigned format = insn_table[d.id].format;
    if (d.rd && (format == FORMAT_CSR || format == FORMAT_CSRI || format == FORMAT_HLV))
        cpu->x[d.rd] =
            n & 15 ? n * UINT64_C(0x100000001) : h->w->arena + PAGE * DATA_FIRST + n % PAGE;
    cpu->pc += d.len;
    if (n >> 28 == 3 && !h->reference)
        engine_request_exit(cpu);
    return n >> 28 == 2 ? STEP_EXIT : STEP_NEXT;
}

const struct engine_ops paged_ops = {.fetch = fetch,
                                     .load = load,
                                     .store = store,
                                     .atomic = atomic,
                                     .system = on_system,
                                     .fs_dirty = fs_dirty,
                                     .fence_i = fence_i,
                                     .plain_csr = plain_csr,
                                     .code_page = code_page};
const struct engine_ops flat_ops = {.fetch = fetch,
                                    .copy_code = copy_code,
                                    .system = on_system,
                                    .fs_dirty = fs_dirty,
                                    .plain_csr = plain_csr};

/* --- Between runs --- */

void compare_code(struct hart *h)
{
    memset(h->w->dirty, 0, FRAMES * PAGE);
    memset(h->w->written, 0, sizeof h->w->written);
    if (h->reference)
        return;
    uint64_t start = h->flat ? h->w->arena : h->w->name;
    engine_invalidate(h->cpu.engine, start, (h->flat ? PAGES : FRAMES) * PAGE, true);
    forget_stores(h);
}

/* As sfence.vma, and as mmap and mprotect in a process. */
static void map_page(struct hart *h, unsigned n, struct page to)
{
    if (h->flat)
        engine_invalidate(h->cpu.engine, h->w->arena + n * PAGE, PAGE, false);
    h->w->pages[n] = to;
    if (h->flat)
        map_host(h->w, n);
}

void happen(struct hart *h, const struct event *e)
{
    uint32_t value = e->value;
    switch (e->kind) {
    case EVENT_MAP:
        map_page(h, e->page, (struct page){e->frame, e->perm});
        context_changed(h);
        break;
    case EVENT_WRITE:
        memcpy(h->w->frames + h->w->pages[e->page].frame * PAGE + e->offset, &value,
               e->offset % PAGE == PAGE - 2 ? 2 : 4);
        compare_code(h);
        break;
    case EVENT_FRM:
        h->cpu.frm = value & 7;
        h->cpu.fflags = value >> 8 & 31;
        engine_fp_changed(&h->cpu);
        break;
    case EVENT_FLUSH:
        if (!h->reference)
            engine_flush(h->cpu.engine);
        break;
    case EVENT_MODE:
        h->cpu.mode = value;
        engine_fp_changed(&h->cpu);
        context_changed(h);
        break;
    case EVENT_COPY:
        h->copy ^= 1 + value % 3;
        context_changed(h);
        break;
    default: break;
    }
}

void begin_world(struct hart *h, const struct program *p)
{
    struct world *w = h->w;
    if (h->flat)
        engine_invalidate(h->cpu.engine, w->arena, PAGES * PAGE, false);
    memcpy(w->frames, w->fresh, FRAMES * PAGE);
    memcpy(w->pages, p->pages, sizeof w->pages);
    if (!p->setting.common) /* page n is frame n at first */
        memcpy(w->frames + (p->start - w->arena), p->code, p->size);
    for (unsigned n = 0; n < PAGES && h->flat; n++)
        map_host(w, n);
    compare_code(h);
    context_changed(h);
}
