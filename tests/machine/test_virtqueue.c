/* Split rings: what a driver may do, and a table of what it may not. */
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "fake_slat.h"
#include "machine/devices/virtqueue.h"

#define BASE  0x80000000u
#define SIZE  0x100000u
#define QSIZE 8
#define DATA  (BASE + 0x8000)
#define TABLE (BASE + 0x4000) /* indirect descriptors */

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct fixture {
    struct slat *slat;
    struct virtqueue vq;
    struct vq_chain chain;
    struct desc *desc, *table;
    uint16_t *avail, *used;
};

enum {
    N = VQ_DESC_NEXT,
    W = VQ_DESC_WRITE,
    I = VQ_DESC_INDIRECT,
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->slat = fake_slat_new(BASE, SIZE);
    f->vq.slat = f->slat;
    virtqueue_reset(&f->vq, QSIZE);
    f->vq.desc = BASE;
    f->vq.driver = BASE + 0x1000;
    f->vq.device = BASE + 0x2000;
    f->vq.indirect = true;
    f->desc = slat_host(f->slat, BASE, 1, true);
    f->avail = slat_host(f->slat, BASE + 0x1000, 1, true);
    f->used = slat_host(f->slat, BASE + 0x2000, 1, true);
    f->table = slat_host(f->slat, TABLE, 1, true);
    *state = f;
    return virtqueue_enable(&f->vq) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fake_slat_free(f->slat);
    free(f);
    return 0;
}

static void offer(struct fixture *f, uint16_t head)
{
    f->avail[2 + f->avail[1] % QSIZE] = head;
    f->avail[1]++;
}

static void request_goes_round(void **state)
{
    struct fixture *f = *state;
    f->desc[3] = (struct desc){DATA, 16, N, 1};
    f->desc[1] = (struct desc){DATA + 0x1000, 512, N | W, 0};
    f->desc[0] = (struct desc){DATA + 0x3000, 1, W, 0};
    /* More requests than the ring has entries: indexes wrap. */
    for (unsigned i = 0; i < 3 * QSIZE; i++) {
        assert_false(virtqueue_pop(&f->vq, &f->chain));
        offer(f, 3);
        assert_true(virtqueue_pop(&f->vq, &f->chain));
        assert_int_equal(f->chain.head, 3);
        assert_int_equal(f->chain.n_out, 1);
        assert_int_equal(f->chain.n_in, 2);
        assert_int_equal(f->chain.out_len, 16);
        assert_int_equal(f->chain.in_len, 513);
        virtqueue_push(&f->vq, &f->chain, 513);
        assert_int_equal(f->used[1], i + 1);
        uint32_t elem[2];
        memcpy(elem, &f->used[2 + 4 * (i % QSIZE)], sizeof elem);
        assert_int_equal(elem[0], 3);
        assert_int_equal(elem[1], 513);
    }
    assert_null(f->vq.broken);
}

static void written_pages_are_named(void **state)
{
    struct fixture *f = *state;
    f->desc[0] = (struct desc){DATA, 100, N | W, 1};
    f->desc[1] = (struct desc){DATA + 0x1000, 100, W, 0};
    offer(f, 0);
    assert_true(virtqueue_pop(&f->vq, &f->chain));
    virtqueue_push(&f->vq, &f->chain, 130);
    assert_int_equal(f->slat->wrote, 130);
}

static void indirect_chain(void **state)
{
    struct fixture *f = *state;
    f->desc[5] = (struct desc){TABLE, 3 * sizeof(struct desc), I, 0};
    f->table[0] = (struct desc){DATA, 8, N, 2};
    f->table[2] = (struct desc){DATA + 8, 8, N, 1};
    f->table[1] = (struct desc){DATA + 64, 32, W, 0};
    offer(f, 5);
    assert_true(virtqueue_pop(&f->vq, &f->chain));
    assert_int_equal(f->chain.n_out, 2);
    assert_int_equal(f->chain.n_in, 1);
    assert_int_equal(f->chain.head, 5);
}

