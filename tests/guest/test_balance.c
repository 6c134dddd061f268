/* Balancing memory: the decision alone, and that it comes to rest on simulated hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/balance.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static struct balance_reading guest(uint64_t total, uint64_t available, uint64_t extra)
{
    return (struct balance_reading){.total = total, .available = available, .extra = extra};
}

/* Decides for all; each sees what the ones before it have promised. */
static void decide(const struct host_memory *h, struct balance_reading *g, unsigned n)
{
    uint64_t eighth = h->total / 8;
    struct balance_settings set = {.automatic = true, .low = eighth, .high = 2 * eighth};
    for (unsigned i = 0; i < n; i++) {
        struct balance_sum sum = {0};
        for (unsigned k = 0; k < n; k++)
            balance_add(&sum, &g[k]);
        uint64_t extra = balance_decide(&set, h, &g[i], &sum);
        g[i].pending += extra > g[i].extra ? extra - g[i].extra : 0;
        g[i].extra = extra;
    }
}

static void plenty_leaves_all_alone(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 6 * GIB};
    struct balance_reading g[] = {guest(GIB, 900 * MIB, 0), guest(GIB, 10 * MIB, 0)};
    decide(&h, g, 2);
    assert_int_equal(g[0].extra, 0);
    assert_int_equal(g[1].extra, 0);
    h.available = 3 * GIB / 2; /* careful, but nothing is idle: nothing moves */
    g[0].extra = 100 * MIB;
    decide(&h, g, 2);
    assert_int_equal(g[0].extra, 100 * MIB);
}

static void shortage_is_shared_by_what_each_can_spare(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 900 * MIB};
    struct balance_reading g[] = {guest(4 * GIB, 512 * MIB + 2048 * MIB, 0),
                                  guest(4 * GIB, 512 * MIB + 1024 * MIB, 0),
                                  guest(4 * GIB, 512 * MIB, 0)};
    uint64_t wanted = 3 * GIB / 2 - h.available;
    decide(&h, g, 3);
    uint64_t sum = g[0].extra + g[1].extra;
    assert_int_equal(g[2].extra, 0); /* all it has is its reserve */
    assert_true(sum > wanted / 2 && sum <= wanted + 2 * MIB);
    assert_true(g[0].extra > g[1].extra);
    for (int i = 0; i < 20; i++) /* nothing came yet: what is under way is not asked for twice */
        decide(&h, g, 3);
    assert_true(g[0].extra + g[1].extra <= wanted + 4 * MIB);
}

static void idle_pages_bring_the_host_nothing(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 900 * MIB};
    struct balance_reading g[] = {guest(4 * GIB, 3 * GIB, 0), guest(4 * GIB, 3 * GIB, 0)};
    g[0].idle = 2 * GIB;
    g[1].idle = 3 * GIB;
    decide(&h, g, 2);
    assert_true(g[0].extra > 2 * GIB);
    assert_int_equal(g[1].extra, 3 * GIB - 512 * MIB); /* it grows no more, but into its reserve */
}

static void a_careful_host_limits_what_may_be_filled(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 3 * GIB / 2};
    struct balance_reading g[] = {guest(4 * GIB, 3 * GIB, 0), guest(4 * GIB, 3 * GIB, 0)};
    g[0].idle = 2 * GIB;
    g[1].idle = GIB;
    decide(&h, g, 2);
    uint64_t left = 3 * GIB - g[0].extra - g[1].extra;
    assert_true(left < h.available && left > h.available / 4);
}

static void nobody_gives_its_reserve(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 0};
    struct balance_reading g[] = {guest(GIB, 400 * MIB, 0), guest(GIB, 128 * MIB, 0),
                                  guest(64 * MIB, 40 * MIB, 0)};
    for (int i = 0; i < 5; i++)
        decide(&h, g, 3);
    assert_int_equal(g[0].extra, 400 * MIB - 128 * MIB);
    assert_int_equal(g[1].extra, 0);
    assert_int_equal(g[2].extra, 8 * MIB);
}

static void a_stalled_host_is_short_whatever_it_says(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 5 * GIB, .stalled = true};
    struct balance_reading g[] = {guest(4 * GIB, 3 * GIB, 0)};
    decide(&h, g, 1);
    assert_true(g[0].extra > 0);
}

static void who_starves_gets_back_first(void **state)
{
    struct host_memory h = {.total = 8 * GIB, .available = 100 * MIB};
    struct balance_reading g[] = {guest(GIB, 8 * MIB, 300 * MIB)};
    decide(&h, g, 1);
    assert_int_equal(g[0].extra, 300 * MIB - 120 * MIB);
}

/* A host with guests whose caches want all they can get, another user of memory that comes and
 * goes, and balloons that move 96 MiB a round. */
struct host {
    uint64_t total, other;
    unsigned n;
    struct {
        uint64_t size, used, cache, balloon, target;
    } g[8];
};

