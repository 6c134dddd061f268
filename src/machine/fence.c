/* Requests between harts: remote fences, and how stores to translated code are noticed.
 *
 * A fence is applied at once when the other hart is parked, else queued and applied at its next
 * safe point; whoever needs it done waits for that, parked itself.
 *
 * When code is translated from a page, the other harts are asked to drop their store TLB entries
 * for it, and nobody waits for that: what a hart may still write through such an entry is compared
 * by every fence.i, its own too, until it has dropped it, and once more after that.
 *
 * The machine's code_lock makes one step of each: to mark a page as code and to ask for the drops;
 * to take the list of changes and to compare. Else a hart could read a page that others still write
 * to unasked, or find the list empty while its change is yet to be compared. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/engine.h"
#include "machine/board.h"

static void wake_waiters(struct machine *m)
{
    pthread_mutex_lock(&m->lock);
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

/* Own thread, or the hart is parked; its lock is held. */
static void apply(struct hart *h, const struct fence *f)
{
    if (f->only_code)
        return;
    if (context_fence(h, f))
        h->returns_stale = true;
}

/* Lock held (and the machine's may be taken inside it). */
static void serve_queue(struct hart *h)
{
    bool waited_for = h->n_queue;
    if (atomic_exchange(&h->flush_wanted, false)) {
        struct fence all = {.asid = NO_ASID};
        apply(h, &all);
    }
    for (unsigned i = 0; i < h->n_queue; i++)
        apply(h, &h->queue[i]);
    h->n_queue = 0;
    for (unsigned i = 0; i < h->n_drops; i++) {
        context_drop_store(h, h->drops[i].page, h->drops[i].va);
        /* Until now it may have been written. */
        slat_note_change(h->m->slat, h->drops[i].page);
    }
    h->n_drops = 0;
    atomic_store(&h->fence_done, h->fence_posted);
    if (waited_for)
        wake_waiters(h->m);
}

void hart_park(struct hart *h)
{
    serve_queue(h);
    h->parked = true;
}

void hart_unpark(struct hart *h)
{
    h->parked = false;
    serve_queue(h);
}

void hart_serve(struct hart *h)
{
    pthread_mutex_lock(&h->lock);
    hart_unpark(h);
    pthread_mutex_unlock(&h->lock);
}

void hart_request_flush(struct hart *h)
{
    if (!atomic_exchange(&h->flush_wanted, true))
        hart_kick(h);
}

void hart_sfence(struct hart *h, const struct fence *f)
{
    if (context_fence(h, f))
        h->returns_stale = true;
}

/* Posts f to another hart; answers the number to wait for in fence_done. */
static uint64_t post_fence(struct hart *h, const struct fence *f)
{
    pthread_mutex_lock(&h->lock);
    if (h->parked) {
        apply(h, f);
        uint64_t done = atomic_load(&h->fence_done);
        pthread_mutex_unlock(&h->lock);
        return done;
    }
    if (h->n_queue == FENCE_QUEUE) {
        h->n_queue = 0;
        h->queue[h->n_queue++] = (struct fence){.asid = NO_ASID};
    } else {
        h->queue[h->n_queue++] = *f;
    }
    uint64_t number = ++h->fence_posted;
    pthread_mutex_unlock(&h->lock);
    hart_kick(h);
    return number;
}

void hart_remote_fence(struct hart *h, uint64_t mask, const struct fence *f)
{
    struct machine *m = h->m;
    uint64_t number[MAX_HARTS];
    if (mask >> h->id & 1 && !f->only_code)
        hart_sfence(h, f);
    mask &= ~((uint64_t)1 << h->id);
    for (unsigned i = 0; i < m->n_harts; i++)
        if (mask >> i & 1)
            number[i] = post_fence(&m->harts[i], f);
    pthread_mutex_lock(&h->lock);
    hart_park(h);
    pthread_mutex_unlock(&h->lock);
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->n_harts; i++)
        while (mask >> i & 1 && atomic_load(&m->harts[i].fence_done) < number[i])
            pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
    pthread_mutex_lock(&h->lock);
    hart_unpark(h);
    pthread_mutex_unlock(&h->lock);
}

static void post_drop(struct hart *h, uint64_t page, uint64_t va)
{
    bool kick = false;
    pthread_mutex_lock(&h->lock);
    if (h->parked) {
        context_drop_store(h, page, va);
    } else {
        kick = !h->n_drops;
        if (h->n_drops == h->cap_drops) {
            h->n_drops = h->cap_drops ? code_changes_merge(h->drops, h->n_drops) : 0;
            if (h->n_drops >= h->cap_drops / 2) {
                h->cap_drops = h->cap_drops ? 2 * h->cap_drops : 32;
                h->drops = xrealloc(h->drops, h->cap_drops * sizeof *h->drops);
            }
        }
        h->drops[h->n_drops++] = (struct code_change){.page = page, .va = va, .hart = h->id};
    }
    pthread_mutex_unlock(&h->lock);
    if (kick)
        hart_kick(h);
}

void hart_code_page(struct cpu *cpu, uint64_t page)
{
    struct hart *h = hart_of(cpu);
    struct machine *m = h->m;
    bool search;
    pthread_mutex_lock(&m->code_lock);
    if (slat_mark_code(m->slat, page, &search) && search) {
        context_drop_store(h, page, NO_VA);
        for (unsigned i = 0; i < m->n_harts; i++)
            if (i != h->id)
                post_drop(&m->harts[i], page, NO_VA);
    }
    pthread_mutex_unlock(&m->code_lock);
}

/* Compares the code pages that a hart may still write to unnoticed. */
static void compare_undropped(struct machine *m, struct hart *writer)
{
    struct code_change *drops = NULL;
    pthread_mutex_lock(&writer->lock);
    unsigned n = writer->n_drops;
    if (n) {
        drops = xcalloc(n, sizeof *drops);
        memcpy(drops, writer->drops, n * sizeof *drops);
    }
    pthread_mutex_unlock(&writer->lock);
    for (unsigned i = 0; i < n; i++)
        engine_invalidate(m->engine, drops[i].page, PAGE_SIZE, true);
    free(drops);
}

static int by_page(const void *a, const void *b)
{
    const struct code_change *x = a, *y = b;
    return x->page < y->page ? -1 : x->page > y->page;
}

void hart_fence_i(struct cpu *cpu)
{
    struct hart *h = hart_of(cpu);
    struct machine *m = h->m;
    hart_count(&h->stats.fence_i);
    pthread_mutex_lock(&m->code_lock);
    /* These first: a hart that drops an entry meanwhile notes a change, which is in the list then.
     */
    for (unsigned i = 0; i < m->n_harts; i++)
        compare_undropped(m, &m->harts[i]);
    unsigned n;
    AUTO_FREE struct code_change *changes = slat_take_changes(m->slat, &n);
    for (unsigned i = 0; i < n; i++) {
        const struct code_change *c = &changes[i];
        if (c->hart == h->id)
            context_drop_store(h, c->page, c->va);
        else if (c->hart != CHANGE_NO_HART)
            post_drop(&m->harts[c->hart], c->page, c->va);
    }
    if (n)
        qsort(changes, n, sizeof *changes, by_page);
    for (unsigned i = 0; i < n; i++)
        if (!i || changes[i].page != changes[i - 1].page)
            engine_invalidate(m->engine, changes[i].page, PAGE_SIZE, true);
    pthread_mutex_unlock(&m->code_lock);
}