static void copies_span_segments(void **state)
{
    struct fixture *f = *state;
    char *data = slat_host(f->slat, DATA, 64, true), buf[16] = "";
    memcpy(data, "abcdef", 6);
    memcpy(data + 32, "ghij", 4);
    f->desc[0] = (struct desc){DATA, 6, N, 1};
    f->desc[1] = (struct desc){DATA + 32, 4, N, 2};
    f->desc[2] = (struct desc){DATA + 48, 3, N | W, 3};
    f->desc[3] = (struct desc){DATA + 56, 8, W, 0};
    offer(f, 0);
    assert_true(virtqueue_pop(&f->vq, &f->chain));
    assert_int_equal(vq_chain_read(&f->chain, 4, buf, sizeof buf), 6);
    assert_memory_equal(buf, "efghij", 6);
    assert_int_equal(vq_chain_read(&f->chain, 10, buf, sizeof buf), 0);
    assert_int_equal(vq_chain_write(&f->chain, 1, "12345", 5), 5);
    assert_memory_equal(data + 49, "12", 2);
    assert_memory_equal(data + 56, "345", 3);
    assert_int_equal(vq_chain_write(&f->chain, 9, "12345", 5), 2);
}

static void event_index(void **state)
{
    struct fixture *f = *state;
    uint16_t *used_event = &f->avail[2 + QSIZE], *avail_event = &f->used[2 + 4 * QSIZE];
    f->vq.event_idx = true;
    f->desc[0] = (struct desc){DATA, 1, 0, 0};
    *used_event = 1; /* tell me about the second */
    offer(f, 0);
    offer(f, 0);
    assert_true(virtqueue_pop(&f->vq, &f->chain));
    virtqueue_push(&f->vq, &f->chain, 0);
    assert_false(virtqueue_should_signal(&f->vq));
    assert_true(virtqueue_pop(&f->vq, &f->chain));
    virtqueue_push(&f->vq, &f->chain, 0);
    assert_true(virtqueue_should_signal(&f->vq));
    assert_false(virtqueue_should_signal(&f->vq));
    assert_false(virtqueue_pop(&f->vq, &f->chain));
    assert_int_equal(*avail_event, 2); /* tell us about the third */
}

static void no_interrupt_flag(void **state)
{
    struct fixture *f = *state;
    f->desc[0] = (struct desc){DATA, 1, 0, 0};
    for (uint16_t flag = 0; flag < 2; flag++) {
        f->avail[0] = flag;
        offer(f, 0);
        assert_true(virtqueue_pop(&f->vq, &f->chain));
        virtqueue_push(&f->vq, &f->chain, 0);
        assert_int_equal(virtqueue_should_signal(&f->vq), !flag);
    }
}

/* Each breaks the queue: the request is not taken, nothing is taken afterwards, and the reason is
 * this one. */
static const struct malformed {
    const char *why;
    uint16_t head;
    struct desc desc[QSIZE], table[8];
    bool no_indirect;
    uint16_t avail_ahead; /* added to the available index */
} malformed[] = {
    {"descriptor index is out of range", .head = QSIZE},
    {"descriptor index is out of range", .head = 0xffff},
    {"descriptor index is out of range", .desc = {{DATA, 1, N, QSIZE}}},
    {"descriptor chain is a loop", .desc = {{DATA, 1, N, 0}}},
    {"descriptor chain is a loop", .desc = {{DATA, 1, N, 1}, {DATA, 1, N, 2}, {DATA, 1, N, 1}}},
    {"buffer of length 0", .desc = {{DATA, 0, 0, 0}}},
    {"buffer of length 0", .desc = {{DATA, 1, N, 1}, {DATA, 0, W, 0}}},
    {"buffer is not in memory", .desc = {{0, 1, 0, 0}}},
    {"buffer is not in memory", .desc = {{BASE - 1, 2, 0, 0}}},
    {"buffer is not in memory", .desc = {{BASE + SIZE - 1, 2, W, 0}}},
    {"buffer is not in memory", .desc = {{BASE + SIZE, 1, W, 0}}},
    {"buffer is not in memory", .desc = {{UINT64_MAX, 2, 0, 0}}},
    {"buffer is not in memory", .desc = {{UINT64_MAX - 0xfff, 0x1000, 0, 0}}},
    {"buffer is not in memory", .desc = {{DATA, UINT32_MAX, 0, 0}}},
    {"readable buffer after a writable one", .desc = {{DATA, 1, N | W, 1}, {DATA, 1, 0, 0}}},
    {"indirect descriptor where there may be none", .desc = {{TABLE, 16, I, 0}},
     .no_indirect = true},
    {"indirect descriptor where there may be none", .desc = {{TABLE, 16, I, 0}},
     .table = {{TABLE, 16, I, 0}}},
    {"indirect descriptor with a next one", .desc = {{TABLE, 16, I | N, 1}, {DATA, 1, 0, 0}}},
    {"indirect table of a wrong length", .desc = {{TABLE, 0, I, 0}}},
    {"indirect table of a wrong length", .desc = {{TABLE, 17, I, 0}}},
    {"indirect table of a wrong length", .desc = {{TABLE, 0xfffffff0, I, 0}}},
    {"indirect table is not in memory", .desc = {{BASE + SIZE - 8, 16, I, 0}}},
    {"indirect table is not in memory", .desc = {{16, 16, I, 0}}},
    {"descriptor index is out of range", .desc = {{TABLE, 32, I, 0}}, .table = {{DATA, 1, N, 2}}},
    {"descriptor chain is a loop", .desc = {{TABLE, 32, I, 0}},
     .table = {{DATA, 1, N, 1}, {DATA, 1, N, 0}}},
    {"available index runs ahead of the queue's size", .desc = {{DATA, 1, 0, 0}},
     .avail_ahead = QSIZE},
    {"available index runs ahead of the queue's size", .desc = {{DATA, 1, 0, 0}},
     .avail_ahead = 0xfff0},
};