static uint64_t host_available(const struct host *h)
{
    uint64_t used = h->other;
    for (unsigned i = 0; i < h->n; i++)
        used += h->g[i].used + h->g[i].cache;
    return used < h->total ? h->total - used : 0;
}

static void simulate_round(struct host *h)
{
    struct balance_reading g[8];
    for (unsigned i = 0; i < h->n; i++) {
        uint64_t room = h->g[i].size - h->g[i].used - h->g[i].balloon;
        if (h->g[i].target > h->g[i].balloon) {
            uint64_t step = h->g[i].target - h->g[i].balloon;
            step = step > 96 * MIB ? 96 * MIB : step;
            h->g[i].balloon += step > room ? room : step;
        } else {
            h->g[i].balloon = h->g[i].target;
        }
        room = h->g[i].size - h->g[i].used - h->g[i].balloon;
        h->g[i].cache = h->g[i].cache + 16 * MIB < room ? h->g[i].cache + 16 * MIB : room;
        g[i] = guest(h->g[i].size, room, h->g[i].target);
        g[i].pending = h->g[i].target - h->g[i].balloon;
        g[i].idle = room - h->g[i].cache;
    }
    struct host_memory m = {.total = h->total, .available = host_available(h)};
    decide(&m, g, h->n);
    for (unsigned i = 0; i < h->n; i++)
        h->g[i].target = g[i].extra;
}

static void a_crowded_host_comes_to_rest(void **state)
{
    struct host h = {.total = 4 * GIB, .other = 512 * MIB, .n = 4};
    for (unsigned i = 0; i < h.n; i++) {
        h.g[i].size = 2 * GIB; /* twice what there is */
        h.g[i].used = (100 + 100 * i) * MIB;
    }
    struct host_memory m = {.total = h.total};
    uint64_t least = h.total, before = 0;
    for (int round = 0; round < 400; round++) {
        simulate_round(&h);
        least = host_available(&h) < least ? host_available(&h) : least;
        if (round == 300)
            for (unsigned i = 0; i < h.n; i++)
                before += h.g[i].target;
    }
    assert_true(least > 128 * MIB); /* never near the end */
    assert_true(host_available(&h) >= m.total / 8);
    uint64_t after = 0;
    for (unsigned i = 0; i < h.n; i++)
        after += h.g[i].target;
    assert_int_equal(before, after); /* at rest */
    assert_true(after > 2 * GIB);

    h.other += 512 * MIB; /* somebody else comes */
    for (int round = 0; round < 100; round++)
        simulate_round(&h);
    assert_true(host_available(&h) >= m.total / 8);

    h.other = 0; /* all but one guest go */
    h.n = 1;
    for (int round = 0; round < 200; round++)
        simulate_round(&h);
    assert_int_equal(h.g[0].target, 0);
}

static void a_claim_is_bounded_by_what_the_host_counts(void **state)
{
    struct balance_counts counted = {.ram = GIB, .resident = 700 * MIB, .ballooned = 200 * MIB};
    struct balance_claims said = {
        .running = true, .available = (uint64_t)1 << 52, .total = (uint64_t)1 << 50};
    struct balance_reading r = balance_read(&said, &counted);
    assert_int_equal(r.total, GIB - 200 * MIB);
    assert_int_equal(r.available, GIB - 200 * MIB);
    assert_int_equal(r.idle, 124 * MIB);
    said = (struct balance_claims){.running = true, .available = 300 * MIB, .total = 800 * MIB};
    r = balance_read(&said, &counted);
    assert_int_equal(r.total, 800 * MIB);
    assert_int_equal(r.available, 300 * MIB);
}

/* Neither rich nor in need: nothing is taken from it, and nothing given back for it. */
static void old_statistics_say_nothing(void **state)
{
    struct balance_counts counted = {.ram = GIB, .resident = 900 * MIB, .ballooned = 64 * MIB};
    struct host_memory h = {.total = 8 * GIB, .available = 100 * MIB};
    uint64_t claims[] = {0, 900 * MIB};
    for (int i = 0; i < 4; i++) {
        struct balance_claims said = {.running = i != 3,
                                      .available = claims[i % 2],
                                      .total = GIB,
                                      .age_ns = i < 2 ? 3000000000u : UINT64_MAX};
        struct balance_reading r = balance_read(&said, &counted);
        struct balance_sum sum = {0};
        balance_add(&sum, &r);
        assert_int_equal(sum.gain, 0);
        assert_int_equal(r.idle, 60 * MIB);
        r.idle = 0;
        r.extra = 64 * MIB;
        decide(&h, &r, 1);
        assert_int_equal(r.extra, 64 * MIB);
    }
}

