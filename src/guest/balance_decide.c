#include "guest/balance.h"

#define MIB         ((uint64_t)1 << 20)
#define MIN_RESERVE (32 * MIB)

/* Statistics are asked for in each round of need; some rounds old is a guest under load. */
#define FRESH_NS 2000000000u
/* Rounds, of a quarter of a second, in which a promise is believed though nothing comes. */
#define GRACE 8

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t share(uint64_t amount, uint64_t part, uint64_t whole)
{
    return whole ? (uint64_t)((unsigned __int128)amount * part / whole) : 0;
}

static uint64_t whole_mib(uint64_t bytes)
{
    return (bytes + MIB - 1) / MIB * MIB;
}

uint64_t balance_reserve(uint64_t total)
{
    return max(total / 8, MIN_RESERVE);
}

struct balance_reading balance_read(const struct balance_claims *said,
                                    const struct balance_counts *counted)
{
    uint64_t there = less(counted->ram, counted->ballooned);
    bool known = said->running && said->age_ns <= FRESH_NS;
    uint64_t total = known && said->total ? min(said->total, there) : there;
    return (struct balance_reading){.total = total,
                                    .available = known ? min(said->available, total)
                                                       : balance_reserve(total),
                                    .idle = less(there, counted->resident)};
}

void balance_observe(struct balance_promise *p, uint64_t target, uint64_t ballooned,
                     struct balance_reading *r)
{
    uint64_t pending = less(target, ballooned);
    p->pace = p->pace / 4 * 3 + less(ballooned, p->ballooned);
    p->ballooned = ballooned;
    p->rounds += p->rounds <= GRACE;
    r->pending = p->rounds <= GRACE ? pending : min(pending, p->pace);
    r->late = r->pending < pending;
}

/* What it can give; what it was asked for comes out of what it says is available. */
static uint64_t spare(const struct balance_reading *r)
{
    if (r->late)
        return 0;
    return less(r->available, balance_reserve(r->total) + r->pending);
}

/* A balloon that grows takes idle pages first: they are the guest's free ones. */
static uint64_t idle(const struct balance_reading *r)
{
    return less(r->idle, r->pending);
}

static uint64_t gain(const struct balance_reading *r)
{
    return less(spare(r), idle(r));
}

void balance_add(struct balance_sum *sum, const struct balance_reading *r)
{
    sum->idle += idle(r);
    sum->gain += gain(r);
    sum->extra += r->extra;
    sum->pending += less(r->pending, r->idle);
}

/* What a short host asks of this guest. */
static uint64_t short_of(const struct balance_settings *set, const struct host_memory *host,
                         const struct balance_reading *mine, const struct balance_sum *sum)
{
    /* A host whose tasks wait for memory is short, whatever it says. */
    uint64_t goal = max((set->low + set->high) / 2, host->available + set->low / 4);
    uint64_t wanted = min(less(goal, host->available + sum->pending), sum->gain);
    return min(whole_mib(idle(mine) + share(wanted, gain(mine), sum->gain)), spare(mine));
}

uint64_t balance_decide(const struct balance_settings *set, const struct host_memory *host,
                        const struct balance_reading *mine, const struct balance_sum *sum)
{
    uint64_t reserve = balance_reserve(mine->total), fill = host->available / 2;
    if (mine->extra && mine->available < reserve / 2)
        return less(mine->extra, reserve - mine->available);
    if (host->available < set->low || host->stalled)
        return mine->extra + short_of(set, host, mine, sum);
    if (host->available < set->high) {
        uint64_t left = share(fill, idle(mine), sum->idle);
        return mine->extra + min(whole_mib(less(idle(mine), left)), spare(mine));
    }
    return less(mine->extra, whole_mib(share(less(fill, sum->idle) / 2, mine->extra, sum->extra)));
}