static void malformed_chains_break_the_queue(void **state)
{
    for (unsigned i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        const struct malformed *m = &malformed[i];
        teardown(state);
        assert_int_equal(setup(state), 0);
        struct fixture *f = *state;
        memcpy(f->desc, m->desc, sizeof m->desc);
        memcpy(f->table, m->table, sizeof m->table);
        f->vq.indirect = !m->no_indirect;
        offer(f, m->head);
        f->avail[1] += m->avail_ahead;
        assert_false(virtqueue_pop(&f->vq, &f->chain));
        if (!f->vq.broken || strcmp(f->vq.broken, m->why))
            fail_msg("case %u: wanted '%s', got '%s'", i, m->why,
                     f->vq.broken ? f->vq.broken : "(nothing)");
        f->desc[0] = (struct desc){DATA, 1, 0, 0};
        f->avail[1] = 1;
        f->avail[2] = 0;
        assert_false(virtqueue_pop(&f->vq, &f->chain));
        assert_int_equal(f->used[1], 0);
    }
}

static void chain_of_256_is_the_longest(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = VQ_MAX_SIZE; n <= VQ_MAX_SIZE + 1; n++) {
        for (unsigned i = 0; i < n; i++)
            f->table[i] = (struct desc){DATA + i, 1, i + 1 < n ? N : 0, (uint16_t)(i + 1)};
        f->desc[0] = (struct desc){TABLE, n * (uint32_t)sizeof(struct desc), I, 0};
        offer(f, 0);
        assert_int_equal(virtqueue_pop(&f->vq, &f->chain), n == VQ_MAX_SIZE);
    }
    assert_non_null(f->vq.broken);
}

static void wrong_areas_are_refused(void **state)
{
    static const struct {
        uint16_t size;
        uint64_t desc, driver, device;
    } bad[] = {
        {0, BASE, BASE + 0x1000, BASE + 0x2000},
        {3, BASE, BASE + 0x1000, BASE + 0x2000},
        {512, BASE, BASE + 0x1000, BASE + 0x2000},
        {8, BASE + 8, BASE + 0x1000, BASE + 0x2000},
        {8, BASE, BASE + 0x1001, BASE + 0x2000},
        {8, BASE, BASE + 0x1000, BASE + 0x2002},
        {8, BASE + SIZE - 64, BASE + 0x1000, BASE + 0x2000},
        {8, BASE, BASE + SIZE - 16, BASE + 0x2000},
        {8, BASE, BASE + 0x1000, BASE + SIZE - 64},
        {8, 0, 0, 0},
        {8, UINT64_MAX - 15, BASE + 0x1000, BASE + 0x2000},
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        virtqueue_reset(&f->vq, bad[i].size);
        f->vq.desc = bad[i].desc;
        f->vq.driver = bad[i].driver;
        f->vq.device = bad[i].device;
        assert_false(virtqueue_enable(&f->vq));
        assert_non_null(f->vq.broken);
        assert_false(virtqueue_pop(&f->vq, &f->chain));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(request_goes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(written_pages_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(indirect_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_span_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(event_index, setup, teardown),
        cmocka_unit_test_setup_teardown(no_interrupt_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_chains_break_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(chain_of_256_is_the_longest, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_areas_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