static void promises_count_as_they_are_kept(void **state)
{
    struct balance_promise p = {0};
    struct balance_reading r = {0};
    /* Believed for two seconds. */
    for (int i = 0; i < 8; i++) {
        balance_observe(&p, 400 * MIB, 0, &r);
        assert_int_equal(r.pending, 400 * MIB);
        assert_false(r.late);
    }
    balance_observe(&p, 400 * MIB, 0, &r);
    assert_int_equal(r.pending, 0);
    assert_true(r.late);
    /* A trickle counts as a trickle. */
    for (int i = 1; i < 20; i++)
        balance_observe(&p, 400 * MIB, (uint64_t)i * MIB, &r);
    assert_true(r.late && r.pending > 0 && r.pending <= 4 * MIB);
    /* What comes in time is believed to its end, and one that took pages back is late. */
    for (uint64_t there = 20 * MIB; there < 400 * MIB; there += 95 * MIB)
        balance_observe(&p, 400 * MIB, there, &r);
    assert_false(r.late);
    balance_observe(&p, 400 * MIB, 400 * MIB, &r);
    assert_int_equal(r.pending, 0);
    assert_false(r.late);
    for (int i = 0; i < 20; i++)
        balance_observe(&p, 400 * MIB, 10 * MIB, &r);
    assert_true(r.late);
}

enum manner {
    HONEST,
    DEAF,    /* hands over nothing */
    BOASTER, /* ... and says that it has 2^52 bytes */
    MISER,   /* ... and gives a page now and then */
};

/* Three guests full of cache on a host that is short, one of them of another manner: within some
 * seconds the host has what it needs from the other two. */
static void one_among_honest_ones(enum manner manner)
{
    struct balance_settings set = {.automatic = true, .low = 192 * MIB, .high = 384 * MIB};
    struct host_memory h = {.total = 1536 * MIB};
    struct balance_reading g[3] = {0};
    struct balance_promise promises[3] = {0};
    uint64_t ballooned[3] = {0}, came = 0;
    for (int round = 0; round < 40; round++) {
        h.available = 100 * MIB + came;
        for (int i = 0; i < 3; i++) {
            bool bad = i == 0 && manner != HONEST;
            struct balance_claims said = {
                .running = true, .total = 942 * MIB, .available = 850 * MIB - ballooned[i]};
            struct balance_counts counted = {
                .ram = 942 * MIB, .resident = 942 * MIB - ballooned[i], .ballooned = ballooned[i]};
            if (bad && manner == BOASTER)
                said.available = said.total = (uint64_t)1 << 52;
            uint64_t extra = g[i].extra;
            g[i] = balance_read(&said, &counted);
            balance_observe(&promises[i], extra, ballooned[i], &g[i]);
            g[i].extra = extra;
        }
        for (int i = 0; i < 3; i++) {
            struct balance_sum sum = {0};
            for (int k = 0; k < 3; k++)
                balance_add(&sum, &g[k]);
            uint64_t extra = balance_decide(&set, &h, &g[i], &sum);
            if (extra > g[i].extra) {
                g[i].pending += extra - g[i].extra;
                promises[i].rounds = 0;
            }
            g[i].extra = extra;
        }
        for (int i = 0; i < 3; i++) {
            uint64_t gives = i || manner == HONEST          ? 64 * MIB
                             : manner == MISER && round % 4 ? 4096
                                                            : 0;
            uint64_t left = g[i].extra > ballooned[i] ? g[i].extra - ballooned[i] : 0;
            gives = gives < left ? gives : left;
            ballooned[i] += gives;
            came += gives;
        }
    }
    assert_true(100 * MIB + came >= set.low);
    assert_true(g[1].extra <= 850 * MIB && g[2].extra <= 850 * MIB);
}

static void a_guest_that_lies_costs_nobody_else(void **state)
{
    one_among_honest_ones(HONEST);
    one_among_honest_ones(DEAF);
    one_among_honest_ones(BOASTER);
    one_among_honest_ones(MISER);
}

static void the_host_is_read(void **state)
{
    struct host_memory h, again;
    struct host_memory_files f;
    assert_int_equal(host_memory_open(&f, NULL), 0);
    assert_int_equal(host_memory_read(&f, &h, NULL), 0);
    assert_int_equal(host_memory_read(&f, &again, NULL), 0);
    host_memory_close(&f);
    assert_true(again.total == h.total);
    assert_true(h.total > 16 * MIB && h.available <= h.total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plenty_leaves_all_alone),
        cmocka_unit_test(shortage_is_shared_by_what_each_can_spare),
        cmocka_unit_test(idle_pages_bring_the_host_nothing),
        cmocka_unit_test(nobody_gives_its_reserve),
        cmocka_unit_test(a_careful_host_limits_what_may_be_filled),
        cmocka_unit_test(a_stalled_host_is_short_whatever_it_says),
        cmocka_unit_test(who_starves_gets_back_first),
        cmocka_unit_test(a_crowded_host_comes_to_rest),
        cmocka_unit_test(a_claim_is_bounded_by_what_the_host_counts),
        cmocka_unit_test(old_statistics_say_nothing),
        cmocka_unit_test(promises_count_as_they_are_kept),
        cmocka_unit_test(a_guest_that_lies_costs_nobody_else),
        cmocka_unit_test(the_host_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
